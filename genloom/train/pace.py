"""The pace of a run with a time limit: slower than forecast it ends at an earlier step, faster at a later one.

Either way the learning rate falls to zero over a whole cooldown.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import exp
from statistics import median

from genloom.running_time import read_running_seconds
from genloom.train.log import Throughput
from genloom.train.loop import TrainConfig

TOLERANCE = 0.05  # of the time limit, that the expected end may be off
WINDOW = 0.05  # of the time limit, over which the pace is averaged
MIN_MEASURED = 0.02  # of the time limit, before the pace is trusted
MAX_OUTLIER = 20  # times the median of three steps, that a step counts for the pace of the next ones


@dataclass
class Pace:
    """Times the steps of a run, and keeps its plan to the time limit (`plan.max_seconds`; 0: none)."""

    plan: TrainConfig
    steps: int  # at most: as planned at first, or more where a faster run may grow
    throughput: Throughput
    spent_seconds: float = 0.0  # by steps of earlier processes
    preparation_seconds: float = 0.0  # since the time limit began, before the first step
    clock: Callable[[], float] = read_running_seconds
    num_evals_left: int = 0
    _eval_seconds: float = 0.0
    _weight: float = 0.0  # of the steps in the mean, which fades
    _weighted_seconds: float = 0.0
    _started_at: float = field(init=False)
    _step_started_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._started_at = self._step_started_at = self.clock()

    @property
    def seconds(self) -> float:
        """The time since the first step."""
        return self.spent_seconds + self.clock() - self._started_at

    @contextmanager
    def pause(self, is_eval: bool = False) -> Generator[None]:
        """Take time that no step takes, as of an evaluation or a save, out of the pace."""
        started_at = self.clock()
        yield
        self._step_started_at = self.clock()
        if is_eval:
            self._eval_seconds, self.num_evals_left = self._step_started_at - started_at, self.num_evals_left - 1

    def end_step(self, step: int) -> TrainConfig:
        """Take note of a step, and return the plan of the next ones."""
        now = self.clock()
        seconds, self._step_started_at = now - self._step_started_at, now
        self.throughput.add_step(seconds)
        if self.plan.max_seconds:
            counted = min(seconds, MAX_OUTLIER * median(list(self.throughput.durations)[-3:]))
            fading = exp(-counted / (WINDOW * self.plan.max_seconds))
            self._weight, self._weighted_seconds = fading * self._weight + 1, fading * self._weighted_seconds + counted
            if self._weighted_seconds > MIN_MEASURED * self.plan.max_seconds:
                self._keep_to_limit(step)
        return self.plan

    def _keep_to_limit(self, step: int) -> None:
        step_seconds = self._weighted_seconds / self._weight
        seconds_left = self.plan.max_seconds - self.preparation_seconds - self.seconds
        seconds_left -= max(self.num_evals_left, 0) * self._eval_seconds
        last_step = step + max(int(seconds_left / step_seconds - self.plan.closing_steps), 0)
        tolerance = max(TOLERANCE * self.plan.max_seconds / step_seconds, 1)
        is_off = abs(min(last_step, self.steps) - self.plan.steps) > tolerance
        has_caught_up = self.plan.steps < self.steps < last_step - tolerance
        if is_off or has_caught_up:
            self.plan = self.plan.end_at(min(last_step, self.steps), step)
