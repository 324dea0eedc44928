"""Options of answers from documents: of the chat, and those that it shares with other commands."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from genloom.api.knowledge import Knowledge
from genloom.api.workspace import Workspace
from genloom.cli.console import Console
from genloom.text_format import format_count


@Parameter(name="*")
@dataclass(frozen=True)
class KnowledgeOptions:
    """The documents that a chat answers from."""

    knowledge: Annotated[str | None, Parameter(name="--knowledge")] = None
    """Folder or file of documents, or the name of knowledge, to answer from with sources."""

    @contextmanager
    def open(self, workspace: Workspace, console: Console) -> "Generator[Knowledge | None]":
        """Yield the knowledge that is named, up to date; None without a name."""
        if self.knowledge is None:
            yield None
            return
        with open_with_notes(workspace, console, self.knowledge) as opened:
            yield opened


DEFAULT_KNOWLEDGE_OPTIONS = KnowledgeOptions()


def open_with_notes(
    workspace: Workspace, console: Console, source: str, name: str = "", update: bool = True
) -> Knowledge:
    """Open knowledge with a bar, and say what was read and what was not."""
    opened = workspace.open_knowledge(source, name=name, update=update, progress=not console.is_json)
    report = opened.report
    if report is not None and report.is_changed:
        changed = f"{report.read:,} read, {report.removed:,} removed" if report.unchanged else ""
        changed = changed or format_count(report.read, "file")
        console.print_note(f"Knowledge {opened.name}: {changed}; {format_count(report.passages, 'passage')}.")
    for note in opened.notes:
        console.print_note(f"Note: {note}")
    return opened
