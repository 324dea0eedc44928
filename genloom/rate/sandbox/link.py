"""The values that a judged program and its tests exchange, each in a process of its own.

The tests call the program through proxies. Plain data crosses by value, as bounded JSON; every other object stays
where it is and is known by a number. The program learns the arguments of a call, never what the tests expect of it;
and of the tests' objects it can only call functions and use instances that they pass to it.

A script's module: it runs in a separate interpreter, and imports nothing of Genloom.
"""

import builtins
import collections
import datetime
import decimal
import fractions
import json
import operator
import os
from collections.abc import Callable
from typing import Any, NoReturn

from .connection import Connection, ProtocolError, TimeIsUp
from .proxies import BASES, BINARY, Remote, build_mirror, get_error_attribute

_MAX_DEPTH = 50  # of calls back and forth
_SCALARS = (type(None), bool, str)
_EXACT_INT = 2**53
_VALUE_TYPES: dict[type, Callable[[Any], list[Any]]] = {
    decimal.Decimal: lambda x: [str(x)],
    fractions.Fraction: lambda x: [x.numerator, x.denominator],
    complex: lambda x: [x.real, x.imag],
    range: lambda x: [x.start, x.stop, x.step],
    slice: lambda x: [x.start, x.stop, x.step],
    datetime.date: lambda x: [x.year, x.month, x.day],
    datetime.timedelta: lambda x: [x.days, x.seconds, x.microseconds],
    collections.deque: lambda x: [list(x), x.maxlen],
}
_VALUE_NAMES = {f"{kind.__module__}.{kind.__name__}": kind for kind in _VALUE_TYPES}
_CONTAINERS: dict[str, type] = {"list": list, "dict": dict, "set": set, "bytearray": bytearray}
_BUILTIN_NAMES = {
    id(value): name
    for name, value in vars(builtins).items()
    if callable(value) and name not in ("exec", "eval", "open", "input", "breakpoint", "__import__", "globals")
}

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(operator, name) for name in (*BINARY, *_COMPARISONS, *(f"i{n.rstrip('_')}" for n in BINARY))},
    **{name: getattr(operator, name) for name in ("neg", "pos", "abs", "invert", "index", "contains")},
    **{name: getattr(operator, name) for name in ("getitem", "setitem", "delitem")},
    **{kind.__name__: kind for kind in (bool, int, float, complex, str, bytes)},
    **{function.__name__: function for function in (len, iter, next, repr, hash, round, reversed, isinstance)},
    **{function.__name__: function for function in (issubclass, getattr, setattr, delattr, dir, divmod, format)},
    "divmod": divmod,
    "call": lambda function, *arguments, **keywords: function(*arguments, **keywords),
    "enter": lambda manager: manager.__enter__(),
    "exit": lambda manager, *details: manager.__exit__(None, None, None),
}
_FROM_UNTRUSTED = frozenset(_OPERATIONS) - {"dir", "repr", "format", "isinstance", "issubclass"}


