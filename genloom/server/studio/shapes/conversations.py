"""Shapes of conversations as trees of turns."""

from typing import Annotated, Any, Literal

from pydantic import Field

from genloom.server.studio.shapes.datasets import Reason
from genloom.server.studio.shapes.field_types import Name, Tags, Text
from genloom.server.studio.shapes.jobs import Job
from genloom.server.studio.shapes.outputs import Rating
from genloom.server.studio.shapes.shape import Body, Shape


class Quote(Shape):
    """A sentence of a source, verbatim."""

    text: str
    source: int


class Source(Shape):
    """A passage of a document; its title is the file, the page and the section."""

    number: int
    title: str
    text: str
    is_read: bool  # whether the model read it


class Sentence(Shape):
    """A sentence of an answer, with the number of the source that supports it, or why none does."""

    text: str
    source: int | None = None
    quote: str = ""
    reason: str = ""


class KnowledgeContext(Shape):
    """The passages of documents about a question, and the sentences of the answer that they support."""

    name: str
    is_supported: bool
    quotes: list[Quote] = Field(default_factory=list)
    sources: list[Source] = Field(default_factory=list)
    sentences: list[Sentence] | None = None  # null: they were not compared
    warnings: list[str] = Field(default_factory=list)


class Excerpt(Shape):
    """How many tokens of an attached file the model read, of how many."""

    name: str
    tokens: int
    of: int


class Context(Shape):
    """The documents and files that an answer was given from beside the conversation."""

    knowledge: KnowledgeContext | None = None
    attachments: list[Excerpt] = Field(default_factory=list)


class Turn(Shape):
    id: str
    parent: str | None = None
    role: Literal["user", "assistant"]
    content: str
    created: str
    model: str | None = None
    output: str | None = None
    rating: Rating | None = None
    job: str | None = None  # that generates it
    attachments: list[str] = Field(default_factory=list)  # ids of uploads
    context: Context | None = None  # of an answer


class Conversation(Shape):
    id: str
    title: str
    model: str | None = None
    system: str = ""
    created: str
    changed: str
    turns: int
    folder: str = ""
    tags: list[str] = Field(default_factory=list)
    is_starred: bool = False
    removed: str | None = None
    knowledge: str = ""  # documents that it is answered from
    excerpt: str = ""  # where a search found it


class ConversationDetail(Conversation):
    """A conversation with all its branches; `leaf` is the last turn of the branch shown last."""

    tree: list[Turn] = Field(default_factory=list)
    leaf: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)


class NewConversation(Body):
    model: Name = ""
    system: Text = ""
    title: Annotated[str, Field(max_length=60)] = ""
    folder: Name = ""
    knowledge: Name = ""
    params: dict[str, Any] = Field(default_factory=dict)


class ConversationChange(Body):
    title: Annotated[str, Field(max_length=60)] | None = None
    model: Name | None = None
    system: Text | None = None
    folder: Name | None = None
    tags: Tags | None = None
    is_starred: bool | None = None
    leaf: Name | None = None
    knowledge: Name | None = None
    params: dict[str, Any] | None = None


class NewTurn(Body):
    """A question after `parent` (null: the first), which is answered by a job.

    An edited question has the same parent as the one it replaces, so that both stay as siblings. Without `content`,
    the question `parent` is answered again.
    """

    parent: Name | None = None
    content: Text | None = None
    model: Name = ""
    params: dict[str, Any] = Field(default_factory=dict)
    attachments: Annotated[list[Name], Field(max_length=20)] = Field(default_factory=list)


class SentQuestion(Shape):
    question: Turn
    job: Job


class Imported(Shape):
    conversations: list[str]
    skipped: list[Reason] = Field(default_factory=list)


class ConversationNames(Shape):
    """The folders and tags of conversations, each with their number."""

    folders: dict[str, int]
    tags: dict[str, int]


class Knowledge(Shape):
    """Documents that were read, so that questions are answered from them."""

    name: str
    files: int
    passages: int
    bytes: int
    changed: str
    can_grow: bool  # whether documents can be added here: it was read from an upload
