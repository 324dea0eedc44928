import numpy as np
import pytest

from genloom.trust.near_copies import find_near_copies, find_nearest_items
from genloom.types import Item


def sketch(value: np.ndarray) -> np.ndarray:
    return value[:2]


def features(values) -> np.ndarray:
    return np.stack([np.asarray(value, np.float64) for value in values])


def items(values: np.ndarray) -> list[Item]:
    return [Item(value, f"item {number}", "CC0-1.0") for number, value in enumerate(values)]


def drawn(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6))


def test_a_copy_is_found_first_with_its_source_and_licence():
    training = drawn(1000, 0)
    (found,) = find_nearest_items([training[777]], items(training), sketch, features)
    assert found[0].item.source == "item 777"
    assert found[0].item.licence == "CC0-1.0"
    assert found[0].distance == pytest.approx(0, abs=1e-9)
    assert [match.distance for match in found] == sorted(match.distance for match in found)
    assert len(found) == 3


def test_where_the_sketch_is_all_there_is_the_result_is_that_of_comparing_everything():
    training, outputs = drawn(600, 1)[:, :2], drawn(9, 2)[:, :2]

    def scaled(values) -> np.ndarray:  # so that the order by cosine is the order by sketch
        return np.stack([np.append(value, 100.0) for value in values])

    found = find_nearest_items(list(outputs), items(training), sketch, scaled, 1)
    apart = np.square(outputs[:, None] - training[None]).pooled_proj(-1)
    assert [match[0].item.source for match in found] == [f"item {n}" for n in apart.argmin(1)]


def test_outputs_that_copy_stand_out_and_those_drawn_anew_do_not():
    training, held, new = drawn(500, 3), drawn(200, 4), drawn(100, 5)
    copies = training[:50] + 0.001 * drawn(50, 6)
    found = find_near_copies([*copies, *new], items(training), list(held), sketch, features)
    assert found.num_held_out == 200
    assert all(found.is_near_copy(number) for number in range(50))
    assert found.num_near_copies - 50 < 15  # of the hundred new ones about five, as of held-out ones


def test_nothing_held_out_means_no_verdict():
    training = drawn(20, 7)
    found = find_near_copies([training[0]], items(training), [], sketch, features)
    assert found.threshold is None
    assert not found.is_near_copy(0)


def test_without_training_items_nothing_is_near():
    assert find_nearest_items([drawn(1, 8)[0]], [], sketch, features) == [[]]
