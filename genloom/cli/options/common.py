"""Options that several verbs share, each with one wording."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from genloom.cli.console import Console
from genloom.cli.options.types import Count
from genloom.settings import unreadable_error
from genloom.store.workspace import Workspace

LedgerURL = Annotated[
    str,
    Parameter(
        help="Ledger of ratings and promotions, e.g. postgresql://name@host/database. "
        "[default: $GENLOOM_LEDGER or the workspace]"
    ),
]
Rater = Annotated[str, Parameter(help="Name of the rater. [default: your user name on this machine]")]
Reason = Annotated[str, Parameter(help="Reason, recorded in the ledger.")]
Settings = Annotated[list[str], Parameter(help="Job setting as PATH=VALUE, e.g. plan.warmup=100. Repeatable.")]
PromptsFile = Annotated[Path, Parameter(help="File of prompts, one per line.")]
Adapters = Annotated[
    list[str], Parameter(help="Adapter to add: a model tuned on the same base with --method lora. Repeatable.")
]
Precision = Annotated[
    str,
    Parameter(
        help="float32, bfloat16, int8, int4 or auto; fewer bits are faster and slightly less exact. auto quantizes "
        "large transformers if that loses little."
    ),
]
EvalPrecision = Annotated[
    str, Parameter(help="float32, bfloat16, int8, int4 or auto. [default: float32; auto for the battery]")
]
EvalSplit = Annotated[
    Literal["val", "test"], Parameter(help="Held-out split. val is read during training, test never is.")
]
MaxBytes = Annotated[Count, Parameter(help="Bytes of held-out text to read; the same random passages for every model.")]
Battery = Annotated[
    bool,
    Parameter(
        help="Run the benchmark battery instead. Text: cloze, multiple choice, arithmetic, instruction following. "
        "Images: objects, counts, colours and positions named in the prompt."
    ),
]
Tasks = Annotated[
    str, Parameter(help="Tasks of the text battery, comma-separated: cloze, choice, arithmetic, instructions.")
]
TaskLimit = Annotated[Count, Parameter(help="Maximum number of items per task. [default: all]")]


@Parameter(name="*")
@dataclass(frozen=True)
class CommonOptions:
    """The workspace, and how results are printed."""

    workspace: str | None = None
    """Folder of data, models, runs and outputs. [default: $GENLOOM_HOME or ./genloom-workspace]"""

    json: bool = False
    """Print the result as JSON on standard output, for scripts."""

    def open(self) -> tuple[Workspace, Console]:
        """Return the workspace and the console that the options select."""
        return Workspace.from_option(self.workspace), Console(is_json=self.json)


def read_prompts(path: Path) -> tuple[str, ...]:
    """Return the lines of a prompt file that are not blank; raise if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable_error(path, "these prompts", error) from None
    return tuple(line for line in lines if line.strip())
