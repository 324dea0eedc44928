"""Evaluate one model, or compare two, on held-out data or in the battery of their medium."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from genloom import plugins
from genloom.errors import GenloomError
from genloom.evaluate import default
from genloom.evaluate.battery import Battery, BatteryContext, BatteryResult, select_tasks
from genloom.evaluate.context import DEFAULT_OPTIONS, EvaluationContext, EvaluationOptions, HeldOutSplit
from genloom.evaluate.progress import SILENT, Progress
from genloom.evaluate.report import BatteryComparison, BatteryReport, ComparisonReport, Report
from genloom.evaluate.scores import compare_scores, format_gaps, format_scores
from genloom.evaluate.training_sources import find_seen_documents, find_training_sources
from genloom.model import Model
from genloom.option_names import name_options
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace


def find_evaluation(medium: str) -> ModuleType:
    """Return the evaluation of a medium: its own part, else the default."""
    return plugins.find_part("evaluation", medium) if medium in plugins.list_part_names("evaluation") else default


def evaluate_model(
    workspace: Workspace,
    model: Model,
    data: str | Dataset | None = None,
    split: HeldOutSplit = "val",
    options: EvaluationOptions = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
) -> Report:
    """Evaluate a model on a split of a data set, by default of the version that it was trained on.

    The measurements depend on the medium. Documents that the model has learned from are left out. Raises ValueError
    for unknown data, data of another medium, and too few held-out items.
    """
    dataset, seen = leave_out_seen(workspace, [model], resolve_dataset(workspace, model, data), split)
    context = EvaluationContext(workspace, model, dataset, split, options, progress)
    report = find_evaluation(model.design.medium).evaluate(context)
    return replace(report, lines=[*seen, *report.lines], details={**report.details, "left_out": len(dataset.excluded)})


def compare_models(
    workspace: Workspace,
    first: Model,
    second: Model,
    data: str | Dataset | None = None,
    split: HeldOutSplit = "val",
    options: EvaluationOptions = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
) -> ComparisonReport:
    """Compare two models on the same held-out data, by default those of the first; see `evaluate_model`.

    Documents that either has learned from are left out. One is called better only if the confidence interval of the
    paired difference excludes zero.
    """
    check_same_medium(first, second)
    dataset, seen = leave_out_seen(workspace, [first, second], resolve_dataset(workspace, first, data), split)
    context = EvaluationContext(workspace, first, dataset, split, options, progress)
    report = find_evaluation(first.design.medium).compare(context, replace(context, model=second))
    return replace(report, lines=[*seen, *report.lines], details={**report.details, "left_out": len(dataset.excluded)})


def evaluate_battery(
    workspace: Workspace,
    model: Model,
    tasks: Sequence[str] = (),
    max_items: int = 0,
    seed: int = 0,
    progress: Progress = SILENT,
) -> BatteryReport:
    """Score a model in the tasks (all, without a choice) of its medium's battery, with up to `max_items` items each.

    Raises ValueError for a medium without a battery, an unknown task, and a model that cannot take the battery.
    """
    result = run_battery(workspace, model, tasks, max_items, seed, progress)
    fits = find_battery(model).fits
    lines = [*format_scores(result.scores), f"For {fits}.", *result.notes]
    return BatteryReport(model.ref, result.scores, lines, {"fits": fits, **result.details}, result.files)


def compare_batteries(
    workspace: Workspace,
    first: Model,
    second: Model,
    tasks: Sequence[str] = (),
    max_items: int = 0,
    seed: int = 0,
    progress: Progress = SILENT,
) -> BatteryComparison:
    """Compare the scores of two models on the same items; see `evaluate_battery`."""
    check_same_medium(first, second)
    results = [run_battery(workspace, model, tasks, max_items, seed, progress) for model in (first, second)]
    gaps = compare_scores(results[0].scores, results[1].scores)
    notes = [
        f"{model.ref}: {note}" for model, result in zip((first, second), results, strict=True) for note in result.notes
    ]
    return BatteryComparison(first.ref, second.ref, gaps, [*format_gaps(first.ref, second.ref, gaps), *notes])


def run_battery(
    workspace: Workspace, model: Model, tasks: Sequence[str], max_items: int, seed: int, progress: Progress
) -> BatteryResult:
    battery = find_battery(model)
    sources = find_training_sources(workspace, model)
    context = BatteryContext(model, select_tasks(battery, tasks), sources, progress, max_items, seed)
    return battery.run(context)


def find_battery(model: Model) -> Battery:
    """Return the battery of the model's medium; raise for a medium without one."""
    battery: Battery | None = find_evaluation(model.design.medium).BATTERY
    if battery is None:
        raise GenloomError("evaluate.no_battery", model=model.ref, medium=model.design.medium)
    return battery


