"""From one wish (minutes, parameters or tokens) to a whole job: measure this machine, choose sizes, forecast, promise.

The rules and where their numbers come from stand in docs/scaling.md. What a network or codec thinks of its own
settings, its module says: `suited`, `sized`, `regularised`, `folds`, each where it has something to say.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from genloom import plugins
from genloom.model import check
from genloom.networks.kneser_ney import KneserNey
from genloom.settings import overridden
from genloom.store.dataset import Dataset
from genloom.train import forecast
from genloom.train.corpus import encoded
from genloom.train.events import Contract, Event, Stage, Warned
from genloom.train.job import Job
from genloom.train.speed import Bench, uncompilable
from genloom.types import Codec, Tokens

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
COUNTED_UP_TO = 8_000_000  # symbols that the floor is counted from
FEWEST_STEPS = 60
LONG_RUN = 3000  # steps
OFTEN, DROPOUT = 4, 0.1  # readings of the text from which dropout pays (docs/log.md), and how much
COMPILED_FROM = 400  # seconds of training: below, torch.compile has not repaid the half minute that it takes
RESERVE = 0.04  # share of the minutes for what is not foreseen, and for storing


@dataclass(frozen=True)
class First:
    """What a text is first tried with, where nobody has said: by its size and what is to be learned."""

    up_to: float  # bytes of training text
    objectives: tuple[str, ...]  # none: any
    codec: str
    network: str


# Bytes learn more from little text than byte pairs do, and n-gram counts under the network pay there and fit in memory.
FIRST = (
    First(6e6, ("autoregressive",), "bytes", "ngram"),
    First(6e6, (), "bytes", "transformer"),
    First(float("inf"), (), "bpe", "transformer"),
)


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
    """How long the steps may take, after what has been spent and what looking at held-out text will."""

    wishes: Wishes
    minutes: float  # 0: as long as the steps or tokens take
    held: int  # bytes of held-out text
    begun: float = field(default_factory=time.perf_counter)

    def steps(self, step_seconds: float, tokens: int) -> int:
        """Steps of so many tokens there is time for from now on, or that are wished."""
        if self.wishes.steps or self.wishes.tokens:
            return self.wishes.steps or -(-self.wishes.tokens // tokens)
        looks = forecast.looking_seconds(step_seconds / tokens, self.held)
        end = self.begun + self.minutes * 60 * (1 - RESERVE)
        return max(int((end - time.perf_counter() - looks) / step_seconds), 0)


@dataclass(frozen=True)
class Candidate:
    """One size of network with what was measured of it here."""

    job: Job
    parameters: int
    step_seconds: float
    steps: int
    score: float  # the less, the better

    @property
    def tokens(self) -> int:
        return self.steps * tokens_of(self.job)

    @property
    def seconds(self) -> float:
        return self.steps * self.step_seconds


def planned(
    folder: Path, dataset: Dataset, name: str, wishes: Wishes, overrides: Mapping[str, str]
) -> Generator[Event, None, Job]:
    """Yield what is being done and at last the contract; return the job.

    Raises ValueError for wishes that exclude each other or cannot be met, and for a misspelt setting.
    """
    if sum(bool(w) for w in (wishes.minutes, wishes.tokens, wishes.steps)) > 1:
        raise ValueError("Choose one of --minutes, --tokens and --steps: each of them says how long to train.")
    minutes = wishes.minutes or (0.0 if wishes.tokens or wishes.steps else 5.0)
    allowance = Allowance(wishes, minutes, dataset.size("val"))
    size = dataset.size("train")
    if not size:
        raise ValueError(f"The data set {dataset.name!r} has no training text. Collect more, then train.")
    base = overridden(first_job(dataset, name, size, wishes, overrides), overrides)
    job = Job.of(base)
    check(job.design)
    codec, stream = encoded(folder, dataset, job.design.codec, job.design.codec_settings)
    job = fitted_to(job, stream, overrides)
    floor = counted_floor(codec, stream, dataset)
    bench = Bench(codec, stream)
    yield Stage("Measuring this machine")
    if "plan.precision" not in overrides:
        job = replace(job, plan=replace(job.plan, precision=bench.faster_precision(answered(job, "sized", *TYPICAL))))
    chosen = choose(list(candidates(job, bench, allowance, floor, overrides)), wishes)
    if chosen.tokens > OFTEN * len(stream):
        chosen = replace(chosen, job=answered(chosen.job, "regularised", DROPOUT))
    if "plan.compiled" not in overrides and chosen.seconds > COMPILED_FROM:
        chosen = yield from compiled(chosen, bench, allowance)
    if chosen.tokens > 40 * len(stream):
        yield Warned(
            f"The text will be read {chosen.tokens / len(stream):.0f} times over: "
            "more text would serve better than more time."
        )
    contract = promised(chosen, stream, floor)
    yield contract
    plan = replace(chosen.job.plan, steps=chosen.steps, warmup=min(chosen.job.plan.warmup, max(chosen.steps // 10, 1)))
    kept = {k: v for k, v in asdict(contract).items() if v is not None}
    return replace(chosen.job, plan=plan, contract=kept)


def promised(chosen: Candidate, stream: np.ndarray, floor: float) -> Contract:
    """What the run will take and give. Raises ValueError where there is less memory than it takes."""
    design, parameters = chosen.job.design, chosen.parameters
    expected = forecast.bits_per_byte(design, parameters, chosen.tokens, len(stream), floor)
    free = psutil.virtual_memory().available
    memory = forecast.check_memory(design, chosen.job.plan, chosen.job.rows, parameters, len(stream), free)
    return Contract(
        parameters=parameters,
        steps=chosen.steps,
        tokens=chosen.tokens,
        seconds=round(chosen.seconds, 1),
        memory_bytes=memory,
        tokens_per_second=round(tokens_of(chosen.job) / chosen.step_seconds),
        bits_per_byte=round(expected, 4) if expected else None,
        error=forecast.ERROR,
        floor=round(floor, 4) if floor else None,
    )


def answered(job: Job, question: str, *given: Any) -> Job:
    """The job with its network's settings as their owner answers; as it was where it has no answer."""
    answer = getattr(plugins.find("network", job.design.network), question, None)
    if answer is None:
        return job
    return replace(job, design=replace(job.design, network_settings=answer(job.design.network_settings, *given)))


