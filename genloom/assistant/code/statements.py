"""Files of tests as statements for the sandbox, one a check: asserts, functions of pytest and cases of unittest."""

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from genloom.assistant.code.examples import Example
from genloom.assistant.code.python_source import parse_source
from genloom.assistant.code.task import is_standard
from genloom.errors import GenloomError

Kind = Literal["setup", "example", "own", "test"]
MAX_TEST_BYTES = 1 << 20
MAX_STATEMENTS = 5_000
_CHECKING = (ast.Assert, ast.Expr, ast.With, ast.For, ast.While, ast.Try, ast.If)


@dataclass(frozen=True)
class Statement:
    """A statement that the sandbox runs; those that are checks count for the verdict."""

    source: str
    kind: Kind
    label: str = ""


@cache
def load_prelude() -> tuple[Statement, ...]:
    """Return the statements that define what examples, pytest and unittest need."""
    source = Path(__file__).with_name("sandbox_prelude.py").read_text(encoding="utf-8")
    nodes = ast.parse(source).body[1:]  # without the docstring
    return tuple(Statement(ast.get_source_segment(source, node) or "", "setup") for node in nodes)


def read_tests(path: Path) -> str:
    """Return the text of a file of tests; raise GenloomError for one that is missing, large, binary or no Python."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_TEST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise GenloomError("code.unreadable_tests", path=path, reason=error.strerror or error) from None
    except UnicodeDecodeError:
        raise GenloomError("code.unreadable_tests", path=path, reason="it is not text in UTF-8") from None
    if len(data) > MAX_TEST_BYTES:
        raise GenloomError("code.unreadable_tests", path=path, reason=f"it has more than {MAX_TEST_BYTES:,} bytes")
    check_tests(text, path)
    return text


def check_tests(text: str, path: Path | str = "the tests") -> None:
    """Raise GenloomError (code.bad_tests, code.no_tests) for tests that are no Python, or that check nothing."""
    if not any(statement.kind == "test" for statement in split_tests(text, path)):
        raise GenloomError("code.no_tests", path=path)


def split_tests(text: str, path: Path | str = "the tests") -> list[Statement]:
    """Return the statements of a file of tests; raise GenloomError for a text that cannot be run in the sandbox."""
    text = text.replace("\r\n", "\n")
    try:
        tree = parse_source(text)
    except SyntaxError as error:
        reason = f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
        raise GenloomError("code.bad_tests", path=path, reason=reason) from None
    lines = [line.encode() for line in text.replace("\r", "\n").split("\n")]
    found = (statement for node in tree.body for statement in convert_node(lines, node, path))
    statements = list(islice(found, MAX_STATEMENTS + 1))
    if len(statements) > MAX_STATEMENTS:
        raise GenloomError("code.bad_tests", path=path, reason=f"more than {MAX_STATEMENTS:,} statements")
    return statements


def extract_source(lines: Sequence[bytes], node: ast.stmt) -> str:
    """Return the text of a statement; unlike ast.get_source_segment it does not split the file for each of them."""
    own = list(lines[node.lineno - 1 : node.end_lineno])
    own[-1] = own[-1][: node.end_col_offset]
    own[0] = own[0][node.col_offset :]
    return b"\n".join(own).decode(errors="replace")


def convert_node(lines: Sequence[bytes], node: ast.stmt, path: Path | str) -> Iterator[Statement]:
    """Yield the statements that one of a file becomes; `lines` are the bytes of the file's lines."""
    match node:
        case ast.Import() | ast.ImportFrom():
            yield from convert_import(node)
        case ast.AsyncFunctionDef() if node.name.startswith("test"):
            raise GenloomError(
                "code.bad_tests", path=path, reason=f"{node.name} is async, which the sandbox cannot run"
            )
        case ast.FunctionDef():
            yield from convert_function(node, path)
        case ast.ClassDef():
            yield from convert_class(node)
        case ast.If() if is_main_block(node):
            return
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="unittest" | "pytest"), attr="main"))):
            return
        case _:
            label = " ".join(extract_source(lines, node).split()).removeprefix("assert ")[:120]
            is_check = isinstance(node, _CHECKING)
            yield Statement(unparse_rewritten(node), "test" if is_check else "setup", label)


