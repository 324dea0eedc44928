"""The options that every verb takes."""

from dataclasses import dataclass

from cyclopts import Parameter

from genloom.cli.screen import Screen
from genloom.store.workspace import Workspace


@Parameter(name="*")
@dataclass(frozen=True)
class Shared:
    """Where the work lies and how results are told."""

    workspace: str | None = None
    """The folder that holds data, models, runs and outputs. [default: $GENLOOM_HOME or ./genloom-workspace]"""

    json: bool = False
    """Print the result as JSON on standard output, for scripts."""

    def open(self) -> tuple[Workspace, Screen]:
        """The workspace and the screen that the options ask for."""
        return Workspace.find(self.workspace), Screen(json=self.json)
