"""Read what a Jinja chat template writes for a conversation, without Jinja's own evaluation.

The template is parsed, and a small interpreter walks its tree: texts, lists, loops and conditions, bounded in steps and
size. There is no access to attributes of Python's objects and nothing is compiled; what it does not know is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a tenth of a second, and only imports need it
    from jinja2 import nodes

_MAX_STEPS = 20_000
_MAX_CHARS = 1 << 16
_CHARS_PER_STEP = 256
_METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(str, name)
    for name in ("strip", "lstrip", "rstrip", "split", "startswith", "endswith", "replace", "upper", "lower", "title")
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "gt": lambda a, b: a > b, "gteq": lambda a, b: a >= b,
    "lt": lambda a, b: a < b, "lteq": lambda a, b: a <= b, "in": lambda a, b: a in b, "notin": lambda a, b: a not in b,
}  # fmt: skip


class UnreadableTemplate(Exception):
    """The template uses something that is not known here, refuses the conversation, or is too large."""


class _Undefined:
    """The value of a name or key that does not exist: false, and written as nothing."""

    def __bool__(self) -> bool:
        return False


_UNDEFINED = _Undefined()


class _Namespace(dict[str, Any]):
    """The value of `namespace()`, whose fields the template may set inside a loop."""


def render_jinja(template: str, messages: Sequence[Mapping[str, str]], **variables: Any) -> str:
    """Return the text that the template writes; raise UnreadableTemplate if it cannot be determined."""
    reader = _Reader()
    names = {"messages": [dict(message) for message in messages], **variables}
    try:
        reader.run(_parse_template(template).body, names)
    except (RecursionError, TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise UnreadableTemplate(type(error).__name__) from None
    return "".join(reader.parts)


@cache
def _parse_template(template: str) -> "nodes.Template":
    from jinja2 import Environment, TemplateError

    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    try:
        return environment.parse(template)
    except (TemplateError, RecursionError) as error:
        raise UnreadableTemplate(type(error).__name__) from None


class _Reader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._num_steps = self._num_chars = 0

    def run(self, statements: "Sequence[nodes.Node]", names: dict[str, Any]) -> None:
        for statement in statements:
            self._count_steps()
            kind = type(statement).__name__
            if not hasattr(self, f"_run_{kind}"):
                raise UnreadableTemplate(kind)
            getattr(self, f"_run_{kind}")(statement, names)

    def _run_Output(self, node: Any, names: dict[str, Any]) -> None:
        for part in node.nodes:
            value = part.data if type(part).__name__ == "TemplateData" else self.evaluate(part, names)
            if not isinstance(value, str | int | float | _Undefined) and value is not None:
                raise UnreadableTemplate("the value of an expression is not text")
            self._write("" if isinstance(value, _Undefined) else str(value))

    def _run_If(self, node: Any, names: dict[str, Any]) -> None:
        for branch in (node, *node.elif_):
            if self.evaluate(branch.test, names):
                return self.run(branch.body, names)
        return self.run(node.else_, names)

    def _run_For(self, node: Any, names: dict[str, Any]) -> None:
        items = self.evaluate(node.iter, names)
        if node.recursive or type(node.target).__name__ != "Name" or not isinstance(items, list | tuple | range):
            raise UnreadableTemplate("For")
        if node.test is not None:
            items = [item for item in items if self.evaluate(node.test, {**names, node.target.name: item})]
        for index, item in enumerate(items):
            self._count_steps()
            loop = {
                "index": index + 1, "index0": index, "first": index == 0, "last": index == len(items) - 1,
                "length": len(items), "previtem": items[index - 1] if index else _UNDEFINED,
                "nextitem": items[index + 1] if index + 1 < len(items) else _UNDEFINED,
            }  # fmt: skip
            self.run(node.body, {**names, node.target.name: item, "loop": loop})  # what is set inside stays inside
        if not items:
            self.run(node.else_, dict(names))

    def _run_Assign(self, node: Any, names: dict[str, Any]) -> None:
        value = self.evaluate(node.node, names)
        if type(node.target).__name__ == "NSRef" and isinstance(names.get(node.target.name), _Namespace):
            names[node.target.name][node.target.attr] = value
        elif type(node.target).__name__ == "Name":
            names[node.target.name] = value
        else:
            raise UnreadableTemplate("Assign")

    def _run_Macro(self, node: Any, names: dict[str, Any]) -> None:
        """Ignore a definition: calling it is an unknown function."""

    def evaluate(self, node: Any, names: dict[str, Any]) -> Any:
        """Return the value of an expression."""
        self._count_steps()
        kind = type(node).__name__
        if not hasattr(self, f"_evaluate_{kind}"):
            raise UnreadableTemplate(kind)
        value = getattr(self, f"_evaluate_{kind}")(node, names)
        if isinstance(value, str | list):
            self._count_steps(len(value) // _CHARS_PER_STEP)
            if len(value) > _MAX_CHARS:
                raise UnreadableTemplate("a value is too long")
        return value

    def _evaluate_Const(self, node: Any, names: dict[str, Any]) -> Any:
        return node.value

    def _evaluate_Name(self, node: Any, names: dict[str, Any]) -> Any:
        return names.get(node.name, _UNDEFINED)

    def _evaluate_List(self, node: Any, names: dict[str, Any]) -> Any:
        return [self.evaluate(item, names) for item in node.items]

    _evaluate_Tuple = _evaluate_List

    def _evaluate_Dict(self, node: Any, names: dict[str, Any]) -> Any:
        return {self.evaluate(pair.key, names): self.evaluate(pair.value, names) for pair in node.items}

    def _evaluate_Getattr(self, node: Any, names: dict[str, Any]) -> Any:
        owner = self.evaluate(node.node, names)
        if not isinstance(owner, dict):
            raise UnreadableTemplate("an attribute")
        return owner.get(node.attr, _UNDEFINED)

    def _evaluate_Getitem(self, node: Any, names: dict[str, Any]) -> Any:
        owner = self.evaluate(node.node, names)
        if type(node.arg).__name__ == "Slice":
            parts = (node.arg.start, node.arg.stop, node.arg.step)
            bounds = [None if part is None else self.evaluate(part, names) for part in parts]
            return owner[slice(*bounds)]
        key = self.evaluate(node.arg, names)
        if isinstance(owner, dict):
            return owner.get(key, _UNDEFINED)
        if isinstance(owner, list | str) and type(key) is int:
            return owner[key] if -len(owner) <= key < len(owner) else _UNDEFINED
        return _UNDEFINED

    def _evaluate_Add(self, node: Any, names: dict[str, Any]) -> Any:
        return self.evaluate(node.left, names) + self.evaluate(node.right, names)

    def _evaluate_Sub(self, node: Any, names: dict[str, Any]) -> Any:
        return self.evaluate(node.left, names) - self.evaluate(node.right, names)

    def _evaluate_Mod(self, node: Any, names: dict[str, Any]) -> Any:
        left, right = self.evaluate(node.left, names), self.evaluate(node.right, names)
        if type(left) is not int or type(right) is not int or not right:
            raise UnreadableTemplate("Mod")
        return left % right

    def _evaluate_Concat(self, node: Any, names: dict[str, Any]) -> Any:
        values = [self.evaluate(part, names) for part in node.nodes]
        return "".join("" if isinstance(value, _Undefined) else str(value) for value in values)

    def _evaluate_Compare(self, node: Any, names: dict[str, Any]) -> Any:
        left = self.evaluate(node.expr, names)
        for operand in node.ops:
            right = self.evaluate(operand.expr, names)
            if not _COMPARISONS[operand.op](left, right):
                return False
            left = right
        return True

    def _evaluate_And(self, node: Any, names: dict[str, Any]) -> Any:
        return self.evaluate(node.left, names) and self.evaluate(node.right, names)

    def _evaluate_Or(self, node: Any, names: dict[str, Any]) -> Any:
        return self.evaluate(node.left, names) or self.evaluate(node.right, names)

    def _evaluate_Not(self, node: Any, names: dict[str, Any]) -> Any:
        return not self.evaluate(node.node, names)

    def _evaluate_Neg(self, node: Any, names: dict[str, Any]) -> Any:
        return -self.evaluate(node.node, names)

    def _evaluate_CondExpr(self, node: Any, names: dict[str, Any]) -> Any:
        if self.evaluate(node.test, names):
            return self.evaluate(node.expr1, names)
        return _UNDEFINED if node.expr2 is None else self.evaluate(node.expr2, names)

    def _evaluate_Test(self, node: Any, names: dict[str, Any]) -> Any:
        value = self.evaluate(node.node, names)
        tests: dict[str, Callable[[], bool]] = {
            "defined": lambda: value is not _UNDEFINED,
            "undefined": lambda: value is _UNDEFINED,
            "none": lambda: value is None,
            "string": lambda: isinstance(value, str),
            "mapping": lambda: isinstance(value, dict),
            "iterable": lambda: isinstance(value, str | list | dict),
            "true": lambda: value is True,
            "false": lambda: value is False,
        }
        if node.name not in tests or node.args or node.kwargs:
            raise UnreadableTemplate(f"Test {node.name}")
        return tests[node.name]()

    def _evaluate_Filter(self, node: Any, names: dict[str, Any]) -> Any:
        value = None if node.node is None else self.evaluate(node.node, names)
        if node.name == "trim" and isinstance(value, str) and not node.args:
            return value.strip()
        if node.name in ("length", "count") and isinstance(value, str | list | dict):
            return len(value)
        if node.name in ("upper", "lower", "title") and isinstance(value, str):
            return _METHODS[node.name](value)
        if node.name == "default" and len(node.args) == 1:
            return self.evaluate(node.args[0], names) if value is _UNDEFINED else value
        if node.name == "string" and isinstance(value, str):
            return value
        raise UnreadableTemplate(f"Filter {node.name}")

    def _evaluate_Call(self, node: Any, names: dict[str, Any]) -> Any:
        arguments = [self.evaluate(argument, names) for argument in node.args]
        keywords = {pair.key: self.evaluate(pair.value, names) for pair in node.kwargs}
        function = type(node.node).__name__
        if function == "Name" and node.node.name == "namespace" and not arguments:
            return _Namespace(keywords)
        if function == "Name" and node.node.name == "range" and not keywords and len(arguments) in (1, 2):
            return list(range(*arguments))[:_MAX_STEPS] if max(arguments) <= _MAX_STEPS else []
        if function == "Getattr" and not keywords and node.node.attr in _METHODS:
            owner = self.evaluate(node.node.node, names)
            if isinstance(owner, str) and all(isinstance(argument, str) for argument in arguments):
                if node.node.attr == "replace" and owner.count(arguments[0]) * len(arguments[1]) > _MAX_CHARS:
                    raise UnreadableTemplate("a value is too long")
                return _METHODS[node.node.attr](owner, *arguments)
        raise UnreadableTemplate("a call")

    def _write(self, text: str) -> None:
        self._num_chars += len(text)
        if self._num_chars > _MAX_CHARS:
            raise UnreadableTemplate("it writes too much")
        self.parts.append(text)

    def _count_steps(self, count: int = 1) -> None:
        self._num_steps += count
        if self._num_steps > _MAX_STEPS:
            raise UnreadableTemplate("it takes too long")
