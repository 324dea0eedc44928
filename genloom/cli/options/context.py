"""Options of what a chat reads beside its messages: a memory, files, and summaries of what fell out."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from genloom.api.chat import Chat
from genloom.api.chat_context import get_context
from genloom.cli.console import Console
from genloom.text_format import format_count


@Parameter(name="*")
@dataclass(frozen=True)
class ContextOptions:
    """The memory, the files and the summaries that a chat reads beside its messages."""

    memory: str = ""
    """Memory that the model is told: memories/NAME.md in the workspace, which you can read and edit."""

    attach: tuple[Path, ...] = ()
    """File to read beside each question, whole or the passages most like it. Repeatable."""

    summaries: bool = False
    """Summaries, by the model, of messages that no longer fit; else they are dropped."""

    def apply(self, chat: Chat, console: Console) -> None:
        """Open the memory and the files, and say what was read."""
        if not (self.memory or self.attach or self.summaries):
            return
        from genloom.assistant.memory import open_memory

        context = get_context(chat)
        context.has_summaries = self.summaries
        if self.memory:
            context.memory = open_memory(chat.model.workspace.folder, self.memory)
            facts = format_count(len(context.memory.facts), "fact")
            console.print_note(f"Memory {self.memory}: {facts} ({context.memory.path})")
        for path in self.attach:
            attachment = context.attach(path)
            console.print_note(f"Attached {attachment.name}: {format_count(len(attachment.text), 'character')}")


DEFAULT_CONTEXT_OPTIONS = ContextOptions()
