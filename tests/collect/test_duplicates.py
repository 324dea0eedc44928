"""Exact copies and near-duplicates are found, in any order and among any number of documents."""

import hashlib
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from genloom.collect import sorted_runs
from genloom.collect.builtin import load_shakespeare
from genloom.collect.duplicates import VERDICTS, DuplicateFinder, Sketches
from genloom.collect.sorted_runs import SortedRuns
from genloom.collect.text.minhash import (
    BLOCK_BYTES,
    NGRAM_WORDS,
    ComparedText,
    _hash_words,
    compute_similarity,
    compute_sketches,
)

WORDS = sorted({word.lower() for word in load_shakespeare().split() if word.isalpha()})


def classify(finder: DuplicateFinder, texts: list[str], near: bool = True, at_once: int = 50) -> list[str]:
    for start in range(0, len(texts), at_once):
        batch = texts[start : start + at_once]
        digests = [hashlib.sha256(text.encode()).digest() for text in batch]
        finder.add(compute_sketches([ComparedText(text) for text in batch], digests, near))
    return [VERDICTS[number] for number in finder.find_duplicates()]


def prose(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def edit_words(text: str, draw: random.Random, edits: int) -> str:
    words = text.split()
    for place in draw.sample(range(len(words)), edits):
        words[place] = draw.choice(WORDS)
    return " ".join(words)


def grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(*(words[i:] for i in range(NGRAM_WORDS)), strict=False))


def jaccard(a: str, b: str) -> float:
    return len(grams(a) & grams(b)) / len(grams(a) | grams(b))


