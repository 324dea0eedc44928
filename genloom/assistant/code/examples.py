"""Examples of a function's use: interactive sessions as `doctest` reads them, and calls with their results."""

import ast
import doctest
import re
from dataclasses import dataclass

from genloom.assistant.code.python_source import is_expression, parse_or_none

MAX_EXAMPLES = 200


@dataclass(frozen=True)
class Example:
    """One check: a statement of Python that raises if it fails, and what people read of it."""

    source: str
    label: str


def read_doctests(text: str) -> tuple[tuple[Example, ...], str]:
    """Return the examples of the interactive sessions in a text, and the text without them.

    A session that `doctest` cannot read stays in the text.
    """
    try:
        parts = doctest.DocTestParser().parse(text)
    except ValueError:  # inconsistent blanks
        return (), text
    examples = tuple(convert_example(part) for part in parts if isinstance(part, doctest.Example))
    return examples[:MAX_EXAMPLES], "".join(part for part in parts if isinstance(part, str))


def convert_example(example: doctest.Example) -> Example:
    """Return an example of `doctest` as a statement for the sandbox, which compares what is printed."""
    source, want = example.source.rstrip("\n"), example.want
    message = (example.exc_msg or "").strip()
    flags = [name for name, flag in doctest.OPTIONFLAGS_BY_NAME.items() if example.options.get(flag)]
    label = f"{source} == {want.strip()}" if want.strip() and not message and is_expression(source) else source
    return Example(f"_genloom_run_example({source!r}, {want!r}, {message!r}, {flags!r})", label)


def find_own_examples(program: str) -> tuple[Example, ...]:
    """Return the examples in the docstrings of a program."""
    if (tree := parse_or_none(program)) is None:
        return ()
    found: list[Example] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found += read_doctests(ast.get_docstring(node) or "")[0]
    return tuple(found[:MAX_EXAMPLES])


def normalize_example(example: Example) -> str:
    """Return a key by which examples are the same check."""
    return re.sub(r"\s+", "", example.label)
