"""A task of code: what a person asks for in words, with the signature and the examples that are in them."""

import ast
import builtins
import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genloom.assistant.code.examples import Example, read_doctests
from genloom.assistant.code.python_source import is_expression, parse_or_none, parse_source

MAX_SHOWN_TESTS = 3  # that a prompt shows
_DEF = re.compile(r"(?:\basync\s+)?\bdef\s+([A-Za-z_]\w*)\s*\(")
_CALL = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")
_RESULT = re.compile(r"\s*(==|->|→|=>|is\b|returns\b|gives\b)\s*")
_LITERAL_END = re.compile(r"[.;,]?(?:\s|$)")
_STOP_WORDS = frozenset("a an the of for to in on at by with from and or all that which is are".split())  # noqa: SIM905
_MAX_NAME_WORDS = 4


@dataclass(frozen=True)
class CodeTask:
    """A function to write: its description, its signature as far as it is known, and examples that it must meet."""

    description: str
    name: str = ""  # of the function; "": the model chooses it
    signature: str = ""  # "def median(values: list[float]) -> float"; "": only the name is known, or nothing
    examples: tuple[Example, ...] = ()
    shown_tests: tuple[str, ...] = ()  # that the prompt quotes

    @property
    def header(self) -> str:
        """The name with its arguments, as far as they are known."""
        return self.signature.removeprefix("async ").removeprefix("def ") if self.signature else self.name


def read_task(text: str, tests: str = "", is_showing_tests: bool = True) -> CodeTask:
    """Return the task of a person's words and tests: a signature and examples in them are recognised.

    The name is that of the signature, else of the function that the tests call, else of the examples.
    """
    signature, description = split_signature(text)
    doctests, description = read_doctests(description)
    examples = (*doctests, *find_calls(description))
    name = get_signature_name(signature) or find_tested_name(tests)
    if not name and examples:
        name = find_tested_name(examples[0].label)
    shown = list_asserts(tests)[:MAX_SHOWN_TESTS] if is_showing_tests else []
    return CodeTask(" ".join(description.split()), name, signature, examples, tuple(shown))


def split_signature(text: str) -> tuple[str, str]:
    """Return the signature in a text, "def name(…)", without its colon, and the rest of the text; "" if it has none."""
    for match in _DEF.finditer(text):
        end = find_closing(text, match.end() - 1)
        if end < 0:
            continue
        annotation = re.compile(r"\s*->\s*[^:\n]+(?=:|$)").match(text, end)
        end = annotation.end() if annotation else end
        signature = " ".join(text[match.start() : end].split())
        if parse_or_none(f"{signature}: pass") is not None:
            rest = text[end:].lstrip()
            return signature, f"{text[: match.start()]} {rest.removeprefix(':')}".strip()
    return "", text


def get_signature_name(signature: str) -> str:
    match = _DEF.match(signature)
    return match[1] if match else ""


