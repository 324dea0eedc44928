"""README and docs are up to date: generated pages match the code, and commands and links exist."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from genloom.cli.app import VERBS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "log.md")]


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    """tools/docs.py, which generates two of the pages."""
    spec = importlib.util.spec_from_file_location("docs", ROOT / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tree_matches_the_code(docs: ModuleType) -> None:
    assert docs.TREE.read_text(encoding="utf-8") == docs.render_tree(), "run `make docs`"


def test_the_reference_matches_the_command_line(docs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert docs.CLI.read_text(encoding="utf-8") == docs.render_cli(), "run `make docs`"


def test_every_module_has_a_docstring() -> None:
    for path in (ROOT / "genloom").rglob("*.py"):
        if path.name != "__init__.py":
            assert path.read_text(encoding="utf-8").startswith('"""'), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_are_verbs(page: Path) -> None:
    verbs = set(re.findall(r"^ {4,}(?:\$ )?genloom ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert verbs <= VERBS.keys()
    assert verbs or page.name != "README.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
