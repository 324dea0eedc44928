"""Progress on standard error: a bar on a terminal, else a line every few seconds."""

import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf, isfinite, log
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from genloom.option_names import name_options
from genloom.text_format import format_bytes, format_count, format_duration, format_table, remove_controls

if TYPE_CHECKING:
    from genloom.collect import CollectProgress
    from genloom.model.likelihood import HeldOutMetric
    from genloom.train.events import RunEstimate, StepMetrics

E = TypeVar("E")

_SECONDS_BETWEEN_LINES = 5.0
# What English is like that a new model writes, by its bits per byte (docs/text.md has samples).
TEXT_LEVELS = ((1.1, "sense"), (1.6, "sentences"), (1.95, "sound"), (2.7, "words"), (inf, "letters"))
TEXT_QUALITY = {
    "sense": "English at this level mostly makes sense",
    "sentences": "English at this level has good sentences; a paragraph loses its thread",
    "sound": "English at this level sounds right and means little; a pretrained model makes sense (--from)",
    "words": "English at this level is words without sense, some invented; a pretrained model makes sense (--from)",
    "letters": "English at this level is hardly words; a pretrained model makes sense (--from)",
    "repetitive": "unknown: the text repeats itself so much that few bits per byte do not mean that it makes sense",
    "little_data": "unknown: from so little text, low values mean copied text; a pretrained model helps (--from)",
}
REPETITIVE_BASELINE = 1.2  # of n-gram counts, which reach about 2 on megabytes of prose
MIN_TOKENS_OF_SENTENCES = 200_000  # of different text, most of a megabyte: less shows no grammar, but can repeat itself
_LOSS_DECAY = 0.95  # the loss shown is an average over about twenty steps


class ProgressBar(Protocol):
    """The progress of a piece of work."""

    def update(self, done: float, note: str = "") -> None: ...


def is_interactive() -> bool:
    """Whether a person watches: in a notebook or an interactive interpreter, but not in a script."""
    return "ipykernel" in sys.modules or hasattr(sys, "ps1")


@contextmanager
def open_bar(title: str, total: float = 1.0, is_silent: bool = False) -> Generator[ProgressBar]:
    """Show a bar on a terminal, else a line every few seconds; `update(done, note)` takes `done` up to `total`."""
    if is_silent or not sys.stderr.isatty():
        yield _PlainBar(title, total, is_silent)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
    description, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}", markup=False)
    with Progress(description, *columns, note, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, note="")
        yield _RichBar(lambda done, message: progress.update(task, completed=done, note=message))


