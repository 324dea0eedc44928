"""The index of spans: it finds the documents that share the longest spans, and agrees with a search of all."""

import random
from pathlib import Path

import pytest

from genloom.trust import span_index
from genloom.trust.copied_spans import find_longest_copies
from genloom.trust.span_index import build_span_index, hash_grams, open_span_index
from genloom.types import Item

LETTERS = "abcdefghij klmnöé狐"


def make_texts(count: int, length: int = 400, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(LETTERS, k=length)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_the_longest_span_is_in_a_candidate(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_index, "_SEGMENT_SAMPLES", 500)  # several segments
    monkeypatch.setattr(span_index, "_SLICE_CHARS", 96)  # several slices of a document
    rng, texts = random.Random(seed), make_texts(60, seed=seed)
    index = open_span_index(tmp_path / "index", texts, 6, 4)
    assert len(index.segments) > 1
    outputs = []
    for _ in range(20):
        parts = [make_texts(1, 30, rng.randrange(10**6))[0]]
        for _ in range(3):
            start, length = rng.randrange(300), rng.randrange(10, 60)
            parts.append(rng.choice(texts)[start : start + length])
        outputs.append("".join(parts))
    spans = find_longest_copies(outputs, [Item(text, str(n)) for n, text in enumerate(texts)])
    for output, span in zip(outputs, spans, strict=True):
        candidates = index.find_candidates(output)
        (found,) = find_longest_copies([output], [Item(texts[n], str(n)) for n in candidates])
        assert found.length == span.length >= 9


def test_no_candidate_means_a_short_span(tmp_path: Path) -> None:
    index = open_span_index(tmp_path / "index", ["abcdefghijkl", "", "xyz"], 6, 4)
    assert index.find_candidates("zzzzzzzzzzzz") == []
    assert index.find_candidates("") == []
    assert index.find_candidates("..abcdefghijkl..") == [0]
    assert open_span_index(tmp_path / "empty", [], 6, 4).find_candidates("abcdefghijkl") == []


def test_an_index_is_read_again_and_not_built_twice(tmp_path: Path) -> None:
    texts = make_texts(5)
    open_span_index(tmp_path / "index", texts, 6, 4)
    index = open_span_index(tmp_path / "index", iter(()), 6, 4)
    assert index.find_candidates(texts[3][50:120])[0] == 3


def test_an_unfinished_index_leaves_nothing(tmp_path: Path) -> None:
    def break_off():
        yield "abcdefghijkl"
        raise RuntimeError("the machine stops")

    with pytest.raises(RuntimeError):
        open_span_index(tmp_path / "cache" / "index", break_off(), 6, 4)
    assert not (tmp_path / "cache" / "index").exists()
    assert open_span_index(tmp_path / "cache" / "index", ["abcdefghijkl"], 6, 4).find_candidates("abcdefghijkl") == [0]


def test_slices_do_not_change_the_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = make_texts(1, 1000)
    build_folder, other = tmp_path / "one", tmp_path / "many"
    for folder, size in ((build_folder, 2**20), (other, 64)):
        folder.mkdir()
        monkeypatch.setattr(span_index, "_SLICE_CHARS", size)
        build_span_index(folder, [text], 6, 4)
    assert (build_folder / "hashes-0.npy").read_bytes() == (other / "hashes-0.npy").read_bytes()
    assert len(hash_grams(text, 6, 4)) == (1000 - 6) // 4 + 1
