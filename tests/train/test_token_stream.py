"""The token stream of a data set and the batches cut from it."""

import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genloom.codecs import bytes as utf8
from genloom.train.data import token_shards, token_stream
from genloom.train.data.token_shards import ShardedTokens, get_shard_path, list_shards
from genloom.train.data.token_stream import TokenBlocks, read_token_stream, shuffle_documents, write_token_stream
from tests.errors import raises_code

CODEC = utf8.Codec.fit((), utf8.Config())
EOS = CODEC.space.eos
TEXTS = ["", "one", "Grüße 狐 😀\n", "x" * 500]


def test_a_stream_holds_every_document_followed_by_eos(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    count = write_token_stream(TEXTS, CODEC, path)
    stream = read_token_stream(path, CODEC.space.vocab_size)
    assert count == len(stream) == sum(len(text.encode()) + 1 for text in TEXTS)
    ends = np.flatnonzero(stream == EOS)
    parts = np.split(stream, ends + 1)[:-1]
    assert [CODEC.decode(part) for part in parts] == TEXTS
    assert isinstance(stream, np.memmap), "memory-mapped"


def test_an_empty_stream_is_empty(tmp_path: Path) -> None:
    assert write_token_stream([], CODEC, tmp_path / "tokens") == 0
    assert len(read_token_stream(tmp_path / "tokens", CODEC.space.vocab_size)) == 0


def test_a_large_vocabulary_has_wider_tokens(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(np.array([1, 70_000], np.uint32).tobytes())
    assert np.asarray(read_token_stream(tmp_path / "tokens", 100_000)).tolist() == [1, 70_000]


def test_writing_a_stream_takes_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 MB of text through a buffer of 1 MB."""
    monkeypatch.setattr(token_stream, "SHUFFLE_BUFFER_CHARS", 1_000_000)

    def texts() -> Iterator[str]:
        for n in range(3000):
            yield f"{n:09d} " * 1000

    tracemalloc.start()
    try:
        count = write_token_stream(shuffle_documents(texts(), "ab" * 32), CODEC, tmp_path / "tokens")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 3000 * 10_001
    assert peak < 4_000_000


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    def yield_then_fail() -> Iterator[str]:
        yield "fine"
        raise ValueError("a damaged part")

    with pytest.raises(ValueError, match="a damaged part"):
        write_token_stream(yield_then_fail(), CODEC, tmp_path / "tokens")
    assert list(tmp_path.iterdir()) == []


@given(texts=st.lists(st.text(max_size=8), max_size=40), key=st.integers(0, 2**256 - 1), capacity=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_shuffling_is_a_permutation_fixed_by_its_seed(texts: list[str], key: int, capacity: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_stream, "SHUFFLE_BUFFER_CHARS", capacity)
        once, again = list(shuffle_documents(texts, f"{key:064x}")), list(shuffle_documents(texts, f"{key:064x}"))
    assert sorted(once) == sorted(texts)
    assert once == again


def test_another_seed_gives_another_order() -> None:
    texts = [str(n) for n in range(100)]
    assert list(shuffle_documents(texts, "0" * 64)) != list(shuffle_documents(texts, "f" * 64)) != texts


@given(
    num_tokens=st.integers(20, 400),
    batch_size=st.integers(1, 9),
    length=st.integers(2, 9),
    seed=st.integers(0, 5),
    num_folds=st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_every_epoch_visits_each_block_once(
    num_tokens: int, batch_size: int, length: int, seed: int, num_folds: int
) -> None:
    """The steps of a fold, joined, read its epochs; within one, no token is predicted twice."""
    stream = np.arange(num_tokens, dtype=np.uint16)
    if (num_tokens // num_folds - 1) // (length - 1) - 1 < 1:
        with raises_code("train.shorter_than_context"):
            TokenBlocks(stream, batch_size, length, seed, num_folds)
        return
    blocks = TokenBlocks(stream, batch_size, length, seed, num_folds)
    size = num_tokens // num_folds
    for fold in range(num_folds):
        num_steps = -(-3 * blocks.blocks_per_epoch // batch_size)
        x = np.concatenate([blocks(fold + num_folds * n).x.numpy() for n in range(num_steps)])
        assert x.shape == (num_steps * batch_size, length)
        assert (np.diff(x) == 1).all(), "a block is contiguous"
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


def test_a_text_shorter_than_the_context_is_an_error() -> None:
    with raises_code("train.shorter_than_context", num_tokens=30, context_length=64):
        TokenBlocks(np.zeros(30, np.uint16), 4, 64)


def write_shards(path: Path, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setattr(token_shards, "SHARD_TOKENS", tokens)
    texts = [f"document {n} " * (n % 9) for n in range(200)]
    assert write_token_stream(texts, CODEC, path) == sum(len(text) + 1 for text in texts)


def test_a_stream_in_shards_reads_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path / "one" / "train.symbols", monkeypatch, 1 << 30)
    write_shards(tmp_path / "many" / "train.symbols", monkeypatch, 1000)
    whole, sharded = (read_token_stream(tmp_path / n / "train.symbols", 256) for n in ("one", "many"))
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names[:2] == ["train-00001.symbols", "train-00002.symbols"]
    assert len(names) > 7
    assert isinstance(sharded, ShardedTokens)
    assert len(sharded) == len(whole)
    assert isinstance(whole, np.ndarray)
    assert np.asarray(sharded).tolist() == whole.tolist()
    assert np.asarray(sharded[900:3100]).tolist() == whole[900:3100].tolist()
    draw = np.random.default_rng(3)
    positions = draw.integers(0, len(whole) - 500, (4, 7))
    assert sharded[positions].tolist() == whole[positions].tolist()
    assert sharded[500:][positions].tolist() == whole[500:][positions].tolist()
    one, many = (TokenBlocks(stream, 3, 64, seed=2) for stream in (whole, sharded[0:]))
    assert all(one(step).x.equal(many(step).x) for step in range(40))


def test_an_interrupted_stream_continues_after_its_complete_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "whole" / "train.symbols", monkeypatch, 1000)
    path, encoded = tmp_path / "broken" / "train.symbols", list[str]()

    def encode_some(texts: Iterable[str]) -> Iterator[np.ndarray]:
        for text in texts:
            encoded.append(text)
            if len(encoded) == 120:
                raise KeyboardInterrupt
            yield CODEC.encode(text)

    with monkeypatch.context() as patch:
        patch.setattr(type(CODEC), "encode_many", lambda _, texts: encode_some(texts))
        with pytest.raises(KeyboardInterrupt):
            write_shards(path, monkeypatch, 1000)
        num_complete = len(list_shards(path))
        assert 2 < num_complete < len(list_shards(tmp_path / "whole" / "train.symbols"))
        write_shards(path, monkeypatch, 1000)
    assert len(encoded) < 120 + 200 - 60, "the complete shards were not encoded again"
    for file in list_shards(tmp_path / "whole" / "train.symbols"):
        assert (path.parent / file.name).read_bytes() == file.read_bytes()
    get_shard_path(path, 1).write_bytes(b"damaged")
    write_shards(path, monkeypatch, 1000)
    assert get_shard_path(path, 1).read_bytes() != b"damaged"
