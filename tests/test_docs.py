"""The documentation names what is there: generated pages are up to date, links lead somewhere, commands exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from cyclopts import MissingArgumentError

from genloom.cli.app import VERBS, app
from tests.tools import load_tool

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    return load_tool("docs")


def test_the_reference_of_the_command_line_is_what_help_says(docs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert docs.render_cli() == docs.CLI.read_text(encoding="utf-8"), "run `make docs`"


def test_the_tree_is_the_code(docs: ModuleType) -> None:
    assert docs.render_tree() == docs.TREE.read_text(encoding="utf-8"), "run `make docs`"


def test_included_files_are_the_files(docs: ModuleType) -> None:
    page = docs.MEDIUM.read_text(encoding="utf-8")
    assert page.count("<!-- file: ") == 5
    assert docs.fill_includes(page) == page, "run `make docs`"


def test_every_module_says_what_it_is_in_one_sentence() -> None:
    for path in (ROOT / "genloom").rglob("*.py"):
        if path.name != "__init__.py":
            assert path.read_text(encoding="utf-8").startswith('"""'), path


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= 8000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_verbs_and_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"^ {4,}(?:\$ )?genloom ([a-z]+)\b", text, re.MULTILINE))
    assert named <= VERBS.keys()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", prose):
        assert (page.parent / target).exists(), f"{page}: {target}"


def iter_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `genloom` of the commands in indented blocks and in inline code, without comments."""
    lines = re.findall(r"^ {4,}(?:\$ )?(?:\.venv/bin/)?(genloom .*)$", text, re.MULTILINE)
    for command in lines + re.findall(r"`(genloom [^`]+)`", text):
        for part in re.split(r" && |; ", re.sub(r"\s#.*", "", command)):
            verb, *words = shlex.split(part)
            if verb == "genloom":
                yield words


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in ("cli.md", "tree.md")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_commands_have_the_options_that_pages_use(page: Path) -> None:
    for words in iter_commands(page.read_text(encoding="utf-8")):
        try:
            app.parse_args(words, exit_on_error=False, print_error=False)
        except MissingArgumentError:
            assert len(words) == 1, words  # a verb that prose names