def first_job(dataset: Dataset, name: str, size: int, wishes: Wishes, overrides: Mapping[str, str]) -> dict[str, Any]:
    """The job as tables before anything is measured: codec, objective and kind of network by the amount of text."""
    asked = overridden({}, overrides)
    objective = named(asked, "objective", "autoregressive")
    first = next(f for f in FIRST if size <= f.up_to and (not f.objectives or objective in f.objectives))
    return {
        "name": name,
        "data": dataset.name,
        "digest": dataset.digest,
        "rows": 8,
        "length": 256,
        "codec": suited("codec", named(asked, "codec", first.codec), size),
        "objective": {"name": "autoregressive"},
        "network": suited("network", named(asked, "network", first.network), size),
        "plan": {"steps": 1, "seed": wishes.seed},
    }


def named(asked: Mapping[str, Any], part: str, otherwise: str) -> str:
    """The name of a part that a person asks for."""
    table = asked.get(part)
    return str(table.get("name", otherwise)) if isinstance(table, Mapping) else otherwise


def suited(kind: plugins.Kind, name: str, size: int) -> dict[str, Any]:
    """A part by name, with the settings that it begins with for so many bytes of text."""
    begin = getattr(plugins.find(kind, name), "suited", None)
    return {"name": name, **(begin(size) if begin else {})}


def fitted_to(job: Job, stream: np.ndarray, overrides: Mapping[str, str]) -> Job:
    """The job with a length that the text can fill."""
    folds = getattr(plugins.find("network", job.design.network), "folds", None)
    room = len(stream) // (folds(job.design.network_settings) if folds else 1) // 3
    if room >= job.design.length or "length" in overrides:
        return job
    if room < 8:
        raise ValueError(f"{len(stream)} symbols of training text are too few to learn from. Collect at least a page.")
    return replace(job, design=replace(job.design, length=room))


def counted_floor(codec: Codec, stream: np.ndarray, dataset: Dataset, order: int = 5) -> float:
    """Bits per byte that an n-gram model of the codec's own symbols reaches on held-out text; 0 where there is none."""
    held = [codec.encode(item.value) for item in islice(dataset.documents("val"), 200)]
    size = sum(len(codec.decode(ids).encode()) for ids in held)
    if not size:
        return 0.0
    space = codec.space
    assert isinstance(space, Tokens)
    counts = KneserNey.fit(np.asarray(stream[:COUNTED_UP_TO]), space.vocab, order)
    nats = sum(-counts.log_prob(np.append(space.stop, ids))[1:].sum() for ids in held)
    return float(nats / size / log(2))


def candidates(
    job: Job, bench: Bench, allowance: Allowance, floor: float, overrides: Mapping[str, str]
) -> Iterator[Candidate]:
    """Every size worth a try, small to large, until one is too slow for the time or forecast to be worse."""
    wishes, minutes, symbols = allowance.wishes, allowance.minutes, len(bench.stream)
    best, before = float("inf"), None
    for shape in SHAPES:
        sizing = answered(job, "sized", *shape)
        if sizing == before:  # a person has set all sizes
            return
        before = sizing
        speed = bench.speed(sizing)
        seconds, parameters = speed.step_seconds, speed.parameters
        tokens = tokens_of(sizing)
        steps = allowance.steps(seconds, tokens)
        if steps < FEWEST_STEPS and minutes and best < float("inf"):
            return
        steps = max(steps, 1)
        if not wishes.steps and "rows" not in overrides:  # a long run takes larger steps, not ever more of them
            larger = 2 ** max(int(log(max(steps / LONG_RUN, 1), 2)), 0)
            sizing, seconds, steps, tokens = (
                replace(sizing, rows=sizing.rows * larger),
                seconds * larger,
                steps // larger,
                tokens * larger,
            )
        expected = forecast.bits_per_byte(sizing.design, parameters, steps * tokens, symbols, floor)
        score = forecast.misfit(parameters, steps * tokens) if expected is None else expected
        yield Candidate(sizing, parameters, seconds, steps, score)
        enough = parameters > 1.5 * wishes.params if wishes.params else score > best * 1.01
        # Without a time to fill, the tokens say what size they can teach.
        enough = enough or (not (minutes or wishes.params) and parameters > steps * tokens / 10)
        best = min(best, score)
        if enough:
            return


def choose(found: list[Candidate], wishes: Wishes) -> Candidate:
    if wishes.params:
        return min(found, key=lambda c: abs(log(c.parameters / wishes.params)))
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
    found = [replace(chosen, job=job, step_seconds=bench.speed(job).step_seconds) for job in jobs]
    faster = min(found, key=lambda c: c.step_seconds)
    return replace(faster, steps=max(allowance.steps(faster.step_seconds, tokens_of(faster.job)), 1))


def tokens_of(job: Job) -> int:
    """Tokens a step."""
    return job.rows * (job.design.length - 1)
