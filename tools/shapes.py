"""Write genloom/studio/core/shapes.d.ts: the shapes of /api as TypeScript declarations, which check the pages.

python tools/shapes.py
"""

import importlib
import inspect
import pkgutil
import types
import typing
from pathlib import Path

from pydantic import BaseModel

from genloom.server.studio import shapes

TARGET = Path(__file__).resolve().parent.parent / "genloom/studio/core/shapes.d.ts"
PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", typing.Any: "any"}


def list_shapes() -> list[type[BaseModel]]:
    modules = [
        importlib.import_module(f"{shapes.__name__}.{each.name}") for each in pkgutil.iter_modules(shapes.__path__)
    ]
    classes = [each for module in modules for _, each in inspect.getmembers(module, inspect.isclass)]
    own = {each for each in classes if issubclass(each, BaseModel) and each.__module__.startswith(shapes.__name__)}
    return sorted((each for each in own if each.__name__ not in {"Shape", "Body"}), key=lambda each: each.__name__)


def write_type(annotation: object) -> str:
    """Return a Python annotation in TypeScript."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, typing.TypeVar):
        return annotation.__name__
    if origin is typing.Annotated:
        return write_type(arguments[0])
    if origin is typing.Literal:
        return " | ".join(f'"{each}"' if isinstance(each, str) else str(each).lower() for each in arguments)
    if origin in {types.UnionType, typing.Union}:
        return " | ".join(write_type(each) for each in arguments)
    if origin in {list, set, frozenset}:
        return f"({write_type(arguments[0])})[]" if arguments else "any[]"
    if origin is tuple:
        return f"[{', '.join(write_type(each) for each in arguments)}]"
    if origin is dict:
        return f"Record<string, {write_type(arguments[1])}>"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation.__name__
    return PLAIN[annotation]  # ty: ignore[invalid-argument-type]


def write_shape(shape: type[BaseModel]) -> str:
    """Return the declaration of a shape; what is received may lack the fields that have defaults."""
    is_received = any(each.__name__ == "Body" for each in shape.__mro__)
    generics = ", ".join(each.__name__ for each in shape.__pydantic_generic_metadata__["parameters"])
    lines = [f"export interface {shape.__name__}{f'<{generics}>' if generics else ''} {{"]
    for name, field in shape.model_fields.items():
        optional = "?" if is_received and not field.is_required() else ""
        lines.append(f"  {name}{optional}: {write_type(field.annotation)};")
    return "\n".join([*lines, "}"])


def write_declarations() -> str:
    return "\n\n".join(["// Written by tools/shapes.py.", *map(write_shape, list_shapes())]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(write_declarations())
