"""Options of the workspace, of the output as JSON, and of the ledger: who rates and why."""

import os
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from genloom.api.workspace import Workspace
from genloom.cli.console import Console
from genloom.cli.options.numbers import int_range
from genloom.program import repeat_options
from genloom.store.names import validate_name

LedgerURL = Annotated[
    str,
    Parameter(
        help="Ledger of ratings and promotions, e.g. postgresql://name@host/database. "
        "[default: $GENLOOM_LEDGER or the workspace]"
    ),
]
Rater = Annotated[str, Parameter(help="Name of the rater. [default: your user name on this machine]")]
Reason = Annotated[str, Parameter(help="Reason, recorded in the ledger.")]


@Parameter(name="*")
@dataclass(frozen=True)
class CommonOptions:
    """The workspace, and how results are printed."""

    workspace: str | None = None
    """Folder of data, models and outputs, or s3://bucket/folder. [default: $GENLOOM_HOME or ./genloom-workspace]"""

    json: bool = False
    """Print the result as JSON on standard output, for scripts."""

    def open(self, ledger: str = "", rater: str | None = None) -> tuple[Workspace, Console]:
        """Return the workspace and the console that the options select; an empty name of a rater is refused."""
        repeat_options(self.workspace, ledger)
        rater = "" if rater is None else validate_name(rater, "rater")
        return Workspace(self.workspace, ledger=ledger, rater=rater), Console(is_json=self.json)


@Parameter(name="*")
@dataclass(frozen=True)
class WorkOptions(CommonOptions):
    """The common options of verbs that may work for a long time."""

    nice: Annotated[int | None, int_range(0, 19)] = None
    """Niceness, from 0 to 19: with more, other programs go first on the processors. [default: that of the shell]"""

    def open(self, ledger: str = "", rater: str | None = None) -> tuple[Workspace, Console]:
        """Give way to other programs as demanded, and return the workspace and the console."""
        if self.nice:
            os.nice(self.nice)
        return super().open(ledger, rater)
