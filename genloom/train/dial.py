"""From one wish (minutes, parameters or tokens) to a whole job: measure this machine, choose sizes, forecast, promise.

The rules and where their numbers come from stand in docs/scaling.md. What a network or codec thinks of its own
settings, its module says: `suited`, `sized`, `regularised`, `folds`, each where it has something to say.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import psutil

from genloom import plugins
from genloom.model import check
from genloom.settings import overridden
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train import forecast
from genloom.train.events import Contract, Event, Stage, Warned
from genloom.train.first import first_tables
from genloom.train.job import Job
from genloom.train.material import Material, called, prepared
from genloom.train.speed import Bench, Speed, uncompilable

SHAPES = (
    (64, 2, 2),
    (96, 3, 3),
    (128, 4, 4),
    (192, 4, 6),
    (256, 5, 8),
    (320, 6, 10),
    (384, 8, 12),
    (512, 10, 16),
    (640, 12, 20),
    (768, 14, 24),
)
TYPICAL = SHAPES[3]
SMALLEST = SHAPES[0]
FEWEST_STEPS = 60
LONG_RUN = 3000  # steps
DROPOUT = 0.1  # where data are read so often that it pays
COMPILED_FROM = 400  # seconds of training: below, torch.compile has not repaid the half minute that it takes
TRYING = 0.08  # share of the time for a short run that tells how a text is learned
RESERVE = 0.04  # share of the minutes for what is not foreseen, and for storing


@dataclass(frozen=True)
class Wishes:
    """What a person asks for; zeros leave the choice to the dial."""

    minutes: float = 0.0
    params: int = 0
    tokens: int = 0
    steps: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Allowance:
    """How long the steps may take, after what has been spent and what looking at held-out data will."""

    wishes: Wishes
    minutes: float  # 0: as long as the steps or tokens take
    looked: int  # what all looks at held-out data read
    begun: float

    def steps(self, step_seconds: float, amount: int) -> int:
        """Steps that read so much there is time for from now on, or that are wished."""
        if self.wishes.steps or self.wishes.tokens:
            return self.wishes.steps or -(-self.wishes.tokens // amount)
        looks = forecast.looking_seconds(step_seconds / amount, self.looked)
        end = self.begun + self.minutes * 60 * (1 - RESERVE)
        return max(int((end - time.perf_counter() - looks) / step_seconds), 0)


@dataclass(frozen=True)
class Expected:
    """What quality to expect of runs on a text."""

    floor: float  # bits per byte of counting alone; 0: unknown
    law: forecast.Law | None
    symbols: int  # of training text

    def bits(self, parameters: int, tokens: int) -> float | None:
        """Bits per byte of a network of so many parameters after so many tokens; None where no rule is known."""
        return self.floor * self.law.share(parameters, tokens, self.symbols) if self.law and self.floor else None


@dataclass(frozen=True)
class Candidate:
    """One size of network with what was measured of it here."""

    job: Job
    speed: Speed
    steps: int
    score: float  # the less, the better

    @property
    def amount(self) -> int:
        return self.steps * self.job.amount

    @property
    def seconds(self) -> float:
        return self.steps * self.speed.step_seconds


def planned(
    folder: Path, workspace: Workspace, dataset: Dataset, name: str, wishes: Wishes, overrides: Mapping[str, str]
) -> Generator[Event, None, Job]:
    """Yield what is being done and at last the contract; return the job.

    Raises ValueError for wishes that exclude each other or cannot be met, and for a misspelt setting.
    """
    begun = time.perf_counter()
    if sum(bool(w) for w in (wishes.minutes, wishes.tokens, wishes.steps)) > 1:
        raise ValueError("Choose one of --minutes, --tokens and --steps: each of them says how long to train.")
    minutes = wishes.minutes or (0.0 if wishes.tokens or wishes.steps else 5.0)
    if not dataset.size("train"):
        raise ValueError(
            f"The data set {dataset.name!r} has no training {called(dataset.medium)}. Collect more, then train."
        )
    job = Job.of(overridden(first_job(workspace, dataset, name, wishes, overrides), overrides))
    check(job.design)
    yield Stage(f"Fitting the codec and encoding the {called(dataset.medium)}")
    material = yield from prepared(folder, workspace, dataset, job.design)
    allowance = Allowance(wishes, minutes, material.looked, begun)
    job = fitted_to(job, material, overrides)
    floor = material.floor(job.design)
    bench = Bench(material)
    yield Stage("Measuring this machine")
    if "plan.precision" not in overrides:
        job = replace(job, plan=replace(job.plan, precision=bench.faster_precision(answered(job, "sized", *TYPICAL))))
    expected = Expected(floor, (yield from tried(job, bench, wishes, minutes, floor)), len(material))
    chosen = choose(list(candidates(job, bench, allowance, expected, overrides)), wishes)
    if chosen.amount > material.often * len(material):
        chosen = replace(chosen, job=answered(chosen.job, "regularised", DROPOUT))
    if "plan.compiled" not in overrides and chosen.seconds > COMPILED_FROM:
        chosen = yield from compiled(chosen, bench, allowance)
    if chosen.amount > material.plenty * len(material):
        yield Warned(
            f"The {called(dataset.medium)} will be read {chosen.amount / len(material):.0f} times over: "
            "more data would serve better than more time."
        )
    if minutes and chosen.steps < FEWEST_STEPS:
        spent = (time.perf_counter() - begun) / 60
        yield Warned(
            f"Preparing and measuring took {spent:.1f} of the {minutes:g} minutes, which leaves time for "
            f"{chosen.steps} step{'s' * (chosen.steps != 1)}, too few to learn much: give more minutes, or --steps."
        )
    if wishes.params and not 0.5 < chosen.speed.parameters / wishes.params < 2:
        yield Warned(
            f"The nearest size that there is to {wishes.params:,} parameters has {chosen.speed.parameters:,}. "
            "For another, set the network's width and depth (docs/scaling.md)."
        )
    contract = promised(chosen, material, expected, time.perf_counter() - begun)
    yield contract
    plan = replace(chosen.job.plan, steps=chosen.steps, warmup=min(chosen.job.plan.warmup, max(chosen.steps // 10, 1)))
    return replace(chosen.job, plan=plan, contract=contract.facts())


def tried(
    job: Job, bench: Bench, wishes: Wishes, minutes: float, floor: float
) -> Generator[Event, None, forecast.Law | None]:
    """The law of this text, by a short run of a small network where that is needed and there is time for it."""
    law = forecast.law_of(job.design, len(bench.material))
    if law is None or not floor or len(bench.material) <= forecast.MUCH:
        return law
    small = answered(job, "sized", *SMALLEST)
    speed, steps = bench.speed(small), -(-forecast.PILOT // small.amount)
    foreseen = minutes * 60 or (wishes.steps or wishes.tokens / small.amount) * speed.step_seconds
    if speed.parameters > 2 * forecast.PILOT_SIZE or steps * speed.step_seconds > TRYING * foreseen:
        return law
    yield Stage("Trying a small network, to see how this text is learned")
    return forecast.law_of(job.design, len(bench.material), 1 - bench.reached(small, steps) / floor)


def promised(chosen: Candidate, material: Material, expected: Expected, spent: float) -> Contract:
    """What the run will take and give, `spent` seconds after it was asked for.

    Raises ValueError where there is less memory than it takes.
    """
    parameters = chosen.speed.parameters
    unit_seconds = chosen.speed.step_seconds / chosen.job.amount
    seconds = chosen.seconds + forecast.looking_seconds(unit_seconds, material.looked)
    bits, floor = expected.bits(parameters, chosen.amount), expected.floor
    free = psutil.virtual_memory().available
    kept = chosen.speed.kept * chosen.job.rows  # what networks have counted is in memory by now
    return Contract(
        parameters=parameters,
        steps=chosen.steps,
        amount=chosen.amount,
        seconds=round(seconds, 1),
        spent=round(spent, 1),
        memory_bytes=forecast.check_memory(chosen.job.plan, parameters, kept, free),
        speed=round(chosen.amount / seconds),
        expected=round(bits, 4) if bits else None,
        error=expected.law.error if expected.law else forecast.ERROR,
        floor=round(floor, 4) if floor else None,
        unit=material.unit,
        measure=material.measure,
    )


def answered(job: Job, question: str, *given: Any) -> Job:
    """The job with its network's settings as their owner answers; as it was where it has no answer."""
    answer = getattr(plugins.find("network", job.design.network), question, None)
    if answer is None:
        return job
    return replace(job, design=replace(job.design, network_settings=answer(job.design.network_settings, *given)))


