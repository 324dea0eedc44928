import numpy as np
import pytest

from genloom.metrics.diversity import measure_diversity
from tests.errors import raises_code


def test_equal_outputs_have_no_distance_and_score_one():
    diversity = measure_diversity(np.ones((7, 5)))
    assert diversity.count == 7
    assert diversity.mean_distance == pytest.approx(0)
    assert diversity.vendi_score == pytest.approx(1)


def test_orthogonal_outputs_score_their_number():
    diversity = measure_diversity(3 * np.eye(6))
    assert diversity.mean_distance == pytest.approx(1)
    assert diversity.vendi_score == pytest.approx(6)


def test_two_kinds_of_output_score_two_however_many_there_are():
    assert measure_diversity(np.repeat(np.eye(2), 10, axis=0)).vendi_score == pytest.approx(2)


def test_one_output_has_no_diversity():
    with raises_code("metrics.too_few_for_diversity", count=1):
        measure_diversity(np.ones((1, 3)))
