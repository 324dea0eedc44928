"""`genloom train`: train a model on a data set."""

import os
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

from genloom import plugins
from genloom.api.progress import show_events
from genloom.api.training import train
from genloom.cli.console import Console
from genloom.cli.descriptions import describe_like
from genloom.cli.options.cluster import ClusterAddress
from genloom.cli.options.numbers import Count, Minutes, Seed, Threads, finite_float, int_range
from genloom.cli.options.training import Settings
from genloom.cli.options.workspace import WorkOptions
from genloom.errors import GenloomError
from genloom.generate.text.conversation import is_chat_card
from genloom.media.abilities import get_ability
from genloom.model.likelihood import BITS_PER_BYTE, HELD_OUT_LOSS, HeldOutMetric
from genloom.program import quote_name
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.text_format import format_bytes, format_duration, format_table
from genloom.train.events import Event, RunResult, StepMetrics
from genloom.train.job import read_job
from genloom.train.parallel.group import read_rank

Epsilon = Annotated[float, finite_float(lambda n: 0 < n <= 1000, "a number above 0, at most 1000")]
Delta = Annotated[float, finite_float(lambda n: 0 < n < 1, "a number above 0 and below 1")]
_SAME_SIGNAL_SECONDS = 1.0
NUM_SAMPLES = 3  # texts that a new model writes on the way
RETENTION_LABELS = {
    BITS_PER_BYTE: "  of general text",
    HELD_OUT_LOSS: "  of the base's data",
}  # what fine-tuning may make a model forget


@describe_like(train)
def run(
    data: str,
    /,
    *,
    minutes: Minutes | None = None,
    params: Annotated[int, int_range(1, 10**12)] | None = None,
    tokens: Annotated[int, int_range(1, 10**15)] | None = None,
    steps: Count | None = None,
    name: str | None = None,
    from_: str | None = None,
    method: str | None = None,
    resume: bool = False,
    recipe: Path | None = None,
    set: Settings | None = None,
    seed: Seed = 0,
    threads: Threads | None = None,
    devices: Count | None = None,
    on: ClusterAddress = "",
    workers: Count | None = None,
    devices_per_worker: Count | None = None,
    save_steps: Count | None = None,
    canaries: Annotated[int, int_range(1, 10_000)] | None = None,
    private: bool = False,
    epsilon: Epsilon | None = None,
    delta: Delta | None = None,
    common: WorkOptions = WorkOptions(),
) -> int:
    """Train a model on a data set, or fine-tune an existing one, within a time budget.

    Measures this machine, chooses sizes, prints the estimated cost and quality, then trains. After Ctrl-C or a crash,
    --resume continues to the same result.

    Parameters
    ----------
    resume
        Continue a run that was stopped or killed, or train a finished one further with --steps.
    recipe
        TOML file of job settings, e.g. recipes/text.toml; --set overrides it.
    """
    if read_rank():  # of several processes that a launcher started, the first one speaks
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  until the process ends
    workspace, console = common.open()
    events = workspace.iter_train(
        data,
        minutes=minutes or 0.0,
        params=params or 0,
        tokens=tokens or 0,
        steps=steps or 0,
        name=name or "",
        from_=from_ or "",
        method=method or "",
        resume=resume,
        recipe=recipe,
        overrides=dict(parse_setting(text) for text in set or ()),
        seed=seed,
        threads=threads or 0,
        devices=devices or 0,
        on=on,
        workers=workers or 0,
        devices_per_worker=devices_per_worker or 0,
        save_steps=save_steps or 0,
        canaries=canaries or 0,
        private=private,
        epsilon=epsilon,
        delta=delta,
        num_samples=0 if common.json else NUM_SAMPLES,
    )
    result, stopped_step, signal_number = _show_progress(events, console)
    if result is None:
        run_name = name or (f"{data}-canaries" if canaries else data)
        next_command = f"genloom train --resume {quote_name(run_name)}"
        console.print_hint(f"Stopped at step {stopped_step:,}; everything is saved. To continue: {next_command}")
        console.print_result({"stopped": stopped_step, "run": workspace.store.get_run(run_name).id})
        return 128 + signal_number
    model_folder = workspace.store.get_model(result.ref)
    _print_result(result, model_folder.folder, console)
    next_command = _suggest_command(workspace.store, model_folder)
    if (active_model := workspace.store.get_model(model_folder.name)).ref != model_folder.ref:
        promote_command = f"genloom promote {quote_name(model_folder.name)} --to {model_folder.version}"
        console.print_hint(
            f"The active version is still {active_model.ref}. To activate the new one: {promote_command}"
        )
    console.print_hint(f"Next: genloom {next_command}")
    console.print_result({**result.to_record(), "folder": str(model_folder.folder)})
    return 0


