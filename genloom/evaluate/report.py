"""An evaluation as a value: what was measured of one model on one dataset, and the JSON it is kept as."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from genloom.evaluate.likelihood import BlockLosses, IntervalEstimate, compute_bits_per_byte
from genloom.evaluate.text.diversity import TextDiversity
from genloom.evaluate.text.ngram_baseline import NGramBaseline


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one model; `dataset` is a digest and split, so that only like is compared with like."""

    model: str
    dataset: str
    losses: BlockLosses
    ngram_baseline: NGramBaseline | None = None
    diversity: TextDiversity | None = None

    @property
    def bits_per_byte(self) -> IntervalEstimate:
        return compute_bits_per_byte(self.losses)


def to_report(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values; numbers that JSON has no word for become null."""
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
        "pieces": _losses_to_json(evaluation.losses),
    }


def from_report(report: Mapping[str, Any]) -> Evaluation:
    """The inverse of `to_report`; raises ValueError where the report is not one."""
    try:
        baseline, diversity = report["floor"], report["variety"]
        return Evaluation(
            model=str(report["model"]),
            dataset=str(report["dataset"]),
            losses=_read_losses(report["pieces"]),
            ngram_baseline=None if baseline is None else _read_baseline(baseline),
            diversity=None if diversity is None else _read_diversity(diversity),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this evaluation report is damaged ({error}); evaluate the model again") from None


def _estimate_to_json(estimate: IntervalEstimate) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(estimate).items()}


def _losses_to_json(losses: BlockLosses) -> dict[str, list[float]]:
    return {"nats": losses.nats.tolist(), "num_bytes": losses.num_bytes.tolist()}


def _read_losses(values: Mapping[str, Any]) -> BlockLosses:
    return BlockLosses.from_pairs(zip(values["nats"], values["bytes"], strict=True))


def _read_baseline(values: Mapping[str, Any]) -> NGramBaseline:
    losses = _read_losses(values["pieces"])
    return NGramBaseline(
        order=int(values["order"]),
        bits_per_byte=compute_bits_per_byte(losses),
        nats_per_character=float(values["nats_per_character"]),
        losses=losses,
        train_bytes=int(values["train_bytes"]),
        is_capped=bool(values["capped"]),
    )


def _read_diversity(values: Mapping[str, Any]) -> TextDiversity:
    first, second, third, fourth = values["distinct_ratios"]
    other_values = {name: value for name, value in values.items() if name != "distinct"}
    return TextDiversity(distinct_ratios=(first, second, third, fourth), **other_values)
