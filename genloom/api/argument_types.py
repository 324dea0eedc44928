"""The types of arguments, checked at the border of the Python API: by the annotations of its public methods."""

import builtins
import inspect
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cache, wraps
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar

from genloom.errors import GenloomError

Class = TypeVar("Class", bound=type)

_CLASSES: dict[str, type] = {}  # those that are checked, by name: annotations name them in modules they import
_LISTS = (Sequence, Iterable, list, tuple)
_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_MAX_VALUE_CHARS = 80
_WORDS = {
    NoneType: "None",
    bool: "a bool",
    int: "a whole number",
    float: "a number",
    str: "a str",
    Path: "a path",
    Mapping: "a mapping",
    Callable: "a function",
}


def check_arguments(cls: Class) -> Class:
    """Decorate a class: its public methods raise api.wrong_argument for a value that the annotation excludes."""
    _CLASSES[cls.__name__] = cls
    for name, method in list(vars(cls).items()):
        is_constructor = name == "__init__" and not hasattr(cls, "__dataclass_fields__")
        if inspect.isfunction(method) and (is_constructor or not name.startswith("_")):
            setattr(cls, name, _check_method(method, cls.__name__ if is_constructor else name))
    return cls


def _check_method(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **keywords: Any) -> Any:
        signature, types = _read_signature(method)
        try:
            bound = signature.bind(*args, **keywords)
        except TypeError:
            return method(*args, **keywords)  # which says which argument is missing or unknown
        for argument in bound.arguments.keys() & types.keys():
            value, annotation = bound.arguments[argument], types[argument]
            if not _is_valid(value, annotation):
                shown, expected = repr(value)[:_MAX_VALUE_CHARS], _describe(annotation)
                raise GenloomError("api.wrong_argument", method=name, argument=argument, value=shown, expected=expected)
            if annotation in (int, int | None) and value is not None:
                bound.arguments[argument] = int(value)  # also of 2.0, or a number of NumPy
        return method(*bound.args, **bound.kwargs)

    return call


@cache
def _read_signature(method: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return the signature, and the types of the parameters without those that collect several arguments."""
    namespace = _Names(vars(builtins) | inspect.unwrap(method).__globals__)
    hints = typing.get_type_hints(method, localns=namespace)
    signature = inspect.signature(method)
    names = [each.name for each in signature.parameters.values() if each.kind not in _COLLECTING]
    return signature, {name: hints[name] for name in names[1:] if name in hints}


class _Names(dict[str, Any]):
    def __missing__(self, name: str) -> Any:  # imported for type checkers only
        return _CLASSES.get(name, Any)


def _is_valid(argument: Any, annotation: Any) -> bool:
    origin, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, UnionType):
        return any(_is_valid(argument, each) for each in inner)
    if origin is Literal:
        return isinstance(argument, Hashable) and argument in inner
    if origin is bool:
        return isinstance(argument, Hashable) and argument in (True, False)
    if origin is int:
        return hasattr(argument, "__index__") or (isinstance(argument, float) and argument.is_integer())
    if origin is float:
        return hasattr(argument, "__float__")
    if origin is Path:
        return isinstance(argument, PathLike)
    if origin in _LISTS:
        items = argument if inner and isinstance(argument, list | tuple) else ()  # an iterator would be used up
        is_list = hasattr(argument, "__iter__") and not isinstance(argument, str | bytes | Mapping)
        return is_list and all(_is_valid(each, inner[0]) for each in items)
    is_class = isinstance(origin, type) and origin is not Any and not getattr(origin, "_is_protocol", False)
    return isinstance(argument, origin) if is_class else True


def _describe(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, UnionType):
        *most, last = dict.fromkeys(map(_describe, inner))
        return f"{', '.join(most)} or {last}" if most else last
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in _LISTS:
        return f"a list of {_describe(inner[0]).replace('a ', '')}" if inner else "a list"
    name = getattr(origin, "__name__", str(origin))
    return _WORDS.get(origin) or f"{'an' if name[0] in 'AEIO' else 'a'} {name}"
