"""An evaluation of one model on one dataset, and its JSON report."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from genloom.evaluate.likelihood import BlockLosses, compute_bits_per_byte
from genloom.evaluate.text.diversity import TextDiversity
from genloom.evaluate.text.ngram_baseline import NGramBaseline
from genloom.metrics.statistics import IntervalEstimate


@dataclass(frozen=True)
class Evaluation:
    """Measurements of one model.

    `dataset` is a digest and a split, so that only measurements on the same text are compared.
    """

    model: str
    dataset: str
    losses: BlockLosses
    ngram_baseline: NGramBaseline | None = None
    diversity: TextDiversity | None = None

    @property
    def bits_per_byte(self) -> IntervalEstimate:
        return compute_bits_per_byte(self.losses)


def to_report(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as JSON values; infinities, which JSON lacks, become null."""
    baseline = evaluation.ngram_baseline
    return {
        "model": evaluation.model,
        "dataset": evaluation.dataset,
        "bits_per_byte": _estimate_to_json(evaluation.bits_per_byte),
        "ngram_baseline": baseline
        and {
            "order": baseline.order,
            "bits_per_byte": _estimate_to_json(baseline.bits_per_byte),
            "nats_per_character": baseline.nats_per_character,
            "train_bytes": baseline.train_bytes,
            "is_capped": baseline.is_capped,
            "losses": _losses_to_json(baseline.losses),
        },
        "diversity": evaluation.diversity and asdict(evaluation.diversity),
        "losses": _losses_to_json(evaluation.losses),
    }


def _estimate_to_json(estimate: IntervalEstimate) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(estimate).items()}


def _losses_to_json(losses: BlockLosses) -> dict[str, list[float]]:
    return {"nats": losses.nats.tolist(), "num_bytes": losses.num_bytes.tolist()}
