"""The minutes of a round of learning bound its training and its measuring."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from genloom.learn import round as rounds
from genloom.train.events import RunWarning
from genloom.train.planning.auto_config import Budget

NOW = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=NOW)
    monkeypatch.setattr(rounds, "read_running_seconds", lambda: clock.now)
    return clock


def answer_prompts(monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace, count: int, seconds: float) -> Any:
    """Let both versions answer prompts, of which each takes so long; a round has ten minutes, six are over."""

    def generate_answers(workspace: Any, writer: str, prompts: Sequence[int], metadata: Any) -> list[str]:
        clock.now += seconds * len(prompts)
        return [f"{writer} {prompt}" for prompt in prompts]

    monkeypatch.setattr(rounds, "generate_answers", generate_answers)
    context: Any = SimpleNamespace(workspace=None, eval_prompts=list(range(count)), deadline=NOW + 240)
    events = rounds.generate_in_time(context, ("old", "new"), "run")  # ty: ignore[invalid-argument-type]
    notes = []
    while True:
        try:
            notes.append(next(events))
        except StopIteration as end:
            return end.value, notes


def test_training_leaves_time_for_measuring(clock: SimpleNamespace) -> None:
    budget = Budget(minutes=10.0)
    assert rounds.limit_training(budget, NOW + 600).minutes == pytest.approx(6.0)
    clock.now += 120  # to fit a reward model
    assert rounds.limit_training(budget, NOW + 600).minutes == pytest.approx(4.0)
    clock.now += 480
    assert rounds.limit_training(budget, NOW + 600).minutes == pytest.approx(1.0)


def test_a_round_with_steps_has_no_limit(clock: SimpleNamespace) -> None:
    budget = Budget(steps=20)
    assert rounds.limit_training(budget, rounds.inf) == budget


def test_as_many_prompts_are_answered_as_the_time_allows(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    answers, notes = answer_prompts(monkeypatch, clock, 48, 2.0)
    assert 20 <= len(answers.eval_prompts) <= 30
    assert len(answers.champion) == len(answers.challenger) == len(answers.eval_prompts)
    assert answers.champion[9] == "old 9"
    assert answers.challenger[9] == "new 9"
    assert clock.now < NOW + 240
    assert [type(note) for note in notes] == [RunWarning]


def test_all_prompts_are_answered_if_there_is_time_and_some_always(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    answers, notes = answer_prompts(monkeypatch, clock, 48, 0.5)
    assert (len(answers.eval_prompts), notes) == (48, [])
    answers, _ = answer_prompts(monkeypatch, clock, 48, 100.0)
    assert len(answers.eval_prompts) == rounds.MIN_TIMED_PROMPTS
