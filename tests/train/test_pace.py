"""Minutes are a promise: a run that is not at its forecast ends in time all the same, with a whole cooldown."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from genloom.train.log import Throughput
from genloom.train.loop import TrainConfig
from genloom.train.pace import Pace
from genloom.train.planning import auto_config
from genloom.train.planning.auto_config import RESERVED_FRACTION, Budget, TimeLeft
from genloom.train.planning.forecast import MAX_EVAL_FRACTION, MIN_EVAL_SHARE, choose_eval_share

LIMIT = 600.0
PLAN = TrainConfig(steps=1000, warmup=10, cooldown=0.6, max_seconds=LIMIT, closing_steps=20)


@dataclass
class Clock:
    now: float = 50.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Run:
    """What became of a run on a machine with this duration of a step."""

    seconds: float  # with the last evaluation
    steps: int
    lr_scales: list[float]
    plan: TrainConfig


def run_on(step_seconds: Callable[[int, float], float], plan: TrainConfig = PLAN, num_evals: int = 0) -> Run:
    clock = Clock()
    pace = Pace(plan, max(plan.steps, plan.max_steps), Throughput(1), clock=clock, num_evals_left=num_evals)
    step, lr_scales, started_at = 0, [], clock.now
    while step < pace.plan.steps:
        lr_scales.append(pace.plan.compute_lr_scale(step))
        clock.now += step_seconds(step, clock.now - started_at)
        step += 1
        pace.end_step(step)
        if num_evals and step % (pace.plan.steps // num_evals) == 0:
            with pace.pause(is_eval=True):
                clock.now += 40 * step_seconds(step, clock.now - started_at)
    closing_seconds = plan.closing_steps * step_seconds(step, clock.now - started_at)
    return Run(clock.now - started_at + closing_seconds, step, lr_scales, pace.plan)


def is_cooled_down(run: Run) -> bool:
    """Return whether the rate fell to zero over a good part of the run, without a jump."""
    drops = [before - after for before, after in zip(run.lr_scales, run.lr_scales[1:], strict=False)]
    start = next(n for n, scale in enumerate(run.lr_scales) if n > 20 and scale < 0.99)
    return run.lr_scales[-1] < 0.05 and max(drops) < 0.1 and start < 0.9 * run.steps


def test_a_run_at_its_forecast_keeps_its_plan() -> None:
    run = run_on(lambda step, now: 0.58)
    assert (run.steps, run.plan) == (1000, PLAN)


def test_a_run_without_a_limit_keeps_its_plan_however_slow() -> None:
    plan = replace(PLAN, max_seconds=0.0)
    assert run_on(lambda step, now: 5.0, plan).plan == plan


@pytest.mark.parametrize(
    "step_seconds",
    [
        lambda step, now: 1.5,  # busy from the beginning
        lambda step, now: 0.58 if now < 150 else 3.0,  # busy before the cooldown begins
        lambda step, now: 0.58 if now < 400 else 2.0,  # in the cooldown
        lambda step, now: 4.0 if step % 7 == 0 else 0.6,  # in bursts
        lambda step, now: 10.0,  # steps so long that few fit
        lambda step, now: 2.5 if 100 < now < 300 else 0.58,  # for a while
    ],
)
def test_a_slow_run_ends_within_a_tenth_of_its_minutes(step_seconds: Callable[[int, float], float]) -> None:
    run = run_on(step_seconds)
    assert run.steps < 1000
    assert 0.9 * LIMIT <= run.seconds <= 1.1 * LIMIT
    assert is_cooled_down(run)


def test_evaluations_during_a_run_are_part_of_the_minutes() -> None:
    run = run_on(lambda step, now: 0.9, num_evals=5)
    assert 0.9 * LIMIT <= run.seconds <= 1.1 * LIMIT


@pytest.mark.parametrize(
    "step_seconds",
    [
        lambda step, now: 0.4,  # the forecast was of a busy machine
        lambda step, now: 0.58 if now < 150 else 0.35,
        lambda step, now: 0.58 if now < 400 else 0.4,  # in the cooldown
        lambda step, now: 0.3 if now < 300 else 0.9,  # busy later
    ],
)
def test_a_fast_run_uses_the_time_that_is_left(step_seconds: Callable[[int, float], float]) -> None:
    run = run_on(step_seconds, replace(PLAN, max_steps=2000))
    assert run.steps > 1000
    assert 0.9 * LIMIT <= run.seconds <= 1.1 * LIMIT
    assert is_cooled_down(run)


def test_a_fast_run_takes_no_more_steps_than_it_may() -> None:
    run = run_on(lambda step, now: 0.1, replace(PLAN, max_steps=1500))
    assert run.steps == 1500
    assert is_cooled_down(run)


def test_a_run_that_catches_up_takes_its_steps_back() -> None:
    run = run_on(lambda step, now: 2.0 if now < 20 else 0.5)
    assert run.steps == 1000
    assert is_cooled_down(run)


def test_a_step_is_part_of_the_minutes_however_long_it_takes() -> None:
    run = run_on(lambda step, now: 120.0 if step == 300 else 0.58)
    assert 0.9 * LIMIT <= run.seconds <= 1.1 * LIMIT


def test_evaluations_read_less_where_they_would_take_too_much_of_the_minutes() -> None:
    assert choose_eval_share(1e6, 0.0) == 1, "an exact number of steps has no time limit"
    assert choose_eval_share(100.0, 600.0) == 1
    assert choose_eval_share(480.0, 600.0) == pytest.approx(MAX_EVAL_FRACTION * 600 / 480, abs=1e-3)
    assert choose_eval_share(1e6, 60.0) == MIN_EVAL_SHARE


def test_setup_and_evaluations_are_part_of_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(auto_config, "read_running_seconds", lambda: now)
    time_left = TimeLeft(Budget(minutes=10.0), 10.0, eval_reads=100_000, started_at=now)
    # Evaluations of 100,000 units would take 333 seconds of these 600, and are held to a fifth.
    assert time_left.count_steps(step_seconds=1.0, units_per_step=100) == int(600 * (1 - RESERVED_FRACTION) - 120)
    assert not time_left.is_setup_long
    now += 240
    assert time_left.is_setup_long
    assert time_left.count_steps(1.0, 100) == int(600 * (1 - RESERVED_FRACTION) - 240 - 120)
    assert time_left.seconds == pytest.approx(600 * (1 - RESERVED_FRACTION) - 240)
    now += 600
    assert time_left.count_steps(1.0, 100) == 0
    exact = TimeLeft(Budget(steps=70), 0.0, eval_reads=100_000, started_at=now)
    assert (exact.count_steps(9.0, 1), exact.seconds, exact.is_setup_long) == (70, 0.0, False)


def test_one_slow_step_does_not_move_the_time_left() -> None:
    throughput = Throughput(8)
    for _ in range(20):
        throughput.add_step(0.5)
    throughput.add_step(60.0)
    assert throughput.step_seconds == 0.5
    assert throughput.units_per_second == 16
