"""The interface of what a chat reads beside its conversation: passages of documents, files, a memory."""

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from genloom.types import Message


class Reader(Protocol):
    """Something that a model reads beside a conversation."""

    def prepare(self, messages: "list[Message]") -> "list[Message]":
        """Return the messages that the model reads for its next answer."""
        ...

    def describe(self, answer: str) -> dict[str, Any]:
        """Return fields for the record of the answer, by names of `OutputRecord`."""
        ...

    @property
    def warnings(self) -> list[str]:
        """Warnings of what was read, for a person."""
        ...

    @property
    def lines(self) -> list[str]:
        """Lines that stand below the answer."""
        ...

    @property
    def passage_lines(self) -> list[str]:
        """Lines of all that was read for the last answer."""
        ...
