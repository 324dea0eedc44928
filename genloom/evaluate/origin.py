"""The possible origins of an output: the nearest items of its model's training data, with their licences."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from genloom import plugins
from genloom.evaluate.near_copies import load_features
from genloom.evaluate.training_sources import TrainingSources
from genloom.trust.copied_spans import measure_copied_spans
from genloom.trust.near_copies import find_near_copies
from genloom.types import Item

MAX_HELD_OUT = 200  # held-out values that say what is near by chance
_COPIED_SHARE = 0.5  # of a text, in one piece
_MAX_EXCERPT_CHARS = 1000
_COPIED_DISTANCE = 0.02  # of features: the same but for noise

Verdict = Literal["own", "near", "copied"]


@dataclass(frozen=True)
class NearestSource:
    """A training item, and what it has in common with the output."""

    source: str
    licence: str
    caption: str = ""
    id: str = ""
    excerpt: str = ""  # of media that are compared as text
    length: int | None = None
    share: float | None = None  # of the output
    similarity: float | None = None  # of media that are compared in features: 0 to 1


@dataclass(frozen=True)
class Origin:
    """The nearest items; `verdict` is None where nothing can be compared."""

    verdict: Verdict | None
    items: tuple[NearestSource, ...]
    missing: tuple[str, ...]  # data that could not be searched


def find_origin(sources: TrainingSources, medium: Any, value: Any) -> Origin:
    """Find the training items that a value is nearest to, and judge by held-out items whether that is chance."""
    if not sources.datasets:
        return Origin(None, (), sources.missing)
    evaluation = plugins.find_part("evaluation", medium.kind) if _has_evaluation(medium) else None
    write_text = getattr(evaluation, "write_copied_text", None)
    if write_text is not None:
        return _find_by_text(sources, write_text, value)
    features = load_features(medium)
    if features is None:
        return Origin(None, (), sources.missing)
    held_out = [item.value for item in islice(sources.documents("val"), MAX_HELD_OUT)]
    report = find_near_copies(
        [value], sources.documents("train"), held_out, features.module.compute_coarse_embedding, features.extract
    )
    items = tuple(
        NearestSource(
            match.item.source,
            match.item.licence,
            str(match.item.meta.get("caption", "")),
            str(match.item.meta.get("id", "")),
            similarity=1 - match.distance,
        )
        for match in report.matches[0]
    )
    verdict: Verdict = "near" if report.is_near_copy(0) else "own"
    if report.matches[0] and report.matches[0][0].distance < _COPIED_DISTANCE:
        verdict = "copied"
    return Origin(verdict, items, sources.missing)


def _find_by_text(sources: TrainingSources, write_text: Any, value: Any) -> Origin:
    text = write_text(value, is_output=True)
    report = measure_copied_spans(
        [text],
        _write_items(sources.documents("train"), write_text),
        _write_items(islice(sources.documents("val"), MAX_HELD_OUT), write_text),
    )
    span = report.spans[0]
    chance = report.baseline.maximum if report.baseline else 0
    share = span.length / max(len(text), 1)
    verdict: Verdict = "own" if span.length <= chance else "copied" if share >= _COPIED_SHARE else "near"
    excerpt = span.text[:_MAX_EXCERPT_CHARS] if text == value else ""  # other media write what nobody reads
    item = NearestSource(span.source, span.licence, excerpt=excerpt, length=span.length, share=share)
    return Origin(verdict, (item,) if span.length else (), sources.missing)


def _write_items(items: Any, write_text: Any) -> Iterator[Item]:
    return (Item(write_text(item.value, is_output=False), item.source, item.licence, item.meta) for item in items)


def _has_evaluation(medium: Any) -> bool:
    return medium.kind in plugins.list_part_names("evaluation")
