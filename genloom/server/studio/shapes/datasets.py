"""Shapes of data sets, their samples, and uploads."""

from typing import Annotated, Any

from pydantic import Field

from genloom.server.studio.shapes.shape import Body, Shape


class Reason(Shape):
    reason: str
    count: int


class SplitCount(Shape):
    documents: int
    bytes: int


class DatasetVersion(Shape):
    digest: str
    created: str
    documents: int


class Dataset(Shape):
    name: str
    digest: str
    medium: str
    created: str
    documents: int
    bytes: int
    licences: dict[str, int] = Field(default_factory=dict)
    used_by: list[str] = Field(default_factory=list)


class FileNote(Shape):
    """A remark of the collection about a file, such as why it was left out."""

    source: str
    reason: str


class Consent(Shape):
    """A person's consent to what is in a data set, with its state today."""

    who: str
    of: list[str] = Field(default_factory=list)  # voice, face, likeness, words
    purposes: list[str] = Field(default_factory=list)  # training, generation, sharing
    until: str | None = None  # the last day; null: without an end
    signature: str = ""  # how it was given
    note: str = ""
    state: str  # valid, withdrawn, expired, not yet valid


class Withdrawal(Body):
    who: Annotated[str, Field(min_length=1, max_length=500)]


class DatasetDetail(Dataset):
    read: int | None = None
    kept: int | None = None
    removed: list[Reason] = Field(default_factory=list)
    notes: list[FileNote] = Field(default_factory=list)
    splits: dict[str, SplitCount] = Field(default_factory=dict)
    versions: list[DatasetVersion] = Field(default_factory=list)
    report: dict[str, Any] = Field(default_factory=dict)  # all that the collection counted
    card_text: str = ""
    can_edit_captions: bool = False
    edited_captions: int = 0  # that POST …/captions puts into a new version
    persons: list[str] = Field(default_factory=list)  # what of persons is in it, as the collector said
    consents: list[Consent] = Field(default_factory=list)


class Sample(Shape):
    id: str
    split: str
    source: str
    licence: str
    medium: str
    caption: str | None = None
    is_edited: bool = False  # whether the caption waits for a new version
    text: str | None = None
    is_cut: bool = False
    url: str | None = None  # what a page shows of it, as that of an output
    shown_mime: str | None = None
    thumbnail: str | None = None
    bytes: int = 0


class CaptionChange(Body):
    caption: Annotated[str, Field(max_length=10_000)]


class Upload(Shape):
    id: str
    created: str
    files: int
    bytes: int
    names: list[str]  # of the first hundred