class AssertRewriter(ast.NodeTransformer):
    """Rewrites `assert a == b` as a call that evaluates both once, and tells what came out if they differ."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        match node:
            case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]), msg=None):
                name = ast.Name("_genloom_check_equal", ast.Load())
                return ast.Expr(ast.Call(name, [left, right, ast.Constant(ast.unparse(left)[:80])], []))
        return node


def unparse_rewritten(node: ast.stmt) -> str:
    """Return the source of a statement whose asserts tell more."""
    return ast.unparse(ast.fix_missing_locations(AssertRewriter().visit(node)))


def convert_import(node: ast.Import | ast.ImportFrom) -> Iterator[Statement]:
    """Yield an import of the standard library; one of another module means the program, whose names are there."""
    if isinstance(node, ast.ImportFrom):
        if node.module and is_standard(node.module) and not node.level:
            yield Statement(ast.unparse(node), "setup")
        elif node.module == "pytest":
            yield from (Statement(f"{a.asname or a.name} = pytest.{a.name}", "setup") for a in node.names)
        else:
            renamed = [alias for alias in node.names if alias.asname and alias.asname != alias.name]
            yield from (Statement(f"{alias.asname} = program.{alias.name}", "setup") for alias in renamed)
        return
    for alias in node.names:
        if is_standard(alias.name):
            yield Statement(ast.unparse(ast.Import([alias])), "setup")
        elif alias.name != "pytest":
            yield Statement(f"{alias.asname or alias.name.partition('.')[0]} = program", "setup")


def convert_function(node: ast.FunctionDef, path: Path | str) -> Iterator[Statement]:
    """Yield a function, its decorators, and a call of it if it is a test."""
    plain = copy.copy(node)
    plain.decorator_list = []
    yield Statement(unparse_rewritten(plain), "setup")
    for decorator in reversed(node.decorator_list):
        yield Statement(f"{node.name} = ({ast.unparse(decorator)})({node.name})", "setup")
    if not node.name.startswith("test"):
        return
    needed = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    needed = needed[: len(needed) - len(node.args.defaults)]
    given = {name for decorator in node.decorator_list for name in list_parametrized(decorator)}
    if missing := [name for name in needed if name not in given]:
        reason = f"{node.name} needs the fixture {missing[0]}, which the sandbox lacks"
        raise GenloomError("code.bad_tests", path=path, reason=reason)
    yield Statement(f"{node.name}()", "test", f"{node.name}()")


def list_parametrized(decorator: ast.expr) -> list[str]:
    """Return the arguments that a decorator of pytest gives values to."""
    if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize") and decorator.args):
        return []
    try:
        names = ast.literal_eval(decorator.args[0])
    except (ValueError, TypeError, SyntaxError):
        return []
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else [str(name) for name in names]


def convert_class(node: ast.ClassDef) -> Iterator[Statement]:
    """Yield a class, and a run of each test in it, if it is one of unittest or of pytest."""
    names = [child.name for child in node.body if isinstance(child, ast.FunctionDef) and child.name.startswith("test")]
    is_case = any(ast.unparse(base).endswith("TestCase") for base in node.bases)
    yield Statement(unparse_rewritten(node), "setup")
    for name in names if is_case or node.name.startswith("Test") else ():
        run = f"_genloom_run_case({node.name}, {name!r})" if is_case else f"{node.name}().{name}()"
        yield Statement(run, "test", f"{node.name}.{name}")


def is_main_block(node: ast.If) -> bool:
    return ast.unparse(node.test).replace('"', "'") == "__name__ == '__main__'"


def convert_examples(examples: Sequence[Example], kind: Kind) -> list[Statement]:
    return [Statement(example.source, kind, example.label) for example in examples]
