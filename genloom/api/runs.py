"""Runs and conversations of a workspace, as lists show them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genloom.api.argument_types import check_arguments
from genloom.store.conversation import Conversation
from genloom.store.recycle_bin import count_bytes
from genloom.store.run import Run as StoredRun

if TYPE_CHECKING:
    from genloom.api.chat import Chat
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace


@check_arguments
@dataclass(frozen=True)
class Run:
    """A training run; its folder has everything needed to continue it."""

    workspace: "Workspace"
    stored: StoredRun

    @property
    def id(self) -> str:
        return self.stored.id

    @property
    def name(self) -> str:
        """The name of the model that it trains."""
        return self.stored.name

    @property
    def model(self) -> "Model | None":
        """The model that it produced; None while it is not finished."""
        return self.workspace.model(self.stored.model) if self.stored.model else None

    @property
    def log(self) -> list[dict[str, Any]]:
        """The losses and measurements of its steps."""
        from genloom.train.log import read_log

        return read_log(self.stored.folder / "progress.jsonl")

    def resume(self, **options: Any) -> "Model":
        """Continue the run; see `Workspace.train`."""
        return self.workspace.train(self.id, resume=True, **options)

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of runs."""
        stored = self.stored
        facts = {"run": self.id, "name": self.name, "created": stored.created, "model": stored.model}
        facts["is_resumable"] = stored.is_resumable
        return {**facts, "bytes": count_bytes(stored.folder)}


@check_arguments
@dataclass(frozen=True)
class SavedConversation:
    """A conversation in the workspace."""

    workspace: "Workspace"
    stored: Conversation

    def resume(self, **options: Any) -> "Chat":
        """Continue the conversation with the model that answered last; see `Model.chat`."""
        return self.workspace.model(self.stored.model).chat(conversation=self.stored.id, **options)

    def to_record(self) -> dict[str, Any]:
        """Return the row of a list of conversations."""
        return {
            "conversation": self.stored.id,
            "title": self.stored.display_title,
            "model": self.stored.model,
            "questions": len(self.stored.questions),
            "changed": self.stored.changed,
            "bytes": count_bytes(self.workspace.folder / "conversations" / f"{self.stored.id}.json"),
        }
