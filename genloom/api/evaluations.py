"""Evaluations and comparisons of models, as notebooks show them."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from genloom.api import progress as progress_bars
from genloom.api.progress import ProgressBar
from genloom.errors import GenloomError
from genloom.store.files import expand_home, write_atomic

if TYPE_CHECKING:
    from genloom.api.models import Model
    from genloom.api.workspace import Workspace
    from genloom.evaluate.context import EvaluationOptions
    from genloom.evaluate.progress import Progress
    from genloom.evaluate.report import BatteryComparison, BatteryReport, ComparisonReport, Report, Sample


class _Report(Protocol):
    @property
    def lines(self) -> Sequence[str]: ...

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Result:
    """Numbers, lines for people, and charts; `print` shows the lines, notebooks the charts too."""

    report: _Report
    folder: Path  # where `save` writes by default

    @property
    def lines(self) -> Sequence[str]:
        return self.report.lines

    @property
    def files(self) -> Mapping[str, bytes]:
        """The charts and sheets by name."""
        return {}

    def to_json(self) -> dict[str, Any]:
        """Return every number as JSON values."""
        return self.report.to_json()

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        images = "".join(
            f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}" style="max-width: 100%" alt="{name}">'
            for name, data in self.files.items()
        )
        return {"text/plain": str(self), "text/html": f"<pre>{escape(str(self))}</pre>{images}"}


@dataclass(frozen=True)
class Evaluation(_Result):
    """The report on one model."""

    report: "Report | BatteryReport"

    @property
    def files(self) -> Mapping[str, bytes]:
        return self.report.files

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the numbers as JSON and the charts to a folder (None: the workspace's reports), and return it."""
        target = self.folder if folder is None else expand_home(folder)
        self.report.save(target)
        return target


@dataclass(frozen=True)
class Comparison(_Result):
    """The report on two models."""

    report: "ComparisonReport | BatteryComparison"

    verdict: str = ""  # on the second model: better, worse or no difference shown; "" for a battery
    samples: "Sequence[Sample]" = ()  # one of each model
    chart: bytes = b""  # PNG; b"": none

    @property
    def files(self) -> Mapping[str, bytes]:
        return {"compare.png": self.chart} if self.chart else {}

    def save(self, path: str | Path | None = None) -> Path:
        """Write the chart to a PNG file (None: in the workspace's reports), and return its path."""
        name = f"{self.report.first}-{self.report.second}.png".replace("/", "-")
        target = self.folder / name if path is None else expand_home(path)
        write_atomic(target, self.chart)
        return target


class ShownProgress:
    """The progress of an evaluation, on standard error."""

    def print_note(self, line: str) -> None:
        progress_bars.print_note(line)

    def show_progress(self, title: str, total: float) -> AbstractContextManager[ProgressBar]:
        return progress_bars.open_bar(title, total)


