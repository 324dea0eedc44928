"""`genloom train`: train a model on a data set."""

import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from math import isfinite, log
from pathlib import Path
from typing import Any

from genloom.cli.console import Console, ProgressBar, quote_name
from genloom.cli.options.common import CommonOptions, Settings
from genloom.cli.options.types import Count, Positive, Seed, Threads
from genloom.errors import GenloomError
from genloom.model.likelihood import BITS_PER_BYTE, HELD_OUT_LOSS, HeldOutMetric
from genloom.settings import read_recipe
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.text_format import format_bytes, format_count, format_duration, format_table
from genloom.train.events import TOKENS, EvalMetrics, Event, RunEstimate, RunResult, RunWarning, Status, StepMetrics
from genloom.train.planning.auto_config import Budget
from genloom.train.run import TrainRequest, train_model

RETENTION_LABELS = {
    BITS_PER_BYTE: "  of general text",
    HELD_OUT_LOSS: "  of the base's data",
}  # what fine-tuning may make a model forget


def run(
    data: str,
    /,
    *,
    minutes: Positive | None = None,
    params: Count | None = None,
    tokens: Count | None = None,
    steps: Count | None = None,
    name: str | None = None,
    from_: str | None = None,
    method: str | None = None,
    resume: bool = False,
    recipe: Path | None = None,
    set: Settings | None = None,
    seed: Seed = 0,
    threads: Threads | None = None,
    save_steps: Count | None = None,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Train a model on a data set, or fine-tune an existing one, within a time budget.

    Measures this machine, chooses sizes, prints the estimated cost and quality, then trains. After Ctrl-C or a crash,
    --resume continues to the same result.

    Parameters
    ----------
    data
        Data set; with --resume, the name or id of a run.
    minutes
        Time budget. [default: 5, if neither --tokens nor --steps are given]
    params
        Approximate number of parameters. [default: what the time and the data allow]
    tokens
        Number of tokens to train on; of media without tokens, samples.
    steps
        Exact number of steps; with --resume, the step to train up to.
    name
        Name of the model. [default: that of the data set]
    from_
        Model to fine-tune, on text or on conversations.
    method
        Fine-tuning method: lora (a small adapter) or full (all weights). [default: lora]
    resume
        Continue a run that was stopped or killed, or train a finished one further with --steps.
    recipe
        TOML file of job settings, e.g. recipes/text.toml; --set overrides it.
    threads
        Number of processor threads. [default: all cores]
    save_steps
        Number of steps between additional checkpoints. [default: only one every 30 seconds]
    """
    workspace, console = common.open()
    overrides = {**(read_recipe(recipe) if recipe else {}), **dict(parse_setting(text) for text in set or ())}
    budget = Budget(minutes=minutes or 0.0, params=params or 0, tokens=tokens or 0, seed=seed)
    request = TrainRequest(
        data,
        name or "",
        from_ or "",
        method or "lora",
        budget,
        overrides,
        resume,
        steps or 0,
        threads or 0,
        save_steps=save_steps or 0,
    )
    if method and not (from_ or resume):
        raise GenloomError("cli.method_without_model")
    if resume and (minutes or tokens or params or overrides or from_ or method):
        raise GenloomError("cli.resume_with_plan")
    if resume and name:
        raise GenloomError("cli.resume_with_name", run=quote_name(data))
    result, stopped_step = _show_progress(train_model(workspace, request), console)
    if result is None:
        run_name = quote_name(name or data)
        console.print_line(
            f"Stopped at step {stopped_step:,}; everything is saved. To continue: genloom train --resume {run_name}"
        )
        console.print_result({"stopped": stopped_step, "run": workspace.get_run(name or data).id})
        return 130
    model_folder = workspace.get_model(result.ref)
    _print_result(result, model_folder.folder, console)
    next_command = (
        f"chat {quote_name(model_folder.name)}"
        if _is_chat_model(workspace, model_folder)
        else f'generate {quote_name(model_folder.name)} --prompt "…" --count 3'
    )
    if (active_model := workspace.get_model(model_folder.name)).ref != model_folder.ref:
        promote_command = f"genloom promote {quote_name(model_folder.name)} --to {model_folder.version}"
        console.print_line(
            f"The active version is still {active_model.ref}. To activate the new one: {promote_command}"
        )
    console.print_line(f"Next: genloom {next_command}")
    console.print_result({**result.to_record(), "folder": str(model_folder.folder)})
    return 0


def _is_chat_model(workspace: Workspace, model_folder: ModelFolder) -> bool:
    """Return whether the model was fine-tuned on conversations, by the first documents of its data."""
    data_card = model_folder.card["data"]
    documents = workspace.get_dataset(data_card["name"], data_card["digest"]).iter_documents("train")
    return "parents" in model_folder.card and any("turns" in item.meta for item in islice(documents, 64))


def _show_progress(events: Generator[Event], console: Console) -> tuple[RunResult | None, int]:
    """Run a training and show its progress; Ctrl-C ends it between two steps, where it can save."""
    step, eval_note, losses = 0, "", {}
    with closing(events), _catch_signals() as stop, console.show_progress("Training", 1.0) as bar:
        for event in events:
            match event:
                case Status(text):
                    console.print_note(text)
                case RunEstimate():
                    _print_estimate(event, console)
                case RunWarning(text):
                    console.print_note(f"Note: {text}")
                case EvalMetrics():
                    eval_note = f", {format_measurement(event.held_out_metric)}"
                case StepMetrics():
                    step, stop.is_graceful = event.step, True
                    losses = smooth_losses(losses, event.losses)
                    _update_bar(event, losses, eval_note, bar)
                case RunResult():
                    return event, event.actual["steps"]
            if stop.is_requested:
                return None, step
    raise AssertionError("a run ends with its result")


def smooth_losses(previous: Mapping[str, float], current: Mapping[str, float]) -> dict[str, float]:
    """Return the exponential moving average of the losses, over about twenty steps."""
    return {
        name: value + 0.95 * (previous.get(name, value) - value) for name, value in current.items() if isfinite(value)
    }


def format_measurement(measurement: HeldOutMetric) -> str:
    """Return a held-out measurement as text."""
    return (
        f"held-out {measurement.value:.3f} bits/byte"
        if measurement.name == BITS_PER_BYTE
        else f"{measurement.name} {measurement.value:.4f}"
    )


def _update_bar(event: StepMetrics, losses: Mapping[str, float], eval_note: str, bar: ProgressBar) -> None:
    is_single = len(losses) == 1
    amounts = {
        name: f"{value / log(2):.3f} bits" if event.unit == TOKENS else f"{value:.4f}" for name, value in losses.items()
    }
    loss = ", ".join(f"{'loss' if is_single else name} {amount}" for name, amount in amounts.items())
    note = f"step {event.step:,}/{event.steps:,}, {loss}{eval_note}, {event.units_per_second:,.0f} {event.unit.word}/s"
    time_left = "" if sys.stderr.isatty() else f", {format_duration(event.seconds_left)} left"  # the bar shows it
    bar.update(event.step / event.steps, note + time_left)


def _print_estimate(estimate: RunEstimate, console: Console) -> None:
    trained_note = f", of which {estimate.num_trained:,} are trained" if estimate.num_trained else ""
    unit_name = estimate.unit.word
    amount = f"{estimate.total_units:,} {unit_name} in {format_count(estimate.steps, 'step')}"
    cost = f"about {format_duration(estimate.seconds)} and {format_bytes(estimate.memory_bytes)} of memory"
    rows: list[tuple[str, ...]] = [
        ("  network", f"{estimate.num_parameters:,} parameters{trained_note}"),
        ("  training", f"{amount}, {estimate.units_per_second:,.0f} per second"),
        ("  cost", f"{cost}{_format_preparation(estimate)}"),
        ("  quality", _format_expected(estimate)),
    ]
    console.print_note("Estimate:")
    for line in format_table(rows):
        console.print_note(line)


def _format_preparation(estimate: RunEstimate) -> str:
    return f", after {format_duration(estimate.setup_seconds)} of preparation" if estimate.setup_seconds >= 1 else ""


def _format_expected(estimate: RunEstimate) -> str:
    if estimate.expected_loss is not None and estimate.ngram_baseline is not None:
        margin = estimate.expected_loss * estimate.error_margin
        baseline_note = f"n-gram baseline: {estimate.ngram_baseline:.2f}"
        return f"{estimate.expected_loss:.2f} ± {margin:.2f} {estimate.metric} ({baseline_note})"
    if estimate.loss_before is not None:
        return f"below the present {estimate.loss_before:.3f} {estimate.metric}"
    return f"unknown: there is no forecast of the {estimate.metric} of such a model"


def _print_result(result: RunResult, folder: Path, console: Console) -> None:
    forecast, actual = result.estimate, result.actual
    console.print_line(f"Model {result.ref} is stored in {folder}")
    rows: list[tuple[str, ...]] = [("", "forecast", "actual")]
    if (measurement := result.held_out_metric) is not None:
        rows.append(
            (
                f"  {measurement.name}",
                f"{forecast[measurement.key]:.3f}" if measurement.key in forecast else "-",
                f"{measurement.value:.3f}",
            )
        )
        if "before" in forecast:
            rows = _build_before_after_rows(measurement, forecast, actual)
    for title, key, formatter in (
        ("training time", "seconds", format_duration),
        ("memory", "memory_bytes", format_bytes),
        *(
            (f"{unit_name} per second", f"{unit_name}_per_second", "{:,.0f}".format)
            for unit_name in ("tokens", "samples")
        ),
    ):
        if key in actual:
            rows.append((f"  {title}", formatter(forecast[key]) if key in forecast else "-", formatter(actual[key])))
    for line in format_table(rows):
        console.print_line(line)


def _build_before_after_rows(
    measurement: HeldOutMetric, forecast: Mapping[str, Any], actual: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    """Return the rows of what fine-tuning improved, and of what it may have made worse."""
    rows: list[tuple[str, ...]] = [
        ("", "before", "after"),
        (f"  {measurement.name}", f"{forecast['before']:.3f}", f"{measurement.value:.3f}"),
    ]
    if (general_value := actual.get(f"general_{measurement.key}")) is not None:
        rows.append(
            (
                RETENTION_LABELS[measurement.name],
                f"{forecast['general_before']:.3f}" if "general_before" in forecast else "-",
                f"{general_value:.3f}",
            )
        )
    return [*rows, ("", "forecast", "actual")]


@dataclass
class _Stop:
    """Whether Ctrl-C was pressed; before the first step there is nothing to save, so it interrupts at once."""

    is_requested: bool = False
    is_graceful: bool = False


@contextmanager
def _catch_signals() -> Generator[_Stop]:
    """Turn a first SIGINT or SIGTERM into a request to stop; a second one interrupts at once."""
    stop = _Stop()

    def on_signal(signum: int, frame: Any) -> None:
        if stop.is_requested or not stop.is_graceful:
            raise KeyboardInterrupt
        stop.is_requested = True

    previous_handlers = {signum: signal.signal(signum, on_signal) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for signum, handler in previous_handlers.items():
            signal.signal(signum, handler)


def parse_setting(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise GenloomError("cli.bad_setting", value=text)
    return path.strip(), value.strip()
