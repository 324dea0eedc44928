"""Held-out loss of any model: bits per unit of token sequences, the objective's loss of samples of one size."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from genloom.errors import GenloomError
from genloom.evaluate.charts import draw_comparison
from genloom.evaluate.context import EvaluationContext
from genloom.evaluate.likelihood import BlockLosses, HeldOutLoss, LossComparison
from genloom.evaluate.report import ComparisonReport, Sample
from genloom.generate import engine
from genloom.media.abilities import get_ability
from genloom.model.likelihood import Scored, build_unit_counter, compute_nll, compute_sample_losses
from genloom.train.data.conditions import get_values
from genloom.train.data.samples import concat_samples, encode_samples
from genloom.types import Item

MAX_SAMPLES = 256  # held-out samples whose loss is the objective's


def measure_held_out_loss(context: EvaluationContext) -> HeldOutLoss:
    """Measure the loss on held-out values, each under its conditions; raises ValueError if nothing is held out."""
    if engine.is_open_sequence(context.model.codec.space):
        items = load_held_out_items(context)
        return score_values(context, [item.value for item in items], items)
    return score_samples(context, list(context.dataset.sample_documents(context.split, MAX_SAMPLES)))


def load_held_out_items(context: EvaluationContext) -> list[Item]:
    """Load a representative part of the held-out items, of up to about `max_bytes`."""
    items, remaining_bytes = [], context.options.max_bytes
    for item in context.dataset.iter_passages(context.split, context.options.max_bytes):
        items.append(item)
        remaining_bytes -= len(context.medium.encode(item.value))
        if remaining_bytes < 0:
            break
    return items


def score_values(context: EvaluationContext, values: Sequence[Scored], items: Sequence[Item] = ()) -> HeldOutLoss:
    """Measure the bits per unit of values, each under the conditions of its item, if there are any."""
    if not values:
        raise GenloomError("evaluate.no_held_out", data=context.dataset.name, split=context.split)
    model, count_units = context.model, build_unit_counter(context.model.design.medium)
    given = [get_values(model.conditioners, item) for item in items] if items and model.conditioners else None
    pairs = compute_nll(model, values, given=given)
    losses = BlockLosses.from_pairs(_with_progress(context, pairs, sum(map(count_units, values))))
    return HeldOutLoss(model.ref, context.dataset_ref, losses, get_ability(context.medium, "unit"))


def score_samples(context: EvaluationContext, items: Sequence[Item]) -> HeldOutLoss:
    """Measure the objective's loss on values of one size, each under its conditions."""
    if not items:
        raise GenloomError("evaluate.no_held_out", data=context.dataset.name, split=context.split)
    model = context.model
    samples = concat_samples(list(encode_samples(items, model.codec, model.conditioners)))
    losses = BlockLosses.from_pairs(compute_sample_losses(model, samples.build_batch(np.arange(len(samples)))))
    scale = f"{model.design.objective} over {model.design.codec}"
    return HeldOutLoss(model.ref, context.dataset_ref, losses, unit="", scale=scale)


def _with_progress(
    context: EvaluationContext, pairs: Iterable[tuple[float, int]], total: int
) -> Iterator[tuple[float, int]]:
    with context.progress.show_progress(f"Reading held-out {get_ability(context.medium, 'plural')}", total) as bar:
        num_done = 0
        for nats, num_units in pairs:
            yield nats, num_units
            num_done += num_units
            bar.update(num_done)


def build_comparison_report(
    first: EvaluationContext, second: EvaluationContext, comparison: LossComparison, samples: list[Sample]
) -> ComparisonReport:
    """Return the report of two models whose held-out losses were compared, with samples of both."""
    return ComparisonReport(
        first.model.ref,
        second.model.ref,
        comparison.first.metric,
        comparison.difference,
        comparison.to_json(),
        [str(comparison)],
        draw_comparison(comparison),
        samples,
    )
