"""Batches of prompts and answers: the loss mask covers exactly the answer."""

import numpy as np

from genloom.objectives.autoregressive import build_loss_mask
from genloom.objectives.sft import build_completion_batch, build_preference_pairs, build_unpaired_preferences
from tests.errors import raises_code


def rows(*lists):
    return [np.array(row, dtype=np.int64) for row in lists]


def test_only_answers_count():
    batch = build_completion_batch(rows([3, 1], [3]), rows([5, 6, 2], [7, 2]), 8)
    assert batch.x.tolist() == [[3, 1, 5, 6, 2], [3, 7, 2, 0, 0]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [5, 3]
    assert build_loss_mask(batch).tolist() == [[0, 1, 1, 1], [1, 1, 0, 0]]


def test_a_long_answer_is_cut_and_a_long_prompt_is_refused():
    assert build_completion_batch(rows([3]), rows([5, 6, 7, 8]), 3).x.tolist() == [[3, 5, 6]]
    for prompt in ([], [1, 2, 3]):
        with raises_code("objectives.prompt_length", maximum=2, length=len(prompt)):
            build_completion_batch(rows(prompt), rows([5]), 3)


def test_both_answers_of_a_pair_have_the_same_prompt():
    batch = build_preference_pairs(rows([3, 1]), rows([5]), rows([6, 7]), 8)
    assert batch.chosen.x.tolist() == [[3, 1, 5]]
    assert batch.rejected.x.tolist() == [[3, 1, 6, 7]]


def test_mismatched_answers_belong_to_other_prompts():
    batch = build_unpaired_preferences(rows([1], [2], [3]), rows([5], [6, 6], [7]), [True, False, True], 8)
    assert batch.mismatched.x.tolist() == [[1, 7, 0], [2, 5, 0], [3, 6, 6]]
    assert batch.desirable.tolist() == [True, False, True]