def _suggest_command(workspace: Workspace, model_folder: ModelFolder) -> str:
    """Return the command that shows what the model can do, with the conditions that it has."""
    name = quote_name(model_folder.name)
    if is_chat_card(workspace, model_folder.card):
        return f"chat {name}"
    design = read_job(model_folder.folder / "job.toml").design
    if {"grid", "downsampling"} & design.objective_settings.keys():  # an autoencoder, of whose latent there is no prior
        return f"evaluate {name}"
    has_prompt = design.text_encoder or get_ability(plugins.find_part("medium", design.medium), "parse") is not None
    given = [f"--given {condition}=…" for condition in design.conditions]
    return " ".join(["generate", name, *(['--prompt "…"'] if has_prompt else []), *given, "--count 3"])


def _show_progress(events: Generator[Event], console: Console) -> tuple[RunResult | None, int, int]:
    """Run a training and show its progress; a signal ends it between two steps, where it can save.

    Return the result, if it was not ended so, the last step and the signal.
    """
    step = 0
    with closing(events), catch_signals() as stop, console.show_progress("Training", 1.0) as bar:
        for event in show_events(events, bar, console.print_note):
            match event:
                case StepMetrics():
                    step, stop.is_graceful = event.step, True
                case RunResult():
                    return event, event.actual["steps"], 0
            if stop.signal_number:
                return None, step, stop.signal_number
    raise AssertionError("a run ends with its result")


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
        ("share of the GPUs' arithmetic (MFU)", "mfu", "{:.1%}".format),
        ("epsilon", "epsilon", "{:.3g}".format),
        *(
            (f"{unit_name} per second", f"{unit_name}_per_second", "{:,.0f}".format)
            for unit_name in ("tokens", "samples")
        ),
    ):
        if key in actual:
            rows.append((f"  {title}", formatter(forecast[key]) if key in forecast else "-", formatter(actual[key])))
    console.print_lines(format_table(rows))
    if "restated_steps" in forecast:
        _print_restatement(result, console)


def _print_restatement(result: RunResult, console: Console) -> None:
    """Say which result was expected of the steps that the machine had time for."""
    forecast, measurement = result.estimate, result.held_out_metric
    line = f"The machine was slower than forecast: {forecast['restated_steps']:,} of {forecast['steps']:,} steps"
    if measurement is not None and (restated := forecast.get(f"restated_{measurement.key}")) is not None:
        line += f", of which {restated:.3f} {measurement.name} are to be expected"
    console.print_line(f"{line}.")


def _build_before_after_rows(
    measurement: HeldOutMetric, forecast: Mapping[str, Any], actual: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    """Return the rows of what fine-tuning improved, and of what it may have made worse."""
    rows: list[tuple[str, ...]] = [
        ("", "before", "after"),
        (f"  {measurement.name}", f"{forecast['before']:.3f}", f"{measurement.value:.3f}"),
    ]
    if (general_value := actual.get(f"general_{measurement.key}")) is not None:
        before = forecast.get("general_before")
        change = "" if before is None else f" ({general_value / before - 1:+.0%})"
        before_text = "-" if before is None else f"{before:.3f}"
        rows.append((RETENTION_LABELS[measurement.name], before_text, f"{general_value:.3f}{change}"))
    return [*rows, ("", "forecast", "actual")]


@dataclass
class _Stop:
    """The signal that asked to stop, if any; before the first step there is nothing to save, so it ends at once."""

    signal_number: int = 0
    requested_at: float = 0.0
    is_graceful: bool = False


@contextmanager
def catch_signals() -> Generator[_Stop]:
    """Turn a first Ctrl-C, SIGTERM or SIGHUP into a request to stop; a second one, of any kind, ends at once.

    Launchers pass on a Ctrl-C that the terminal has sent to this process too: soon after the first, it is the same one.
    """
    stop = _Stop()
    previous_handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def on_signal(number: int, frame: Any) -> None:
        if stop.signal_number and monotonic() - stop.requested_at < _SAME_SIGNAL_SECONDS:
            return
        if stop.signal_number or not stop.is_graceful:
            previous_handler = previous_handlers[signal.Signals(number)]
            if callable(previous_handler):
                previous_handler(number, frame)
            raise KeyboardInterrupt
        stop.signal_number, stop.requested_at = number, monotonic()

    for number, handler in previous_handlers.items():
        if handler is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


def parse_setting(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise GenloomError("cli.bad_setting", value=text)
    return path.strip(), value.strip()
