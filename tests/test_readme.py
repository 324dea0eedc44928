"""The README names what is there: its tree is made from the code, its commands are verbs that exist."""

import importlib.util
import re
from pathlib import Path

from genloom.cli.app import VERBS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_is_the_code_as_it_is() -> None:
    spec = importlib.util.spec_from_file_location("readme_tree", ROOT / "tools" / "readme_tree.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.written(README) == README, "run `make tree`"


def test_every_module_says_what_it_is_in_one_sentence() -> None:
    for path in (ROOT / "genloom").rglob("*.py"):
        if path.name != "__init__.py":
            assert path.read_text(encoding="utf-8").startswith('"""'), path


def test_its_commands_are_verbs() -> None:
    named = set(re.findall(r"^ +genloom ([a-z]+)", README, re.MULTILINE))
    assert named
    assert named <= VERBS.keys()


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