def resolve_dataset(workspace: Workspace, model: Model, data: str | Dataset | None = None) -> Dataset:
    """Return the data set named, else the version the model was trained on; raise for one of another medium."""
    if data is None:
        data_card = model.folder.card.get("data") if model.folder else None
        if data_card is None or is_built_in_without_data(workspace, model, data_card["name"]):
            alternative = name_options(", or use --battery") if find_evaluation(model.design.medium).BATTERY else ""
            raise GenloomError("evaluate.no_dataset", model=model.ref, alternative=alternative)
        dataset = workspace.get_dataset(data_card["name"], data_card["digest"])
    else:
        dataset = data if isinstance(data, Dataset) else workspace.get_dataset(data)
    dataset.verify()
    if dataset.medium != model.design.medium:
        raise GenloomError(
            "evaluate.other_medium",
            model=model.ref, medium=model.design.medium, data=dataset.name, data_medium=dataset.medium,
        )  # fmt: skip
    return dataset


def is_built_in_without_data(workspace: Workspace, model: Model, name: str) -> bool:
    """Return whether the model came with the package, and no data set of this name is in the workspace."""
    built_in_refs = {folder.ref for folder in workspace.list_built_in_models()}
    return model.ref in built_in_refs and name not in {dataset.name for dataset in workspace.list_datasets()}


def leave_out_seen(
    workspace: Workspace, models: Sequence[Model], dataset: Dataset, split: HeldOutSplit
) -> tuple[Dataset, list[str]]:
    """Return the data set without the documents of the split that a model has learned from, and lines on them.

    Raise GenloomError if none is left.
    """
    find_shared = getattr(find_evaluation(dataset.medium), "find_shared_documents", None)
    seen = find_seen_documents(workspace, models, dataset, split, find_shared)
    if not seen.num_documents:
        raise GenloomError("evaluate.no_held_out", data=dataset.name, split=split)
    if len(seen.ids) == seen.num_documents:
        joined_models = " and ".join(seen.models)
        raise GenloomError("evaluate.all_seen", models=joined_models, data=dataset.name, split=split)
    return dataset.exclude(seen.excluded_ids), seen.describe(dataset, split)


def get_report_folder(workspace: Workspace, model: Model, dataset_ref: str = "") -> Path:
    """Return the folder of a model's report; one on other data than its training data has a folder of its own."""
    data_card = (model.folder.card.get("data") if model.folder else None) or {}
    name, _, digest = dataset_ref.rpartition(":")[0].rpartition("@")
    is_own = not digest or str(data_card.get("digest", "")).startswith(digest)
    return workspace.root / "reports" / (model.ref if is_own else f"{model.ref}-on-{name}").replace("/", "-")


def check_same_medium(first: Model, second: Model) -> None:
    """Raise ValueError for models of different media."""
    first_medium, second_medium = first.design.medium, second.design.medium
    if first_medium != second_medium:
        raise GenloomError(
            "evaluate.different_media",
            first=first.ref, first_medium=first_medium, second=second.ref, second_medium=second_medium,
        )  # fmt: skip
