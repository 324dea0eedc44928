"""How fast this machine takes the steps of a job, and what makes it faster: a lower precision, compiling."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch

from genloom.likelihood import measured
from genloom.model import Model, best_device, objective_of, parts_of, space_of
from genloom.train.job import Job
from genloom.train.loop import State, train
from genloom.train.material import Material

MEASURED_STEPS, MEASURED_SECONDS = 40, 1.5

Steps = Iterator[object]


@dataclass(frozen=True)
class Speed:
    step_seconds: float
    parameters: int
    kept: int = 0  # bytes that a step keeps of each row for its backward pass


@dataclass
class Bench:
    """The data that steps are timed on."""

    material: Material

    def speed(self, job: Job) -> Speed:
        """The median of the later half of three steps, or of as many as go into a second and a half."""
        times: list[float] = []
        model, kept, steps = self.started(job, MEASURED_STEPS)
        before = time.perf_counter()
        for _ in steps:
            now = time.perf_counter()
            times.append(now - before)
            before = now
            if len(times) >= 3 and sum(times[1:]) > MEASURED_SECONDS:  # the first fills tables, or compiles
                break
        return Speed(median(times[len(times) // 2 :]), sum(p.numel() for p in model.parts.parameters()), kept)

    def reached(self, job: Job, steps: int) -> float:
        """What so many steps of the job reach on the held-out data that runs end with."""
        model, _, rest = self.started(job, steps)
        deque(rest, maxlen=0)
        model.parts.eval()
        return measured(model, self.material.held_out(self.material.final)).value

    def started(self, job: Job, count: int) -> tuple[Model, int, Steps]:
        """The model, the bytes that a step keeps of a row, and steps to take."""
        objective = objective_of(job.design, space_of(job.design, self.material.codec))
        parts = parts_of(job.design, objective)
        for network in parts.values():
            self.material.fit(network)
        parts.to(best_device())
        plan = replace(job.plan, steps=count)
        model = Model(job.name, self.material.codec, objective, parts, job.design)
        kept = self.material.kept(job, model)
        steps = train(objective, self.material.batches(job, model), plan, State.fresh(parts, objective, plan))
        return model, kept, steps

    def faster_precision(self, job: Job) -> str:
        timed = {
            p: self.speed(replace(job, plan=replace(job.plan, precision=p))).step_seconds
            for p in ("float32", "bfloat16")
        }
        return min(timed, key=lambda p: timed[p])


def uncompilable() -> str:
    """Why torch.compile does not work here; empty where it does. Takes a few seconds the first time."""
    torch.compiler.reset()
    try:
        torch.compile(torch.sin)(torch.ones(8, device=best_device()))
    except Exception as error:  # a compiler's: anything may happen in it
        return str(error).strip().splitlines()[0]
    return ""
