"""Measured duration of training steps on this machine, by size, precision and torch.compile."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from statistics import median

import torch

from genloom.memory import measure_memory
from genloom.model import (
    Model,
    build_networks,
    build_objective,
    count_network_parameters,
    find_best_device,
    resolve_space,
)
from genloom.model.likelihood import measure_held_out
from genloom.running_time import read_running_seconds
from genloom.train.data.source import PretrainingSource
from genloom.train.job import Job
from genloom.train.loop import TrainState, train
from genloom.train.planning import forecast

MAX_BENCHMARK_STEPS, BENCHMARK_SECONDS = 40, 1.5

StepIterator = Iterator[object]


@dataclass(frozen=True)
class StepBenchmark:
    step_seconds: float
    num_parameters: int
    activation_bytes: int = 0  # per row


@dataclass
class Benchmark:
    """Times training steps on a data source."""

    source: PretrainingSource
    measured: dict[str, StepBenchmark] = field(default_factory=dict)  # what was measured, by the job

    def measure_step(self, job: Job) -> StepBenchmark:
        """Return the median duration of the later half of the measured steps: at least three, for 1.5 seconds."""
        key = repr((job.design, job.batch_size, job.plan.precision, job.plan.torch_compile))
        if key not in self.measured:
            self.measured[key] = self._measure_step(job)
        return self.measured[key]

    def _measure_step(self, job: Job) -> StepBenchmark:
        times: list[float] = []
        if torch.cuda.is_available():  # each device computes its share of the rows
            job = replace(job, batch_size=-(-job.batch_size // job.parallel.devices))
        model, activation_bytes, steps = self.start_run(job, MAX_BENCHMARK_STEPS)
        step_start = read_running_seconds()
        for _ in steps:
            step_end = read_running_seconds()
            times.append(step_end - step_start)
            step_start = step_end
            if len(times) >= 3 and sum(times[1:]) > BENCHMARK_SECONDS:  # the first initialises, or compiles
                break
        num_parameters = sum(p.numel() for p in model.parts.parameters())
        return StepBenchmark(median(times[len(times) // 2 :]), num_parameters, activation_bytes)

    def train_and_evaluate(self, job: Job, steps: int) -> float:
        """Train for this many steps; return the metric of the final evaluation."""
        model, _, step_iterator = self.start_run(job, steps)
        deque(step_iterator, maxlen=0)
        model.parts.eval()
        return measure_held_out(model, self.source.load_held_out(self.source.final_eval_size)).value

    def start_run(self, job: Job, num_steps: int) -> tuple[Model, int, StepIterator]:
        """Return a new model, its activation bytes per row, and an iterator over training steps."""
        available_bytes = measure_memory().available
        objective = build_objective(job.design, resolve_space(job.design, self.source.codec))
        plan, num_parameters = replace(job.plan, steps=num_steps), count_network_parameters(job.design, objective)
        forecast.require_memory(forecast.estimate_training_memory(plan, num_parameters, 0), available_bytes)
        parts = build_networks(job.design, objective)
        for network in parts.values():
            self.source.fit_counts(network)
        parts.to(find_best_device())
        model = Model(job.name, self.source.codec, objective, parts, job.design)
        activation_bytes = self.source.activation_bytes(job, model)
        batch_bytes = activation_bytes * job.batch_size
        forecast.require_memory(forecast.estimate_training_memory(plan, num_parameters, batch_bytes), available_bytes)
        steps = train(
            objective, self.source.build_batches(job, model), plan, TrainState.from_parts(parts, objective, plan)
        )
        return model, activation_bytes, steps

    def choose_precision(self, job: Job) -> str:
        seconds_by_precision = {
            p: self.measure_step(replace(job, plan=replace(job.plan, precision=p))).step_seconds
            for p in ("float32", "bfloat16")
        }
        return min(seconds_by_precision, key=lambda p: seconds_by_precision[p])


def find_compile_error() -> str:
    """Return why torch.compile does not work here, or ""; takes a few seconds the first time."""
    torch.compiler.reset()
    try:
        torch.compile(torch.sin)(torch.ones(8, device=find_best_device()))
    except Exception as error:  # a C++ compiler may fail in any way
        return str(error).strip().splitlines()[0]
    return ""
