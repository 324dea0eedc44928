"""An evaluation as a value: what was measured of one model on one dataset, and the JSON it is kept as."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from genloom.evaluate.floor import Floor
from genloom.evaluate.likelihood import Estimate, Pieces, bits_per_byte
from genloom.evaluate.samples import Variety


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one model; `dataset` is a digest and split, so that only like is compared with like."""

    model: str
    dataset: str
    pieces: Pieces
    floor: Floor | None = None
    variety: Variety | None = None

    @property
    def bits_per_byte(self) -> Estimate:
        return bits_per_byte(self.pieces)


def to_report(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values; numbers that JSON has no word for become null."""
    floor = evaluation.floor
    return {
        "model": evaluation.model,
        "dataset": evaluation.dataset,
        "bits_per_byte": _estimate(evaluation.bits_per_byte),
        "floor": floor
        and {
            "order": floor.order,
            "bits_per_byte": _estimate(floor.bits_per_byte),
            "nats_per_character": floor.nats_per_character,
            "train_bytes": floor.train_bytes,
            "capped": floor.capped,
            "pieces": _pieces(floor.pieces),
        },
        "variety": evaluation.variety and asdict(evaluation.variety),
        "pieces": _pieces(evaluation.pieces),
    }


def from_report(report: Mapping[str, Any]) -> Evaluation:
    """The inverse of `to_report`; raises ValueError where the report is not one."""
    try:
        floor, variety = report["floor"], report["variety"]
        return Evaluation(
            model=str(report["model"]),
            dataset=str(report["dataset"]),
            pieces=_read_pieces(report["pieces"]),
            floor=None if floor is None else _read_floor(floor),
            variety=None if variety is None else _read_variety(variety),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this evaluation report is damaged ({error}); evaluate the model again") from None


def _estimate(estimate: Estimate) -> dict[str, float | int | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(estimate).items()}


def _pieces(pieces: Pieces) -> dict[str, list[float]]:
    return {"nats": pieces.nats.tolist(), "bytes": pieces.bytes.tolist()}


def _read_pieces(values: Mapping[str, Any]) -> Pieces:
    return Pieces.of(zip(values["nats"], values["bytes"], strict=True))


def _read_floor(values: Mapping[str, Any]) -> Floor:
    pieces = _read_pieces(values["pieces"])
    return Floor(
        order=int(values["order"]),
        bits_per_byte=bits_per_byte(pieces),
        nats_per_character=float(values["nats_per_character"]),
        pieces=pieces,
        train_bytes=int(values["train_bytes"]),
        capped=bool(values["capped"]),
    )


def _read_variety(values: Mapping[str, Any]) -> Variety:
    first, second, third, fourth = values["distinct"]
    rest = {name: value for name, value in values.items() if name != "distinct"}
    return Variety(distinct=(first, second, third, fourth), **rest)
