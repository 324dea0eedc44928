"""The evaluation of a medium without its own: held-out loss, checks of samples, near copies if it has features."""

import mimetypes
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

from genloom.evaluate.battery import Battery
from genloom.evaluate.charts import draw_loss_bars
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.held_out import build_comparison_report, measure_held_out_loss
from genloom.evaluate.likelihood import HeldOutLoss, compare_held_out
from genloom.evaluate.near_copies import format_near_copies, load_features, measure_near_copies, near_copies_to_json
from genloom.evaluate.report import ComparisonReport, Report, Sample, estimate_to_json
from genloom.evaluate.sampling import generate_for_items, label_item
from genloom.media.abilities import get_ability
from genloom.metrics.statistics import compute_wilson_interval
from genloom.text_format import format_count
from genloom.types import Item

DEFAULT_NUM_SAMPLES = 32
MAX_SHEET_VALUES = 24

BATTERY: Battery | None = None


def evaluate(context: EvaluationContext) -> Report:
    """Measure the held-out loss and the samples for the conditions of held-out items."""
    return build_report(context, *generate_samples(context))


def generate_samples(context: EvaluationContext) -> tuple[list[Item], list[Any]]:
    """Return held-out items, and a sample for the conditions of each."""
    items = list(context.dataset.sample_documents(context.split, context.options.num_samples or DEFAULT_NUM_SAMPLES))
    return items, generate_for_items(context.model, context.options, items, context.progress)


def build_report(
    context: EvaluationContext, items: Sequence[Item], outputs: Sequence[Any], notes: Sequence[str] = ()
) -> Report:
    """Return the report on samples; the notes stand beside them on the sheet."""
    model = context.model
    held_out_loss = measure_held_out_loss(context)
    problems = [context.medium.check(Item(value)) for value in outputs]
    valid = compute_wilson_interval(sum(not found for found in problems), len(problems))
    lines = [
        *format_loss(held_out_loss, get_ability(context.medium, "plural")),
        f"{format_count(len(outputs), 'sample')} generated:",
        f"  {valid.mean:.0%} without problems (95 % interval {valid.low:.0%} to {valid.high:.0%})",
        *(f"  {count} × {text}" for text, count in Counter(chain.from_iterable(problems)).most_common(5)),
    ]
    details = {
        **held_out_loss.to_json(),
        "valid": estimate_to_json(valid),
        "problems": problems,
        "samples": [dict(get_ability(context.medium, "describe")(value)) for value in outputs],
    }
    if (features := load_features(context.medium)) is not None:
        held_out_values = [item.value for item in items]
        near_copies = measure_near_copies(context, features, outputs, held_out_values)
        lines += format_near_copies(context.sources, near_copies)
        details["copied"] = near_copies_to_json(context.sources, near_copies)
    labels = [
        " · ".join(filter(None, (label_item(model, item), note)))
        for item, note in zip(items, notes or [""] * len(items), strict=True)
    ]
    files = {"held_out_loss.png": draw_loss_bars([held_out_loss]), **draw_sheet(context, outputs, labels)}
    measures = {held_out_loss.metric: held_out_loss.estimate, "valid": valid}
    return Report(model.ref, context.dataset_ref, measures, details, lines, files)


def compare(first: EvaluationContext, second: EvaluationContext) -> ComparisonReport:
    """Compare the losses of two models on the same held-out data, and show a sample of each."""
    comparison = compare_held_out(measure_held_out_loss(first), measure_held_out_loss(second))
    items = list(first.dataset.sample_documents(first.split, 1))
    samples = []
    for context, held_out_loss in ((first, comparison.first), (second, comparison.second)):
        (value,) = generate_for_items(context.model, context.options, items, context.progress)
        heading = f"{held_out_loss.model}: {held_out_loss.estimate} {held_out_loss.metric}"
        samples.append(Sample(heading, get_ability(context.medium, "show")(value).text))
    return build_comparison_report(first, second, comparison, samples)


def format_loss(held_out_loss: HeldOutLoss, plural: str) -> list[str]:
    """Return the loss as lines for people."""
    estimate, losses = held_out_loss.estimate, held_out_loss.losses
    amount = (
        f"{int(losses.num_units.sum()):,} {held_out_loss.unit}s of" if held_out_loss.unit else f"{len(losses.nats)}"
    )
    interval = f"(95 % interval {estimate.low:.3f} to {estimate.high:.3f}); less is better"
    return [
        f"{held_out_loss.model} on {amount} held-out {plural} ({held_out_loss.dataset.rpartition(':')[2]}):",
        f"  {estimate.mean:.3f} {held_out_loss.metric} {interval}",
    ]


def draw_sheet(context: EvaluationContext, values: Sequence[Any], captions: Sequence[str]) -> dict[str, bytes]:
    """Return the sheet of the first samples as a file, by the medium's own means."""
    shown = get_ability(context.medium, "sheet")(values[:MAX_SHEET_VALUES], captions[:MAX_SHEET_VALUES])
    suffix = mimetypes.guess_extension(shown.mime) or context.medium.suffixes[0]
    return {f"samples{suffix}": shown.data}
