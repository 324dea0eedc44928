"""Options that several verbs share, each with one wording."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from genloom.api.workspace import Workspace
from genloom.cli.console import Console
from genloom.cli.options.types import Count
from genloom.errors import GenloomError
from genloom.settings import unreadable_error

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
GivenValues = Annotated[
    list[str],
    Parameter(
        help="Value of a condition of the model as NAME=VALUE: a number, a class, a text, or an array file (.npy). "
        "Repeatable."
    ),
]
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
    str,
    Parameter(
        help="Tasks of the battery, comma-separated. Text: cloze, choice, arithmetic, instructions. "
        "Images: one, two, counting, colours, position. [default: all]"
    ),
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

    def open(self, ledger: str = "", rater: str = "") -> tuple[Workspace, Console]:
        """Return the workspace and the console that the options select."""
        return Workspace(self.workspace, ledger=ledger, rater=rater), Console(is_json=self.json)


def parse_tasks(tasks: str | None) -> tuple[str, ...]:
    """Return the tasks of a comma-separated list, () for none given; raise for an empty list."""
    names = tuple(task.strip() for task in (tasks or "").split(",") if task.strip())
    if tasks is not None and not names:
        raise GenloomError("cli.no_tasks", value=tasks)
    return names


def read_prompts(path: Path) -> tuple[str, ...]:
    """Return the lines of a prompt file that are not blank; raise if it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable_error(path, "these prompts", error) from None
    return tuple(line for line in lines if line.strip())
