"""Proxies for objects at the other end of a link: every operation on them is done there."""

import builtins
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .connection import ProtocolError

if TYPE_CHECKING:
    from .link import Link

BASES = {"list": list, "dict": dict, "set": set, "tuple": tuple, "frozenset": frozenset, "str": str, "float": float}
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift")


class Remote:
    """An object at the other end; operations on it are done there."""

    def __init__(self, link: "Link", number: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __instancecheck__(self, instance: Any) -> bool:
        return bool(object.__getattribute__(self, "_link").request("isinstance", instance, self))

    def __subclasscheck__(self, subclass: Any) -> bool:
        return bool(object.__getattribute__(self, "_link").request("issubclass", subclass, self))

    def __eq__(self, other: Any) -> bool:
        return _compare_objects(self, "eq", other)

    def __ne__(self, other: Any) -> bool:
        return not _compare_objects(self, "eq", other)

    def __bool__(self) -> bool:
        return _ask_program(self, "bool") is True

    def __contains__(self, item: Any) -> bool:
        return _ask_program(self, "contains", item) is True

    def __exit__(self, *details: Any) -> Any:
        return _ask_program(self, "exit")


def _compare_objects(remote: Remote, operation: str, other: Any) -> bool:
    """Compare two objects of the program by its own method, but never one of them with a value of the tests.

    A program whose results claim to equal everything would pass every test.
    """
    if isinstance(other, Remote):
        return other is remote or _ask_program(remote, operation, other) is True
    return False


def _ask_program(remote: Any, operation: str, *arguments: Any, **keywords: Any) -> Any:
    return object.__getattribute__(remote, "_link").request(operation, remote, *arguments, **keywords)


def get_error_attribute(error: Any, name: str) -> Any:
    if name.startswith("__") or error._number < 0:
        raise AttributeError(name)
    return error._link.request("getattr", get_remote(error._link, error._number), name)


def get_remote(link: "Link", number: int) -> Remote:
    if number not in link.proxies:
        link.proxies[number] = Remote(link, number)
    return link.proxies[number]


def _add_operators() -> None:
    def forward(operation: str) -> Callable[..., Any]:
        return lambda self, *arguments, **keywords: _ask_program(self, operation, *arguments, **keywords)

    def order(operation: str) -> Callable[..., Any]:
        # With a value of the tests, as with ==: the program's own method is not asked.
        return lambda self, other: _ask_program(self, operation, other) if isinstance(other, Remote) else NotImplemented

    def backward(operation: str) -> Callable[..., Any]:
        return lambda self, other: object.__getattribute__(self, "_link").request(operation, other, self)

    for name in BINARY:
        method = name.rstrip("_")
        setattr(Remote, f"__{method}__", forward(name))
        setattr(Remote, f"__r{method}__", backward(name))
        setattr(Remote, f"__i{method}__", forward(f"i{method}"))
    for name in ("neg", "pos", "abs", "invert", "index", "getitem", "setitem", "delitem"):
        setattr(Remote, f"__{name}__", forward(name))
    for name in ("lt", "le", "gt", "ge"):
        setattr(Remote, f"__{name}__", order(name))
    for name in ("int", "float", "complex", "str", "repr", "iter", "next", "round", "reversed", "format", "enter"):
        setattr(Remote, f"__{name}__", forward(name))
    for name in ("getattr", "setattr", "delattr", "call", "hash", "len"):
        setattr(Remote, f"__{name}__", forward(name))


_add_operators()


def build_mirror(link: "Link", number: int, base_name: Any, content: Any) -> Any:
    """Return a value of a built-in type that asks the other end for the attributes that the type lacks."""
    base = int if base_name == "int" else BASES[base_name]
    if type(content) is not base:
        raise ProtocolError("its answer is malformed")

    def get_attribute(self: Any, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return link.request("getattr", get_remote(link, number), name)

    mirror = type(base.__name__, (base,), {"__getattr__": get_attribute, "_is_mirrored": True, "_number": number})
    return mirror(content)


class TestNamespace(dict):
    """The names of the tests; one that they do not define, and Python does not, is the program's."""

    def __init__(self, link: "Link", namespace: Remote) -> None:
        dict.__init__(self, {"__name__": "tests", "__builtins__": builtins, "program": types.SimpleNamespace()})
        self.link, self.namespace = link, namespace
        self["program"] = _Program(namespace)

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name) or name.startswith("__"):
            raise KeyError(name)
        try:
            return _ask_program(self.namespace, "getitem", name)
        except KeyError:
            raise KeyError(name) from None


class _Program:
    """The names of the program as attributes, for those that Python itself defines too: `program.sum`."""

    def __init__(self, namespace: Remote) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        try:
            return _ask_program(self._namespace, "getitem", name)
        except KeyError:
            raise AttributeError(name) from None