def evaluate(
    model: "Model",
    data: str = "",
    *,
    split: Literal["val", "test"] = "val",
    battery: bool = False,
    tasks: str | Sequence[str] = "",
    limit: int = 0,
    precision: str = "",
    on: str = "",
    progress: "bool | Progress | None" = None,
    **options: Any,
) -> Evaluation:
    """Measure the model on held-out data, and how much its samples copy from training data.

    Parameters
    ----------
    data
        Data set to measure on. "": the one the model was trained on.
    split
        Held-out split: val is read during training, test never is.
    battery
        Run the benchmark battery of the medium instead.
    tasks, limit
        Tasks of the battery, and the maximum number of items per task; "" and 0: all.
    precision
        float32, bfloat16, int8, int4 or auto. "": float32; auto for the battery.
    on
        Cluster of which one machine evaluates: ray, or ray://HOST:10001. "": this machine. It needs the workspace under
        the same path, and shows no progress.
    progress
        Whether progress is shown on standard error (None: in notebooks only), or an object with `print_note` and
        `show_progress`.
    options
        num_samples, max_tokens, temperature, seed, max_bytes, is_chat; params: other sampling parameters by name.

    Returns
    -------
    Evaluation
        The report; `print` shows it, `to_json` gives every number, `save` writes it with its charts.

    Raises
    ------
    GenloomError
        evaluate.other_medium, evaluate.no_dataset: there is no data set that suits the model; evaluate.no_battery,
        evaluate.unknown_task; cluster.not_installed, cluster.no_answer, cluster.workspace_not_shared: of `on`.
    """
    from genloom.evaluate.run import evaluate_battery, evaluate_model, get_report_folder

    if on:
        from genloom.api.cluster_work import evaluate_on

        given = {
            "data": data,
            "split": split,
            "battery": battery,
            "tasks": tasks,
            "limit": limit,
            "precision": precision,
        }
        return evaluate_on(on, model, {**given, **options})
    store, loaded_model = model.workspace.store, model.load((), choose_precision(precision, battery))
    shown = choose_progress(model.workspace, progress)
    require_battery(battery, tasks, limit)
    if battery:
        scores = evaluate_battery(store, loaded_model, split_tasks(tasks), limit, options.get("seed", 0), shown)
        return Evaluation(scores, get_report_folder(store, loaded_model))
    report = evaluate_model(store, loaded_model, data or None, split, _build_options(options), shown)
    return Evaluation(report, get_report_folder(store, loaded_model, report.dataset))


def compare(
    model: "Model",
    other: "Model | str",
    data: str = "",
    *,
    split: Literal["val", "test"] = "val",
    battery: bool = False,
    tasks: str | Sequence[str] = "",
    limit: int = 0,
    precision: str = "",
    progress: "bool | Progress | None" = None,
    **options: Any,
) -> Comparison:
    """Compare another model with this one on the same held-out data; takes the arguments of `evaluate`.

    Returns
    -------
    Comparison
        The report, with `verdict` on the other model: better, worse, or no difference shown.

    Raises
    ------
    GenloomError
        evaluate.different_media: the models are of different media.
    """
    from genloom.evaluate.run import compare_batteries, compare_models

    workspace = model.workspace
    models = (model, workspace.model(other))
    first, second = (each.load((), choose_precision(precision, battery)) for each in models)
    shown = choose_progress(workspace, progress)
    folder = workspace.folder / "reports"
    require_battery(battery, tasks, limit)
    if battery:
        scores = compare_batteries(
            workspace.store, first, second, split_tasks(tasks), limit, options.get("seed", 0), shown
        )
        return Comparison(scores, folder)
    report = compare_models(workspace.store, first, second, data or None, split, _build_options(options), shown)
    return Comparison(report, folder, report.verdict, report.samples, report.chart)


def require_battery(battery: bool, tasks: str | Sequence[str], limit: int) -> None:
    """Raise GenloomError for tasks or their limit without the battery that they belong to."""
    given = [name for name, value in (("--tasks", tasks), ("--limit", limit)) if value]
    if given and not battery:
        raise GenloomError("api.tasks_without_battery", options=" and ".join(given))


def _build_options(options: Mapping[str, Any]) -> "EvaluationOptions":
    """Return options by their names; GenloomError for a name that there is not."""
    from genloom.evaluate.context import EvaluationOptions

    names = [field.name for field in fields(EvaluationOptions)]
    if unknown := next((name for name in options if name not in names), None):
        raise GenloomError("api.unknown_argument", name=unknown, known=", ".join(names))
    return EvaluationOptions(**options)


def choose_progress(workspace: "Workspace", progress: "bool | Progress | None") -> "Progress":
    """Return where progress is reported: the object given, standard error, or nowhere."""
    from genloom.evaluate.progress import SILENT

    if progress is None or isinstance(progress, bool):
        return ShownProgress() if workspace.is_shown(progress) else SILENT
    return progress


def choose_precision(precision: str, battery: bool) -> str:
    return precision or ("auto" if battery else "float32")


def split_tasks(tasks: str | Sequence[str]) -> tuple[str, ...]:
    names = tasks.split(",") if isinstance(tasks, str) else tasks
    return tuple(name.strip() for name in names if name.strip())
