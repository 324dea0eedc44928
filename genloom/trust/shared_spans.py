"""The longest passages that values written as text share with training data, by an index of it.

Composes the index of spans, which selects documents, and the exact search of `copied_spans`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genloom.trust.copied_spans import CopiedSpan, find_longest_copies, sample_passages
from genloom.trust.copies import NUM_MATCHES, Chance, CopyReport, Match, TrainingData, read_numbered
from genloom.trust.span_index import MIN_CANDIDATES, SpanIndex, open_span_index
from genloom.types import Item

_NUM_PASSAGES = 20  # held-out ones, of the lengths of the values


@dataclass(frozen=True)
class SpanReading:
    """How the values of a medium are read as text."""

    kind: str  # of the index: "text"
    unit: str  # of a length
    write: Callable[..., str]  # (value, is_output=...) -> the text in which passages are found
    build_match: Callable[[Any, str, CopiedSpan, Item], Match]  # (value, its text, the span, the document)
    gram: int = 12  # k and s of the index
    stride: int = 8
    added: int = 0  # units of a passage above the characters of its text: a run of notes has one more than its steps


def find_shared_spans(values: Sequence[Any], data: TrainingData, reading: SpanReading) -> list[CopyReport]:
    """Find the longest passages of each value in training documents, and those of held-out passages of equal length."""
    indexes = [_open_index(data, number, reading) for number in range(len(data.datasets))]
    texts = [reading.write(value, is_output=True) for value in values]
    lengths = [len(text) for text in texts if text] or [1]
    held_out = (_write_item(item, reading, is_output=True) for item in data.iter_held_out())
    passages = sample_passages(held_out, [lengths[n % len(lengths)] for n in range(_NUM_PASSAGES)])
    candidates = _find_candidates([*texts, *passages], indexes)
    documents = _read_candidates(data, candidates)
    spans = _find_spans([*texts, *passages], data, candidates, documents, reading)
    shared = [span.length + reading.added * (span.length > 0) for span in spans[len(texts) :]]
    chance = Chance(len(shared), float(np.median(shared)), float(max(shared))) if shared else None
    reports = []
    for value, text, span, own in zip(values, texts, spans, candidates, strict=False):
        compared = [documents[key] for key in own[:MIN_CANDIDATES]] if own else []
        matches = _list_matches(value, text, span, compared, reading)
        reports.append(CopyReport(tuple(matches), chance, reading.unit))
    return reports


def _open_index(data: TrainingData, number: int, reading: SpanReading) -> SpanIndex:
    dataset = data.datasets[number]
    texts = (reading.write(item.value, is_output=False) for item in dataset.iter_documents("train"))
    return open_span_index(data.get_index_folder(dataset, reading.kind), texts, reading.gram, reading.stride)


def _write_item(item: Item, reading: SpanReading, *, is_output: bool) -> Item:
    return Item(reading.write(item.value, is_output=is_output), item.source, item.licence, item.meta)


def _find_candidates(texts: Sequence[str], indexes: Sequence[SpanIndex]) -> list[list[tuple[int, int]]]:
    """Return the data set and number of each document that can share the longest span with a text."""
    return [
        [(number, document) for number, index in enumerate(indexes) for document in index.find_candidates(text)]
        for text in texts
    ]


def _read_candidates(
    data: TrainingData, candidates: Sequence[Sequence[tuple[int, int]]]
) -> dict[tuple[int, int], Item]:
    wanted = sorted({key for keys in candidates for key in keys})
    found: dict[tuple[int, int], Item] = {}
    for number, dataset in enumerate(data.datasets):
        own = [document for each, document in wanted if each == number]
        items = read_numbered(dataset, own) if own else []
        found |= {(number, document): item for document, item in zip(own, items, strict=True)}
    return found


def _find_spans(
    texts: Sequence[str],
    data: TrainingData,
    candidates: Sequence[Sequence[tuple[int, int]]],
    documents: dict[tuple[int, int], Item],
    reading: SpanReading,
) -> list[CopiedSpan]:
    """Return the longest span of each text; without a candidate it is short, and all documents are read for it."""
    numbers = {True: [n for n, own in enumerate(candidates) if own], False: []}
    numbers[False] = [n for n, own in enumerate(candidates) if not own]
    sources = {True: iter(documents.values()), False: data.iter_documents()}
    spans: dict[int, CopiedSpan] = {}
    for has_candidates, own in numbers.items():
        if own:
            items: Iterator[Item] = (_write_item(item, reading, is_output=False) for item in sources[has_candidates])
            found = find_longest_copies([texts[n] for n in own], items)
            spans |= dict(zip(own, found, strict=True))
    return [spans[n] for n in range(len(texts))]


def _list_matches(
    value: Any, text: str, best: CopiedSpan, compared: Sequence[Item], reading: SpanReading
) -> list[Match]:
    """Return the documents with the longest spans, longest first; the first has the longest of all."""
    if not best.length:
        return []
    pairs: list[tuple[CopiedSpan, Item]] = []
    for item in compared:
        (span,) = find_longest_copies([text], [_write_item(item, reading, is_output=False)])
        pairs.append((span, item))
    if not any(span.length == best.length for span, _ in pairs):
        pairs.append((best, Item(None, best.source, best.licence)))
    pairs = sorted((pair for pair in pairs if pair[0].length), key=lambda pair: -pair[0].length)[:NUM_MATCHES]
    return [reading.build_match(value, text, span, item) for span, item in pairs]
