"""The steps of a run that stay saved where an error ends it, such as a full disk."""

import sys
from collections.abc import Generator
from contextlib import closing, suppress
from typing import TypeVar

from genloom.errors import GenloomError, format_message
from genloom.store.workspace import Workspace
from genloom.train.checkpoint import find_newest_step
from genloom.train.events import RunStart, RunWarning

E = TypeVar("E")


def report_saved_steps(workspace: Workspace, events: Generator[E]) -> Generator[E | RunWarning]:
    """Yield the events of a run; if an error ends it, say last which steps are saved and how it continues."""
    run = ""
    with closing(events):
        try:
            for event in events:
                if isinstance(event, RunStart):
                    run = event.run
                yield event
        except Exception:
            if step := _find_saved_step(workspace, run):
                yield RunWarning(format_message("train.saved_until", step=step, run=run))
            raise


def _find_saved_step(workspace: Workspace, run: str) -> int:
    """Return the newest step that is saved of a run; 0 for one that has not begun, or was removed with its error."""
    with suppress(GenloomError):
        return find_newest_step(workspace.get_run(run).folder / "state", sys.maxsize) if run else 0
    return 0
