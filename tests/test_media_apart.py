"""Text and pictures share every step: nothing outside a medium asks which medium it has before it."""

import ast
from pathlib import Path

import genloom
from genloom import plugins

ROOT = Path(genloom.__file__).parent
MEDIA = plugins.part_names("medium")
OWN = {ROOT / "media" / name for name in MEDIA} | {ROOT / "collect" / name for name in MEDIA}
SHARED = [path for path in sorted(ROOT.rglob("*.py")) if not OWN & set(path.parents)]


def questions(code: str) -> list[int]:
    """The lines that compare something with the name of a medium."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = {n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)} & {*MEDIA}
            # A dictionary's key may well be called "text"; what makes a branch is a medium or kind on the other side.
            names = {getattr(n, "id", getattr(n, "attr", "")) for side in sides for n in ast.walk(side)}
            asked = any(name == "kind" or "medium" in name for name in names)
            if named and asked:
                found.append(node.lineno)
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in MEDIA:
            found.append(node.value.lineno)
    return found


def test_a_question_is_found() -> None:
    assert questions("if design.medium == 'image':\n    pass") == [1]
    assert questions("x = 1\ny = kind in ('text', 'image')") == [2]
    assert questions("match medium:\n    case 'text':\n        pass") == [2]
    assert not questions("row['text'] == 'a medium long tale'")


def test_no_shared_file_asks_for_the_medium() -> None:
    found = {path.relative_to(ROOT).as_posix(): questions(path.read_text(encoding="utf-8")) for path in SHARED}
    assert not {path: lines for path, lines in found.items() if lines}
    assert len(found) > 200
