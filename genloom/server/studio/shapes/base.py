"""Parts of the other shapes."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

JobKind = Literal[
    "generate", "chat", "arena", "collect", "train", "learn", "evaluate", "compare", "forget", "import", "export"
]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Side = Literal["a", "b"]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=1_000_000)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=60)]], Field(max_length=50)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Size = Annotated[int, Field(ge=0, lt=2**53)]  # what JavaScript counts exactly


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
