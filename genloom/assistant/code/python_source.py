"""Python source that a model or a person wrote: parsed and compared, never run."""

import ast
import warnings

MAX_SOURCE_CHARS = 1 << 20


def parse_source(source: str) -> ast.Module:
    """Return the tree of a program; raise SyntaxError for every text that is none, whatever the reason."""
    if len(source) > MAX_SOURCE_CHARS:
        raise SyntaxError(f"it has more than {MAX_SOURCE_CHARS:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(f"{type(error).__name__}: {error}".rstrip(": ")) from None


def parse_or_none(source: str) -> ast.Module | None:
    """Return the tree of a program, or None for a text that is none."""
    try:
        return parse_source(source)
    except SyntaxError:
        return None


def is_expression(source: str) -> bool:
    """Return whether a text is an expression of Python."""
    tree = parse_or_none(f"({source}\n)")
    return tree is not None and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr)


def find_syntax_error(program: str) -> str:
    """Return why a program does not compile; "" if it does. Nothing of it is run."""
    try:
        tree = parse_source(program)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(tree, "program", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return ""


def list_definitions(program: str) -> set[str]:
    """Return the names that a program defines at its top level; none of a text that does not parse.

    A function without a body, or with `pass` alone, is not defined.
    """
    tree, names = parse_or_none(program), set[str]()
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if isinstance(node, ast.ClassDef) or has_body(node):
                names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return names


def has_body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function does anything: more than a docstring, `pass` or `...`."""
    return any(
        not isinstance(child, ast.Pass) and not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant))
        for child in node.body
    )


def compute_key(program: str) -> str:
    """Return a key that programs share which differ in blanks, comments and docstrings only."""
    tree = parse_or_none(program)
    if tree is None:
        return "\n".join(line.rstrip() for line in program.strip().splitlines())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            remove_docstring(node)
    try:
        return ast.dump(tree)
    except RecursionError:
        return program.strip()


def remove_docstring(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
    """Remove the docstring of a node, whose body is then `pass` if nothing else is in it."""
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:] or [ast.Pass()]
