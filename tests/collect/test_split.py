"""The split of a document depends on its content alone, and the shares are right in small and large collections."""

import hashlib
import random

import pytest

from genloom.collect.split import hash_to_unit, note_own_splits, split_by_hash, split_by_rank


def digest(i: int) -> bytes:
    return hashlib.sha256(str(i).encode()).digest()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 20, 100, 1000])
def test_small_collections_get_their_shares(count: int) -> None:
    draw = random.Random(count)
    positions, sizes = [draw.random() for _ in range(count)], [draw.randrange(500, 20_000) for _ in range(count)]
    splits = split_by_rank(positions, sizes, 0.05, 0.05)
    assert "val" in splits or count < 3
    assert "test" in splits or count < 8
    assert "train" in splits
    if count >= 100:
        for name in ("val", "test"):
            share = sum(s for s, where in zip(sizes, splits, strict=True) if where == name) / sum(sizes)
            assert share == pytest.approx(0.05, abs=0.02 if count == 100 else 0.002)


def test_a_giant_among_small_documents_is_never_held_out() -> None:
    for seed in range(20):
        draw = random.Random(seed)
        sizes = [1_000_000, *(1000 for _ in range(9))]
        splits = split_by_rank([draw.random() for _ in sizes], sizes, 0.05, 0.05)
        assert splits[0] == "train"
        assert {"val", "test"} <= set(splits)


def test_the_split_depends_on_content_and_seed_only() -> None:
    assert hash_to_unit(digest(1), 0) == hash_to_unit(digest(1), 0)
    assert hash_to_unit(digest(1), 0) != hash_to_unit(digest(1), 1)
    splits = [split_by_hash(hash_to_unit(digest(i), 3), 0.05, 0.1) for i in range(20_000)]
    assert splits.count("val") / 20_000 == pytest.approx(0.05, abs=0.005)
    assert splits.count("test") / 20_000 == pytest.approx(0.1, abs=0.007)


def test_a_grown_collection_keeps_nearly_all_splits() -> None:
    positions = [hash_to_unit(digest(i), 0) for i in range(1100)]
    before, after = (
        split_by_rank(positions[:1000], [1] * 1000, 0.05, 0.05),
        split_by_rank(positions, [1] * 1100, 0.05, 0.05),
    )
    assert sum(a != b for a, b in zip(before, after, strict=False)) < 20


def test_with_shares_of_zero_all_is_in_train() -> None:
    assert set(split_by_rank([0.1, 0.2, 0.3, 0.4] * 5, [1] * 20, 0.0, 0.0)) == {"train"}


@pytest.mark.parametrize(
    ("names", "noted"),
    [
        (["data/train.jsonl", "data/test.jsonl", "data/b.txt"], "data/test.jsonl"),
        (
            ["x/train-00000-of-00002.parquet", "x/validation-00000-of-00001.parquet"],
            "x/validation-00000-of-00001.parquet",
        ),
        (["set/Train/a.png", "set/Val/a.png"], "set/Val/a.png"),
        (["data/train.jsonl", "data/more.jsonl"], ""),
        (["notes/test.txt", "notes/trains.txt", "notes/training of dogs.txt"], ""),
        (["tests/train.txt", "latest/train_2.txt"], ""),
    ],
)
def test_splits_of_the_user_that_are_not_kept_are_told(names: list[str], noted: str) -> None:
    assert [note.source for note in note_own_splits(names)] == ([noted] if noted else [])
