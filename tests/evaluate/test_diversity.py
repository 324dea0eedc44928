import numpy as np
import pytest

from genloom.metrics.diversity import measure_diversity


def test_equal_pictures_are_worth_one_and_have_no_distance():
    found = measure_diversity(np.ones((7, 5)))
    assert found.count == 7
    assert found.mean_distance == pytest.approx(0)
    assert found.vendi_score == pytest.approx(1)


def test_pictures_with_nothing_in_common_are_worth_their_number():
    found = measure_diversity(3 * np.eye(6))
    assert found.mean_distance == pytest.approx(1)
    assert found.vendi_score == pytest.approx(6)


def test_two_kinds_of_picture_are_worth_two_however_many_there_are():
    assert measure_diversity(np.repeat(np.eye(2), 10, axis=0)).vendi_score == pytest.approx(2)


def test_one_picture_is_not_diverse():
    with pytest.raises(ValueError, match="two pictures"):
        measure_diversity(np.ones((1, 3)))