@dataclass
class _PlainBar:
    title: str
    total: float
    is_silent: bool
    next_at: float = field(default_factory=lambda: time.monotonic() + _SECONDS_BETWEEN_LINES)

    def update(self, done: float, note: str = "") -> None:
        now = time.monotonic()
        if self.is_silent or now < self.next_at:
            return
        self.next_at = now + _SECONDS_BETWEEN_LINES
        percent = 100 * done / self.total if self.total else 100
        print(remove_controls(f"{self.title} {percent:.0f} %  {note}".rstrip()), file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _RichBar:
    update_task: Callable[[float, str], Any]

    def update(self, done: float, note: str = "") -> None:
        self.update_task(done, note)


def print_note(text: str) -> None:
    """Print a line about the work in progress on standard error."""
    print(remove_controls(text), file=sys.stderr, flush=True)


def ignore_note(text: str) -> None:
    """Print nothing."""


def run_events(events: Iterable[E], title: str, is_shown: bool) -> E:
    """Run the events of a collection, training or round of learning to their end, and return the last one."""
    with open_bar(title, is_silent=not is_shown) as bar:
        (result,) = deque(show_events(events, bar, print_note if is_shown else ignore_note), maxlen=1)
    return result


def show_events(events: Iterable[E], bar: ProgressBar, note: Callable[[str], None]) -> Iterator[E]:
    """Yield the events of a training or round of learning, after showing each on the bar (0 to 1) or as a note."""
    from genloom.train.events import EvalMetrics, RunEstimate, RunWarning, Status, StepMetrics, TextSample

    eval_note, losses, first_loss = "", {}, None
    for event in events:
        match event:
            case Status(text):
                note(text)
            case RunWarning(text):
                note(f"Note: {text}")
            case RunEstimate(loss_before=first_loss):
                for line in format_estimate(event):
                    note(line)
            case TextSample(step, text):
                note(f"  writes at step {step:,}: {text}")
            case EvalMetrics():
                before = "" if first_loss is None else f" ({first_loss:.3f} before)"
                eval_note = f", {format_measurement(event.held_out_metric)}{before}"
            case StepMetrics():
                if first_loss is None:  # batches of a small data set differ by more than tuning changes
                    losses = smooth_losses(losses, event.losses)
                bar.update(event.step / event.steps, format_step(event, losses, eval_note))
        yield event


def show_collection(events: Iterable["CollectProgress"], bar: ProgressBar) -> Iterator["CollectProgress"]:
    """Yield the events of a collection, after showing each on the bar (0 to 1)."""
    for event in events:
        skipped_note = f", {format_count(event.files_skipped, 'file')} skipped" if event.files_skipped else ""
        amount = f"{format_bytes(event.bytes_done)} of {format_bytes(event.total_bytes)}"
        bar.update(event.bytes_done / max(event.total_bytes, 1), f"{amount}, {describe_counts(event)}{skipped_note}")
        yield event


def describe_counts(event: "CollectProgress") -> str:
    """Return how many documents were read, or kept, which is known only when all are compared."""
    return f"{event.documents_read:,} read" if event.stage == "reading" else f"{event.documents_kept:,} kept"


def smooth_losses(previous: Mapping[str, float], current: Mapping[str, float]) -> dict[str, float]:
    """Return the exponential moving average of the losses, over about twenty steps."""
    return {
        name: value + _LOSS_DECAY * (previous.get(name, value) - value)
        for name, value in current.items()
        if isfinite(value)
    }


def format_measurement(measurement: "HeldOutMetric") -> str:
    """Return a held-out measurement as text."""
    from genloom.model.likelihood import BITS_PER_BYTE

    if measurement.name == BITS_PER_BYTE:
        return f"held-out {measurement.value:.3f} bits/byte"
    return f"{measurement.name} {measurement.value:.4f}"


def format_step(event: "StepMetrics", losses: Mapping[str, float], eval_note: str = "") -> str:
    """Return a training step as the note of a bar."""
    from genloom.train.events import TOKENS

    metrics = {"agreement": "agreement {:.0%}", "reward": "mean reward {:.2f}"}
    if notes := [text.format(event.metrics[name]) for name, text in metrics.items() if name in event.metrics]:
        return f"loss {sum(losses.values()):.3f}, {notes[-1]}"  # of preferences
    amounts = {
        name: f"{value / log(2):.3f} bits" if event.unit == TOKENS else f"{value:.4f}" for name, value in losses.items()
    }
    loss = "".join(f", {'loss' if len(losses) == 1 else name} {amount}" for name, amount in amounts.items())
    speed = f"{event.units_per_second:,.0f} {event.unit.word}/s"
    time_left = "" if sys.stderr.isatty() else f", {format_duration(event.seconds_left)} left"  # the bar shows it
    return f"step {event.step:,}/{event.steps:,}{loss}{eval_note}, {speed}{time_left}"


def format_estimate(estimate: "RunEstimate") -> list[str]:
    """Return the cost and the expected quality of a training as lines."""
    trained_note = f", of which {estimate.num_trained:,} are trained" if estimate.num_trained else ""
    amount = f"{estimate.total_units:,} {estimate.unit.word} in {format_count(estimate.steps, 'step')}"
    epochs = f", {estimate.num_epochs:.1f} passes over the data" if estimate.num_epochs else ""
    cost = f"about {format_duration(estimate.seconds)} and {format_bytes(estimate.memory_bytes)} of memory"
    preparation = (
        f", after {format_duration(estimate.setup_seconds)} of preparation" if estimate.setup_seconds >= 1 else ""
    )
    rows: list[tuple[str, ...]] = [
        ("  network", f"{estimate.num_parameters:,} parameters{trained_note}"),
        ("  training", f"{amount}{epochs}, {estimate.units_per_second:,.0f} per second"),
        ("  cost", f"{cost}{preparation}"),
        ("  quality", _format_expected(estimate)),
    ]
    if words := describe_quality(estimate):
        rows.append(("  in words", words))
    return ["Estimate:", *format_table(rows)]


def describe_quality(estimate: "RunEstimate") -> str:
    """Return what new text of the expected bits per byte is like, in words; "" for other models."""
    return name_options(TEXT_QUALITY.get(find_text_level(estimate), ""))


def find_text_level(estimate: "RunEstimate") -> str:
    """Return the key of TEXT_QUALITY; "" for a model of another medium, or without a forecast."""
    from genloom.model.likelihood import BITS_PER_BYTE

    if estimate.metric != BITS_PER_BYTE or estimate.expected_loss is None:
        return ""
    if estimate.ngram_baseline is not None and estimate.ngram_baseline < REPETITIVE_BASELINE:
        return "repetitive"
    level = next(level for limit, level in TEXT_LEVELS if estimate.expected_loss < limit)
    num_tokens = estimate.total_units / estimate.num_epochs if estimate.num_epochs else inf  # of the training data
    return "little_data" if level in ("sense", "sentences") and num_tokens < MIN_TOKENS_OF_SENTENCES else level


def _format_expected(estimate: "RunEstimate") -> str:
    if estimate.expected_loss is not None and estimate.ngram_baseline is not None:
        margin = estimate.expected_loss * estimate.error_margin
        baseline_note = f"n-gram baseline: {estimate.ngram_baseline:.2f}"
        return f"{estimate.expected_loss:.2f} ± {margin:.2f} {estimate.metric} ({baseline_note})"
    if estimate.loss_before is not None:
        general_loss = estimate.general_loss_before
        general = "" if general_loss is None else f", of general text {general_loss:.3f}"
        return f"now {estimate.loss_before:.3f} {estimate.metric}{general}"
    return f"unknown: there is no forecast of the {estimate.metric} of such a model"