def test_planted_near_duplicates_and_nothing_else_are_found(tmp_path: Path) -> None:
    draw = random.Random(11)
    originals = [prose(draw, draw.randrange(100, 2000)) for _ in range(300)]
    twins = [edit_words(text, draw, max(1, len(text.split()) // 200)) for text in originals]
    assert min(jaccard(a, b) for a, b in zip(originals, twins, strict=True)) > 0.87
    texts = [*originals, *twins]
    draw.shuffle(texts)
    verdicts = classify(DuplicateFinder(tmp_path, 0.8, compute_similarity), texts)
    kept = [text for text, verdict in zip(texts, verdicts, strict=True) if not verdict]
    # the similarity is estimated (deviation 0.03), so that one twin in a hundred may pass, but no original is dropped
    assert 300 <= len(kept) <= 303
    pairs = list(zip(originals, twins, strict=True))
    assert all(a in kept or b in kept for a, b in pairs)


def test_a_document_that_is_less_alike_hides_no_near_duplicate(tmp_path: Path) -> None:
    keys = np.arange(1, 5, dtype=np.uint64)
    stories = {"one": ([100, 0, 5, 100], [0, 0, 2, 2]), "several": ([100, 0, 50, 70, 2, 72], [0, 0, 0, 0, 2, 2])}
    for folder, (levels, expected) in stories.items():
        (tmp_path / folder).mkdir()
        finder = DuplicateFinder(tmp_path / folder, 0.9, lambda a, b: 1 - np.abs(b[:, 0] - a[0].astype(float)) / 100)
        for number, level in enumerate(levels):
            row = (keys + np.uint64(100 * number) * (keys == 1))[None]  # only the first key is its own
            finder.add(Sketches(row, np.array([[level]], np.uint8)))
        assert finder.find_duplicates().tolist() == expected


def test_case_and_punctuation_make_no_difference(tmp_path: Path) -> None:
    text = load_shakespeare()[:5000]
    other = text.replace(",", " --").replace(".", "!").upper()
    assert classify(DuplicateFinder(tmp_path, 0.8, compute_similarity), [text, other, text]) == [
        "",
        "near-duplicate",
        "exact copy",
    ]


def test_japanese_text_without_blanks_is_compared(tmp_path: Path) -> None:
    draw = random.Random(2)
    one = "".join(chr(draw.randrange(0x4E00, 0x5000)) for _ in range(2000))
    other = "".join(chr(draw.randrange(0x4E00, 0x5000)) for _ in range(2000))
    assert classify(DuplicateFinder(tmp_path, 0.8, compute_similarity), [one, one[:990] + "変" + one[991:], other]) == [
        "",
        "near-duplicate",
        "",
    ]


@pytest.mark.parametrize("text", ["", "one", "one two three four", "a b c d e", "?!"])
def test_the_shortest_texts(tmp_path: Path, text: str) -> None:
    assert classify(DuplicateFinder(tmp_path, 0.8, compute_similarity), [text, "quite another text", text]) == [
        "",
        "",
        "exact copy",
    ]


def test_only_exact_copies_if_requested(tmp_path: Path) -> None:
    text = load_shakespeare()[:5000]
    assert classify(DuplicateFinder(tmp_path, 0.0, compute_similarity), [text, text + " more", text], near=False) == [
        "",
        "",
        "exact copy",
    ]


def test_the_verdicts_depend_neither_on_the_batches_nor_on_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(4)
    texts = [prose(draw, 60) for _ in range(5000)]
    texts += [edit_words(text, draw, draw.randrange(0, 4)) for text in texts[:1000]]
    draw.shuffle(texts)
    outcomes = []
    for at_once, max_records in ((len(texts), 1 << 21), (700, 10_000)):  # in memory, and in ten sorted runs
        monkeypatch.setattr(sorted_runs, "MAX_RECORDS", max_records)
        folder = tmp_path / str(at_once)
        folder.mkdir()
        outcomes.append(classify(DuplicateFinder(folder, 0.8, compute_similarity), texts, at_once=at_once))
    assert outcomes[0] == outcomes[1]
    assert 400 < sum(map(bool, outcomes[0])) <= 1000


def test_the_estimated_similarity_is_near_the_true_one() -> None:
    draw = random.Random(8)
    text = prose(draw, 3000)
    for edits in (0, 30, 100, 300):
        other = edit_words(text, draw, edits)
        marks = compute_sketches(
            [ComparedText(text), ComparedText(other)], [bytes(32)] * 2, should_find_near=True
        ).signatures_BP
        assert compute_similarity(marks[0], marks[1:])[0] == pytest.approx(jaccard(text, other), abs=0.12)


@pytest.mark.parametrize(("width", "key_bits"), [(1, 64), (2, 64), (2, 10)])
def test_sorted_runs_equal_a_sort(width: int, key_bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each range holds whole keys, in order; records with one key keep theirs."""
    monkeypatch.setattr(sorted_runs, "MAX_RECORDS", 500)
    draw = np.random.default_rng(6)
    runs, parts = SortedRuns(tmp_path, "runs", width, key_bits), []
    for start in range(0, 4000, 170):
        keys = draw.integers(0, 1 << min(key_bits, 62), 170).astype(np.uint64)
        keys[:40] = 7  # a key with more records than fit at once
        records = np.stack([keys, np.arange(start, start + 170, dtype=np.uint64)], axis=1)[:, :width]
        runs.add(records)
        parts.append(records)
    everything = np.concatenate(parts)
    expected = everything[np.argsort(everything[:, 0], kind="stable")]
    ranges = list(runs.iter_ranges())
    assert np.concatenate(ranges).tolist() == expected.tolist()
    assert len(ranges) > 1
    ends = [(part[0, 0], part[-1, 0]) for part in ranges]
    assert all(end < begin for (_, end), (begin, _) in pairwise(ends)), "a key is in one range"
    assert np.concatenate(list(runs.iter_ranges())).tolist() == expected.tolist(), "and again"


def test_the_hash_of_a_word_does_not_depend_on_its_position() -> None:
    draw = random.Random(3)
    words = [bytes(draw.choices(range(97, 123), k=draw.randint(1, 9))).decode() for _ in range(5000)]
    text = "".join(word + draw.choice([" ", ", ", "\n\n", " — "]) for word in words * 4)
    assert len(text) > 2 * BLOCK_BYTES
    tokens, counts = _hash_words(["", text, " ".join(words), ".", words[0].upper()])
    assert counts.tolist() == [0, len(_plain(text)), 5000, 0, 1]
    by_word = dict(zip(_plain(text), tokens.tolist(), strict=False))
    assert [by_word[word] for word in _plain(text)] == tokens[: counts[1]].tolist()
    assert len(set(by_word.values())) == len(by_word)
    assert tokens[counts[1] : -1].tolist() == [by_word[word] for word in words]
    assert tokens[-1] == by_word[words[0]]


def _plain(text: str) -> list[str]:
    return text.lower().replace(",", " ").split()
