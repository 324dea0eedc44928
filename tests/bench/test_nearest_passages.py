"""Nearest passages against brute force, and on planted passages."""

import random
import runpy
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.types import Item

find_nearest_passages = runpy.run_path(str(Path(__file__).parents[2] / "bench/nearest_passages.py"))[
    "find_nearest_passages"
]

WORDS = (
    "the",
    "sea",
    "and",
    "a",
    "ship",
    "on",
    "it",
    "under",
    "moon",
    "so",
    "far",
    "from",
    "home",
    "we",
    "sang",
    "salt",
)


def prose(seed: int, words: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(words))


def grams(text: str, size: int) -> set[str]:
    return {text[i : i + size] for i in range(len(text) - size + 1)}


def best_share(output: str, documents: list[str], size: int) -> float:
    """The best over all passages of two half lengths that begin at a multiple of half a length."""
    length, known = max(len(output), 200), grams(output, size)
    half = length // 2
    best = 0.0
    for text in documents:
        for start in range(0, max(len(text), 1), half):
            within = {text[i : i + size] for i in range(start, min(start + 2 * half, len(text) - size + 1))}
            best = max(best, len(within & known) / len(known))
    return best


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(0, 150), min_size=1, max_size=6))
def test_the_nearest_passage_agrees_with_brute_force(seed, sizes):
    documents = [prose(seed + i, words) for i, words in enumerate(sizes)]
    outputs = [prose(seed - 1, 30), prose(seed - 2, 90)]
    found = find_nearest_passages(outputs, [Item(text, str(i)) for i, text in enumerate(documents)])
    for output, matches in zip(outputs, found, strict=True):
        assert (matches[0].containment if matches else 0.0) == best_share(output, documents, 8)
        assert all(match.text in documents[int(match.source)] for match in matches)


def test_planted_passages_are_found_in_order_with_their_licences():
    output = prose(1, 60)
    half = len(output) // 2
    filler = "0123456789 " * 400
    documents = [
        Item(filler, "digits"),
        Item(filler[:500] + output[:half] + filler, "half", "CC-BY-4.0"),
        Item(output, "whole", "CC0-1.0"),
        Item(filler + output[: half // 2], "quarter"),
    ]
    [matches] = find_nearest_passages([output], documents)
    assert [match.source for match in matches] == ["whole", "half", "quarter"]
    assert (matches[0].containment, matches[0].licence, matches[0].offset) == (1.0, "CC0-1.0", 0)
    assert 0.4 < matches[1].containment < 0.6


def test_passages_of_one_document_do_not_overlap():
    output = prose(2, 50)
    [matches] = find_nearest_passages([output], [Item(f"{output} {output} {output}")], count=5)
    offsets = sorted(match.offset for match in matches)
    assert all(later - earlier >= len(output) // 2 * 2 for earlier, later in pairwise(offsets))
    assert len(offsets) >= 2


def test_chunking_does_not_change_the_matches(monkeypatch):
    documents = [Item(prose(i, 400), str(i)) for i in range(20)]
    outputs = [documents[7].value[900:1200], prose(99, 60), "short", ""]
    whole = find_nearest_passages(outputs, documents)
    monkeypatch.setattr("genloom.trust.text_chunks._FIRST_CHUNK_CHARS", 64)
    cut = find_nearest_passages(outputs, documents)
    assert [[m.containment for m in matches][:1] for matches in whole[:1]] == [
        [m.containment for m in matches][:1] for matches in cut[:1]
    ]
    assert cut[0][0].source == whole[0][0].source == "7"
    assert whole[2:] == [[], []]
    assert find_nearest_passages([], documents) == []