def first_job(
    workspace: Workspace, dataset: Dataset, name: str, wishes: Wishes, overrides: Mapping[str, str]
) -> dict[str, Any]:
    """The job as tables before anything is measured."""
    tables = first_tables(workspace, dataset, overrides)
    plan = {**tables["plan"], "steps": 1, "seed": wishes.seed}
    return {"name": name, "data": dataset.name, "digest": dataset.digest, **tables, "plan": plan}


def fitted_to(job: Job, material: Material, overrides: Mapping[str, str]) -> Job:
    """The job with a length that the text can fill."""
    folds = getattr(plugins.find("network", job.design.network), "folds", None)
    room = len(material) // (folds(job.design.network_settings) if folds else 1) // 3
    if room >= job.design.length or "length" in overrides:
        return job
    if room < 8:
        raise ValueError(
            f"{len(material)} symbols of training text are too few to learn from. Collect at least a page."
        )
    return replace(job, design=replace(job.design, length=room))


def candidates(
    job: Job, bench: Bench, allowance: Allowance, expected: Expected, overrides: Mapping[str, str]
) -> Iterator[Candidate]:
    """Every size worth a try, small to large, until one is too slow for the time or forecast to be worse."""
    wishes, minutes, material = allowance.wishes, allowance.minutes, bench.material
    best, before = float("inf"), None
    for shape in SHAPES:
        sizing = answered(job, "sized", *shape)
        if sizing == before:  # a person has set all sizes
            return
        before = sizing
        speed = bench.speed(sizing)
        steps = allowance.steps(speed.step_seconds, sizing.amount)
        if steps < FEWEST_STEPS and minutes and best < float("inf"):
            return
        steps = max(steps, 1)
        if not wishes.steps and "rows" not in overrides:  # a long run takes larger steps, not ever more of them
            larger = 2 ** max(int(log(max(steps / LONG_RUN, 1), 2)), 0)
            sizing, steps = replace(sizing, rows=sizing.rows * larger), steps // larger
            speed = replace(speed, step_seconds=speed.step_seconds * larger)
        read = steps * sizing.amount
        bits = expected.bits(speed.parameters, read)
        teaches = read * material.teaches
        score = forecast.misfit(speed.parameters, teaches) if bits is None else bits
        yield Candidate(sizing, speed, steps, score)
        enough = speed.parameters > 1.5 * wishes.params if wishes.params else score > best * 1.01
        # Without a time to fill, the tokens say what size they can teach.
        enough = enough or (not (minutes or wishes.params) and speed.parameters > teaches / 10)
        best = min(best, score)
        if enough:
            return


def choose(found: list[Candidate], wishes: Wishes) -> Candidate:
    if wishes.params:
        return min(found, key=lambda c: abs(log(c.speed.parameters / wishes.params)))
    return min(found, key=lambda c: c.score)


def compiled(chosen: Candidate, bench: Bench, allowance: Allowance) -> Generator[Event, None, Candidate]:
    """The candidate as it is or with compiled networks, whichever is faster, with the steps there is still time for.

    What is compiled here is kept on disk by torch, so the run itself does not wait for it again.
    """
    yield Stage("Measuring whether torch.compile makes it faster")
    jobs = [chosen.job]
    if why := uncompilable():
        yield Warned(f"torch.compile does not work here, so the networks run without it: {why}")
    else:
        jobs.append(replace(chosen.job, plan=replace(chosen.job.plan, compiled=True)))
    found = [replace(chosen, job=job, speed=bench.speed(job)) for job in jobs]
    faster = min(found, key=lambda c: c.speed.step_seconds)
    return replace(faster, steps=max(allowance.steps(faster.speed.step_seconds, faster.job.amount), 1))
