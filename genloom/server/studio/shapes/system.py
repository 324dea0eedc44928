"""Shapes of search, memory, storage, keys and health."""

from typing import Annotated, Any, Literal

from pydantic import Field

from genloom.server.studio.shapes.field_types import Name
from genloom.server.studio.shapes.jobs import Queue
from genloom.server.studio.shapes.shape import Body, Shape


class Hit(Shape):
    kind: Literal["output", "conversation", "model", "dataset", "job"]
    id: str
    title: str
    excerpt: str = ""
    at: str = ""
    medium: str | None = None
    thumbnail: str | None = None


class ProcessMemory(Shape):
    name: str
    bytes: int


class Memory(Shape):
    total: int
    available: int
    processes: list[ProcessMemory]


class StorageItem(Shape):
    kind: str
    bytes: int
    count: int


class Disk(Shape):
    free: int
    total: int


class BinItem(Shape):
    id: str
    kind: str
    name: str
    bytes: int
    removed: str


class Export(Shape):
    """An exported model that waits for its download."""

    id: str  # of the job
    model: str
    file: str
    bytes: int
    created: str
    url: str


class Key(Shape):
    id: str
    name: str
    user: str
    scopes: list[str]
    created: str
    last_used: str | None = None
    expires: str | None = None
    prefix: str


class NewKey(Body):
    name: Name
    scopes: Annotated[list[str], Field(max_length=20)]
    user: Name = ""
    days: Annotated[int, Field(ge=0, le=3650)] = 0  # until it expires; 0: never


class CreatedKey(Key):
    secret: str  # shown once


class Health(Shape):
    name: str
    ok: bool
    code: str = ""  # of a text that the studio has in its languages
    values: dict[str, str] = Field(default_factory=dict)  # in that text
    detail: str
    cure: str = ""


class System(Shape):
    version: str
    address: str
    workspace: str
    memory: Memory
    processors: int
    load: float
    accelerator: str | None = None
    queue: Queue
    engine: dict[str, Any]
    disk: Disk
    uptime_seconds: float


class Storage(Shape):
    items: list[StorageItem]
    bin: list[BinItem]
    exports: list[Export]
    export_days: int  # after which exports are deleted
    disk: Disk


class Freed(Shape):
    bytes: int
