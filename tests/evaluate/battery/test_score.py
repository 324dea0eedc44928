"""An oracle gets everything right, guessing reaches chance, and two models are compared item by item."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from genloom.evaluate.text.battery.continuation_scorer import ContinuationScore
from genloom.evaluate.text.battery.instructions import build_instructions
from genloom.evaluate.text.battery.items import build_arithmetic_items, build_choice_items, build_cloze_items
from genloom.evaluate.text.battery.score import TASKS, Score, compare_scores, compute_wilson_interval, score_task

Asked = Sequence[tuple[str, Sequence[str]]]
RIGHT = {
    item.context: item.answer
    for items in (build_cloze_items(), build_choice_items(), build_arithmetic_items())
    for item in items
}
OBEYED = {i.prompt: i.passing_answer for i in build_instructions()}


def oracle(asked: Asked) -> Iterator[list[ContinuationScore]]:
    for context, continuations in asked:
        yield [ContinuationScore(float(text != RIGHT[context]) * 99, text == RIGHT[context]) for text in continuations]


def uniform(asked: Asked) -> Iterator[list[ContinuationScore]]:
    """Every byte is as likely as any other."""
    for _, continuations in asked:
        yield [ContinuationScore(5.5 * len(text.encode()), False) for text in continuations]


def guesser(seed: int):
    chance = random.Random(seed)

    def read(asked: Asked) -> Iterator[list[ContinuationScore]]:
        for _, continuations in asked:
            yield [ContinuationScore(chance.random(), False) for _ in continuations]

    return read


@pytest.mark.parametrize("task", TASKS)
def test_an_oracle_gets_everything_right(task: str) -> None:
    found = score_task(task, oracle, lambda prompts: [OBEYED[prompt] for prompt in prompts])
    assert found
    assert {score.task for score in found} == {task}
    for score in found:
        assert score.accuracy.mean == 1
        assert score.accuracy.count >= (40 if task == "arithmetic" else 100)
        assert score.accuracy.high == pytest.approx(1)


@pytest.mark.parametrize("task", ["cloze", "choice"])
def test_a_model_that_knows_nothing_reaches_chance(task: str) -> None:
    for reader in (uniform, guesser(0), guesser(1)):
        for score in score_task(task, reader, None):
            assert score.accuracy.low <= score.chance_accuracy <= score.accuracy.high, score.name


def test_what_costs_the_same_is_right_in_part() -> None:
    (per_byte, _) = score_task("choice", uniform, None)
    assert set(per_byte.credits) == {0.25}


def test_silence_follows_no_instruction_and_without_answers_there_is_no_score() -> None:
    (score,) = score_task("instructions", oracle, lambda prompts: [""] * len(prompts))
    assert score.accuracy.mean == 0
    assert score_task("instructions", oracle, None) == []


def test_fewer_items_are_the_first_of_all() -> None:
    for task in TASKS[:3]:
        for few, all_ in zip(score_task(task, guesser(3), None, 10), score_task(task, guesser(3), None), strict=True):
            assert few.credits == all_.credits[: len(few.credits)]
        assert len(few.credits) <= 10


def test_wilsons_interval() -> None:
    """Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    known = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611), (1, 29): (0.0061, 0.1718)}
    for (right, count), (low, high) in known.items():
        found = compute_wilson_interval(right, count)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
        assert found.mean == right / count
    assert compute_wilson_interval(20, 20).high == pytest.approx(1)


def test_two_models_are_compared_item_by_item() -> None:
    first = Score("choice", "likelihood", (1, 0) * 40 + (0,) * 20, 0.25)
    better = replace(first, credits=(1, 0) * 40 + (1, 1, 0, 0) * 5)
    (gap,) = compare_scores([first], [better])
    assert gap.difference.mean == pytest.approx(0.1)
    assert gap.verdict == "better"
    assert gap.difference.low > 0, "apart they would overlap"
    assert first.accuracy.high > better.accuracy.low
    assert compare_scores([better], [first])[0].verdict == "worse"
    assert compare_scores([first], [first])[0].verdict == "no difference shown"
    assert compare_scores([first, Score("instructions", "followed", (1.0,), 0)], [first])[1:] == []
