"""Writes training data of Python: modules in pieces, and functions with their docstrings, by package.

python -m recipes.code.make --out code
genloom collect code/code.parquet --name code --val 0.01 --test 0
genloom collect code/held_out.parquet --name code-held-out --val 0.5 --test 0
"""

import argparse
import ast
import hashlib
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from genloom.assistant.code.examples import read_doctests
from genloom.assistant.code.python_source import compute_key, has_body, parse_or_none
from genloom.assistant.code.task import list_doctest_lines
from recipes.code.fetch import Module, iter_modules

PIECE_CHARS = 1600  # of a module; about a context of the model
MAX_FUNCTION_LINES, MAX_FUNCTION_CHARS, MAX_DOC_CHARS = 30, 1200, 200
MAX_EXAMPLE_LINES = 4
MODULES_OF = 0.5  # share of the pieces of modules that are kept, by their digest: functions are closer to what is asked
SCHEMA = pa.schema([(name, pa.string()) for name in ("text", "licence", "package", "form", "path")])


def iter_functions(source: str) -> Iterator[str]:
    """Yield the short functions of a module that have a docstring, with its first paragraph alone."""
    tree = parse_or_none(source)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.FunctionDef) and has_body(node) and not node.name.startswith("_"):
            docstring = ast.get_docstring(node) or ""
            doc = " ".join(docstring.split("\n\n")[0].split())
            if not 10 <= len(doc) <= MAX_DOC_CHARS or is_method(node):
                continue
            examples = list_doctest_lines([example.label for example in read_doctests(docstring)[0]])[
                :MAX_EXAMPLE_LINES
            ]
            text = write_function(source, node, doc, examples)
            if text and text.count("\n") <= MAX_FUNCTION_LINES and len(text) <= MAX_FUNCTION_CHARS:
                yield text


def is_method(node: ast.FunctionDef) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args]
    return bool(arguments) and arguments[0].arg in ("self", "cls")


def write_function(source: str, node: ast.FunctionDef, doc: str, examples: Sequence[str]) -> str:
    """Return the source of a function with another docstring, and without decorators; "" if it does not parse then."""
    lines = source.split("\n")
    first, body_start = node.lineno - 1, node.body[0].lineno - 1
    rest_start = node.body[0].end_lineno or body_start
    header = textwrap.dedent("\n".join(lines[first:body_start]))
    rest = textwrap.dedent("\n".join(lines[rest_start : node.end_lineno]))
    if not header.rstrip().endswith(":") or not rest.strip():
        return ""
    shown = "".join(f"    {line}\n" for line in ["", *examples]).replace("    \n", "\n")
    quoted = f'"""{doc}\n{shown}    """' if examples else f'"""{doc}"""'
    if "\\" in quoted or quoted.count('"""') != 2:
        return ""
    text = f"{header.rstrip()}\n    {quoted}\n{textwrap.indent(rest.strip(chr(10)), '    ')}\n"
    return text if parse_or_none(text) is not None else ""


def iter_pieces(source: str) -> Iterator[str]:
    """Yield a module in pieces, cut before its definitions; a long definition is a piece of its own."""
    tree = parse_or_none(source)
    if tree is None:
        return
    lines = source.split("\n")
    starts = [min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1 for node in tree.body]
    edges = sorted({0, *starts, len(lines)})
    piece = ""
    for start, end in pairwise(edges):
        part = "\n".join(lines[start:end]) + "\n"
        if piece and len(piece) + len(part) > PIECE_CHARS:
            yield piece
            piece = ""
        piece += part
    if piece.strip():
        yield piece


def build_rows(modules: Iterable[Module], seen: set[bytes]) -> Iterator[dict[str, str]]:
    """Yield the rows of modules; what another package has too, in whatever layout, is left out."""
    for module in modules:
        pieces = [("function", text) for text in iter_functions(module.source)]
        pieces += [("module", text) for text in iter_pieces(module.source)]
        for form, text in pieces:
            digest = hashlib.sha256(compute_key(text).encode("utf-8", "surrogatepass")).digest()
            is_left_out = form == "module" and digest[0] >= 256 * MODULES_OF
            if digest in seen or is_left_out or len(text) < 80:
                continue
            seen.add(digest)
            yield {
                "text": text,
                "licence": module.licence,
                "package": module.package,
                "form": form,
                "path": module.path,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and the packages")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")  # of modules with old escapes
    modules, seen = list(iter_modules(folder / "wheels")), set[bytes]()
    for name, is_held_out in (("held_out", True), ("code", False)):  # what is held out is in no training data
        rows = list(build_rows((each for each in modules if each.is_held_out is is_held_out), seen))
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / f"{name}.parquet")
        size = sum(len(row["text"]) for row in rows)
        forms = {form: sum(row["form"] == form for row in rows) for form in ("function", "module")}
        print(f"{name}: {len(rows):,} texts, {size / 1e6:.1f} million characters, {forms}")


if __name__ == "__main__":
    main()
