"""The stream of a data set and the batches cut from it."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.codecs import bytes as utf8
from genloom.train.data import token_stream
from genloom.train.data.token_stream import TokenBlocks, read_token_stream, shuffle_documents, write_token_stream

CODEC = utf8.Codec.fit((), utf8.Config())
STOP = CODEC.space.eos
TEXTS = ["", "one", "Grüße 狐 😀\n", "x" * 500]


def test_a_stream_holds_every_document_and_a_stop_after_each(tmp_path: Path) -> None:
    path = tmp_path / "symbols"
    count = write_token_stream(TEXTS, CODEC, path)
    stream = read_token_stream(path, CODEC.space.vocab_size)
    assert count == len(stream) == sum(len(text.encode()) + 1 for text in TEXTS)
    ends = np.flatnonzero(stream == STOP)
    parts = np.split(stream, ends + 1)[:-1]
    assert [CODEC.decode(part) for part in parts] == TEXTS
    assert isinstance(stream, np.memmap), "mapped from disk, not read"


def test_an_empty_stream_is_empty(tmp_path: Path) -> None:
    assert write_token_stream([], CODEC, tmp_path / "symbols") == 0
    assert len(read_token_stream(tmp_path / "symbols", CODEC.space.vocab_size)) == 0


def test_a_large_vocabulary_takes_wider_symbols(tmp_path: Path) -> None:
    (tmp_path / "symbols").write_bytes(np.array([1, 70_000], np.uint32).tobytes())
    assert read_token_stream(tmp_path / "symbols", 100_000).tolist() == [1, 70_000]


def test_writing_a_stream_takes_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 MB of text through a buffer of 1 MB."""
    monkeypatch.setattr(token_stream, "SHUFFLE_BUFFER_CHARS", 1_000_000)

    def texts() -> Iterator[str]:
        for n in range(3000):
            yield f"{n:09d} " * 1000

    tracemalloc.start()
    try:
        count = write_token_stream(shuffle_documents(texts(), "ab" * 32), CODEC, tmp_path / "symbols")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 3000 * 10_001
    assert peak < 4_000_000


def test_a_stream_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield "fine"
        raise ValueError("a damaged part")

    with pytest.raises(ValueError, match="a damaged part"):
        write_token_stream(broken(), CODEC, tmp_path / "symbols")
    assert list(tmp_path.iterdir()) == []


@given(sequences=st.lists(st.text(max_size=8), max_size=40), key=st.integers(0, 2**256 - 1), room=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_mixing_is_a_permutation_that_the_key_fixes(texts: list[str], key: int, room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_stream, "MIXED_AT_ONCE", room)
        once, again = list(shuffle_documents(texts, f"{key:064x}")), list(shuffle_documents(texts, f"{key:064x}"))
    assert sorted(once) == sorted(texts)
    assert once == again


def test_another_key_mixes_in_another_way() -> None:
    texts = [str(n) for n in range(100)]
    assert list(shuffle_documents(texts, "0" * 64)) != list(shuffle_documents(texts, "f" * 64)) != texts


@given(
    symbols=st.integers(20, 400),
    rows=st.integers(1, 9),
    length=st.integers(2, 9),
    seed=st.integers(0, 5),
    num_folds=st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_every_epoch_visits_each_block_once(symbols: int, rows: int, length: int, seed: int, folds: int) -> None:
    """The steps of a fold, joined, walk through its epochs; within one, no symbol is to be predicted twice."""
    stream = np.arange(symbols, dtype=np.uint16)
    if (symbols // folds - 1) // (length - 1) - 1 < 1:
        with pytest.raises(ValueError, match="Collect more text"):
            TokenBlocks(stream, rows, length, seed, folds)
        return
    blocks = TokenBlocks(stream, rows, length, seed, folds)
    size = symbols // folds
    for fold in range(folds):
        taken = -(-3 * blocks.blocks_per_epoch // rows)
        x = np.concatenate([blocks(fold + folds * n).x.numpy() for n in range(taken)])
        assert x.shape == (taken * rows, length)
        assert (np.diff(x) == 1).all(), "a block is one stretch of the stream"
        assert x.min() >= fold * size
        assert x.max() < (fold + 1) * size
        for epoch in range(3):
            seen = x[epoch * blocks.blocks_per_epoch : (epoch + 1) * blocks.blocks_per_epoch, 1:].ravel()
            assert len(np.unique(seen)) == len(seen) == blocks.blocks_per_epoch * (length - 1)
            assert blocks.blocks_per_epoch * (length - 1) > size - 3 * length, "nearly all of the text"


def test_a_batch_is_a_function_of_the_step() -> None:
    stream = np.random.default_rng(0).integers(0, 250, 5000).astype(np.uint16)
    walked, jumped = TokenBlocks(stream, 4, 16, seed=3), TokenBlocks(stream, 4, 16, seed=3)
    batches = [walked(step).x for step in range(300)]
    for step in (299, 0, 150, 151, 77):
        assert jumped(step).x.equal(batches[step])
    assert not TokenBlocks(stream, 4, 16, seed=4)(0).x.equal(batches[0])
    assert not batches[0].equal(batches[walked.blocks_per_epoch // 4]), "the next epoch has another order"


def test_a_text_too_short_for_the_length_says_so() -> None:
    with pytest.raises(
        ValueError, match=r"holds 30 symbols and the model reads 64 at once. Collect more text, or choose"
    ):
        TokenBlocks(np.zeros(30, np.uint16), 4, 64)
