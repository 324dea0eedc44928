"""Options of measurements on held-out data, and of the benchmark battery."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from genloom.api.models import Model
from genloom.cli.options.model_input import ChatPrompts
from genloom.cli.options.numbers import Count, Seed
from genloom.cli.options.sampling import MaxTokens, ParamSettings, parse_settings
from genloom.errors import GenloomError

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


@Parameter(name="*")
@dataclass(frozen=True)
class EvaluationOptions:
    """The data of a measurement, and its precision."""

    split: Literal["val", "test"] = "val"
    """Held-out split. val is read during training, test never is."""

    max_tokens: MaxTokens | None = None

    seed: Seed = 0

    max_bytes: Count = 300_000
    """Bytes of held-out text to read; the same random passages for every model."""

    is_chat: ChatPrompts | None = None

    option: ParamSettings | None = None

    battery: Battery = False

    tasks: Tasks | None = None

    limit: Count | None = None
    """Maximum number of items per task. [default: all]"""

    precision: str | None = None
    """float32, bfloat16, int8, int4 or auto. [default: float32; auto for the battery]"""

    def to_arguments(self, model: Model) -> dict[str, Any]:
        """Return the arguments of `Model.evaluate` and `Model.compare`; raise for an empty list of tasks."""
        tasks = tuple(task.strip() for task in (self.tasks or "").split(",") if task.strip())
        if self.tasks is not None and not tasks:
            raise GenloomError("cli.no_tasks", value=self.tasks)
        given = {"tasks": tasks, "limit": self.limit or 0, "precision": self.precision or ""}
        arguments = {**asdict(self), **given, "params": parse_settings(model, (), "auto", self.option or ())}
        return {name: value for name, value in arguments.items() if name != "option"}
