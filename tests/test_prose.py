"""Prose follows the rules of CONTRIBUTING: no ruled-out words, and docstrings that are noun phrases or imperatives."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "bench" / "README.md"])
FOLDERS = ("genloom", "bench", "recipes", "tools")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
RULED_OUT = re.compile(r"\b(anew|shall|leaves? (it|them|\S+) away)\b", re.I)
HEADLESS = re.compile(r"(What|Whatever|Who|Whoever)\b")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_keep_to_plain_words(path: Path) -> None:
    text = re.sub(r"`[^`\n]*`|\"[^\"\n]*\"", "", path.read_text(encoding="utf-8"))  # code and quotations
    assert not [line for line in text.splitlines() if RULED_OUT.search(line)]


def test_docstrings_are_noun_phrases_or_begin_with_a_verb() -> None:
    """A class, a property or a function is not described by a headless clause, nor in ruled-out words."""
    faults = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                doc = ast.get_docstring(node) or ""
                if HEADLESS.match(doc) or RULED_OUT.search(doc):
                    faults.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)} {doc[:60]}")
    assert not faults


def test_help_of_options_is_no_headless_clause() -> None:
    faults = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for value in (*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "help")):
                    if isinstance(value, ast.Constant) and isinstance(value.value, str) and HEADLESS.match(value.value):
                        faults.append(f"{path.relative_to(ROOT)}:{node.lineno} {value.value[:60]}")
    assert not faults
