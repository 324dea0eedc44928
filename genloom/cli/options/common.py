"""The options that every verb takes, and the file of prompts that several do."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from genloom.cli.console import Console
from genloom.settings import unreadable_error
from genloom.store.workspace import Workspace


@Parameter(name="*")
@dataclass(frozen=True)
class CommonOptions:
    """Where the work lies and how results are told."""

    workspace: str | None = None
    """The folder that holds data, models, runs and outputs. [default: $GENLOOM_HOME or ./genloom-workspace]"""

    json: bool = False
    """Print the result as JSON on standard output, for scripts."""

    def open(self) -> tuple[Workspace, Console]:
        """The workspace and the screen that the options ask for."""
        return Workspace.from_option(self.workspace), Console(is_json=self.json)


def read_prompts(path: Path) -> tuple[str, ...]:
    """The lines of a file of prompts that say something; ValueError, with the cure, where it can't be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable_error(path, "these prompts", error) from None
    return tuple(line for line in lines if line.strip())
