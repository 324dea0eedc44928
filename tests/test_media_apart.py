"""Media share every step: code outside a medium neither imports what belongs to one nor guesses what a value is.

A medium owns genloom/media/NAME and in every step the package or module of its name. A part that is made for one
medium (a codec, a check, features) says so in its own module, which only `plugins` imports.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import genloom
from genloom import plugins

ROOT = Path(genloom.__file__).parent
MEDIA = plugins.part_names("medium")


def is_owned(path: Path) -> bool:
    """Return whether a file belongs to a medium: media/image/svg.py, learn/safeguards/text.py."""
    return not {*path.parts, path.stem}.isdisjoint(MEDIA)


MODULES = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}
SHARED = {path: ast.parse(code) for path, code in MODULES.items() if not is_owned(path)}


def find_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the imports of Pillow, and of modules of a medium."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package == "PIL" or (package == "genloom" and not {*rest[1:]}.isdisjoint(MEDIA)):
                yield node.lineno, name


def find_comparisons(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the comparisons with the name of a medium."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = {n.value for side in sides for n in ast.walk(side) if isinstance(n, ast.Constant)} & {*MEDIA}
            # A dictionary's key may well be called "text"; what makes a branch is a medium or kind on the other side.
            names = {getattr(n, "id", getattr(n, "attr", "")) for side in sides for n in ast.walk(side)}
            if named and any(name == "kind" or "medium" in name for name in names):
                yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in MEDIA:
            yield node.value.lineno, ast.unparse(node)


VALUE_NAMES = {"value", "values", "item", "output", "sample", "draft", "content", "continuation"}


def find_guesses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield where a value is asked for its type, or a space for its number of axes, to find out the medium."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            subject, classes = node.args
            names = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(subject)}
            asked = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(classes)}
            if names & VALUE_NAMES and asked & {"str", "ndarray"}:
                yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                is_size = isinstance(side, ast.Call) and getattr(side.func, "id", "") == "len" and has_size(side)
                is_ndim = isinstance(side, ast.Attribute) and side.attr == "ndim" and has_value(side)
                if is_size or is_ndim:
                    yield node.lineno, ast.unparse(node)


def has_size(call: ast.Call) -> bool:
    return any(getattr(n, "attr", getattr(n, "id", "")) in ("size", "grid") for n in ast.walk(call))


def has_value(attribute: ast.Attribute) -> bool:
    return any(getattr(n, "id", getattr(n, "attr", "")) in VALUE_NAMES for n in ast.walk(attribute.value))


def find_all(find: Callable[[ast.AST], Iterator[tuple[int, str]]]) -> dict[str, list[str]]:
    found = {path.as_posix(): sorted({f"{line}: {what}" for line, what in find(tree)}) for path, tree in SHARED.items()}
    return {path: whats for path, whats in found.items() if whats}
