"""Near copies: the nearest training items, and a threshold from held-out items."""

import numpy as np
import pytest

from genloom.trust.near_copies import find_near_copies, find_nearest_items
from genloom.types import Item


def coarse_embedding(value: np.ndarray) -> np.ndarray:
    return value[:2]


def features(values) -> np.ndarray:
    return np.stack([np.asarray(value, np.float64) for value in values])


def items(values: np.ndarray) -> list[Item]:
    return [Item(value, f"item {number}", "CC0-1.0") for number, value in enumerate(values)]


def sample(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6))


def test_a_copy_is_found_first_with_its_source_and_licence():
    training = sample(1000, 0)
    (matches,) = find_nearest_items([training[777]], items(training), coarse_embedding, features)
    assert matches[0].item.source == "item 777"
    assert matches[0].item.licence == "CC0-1.0"
    assert matches[0].distance == pytest.approx(0, abs=1e-9)
    assert [match.distance for match in matches] == sorted(match.distance for match in matches)
    assert len(matches) == 3


def test_if_the_coarse_embedding_is_everything_the_result_agrees_with_brute_force():
    training, outputs = sample(600, 1)[:, :2], sample(9, 2)[:, :2]

    def append_norm(values) -> np.ndarray:  # so that cosine and coarse distance give the same order
        return np.stack([np.append(value, 100.0) for value in values])

    matches = find_nearest_items(list(outputs), items(training), coarse_embedding, append_norm, 1)
    distances = np.square(outputs[:, None] - training[None]).sum(-1)
    assert [match[0].item.source for match in matches] == [f"item {n}" for n in distances.argmin(1)]


def test_copies_are_flagged_and_new_samples_are_not():
    training, held_out, new = sample(500, 3), sample(200, 4), sample(100, 5)
    copies = training[:50] + 0.001 * sample(50, 6)
    report = find_near_copies([*copies, *new], items(training), list(held_out), coarse_embedding, features)
    assert report.num_held_out == 200
    assert all(report.is_near_copy(number) for number in range(50))
    assert report.num_near_copies - 50 < 15  # about 5 of the 100 new ones, like held-out ones


def test_copies_are_found_behind_a_codec_that_loses_something():
    """What a codec gives back lies away from the training item, nearly as far as a new value does."""
    training, held_out, new = sample(500, 3), sample(200, 4), sample(100, 5)

    def reconstruct(value: np.ndarray) -> np.ndarray:
        return np.round(1.5 * value) / 1.5

    copies = [reconstruct(value) for value in training[:50]]
    outputs = [*copies, *map(reconstruct, new)]
    search = (items(training), list(held_out), np.asarray, features)
    alone, report = find_near_copies(outputs, *search), find_near_copies(outputs, *search, reconstruct=reconstruct)
    assert sum(alone.is_near_copy(number) for number in range(50)) < 45
    assert all(report.is_near_copy(number) for number in range(50))
    assert report.num_near_copies - 50 < 20
    assert all(any(m.item.source == f"item {number}" for m in report.matches[number]) for number in range(50))


def test_without_held_out_items_nothing_is_flagged():
    training = sample(20, 7)
    report = find_near_copies([training[0]], items(training), [], coarse_embedding, features)
    assert report.threshold is None
    assert not report.is_near_copy(0)


def test_without_training_items_nothing_is_near():
    assert find_nearest_items([sample(1, 8)[0]], [], coarse_embedding, features) == [[]]
