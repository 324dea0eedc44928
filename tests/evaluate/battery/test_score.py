"""An oracle scores 1, guessing scores chance accuracy, and two models are compared item by item."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from genloom.evaluate.scores import Score, compare_scores
from genloom.evaluate.text.battery.continuation_scorer import ContinuationScore
from genloom.evaluate.text.battery.instructions import build_instructions
from genloom.evaluate.text.battery.items import build_arithmetic_items, build_choice_items, build_cloze_items
from genloom.evaluate.text.battery.score import TASKS, score_task

Contexts = Sequence[tuple[str, Sequence[str]]]
ANSWERS = {
    item.context: item.answer
    for items in (build_cloze_items(), build_choice_items(), build_arithmetic_items())
    for item in items
}
REPLIES = {i.prompt: i.passing_answer for i in build_instructions()}


def oracle(contexts: Contexts) -> Iterator[list[ContinuationScore]]:
    for context, continuations in contexts:
        is_right = [text == ANSWERS[context] for text in continuations]
        yield [ContinuationScore(0.0 if right else 99.0, right) for right in is_right]


def uniform(contexts: Contexts) -> Iterator[list[ContinuationScore]]:
    """Every byte is as likely as any other."""
    for _, continuations in contexts:
        yield [ContinuationScore(5.5 * len(text.encode()), False) for text in continuations]


def guesser(seed: int):
    rng = random.Random(seed)

    def score(contexts: Contexts) -> Iterator[list[ContinuationScore]]:
        for _, continuations in contexts:
            yield [ContinuationScore(rng.random(), False) for _ in continuations]

    return score


@pytest.mark.parametrize("task", TASKS)
def test_an_oracle_scores_one(task: str) -> None:
    scores = score_task(task, oracle, lambda prompts: [REPLIES[prompt] for prompt in prompts])
    assert scores
    assert {score.task for score in scores} == {task}
    for score in scores:
        assert score.accuracy.mean == 1
        assert score.accuracy.count >= (40 if task == "arithmetic" else 100)
        assert score.accuracy.high == pytest.approx(1)


@pytest.mark.parametrize("task", ["cloze", "choice"])
def test_guessing_reaches_chance_accuracy(task: str) -> None:
    for scorer in (uniform, guesser(0), guesser(1)):
        for score in score_task(task, scorer, None):
            assert score.accuracy.low <= score.chance_accuracy <= score.accuracy.high, score.name


def test_ties_share_the_credit() -> None:
    (per_byte, _) = score_task("choice", uniform, None)
    assert set(per_byte.credits) == {0.25}


def test_empty_answers_follow_no_instruction_and_without_answers_there_is_no_score() -> None:
    (score,) = score_task("instructions", oracle, lambda prompts: [""] * len(prompts))
    assert score.accuracy.mean == 0
    assert score_task("instructions", oracle, None) == []


def test_fewer_items_are_the_first_of_all() -> None:
    for task in TASKS[:3]:
        for few, all_ in zip(score_task(task, guesser(3), None, 10), score_task(task, guesser(3), None), strict=True):
            assert few.credits == all_.credits[: len(few.credits)]
        assert len(few.credits) <= 10


def test_two_models_are_compared_item_by_item() -> None:
    first = Score("choice", "likelihood", (1, 0) * 40 + (0,) * 20, 0.25)
    better = replace(first, credits=(1, 0) * 40 + (1, 1, 0, 0) * 5)
    (comparison,) = compare_scores([first], [better])
    assert comparison.difference.mean == pytest.approx(0.1)
    assert comparison.verdict == "better"
    assert comparison.difference.low > 0, "although the separate intervals overlap"
    assert first.accuracy.high > better.accuracy.low
    assert compare_scores([better], [first])[0].verdict == "worse"
    assert compare_scores([first], [first])[0].verdict == "no difference shown"
    assert compare_scores([first, Score("instructions", "followed", (1.0,), 0)], [first])[1:] == []
