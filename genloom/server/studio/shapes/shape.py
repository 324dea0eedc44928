"""The classes that shapes derive from, and the shapes that all routes share: a page of a list, and an error."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Shape(BaseModel):
    """A value that is sent."""

    model_config = ConfigDict(protected_namespaces=())


class Body(BaseModel):
    """A value that is received; an unknown field is an error, so that a typing error is not silent."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Page(Shape, Generic[T]):
    """A page of a list; `next` is the cursor of the one after it."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool = False
    total: int | None = None  # of all pages, where it is counted
    next: str | None = None


class Problem(Shape):
    """An error as a field of another value."""

    message: str
    code: str | None = None
    param: str | None = None
