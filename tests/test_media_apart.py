"""Media share every step: code outside a medium never compares with the name of a medium."""

import ast
from pathlib import Path

import genloom
from genloom import plugins

ROOT = Path(genloom.__file__).parent
MEDIA = plugins.part_names("medium")
OWN = {ROOT / "media" / name for name in MEDIA} | {ROOT / "collect" / name for name in MEDIA}
SHARED = [path for path in sorted(ROOT.rglob("*.py")) if not OWN & set(path.parents)]


def find_comparisons(code: str) -> list[int]:
    """Return the lines that compare something with the name of a medium."""
    lines = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = {n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)} & {*MEDIA}
            # A dictionary's key may well be called "text"; what makes a branch is a medium or kind on the other side.
            names = {getattr(n, "id", getattr(n, "attr", "")) for side in sides for n in ast.walk(side)}
            is_medium = any(name == "kind" or "medium" in name for name in names)
            if named and is_medium:
                lines.append(node.lineno)
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in MEDIA:
            lines.append(node.value.lineno)
    return lines


def test_comparisons_are_found() -> None:
    assert find_comparisons("if design.medium == 'image':\n    pass") == [1]
    assert find_comparisons("x = 1\ny = kind in ('text', 'image')") == [2]
    assert find_comparisons("match medium:\n    case 'text':\n        pass") == [2]
    assert not find_comparisons("row['text'] == 'a medium long tale'")


def test_no_shared_file_compares_media() -> None:
    found = {path.relative_to(ROOT).as_posix(): find_comparisons(path.read_text(encoding="utf-8")) for path in SHARED}
    assert not {path: lines for path, lines in found.items() if lines}
    assert len(found) > 200