class Link(Connection):
    """One end of the connection: sends operations and carries out those that the other end asks for."""

    def __init__(self, read_fd: int, write_fd: int, is_judge: bool, deadline: float) -> None:
        super().__init__(read_fd, write_fd, is_judge, deadline)
        self.exported: list[Any] = []
        self.export_numbers: dict[int, int] = {}
        self.proxies: dict[int, Any] = {}
        self.exception_classes: dict[tuple[str, ...], type] = {}
        self.depth = 0

    # Requests to the other end

    def request(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        """Carry out an operation at the other end; changes of lists and the like that were passed come back."""
        scope: list[Any] = []
        secret = os.urandom(8).hex()  # an answer that was written before the question cannot hold it
        encoded = [self.encode(argument, scope) for argument in arguments]
        encoded_keywords = {name: self.encode(value, scope) for name, value in keywords.items()}
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.depth -= 1
            raise RecursionError("too many calls between the program and its tests")
        try:
            self.send({"op": operation, "secret": secret, "args": encoded, "keywords": encoded_keywords})
            while True:
                message = self.receive()
                if "op" not in message:
                    break
                self.serve(message)
        finally:
            self.depth -= 1
        if message.get("secret") != secret:
            raise ProtocolError("its answer is to another question")
        for number, content in _check_kind(message.get("changed"), dict).items():
            index = int(number) if str(number).isdecimal() else -1
            if not 0 <= index < len(scope):
                raise ProtocolError("its answer is malformed")
            _replace_content(scope[index], self.decode(content, list(scope)))
        if "error" in message:
            self._raise(message["error"], scope)
        return self.decode(message.get("value"), scope)

    # Requests from the other end

    def serve(self, message: dict[str, Any]) -> None:
        scope: list[Any] = []
        reply: dict[str, Any] = {"secret": message.get("secret")}
        before: list[str] = []
        try:
            operation = message["op"]
            if operation not in _OPERATIONS:
                raise ProtocolError("it asks for an unknown operation")
            arguments = [self.decode(argument, scope) for argument in _check_kind(message.get("args"), list)]
            keywords = _check_kind(message.get("keywords"), dict)
            keywords = {name: self.decode(value, scope) for name, value in keywords.items()}
            before = [json.dumps(self.encode_content(value, list(scope))) for value in scope]
            if self.is_judge:
                self._check_request(operation, arguments)
            reply["value"] = self.encode(_OPERATIONS[operation](*arguments, **keywords), scope)
        except (ProtocolError, TimeIsUp):
            raise
        except BaseException as error:
            reply["error"] = self._encode_error(error, scope)
        passed = scope[: len(before)]
        contents = [json.dumps(self.encode_content(value, list(passed))) for value in passed]
        reply["changed"] = {str(n): json.loads(content) for n, content in enumerate(contents) if content != before[n]}
        try:
            self.send(reply)
        except ValueError as error:
            self.send({"secret": message.get("secret"), "changed": {}, "error": self._encode_error(error, [])})

    def _check_request(self, operation: str, arguments: list[Any]) -> None:
        """Let the program call functions of the tests and use their instances, and nothing by which it could see more.

        From a function, a generator or a class one gets to the globals of the tests, and so to every value in them.
        """
        target = arguments[0] if arguments else None
        is_instance = type(target).__module__ == "tests"
        if operation not in _FROM_UNTRUSTED:
            raise AttributeError("not available to the program")
        if operation in ("getattr", "setattr", "delattr"):
            name = arguments[1] if len(arguments) > 1 else None
            if not is_instance or type(name) is not str or name.startswith("_"):
                raise AttributeError(str(name)[:100])
        elif operation == "call" and not any(target is value for value in self.exported):
            raise TypeError("not available to the program")

    # Values

    def encode(self, value: Any, scope: list[Any]) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is int:
            return value if abs(value) < _EXACT_INT else {"int": hex(value)}
        if kind is float:
            return {"float": value.hex()}
        if kind is bytes:
            return {"bytes": value.hex()}
        if isinstance(value, Remote):
            return {"yours": object.__getattribute__(value, "_number")}
        if (own := getattr(kind, "_is_mirrored", None)) is not None and own:
            return {"yours": object.__getattribute__(value, "_number")}
        if kind in (tuple, frozenset):
            return {kind.__name__: [self.encode(item, scope) for item in value]}
        if kind in _CONTAINERS.values():
            for index, known in enumerate(scope):
                if known is value:
                    return {"same": index}
            scope.append(value)
            return {"new": len(scope) - 1, **self.encode_content(value, scope)}
        if kind in _VALUE_TYPES:
            name = f"{kind.__module__}.{kind.__name__}"
            return {"value": name, "args": [self.encode(item, scope) for item in _VALUE_TYPES[kind](value)]}
        if kind is datetime.datetime and value.tzinfo is None:
            return {"moment": value.isoformat(), "fold": value.fold}
        if (name := _BUILTIN_NAMES.get(id(value))) is not None:
            return {"builtin": name}
        if isinstance(value, BaseException) and not self.is_judge:
            return {"exception": self._encode_error(value, scope)}
        if isinstance(value, type) and issubclass(value, BaseException) and not self.is_judge:
            return {"exception_class": self._encode_class(value)}
        own_base = next((base for base in (*BASES.values(), int) if isinstance(value, base)), None)
        encoded: dict[str, Any] = {"mine": self._export(value)}
        if own_base is not None and not self.is_judge:
            # A subclass by its base's content, so that a program's own comparison is never asked.
            encoded["base"] = self.encode(_copy_base(value, own_base), [])
            encoded["base_type"] = own_base.__name__
        return encoded

    def encode_content(self, value: Any, scope: list[Any]) -> dict[str, Any]:
        if isinstance(value, dict):
            items = dict.items(value)
            return {"dict": [[self.encode(key, scope), self.encode(item, scope)] for key, item in items]}
        if isinstance(value, bytearray):
            return {"bytearray": value.hex()}
        return {("list" if isinstance(value, list) else "set"): [self.encode(item, scope) for item in value]}

    def decode(self, encoded: Any, scope: list[Any]) -> Any:
        try:
            return self._decode(encoded, scope)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError):
            raise ProtocolError("its answer is malformed") from None

    def _decode(self, encoded: Any, scope: list[Any]) -> Any:
        if type(encoded) in (*_SCALARS, int):
            return encoded
        if not isinstance(encoded, dict):
            raise ProtocolError("its answer is malformed")
        if "same" in encoded:
            return scope[_check_index(encoded["same"], scope)]
        for name, kind in _CONTAINERS.items():
            if name in encoded:
                empty = kind()
                if "new" in encoded:
                    scope.append(empty)
                _fill_container(empty, self._decode_content(encoded, scope))
                return empty
        if "int" in encoded:
            return int(encoded["int"], 16)
        if "float" in encoded:
            return float.fromhex(encoded["float"])
        if "bytes" in encoded:
            return bytes.fromhex(encoded["bytes"])
        for kind in (tuple, frozenset):
            if kind.__name__ in encoded:
                return kind(self._decode(item, scope) for item in _check_kind(encoded[kind.__name__], list))
        if "moment" in encoded:
            return datetime.datetime.fromisoformat(encoded["moment"]).replace(fold=encoded["fold"])
        if "value" in encoded:
            arguments = [self._decode(item, scope) for item in _check_kind(encoded["args"], list)]
            return _VALUE_NAMES[encoded["value"]](*arguments)
        if "builtin" in encoded:
            value = getattr(builtins, encoded["builtin"])
            if id(value) not in _BUILTIN_NAMES:
                raise ProtocolError("its answer is malformed")
            return value
        if "exception_class" in encoded:
            return self._mirror_class(encoded["exception_class"])
        if "exception" in encoded:
            return self._build_error(encoded["exception"], scope)
        if "yours" in encoded:
            return self.exported[_check_index(encoded["yours"], self.exported)]
        number = encoded["mine"]
        if type(number) is not int or not 0 <= number < 1 << 32:
            raise ProtocolError("its answer is malformed")
        if number not in self.proxies:
            self.proxies[number] = Remote(self, number)
        if "base" in encoded:
            return build_mirror(self, number, encoded["base_type"], self._decode(encoded["base"], []))
        return self.proxies[number]

    def _decode_content(self, encoded: dict[str, Any], scope: list[Any]) -> Any:
        if "dict" in encoded:
            pairs = _check_kind(encoded["dict"], list)
            return [(self._decode(key, scope), self._decode(value, scope)) for key, value in pairs]
        if "bytearray" in encoded:
            return bytes.fromhex(encoded["bytearray"])
        return [self._decode(item, scope) for item in _check_kind(encoded.get("list", encoded.get("set")), list)]

    def _export(self, value: Any) -> int:
        if id(value) not in self.export_numbers:
            self.export_numbers[id(value)] = len(self.exported)
            self.exported.append(value)
        return self.export_numbers[id(value)]

    # Errors

    def _encode_class(self, kind: type) -> list[Any]:
        """Return the names of an exception class and its bases, down to the first of Python's own."""
        names = []
        for base in kind.__mro__:
            is_known = getattr(builtins, base.__name__, None) is base
            names.append([base.__name__, "" if is_known else f"{base.__module__}.{base.__qualname__}.{id(base)}"])
            if is_known:
                break
        return names

    def _encode_error(self, error: BaseException, scope: list[Any]) -> dict[str, Any]:
        try:
            arguments = [self.encode(argument, scope) for argument in error.args]
            text = str(error)[:1000]
        except BaseException:  # the program's own methods may do anything
            arguments, text = [], ""
        return {
            "class": self._encode_class(type(error)), "args": arguments, "text": text, "mine": self._export(error),
        }  # fmt: skip

    def _mirror_class(self, names: Any) -> type:
        key = tuple(str(item) for pair in _check_kind(names, list) for item in pair)
        if key not in self.exception_classes:
            (name, identity), *bases = _check_kind(names, list)
            if not identity:
                kind = getattr(builtins, name)
                if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                    raise ProtocolError("its answer is malformed")
            else:
                base = self._mirror_class(bases) if bases else Exception
                own = {"__getattr__": get_error_attribute, "_link": self, "_number": -1}
                kind = type(str(name)[:100], (base,), own)
            self.exception_classes[key] = kind
        return self.exception_classes[key]

    def _build_error(self, encoded: Any, scope: list[Any]) -> BaseException:
        kind = self._mirror_class(encoded["class"])
        arguments = [self._decode(argument, scope) for argument in _check_kind(encoded["args"], list)]
        try:
            error = kind(*arguments)
        except Exception:
            error = Exception(str(encoded["text"])[:1000])
        if type(error).__dict__.get("_link") is not None:
            setattr(error, "_number", encoded["mine"])  # noqa: B010  # only mirrored classes have it
        return error

    def _raise(self, encoded: Any, scope: list[Any]) -> NoReturn:
        try:
            error = self._build_error(encoded, scope)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError):
            raise ProtocolError("its answer is malformed") from None
        raise error


def _copy_base(value: Any, base: type) -> Any:
    """Return the content of a subclass's instance, by methods of the base alone."""
    if base is dict:
        return dict(dict.items(value))
    if base is str:
        return str.__add__("", value)
    if base is int:
        return int.__add__(value, 0)
    if base is float:
        return float.__add__(value, 0.0)
    return base(getattr(base, "__iter__")(value))  # noqa: B009  # the other bases are containers


def _replace_content(target: Any, content: Any) -> None:
    if type(target) is not type(content):
        raise ProtocolError("its answer is malformed")
    target.clear()
    _fill_container(target, content.items() if isinstance(content, dict) else content)


def _fill_container(target: Any, content: Any) -> None:
    target.extend(content) if isinstance(target, (list, bytearray)) else target.update(content)


def _check_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ProtocolError("its answer is malformed")
    return value


def _check_index(value: Any, known: list[Any]) -> int:
    if type(value) is not int or not 0 <= value < len(known):
        raise ProtocolError("its answer is malformed")
    return value
