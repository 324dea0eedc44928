"""Shapes of outputs, their ratings and origin."""

from typing import Annotated, Any

from pydantic import Field

from genloom.server.studio.shapes.field_types import Name, Tags
from genloom.server.studio.shapes.shape import Body, Shape


class Rating(Shape):
    """The rating of the one who asks."""

    up: bool | None = None
    stars: int | None = None
    note: str = ""
    event: str  # takes DELETE /api/outputs/{id}/rating back
    at: str


class Output(Shape):
    id: str
    created: str
    medium: str
    model: str | None = None
    prompt: str
    given: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    text: str | None = None  # what was written, if it is text; in lists its first 400 characters
    is_cut: bool = False  # whether `text` is only the beginning
    mime: str  # of the file
    bytes: int
    url: str  # the file
    shown_mime: str  # of what a page shows, e.g. the piano roll of a tune
    shown: str
    thumbnail: str | None = None
    sound: str | None = None  # what a page plays beside it
    rating: Rating | None = None
    tags: list[str] = Field(default_factory=list)
    is_starred: bool = False
    folder: str = ""
    owner: str = "local"
    removed: str | None = None  # when it was moved to the bin
    seconds: float | None = None  # that it took
    job: str | None = None
    conversation: str | None = None


class Setting(Shape):
    name: str
    value: Any


class OutputDetail(Output):
    """An output with everything that "again", "vary" and "use as start" need."""

    settings: list[Setting] = Field(default_factory=list)
    again: dict[str, Any] = Field(default_factory=dict)  # params of a job of kind generate that makes it again
    formats: list[str] = Field(default_factory=list)  # of ?format=
    model_digest: str | None = None
    sha256: str
    messages: list[dict[str, str]] = Field(default_factory=list)  # of the conversation that it answers
    facts: dict[str, float] = Field(default_factory=dict)
    next: str | None = None  # its neighbours in the order of generation
    previous: str | None = None


class NewRating(Body):
    up: bool | None = None
    stars: Annotated[int, Field(ge=1, le=5)] | None = None
    note: Annotated[str, Field(max_length=10_000)] = ""


class NewPreference(Body):
    """A preference: this output over another one for the same prompt."""

    over: Annotated[str, Field(max_length=40)]


class Preference(Shape):
    event: str
    at: str


class OutputChange(Body):
    """Changes to an output besides a rating; null changes nothing."""

    tags: Tags | None = None
    is_starred: bool | None = None
    folder: Name | None = None


class OutputIds(Body):
    ids: Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=1, max_length=1000)]


class Facets(Shape):
    """How many outputs there are of each kind, for filters."""

    models: dict[str, int]  # by name
    versions: dict[str, int] = Field(default_factory=dict)  # by name and number
    media: dict[str, int]
    tags: dict[str, int]