def find_closing(text: str, start: int) -> int:
    """Return the position after the bracket that closes the one at `start`; -1 if none does."""
    depth, quote = 0, ""
    for position in range(start, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote and text[position - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return position + 1
    return -1


def find_calls(text: str) -> Iterator[Example]:
    """Yield the examples written as calls with their results: `median([1, 3, 2]) == 2`, or with -> or "returns"."""
    position = 0
    while match := _CALL.search(text, position):
        position = match.end()
        end = find_closing(text, match.end() - 1)
        result = _RESULT.match(text, end) if end > 0 else None
        if result is None or keyword.iskeyword(match[1]):
            continue
        value_end = find_literal_end(text, result.end())
        source, value = text[match.start() : end], text[result.end() : value_end]
        if value and is_expression(source):
            yield Example(f"assert {source} == {value}", label=f"{source} == {value}")
            position = value_end


def find_literal_end(text: str, start: int) -> int:
    """Return the end of the longest literal of Python at `start` that a blank or the end of a sentence follows."""
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    for match in reversed(list(_LITERAL_END.finditer(text, start, line_end))):
        piece = text[start : match.start()]
        try:
            ast.literal_eval(piece.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return match.start()
    return start


def find_tested_name(tests: str) -> str:
    """Return the name of the function that tests call first and neither they nor Python define; "" without one."""
    if (tree := parse_or_none(tests)) is None:
        return ""
    for node in ast.walk(tree):  # names that are imported from a module that only the person has
        is_own = isinstance(node, ast.ImportFrom) and not is_standard(node.module or "") and node.module != "pytest"
        if isinstance(node, ast.ImportFrom) and is_own and node.names[0].name != "*":
            return node.names[0].name
    defined = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    defined |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [func for func in calls if isinstance(func, ast.Name)]
    for func in sorted(names, key=lambda func: (func.lineno, func.col_offset)):
        if func.id not in defined and not hasattr(builtins, func.id) and func.id != "pytest":
            return func.id
    modules = {"program", *list_own_modules(tree)}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return next((n.attr for n in attributes if isinstance(n.value, ast.Name) and n.value.id in modules), "")


def list_own_modules(tree: ast.AST) -> list[str]:
    """Return the names that modules have in tests which are not of the standard library: they mean the program."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    aliases = [alias for node in imports for alias in node.names]
    return [a.asname or a.name for a in aliases if not is_standard(a.name) and a.name != "pytest"]


def is_standard(module: str) -> bool:
    """Return whether a module is one that the sandbox has: of the standard library."""
    import sys

    return module.partition(".")[0] in sys.stdlib_module_names


def list_asserts(tests: str) -> list[str]:
    """Return the short assertions among tests, also those inside of functions, as source."""
    if (tree := parse_or_none(tests)) is None:
        return []
    nodes = sorted((n for n in ast.walk(tree) if isinstance(n, ast.Assert)), key=lambda node: node.lineno)
    sources = [ast.unparse(node.test) for node in nodes]
    return [source for source in sources if len(source) <= 120]


def name_function(description: str) -> str:
    """Return a name for the function that a description asks for: its first words as an identifier."""
    words = re.findall(r"[a-z0-9]+", description.lower())
    head = words[: words.index("of")] if "of" in words[1:] else words
    chosen = [word for word in head if word not in _STOP_WORDS] or words
    name = "_".join(chosen[:_MAX_NAME_WORDS])
    if not name or name[0].isdigit():
        name = f"f_{name}".rstrip("_")
    return f"{name}_" if keyword.iskeyword(name) else name


def build_question(task: CodeTask) -> str:
    """Return the question that a model of conversations is asked."""
    what = f"the Python function `{task.header}`" if task.header else "a Python function"
    lines = [f"Write {what}: {task.description or 'see the examples'}"]
    shown = [text for text in (*(e.label for e in task.examples), *task.shown_tests) if is_expression(text)]
    if shown:
        lines += ["", "It must pass:", "```python", *(f"assert {text}" for text in dict.fromkeys(shown)), "```"]
    lines += ["", "Answer with one Python code block: the whole function and the imports that it needs, nothing else."]
    return "\n".join(lines)


def build_docstring_prompt(task: CodeTask) -> str:
    """Return the beginning of a program that a model continues: the signature and a docstring with the examples.

    It ends before a line end, since many vocabularies have tokens of a line end with the blanks after it.
    """
    shown = list_doctest_lines([*(example.label for example in task.examples), *task.shown_tests])
    if not task.signature:
        comment = "".join(f"# {line}\n" for line in (task.description or task.name).splitlines())
        comment += "".join(f"# {line}\n" for line in shown)
        return f"{comment}def {task.name or name_function(task.description)}("
    doc = [task.description or task.name, *(["", *shown] if shown else [])]
    if len(doc) == 1:
        return f'{task.signature}:\n    """{doc[0]}"""'
    body = "".join(f"    {line}".rstrip() + "\n" for line in doc[1:])
    return f'{task.signature}:\n    """{doc[0]}\n{body}    """'


def list_doctest_lines(labels: Sequence[str]) -> list[str]:
    """Return comparisons as the lines of doctests; others are left out."""
    lines: list[str] = []
    for label in dict.fromkeys(labels):
        if not is_expression(label):
            continue
        node = getattr(parse_source(f"({label}\n)").body[0], "value", None)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            lines += [f">>> {ast.unparse(node.left)}", ast.unparse(node.comparators[0])]
    return lines
