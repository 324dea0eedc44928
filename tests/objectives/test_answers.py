"""Batches of prompts and answers: what counts is the answer, all of it, and nothing else."""

import numpy as np
import pytest

from genloom.objectives.autoregressive import build_loss_mask
from genloom.objectives.sft import build_completion_batch, build_preference_pairs, build_unpaired_preferences


def rows(*lists):
    return [np.array(row, dtype=np.int64) for row in lists]


def test_answers_alone_count():
    batch = build_completion_batch(rows([3, 1], [3]), rows([5, 6, 2], [7, 2]), 8)
    assert batch.x.tolist() == [[3, 1, 5, 6, 2], [3, 7, 2, 0, 0]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [5, 3]
    assert build_loss_mask(batch).tolist() == [[0, 1, 1, 1], [1, 1, 0, 0]]


def test_a_long_answer_is_cut_and_a_long_prompt_refused():
    assert build_completion_batch(rows([3]), rows([5, 6, 7, 8]), 3).x.tolist() == [[3, 5, 6]]
    for prompt in ([], [1, 2, 3]):
        with pytest.raises(ValueError, match="from 1 to 2 symbols"):
            build_completion_batch(rows(prompt), rows([5]), 3)


def test_the_two_sides_of_a_pair_share_their_prompt():
    made = build_preference_pairs(rows([3, 1]), rows([5]), rows([6, 7]), 8)
    assert made.chosen.x.tolist() == [[3, 1, 5]]
    assert made.rejected.x.tolist() == [[3, 1, 6, 7]]


def test_other_answers_are_those_of_other_prompts():
    made = build_unpaired_preferences(rows([1], [2], [3]), rows([5], [6, 6], [7]), [True, False, True], 8)
    assert made.mismatched.x.tolist() == [[1, 7, 0], [2, 5, 0], [3, 6, 6]]
    assert made.desirable.tolist() == [True, False, True]
