"""From one wish (minutes, parameters or tokens) to a whole job: measure this machine, choose sizes, forecast, promise.

The rules and where their numbers come from stand in docs/scaling.md.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import log
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from genloom.model import best_device, check, objective_of, parts_of, space_of
from genloom.networks.kneser_ney import KneserNey
from genloom.settings import overridden
from genloom.store.dataset import Dataset
from genloom.train import forecast
from genloom.train.corpus import Blocks, encoded, folds_of
from genloom.train.events import Contract, Event, Stage, Warned
from genloom.train.job import Job
from genloom.train.loop import State, train
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
SMALL = 2_000_000  # bytes of training text
BYTES_UP_TO = 6_000_000  # of training text: below, bytes learn more from it than byte pairs do
COUNTED_UP_TO = 8_000_000  # symbols: below, n-gram counts under the network pay and fit in memory
FEWEST_STEPS = 60
LONG_RUN = 3000  # steps
OFTEN, DROPOUT = 4, 0.1  # readings of the text from which dropout pays (docs/log.md), and how much
MEASURED_STEPS, MEASURED_SECONDS = 40, 1.5
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
class Candidate:
    """One size of network with what was measured of it here."""

    job: Job
    parameters: int
    step_seconds: float
    steps: int
    forecast: float | None  # bits per byte; None where no rule is known
    score: float  # the less, the better

    @property
    def tokens(self) -> int:
        return self.steps * self.job.rows * (self.job.design.length - 1)


def planned(
    folder: Path, dataset: Dataset, name: str, wishes: Wishes, overrides: Mapping[str, str]
) -> Generator[Event, None, Job]:
    """Yield what is being done and at last the contract; return the job.

    Raises ValueError for wishes that exclude each other or cannot be met, and for a misspelt setting.
    """
    if sum(bool(w) for w in (wishes.minutes, wishes.tokens, wishes.steps)) > 1:
        raise ValueError("Choose one of --minutes, --tokens and --steps: each of them says how long to train.")
    begun = time.perf_counter()
    minutes = wishes.minutes or (0.0 if wishes.tokens or wishes.steps else 5.0)
    size = dataset.size("train")
    if not size:
        raise ValueError(f"The data set {dataset.name!r} has no training text. Collect more, then train.")
    base = overridden(first_job(dataset, name, size, wishes, overrides), overrides)
    job = Job.of(base)
    check(job.design)
    codec, stream = encoded(folder, dataset, job.design.codec, job.design.codec_settings)
    job = fitted_to(job, stream, overrides)
    floor = counted_floor(codec, stream, dataset)
    held = dataset.size("val")
    fitted: dict[str, Any] = {}
    yield Stage("Measuring this machine")
    precision = (
        faster_precision(job, codec, stream, fitted) if "plan.precision" not in overrides else job.plan.precision
    )
    job = replace(job, plan=replace(job.plan, precision=precision))
    chosen = choose(
        list(candidates(job, codec, stream, wishes, minutes, floor, held, begun, fitted, overrides)), wishes
    )
    contract = Contract(
        parameters=chosen.parameters,
        steps=chosen.steps,
        tokens=chosen.tokens,
        seconds=round(chosen.steps * chosen.step_seconds, 1),
        memory_bytes=forecast.memory(
            chosen.job.design, chosen.job.plan, chosen.job.rows, chosen.parameters, len(stream)
        ),
        tokens_per_second=round(chosen.job.rows * (chosen.job.design.length - 1) / chosen.step_seconds),
        bits_per_byte=round(chosen.forecast, 4) if chosen.forecast else None,
        error=forecast.ERROR,
        floor=round(floor, 4) if floor else None,
    )
    if contract.memory_bytes > psutil.virtual_memory().available:
        raise ValueError(
            f"This run needs about {contract.memory_bytes / 1e9:.1f} GB, and "
            f"{psutil.virtual_memory().available / 1e9:.1f} GB are free. "
            "Close other programs or ask for fewer parameters (--params)."
        )
    if chosen.tokens > 40 * len(stream):
        yield Warned(
            f"The text will be read {chosen.tokens / len(stream):.0f} times over: "
            "more text would serve better than more time."
        )
    yield contract
    plan = replace(chosen.job.plan, steps=chosen.steps, warmup=min(chosen.job.plan.warmup, max(chosen.steps // 10, 1)))
    kept = {k: v for k, v in asdict(contract).items() if v is not None}
    job = replace(chosen.job, plan=plan, contract=kept)
    return regularised(job, overrides) if chosen.tokens > OFTEN * len(stream) else job


def regularised(job: Job, overrides: Mapping[str, str]) -> Job:
    """The job with dropout where its network has it and nobody has set it: its text is read many times over."""
    path, settings = ("network.base", "base") if job.design.network == "ngram" else ("network", "")
    inner = dict(job.design.network_settings.get(settings, {}) if settings else job.design.network_settings)
    if job.design.network not in ("ngram", "transformer") or f"{path}.dropout" in overrides:
        return job
    inner["dropout"] = DROPOUT
    changed = {**job.design.network_settings, settings: inner} if settings else inner
    return replace(job, design=replace(job.design, network_settings=changed))


def first_job(dataset: Dataset, name: str, size: int, wishes: Wishes, overrides: Mapping[str, str]) -> dict[str, Any]:
    """The job as tables before anything is measured: codec, objective and kind of network by the amount of text."""
    by_bytes = size <= BYTES_UP_TO
    codec: dict[str, Any] = {"name": "bytes"} if by_bytes else {"name": "bpe", "vocab": vocabulary(size)}
    shape = {"tied": False, "softcap": 15.0}
    causal = overrides.get("objective.name", "autoregressive") == "autoregressive"
    kind = overrides.get("network.name") or ("ngram" if by_bytes and causal else "transformer")
    grams = {"order": 8, "folds": 8} if size <= SMALL else {"order": 6, "folds": 4}  # counts cost memory
    network: dict[str, Any] = {"ngram": {**grams, "base": shape}, "transformer": shape}.get(kind, {})
    return {
        "name": name,
        "data": dataset.name,
        "digest": dataset.digest,
        "rows": 8,
        "length": 256,
        "codec": codec,
        "objective": {"name": "autoregressive"},
        "network": {"name": kind, **network},
        "plan": {"steps": 1, "seed": wishes.seed},
    }


def vocabulary(size: int) -> int:
    """Byte pairs to learn from so many bytes: each should be seen some hundred times."""
    return int(2 ** np.clip(round(log(size / 2000, 2)), 9, 15))


def fitted_to(job: Job, stream: np.ndarray, overrides: Mapping[str, str]) -> Job:
    """The job with a length that the text can fill."""
    folds = int(job.design.network_settings.get("folds", 8)) if job.design.network == "ngram" else 1
    room = len(stream) // folds // 3
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


def sized(job: Job, shape: tuple[int, int, int]) -> Job:
    """The job with its network at one of the sizes; what a person has set stays."""
    settings = dict(job.design.network_settings)
    inner = settings.get("base", settings) if job.design.network == "ngram" else settings
    size = (
        dict(zip(("width", "depth", "heads"), shape, strict=True))
        if job.design.network != "recurrent"
        else {"width": shape[0] * 2}
    )
    inner = {**size, **inner}
    return replace(
        job,
        design=replace(
            job.design, network_settings={**settings, "base": inner} if job.design.network == "ngram" else inner
        ),
    )


def measured(job: Job, codec: Codec, stream: np.ndarray, fitted: dict[str, Any]) -> tuple[float, int]:
    """Seconds a step and the number of parameters; `fitted` keeps what was fitted to the text, by role, for the next.

    The median of the later half of three steps, or of as many as go into a second: the first ones also fill tables.
    """
    objective = objective_of(job.design, space_of(job.design, codec))
    parts = parts_of(job.design, objective)
    for name, network in parts.items():
        if name in fitted and (share := getattr(network, "share", None)):
            share(fitted[name])
        elif fit := getattr(network, "fit", None):
            fit(np.asarray(stream))
            fitted[name] = network
    parts.to(best_device())
    plan = replace(job.plan, steps=MEASURED_STEPS)
    times, before = [], time.perf_counter()
    blocks = Blocks(stream, job.rows, job.design.length, 0, folds_of(parts))
    for _ in train(objective, blocks, plan, State.fresh(parts, objective, plan)):
        now = time.perf_counter()
        times.append(now - before)
        before = now
        if len(times) >= 3 and sum(times) > MEASURED_SECONDS:
            break
    return median(times[len(times) // 2 :]), sum(p.numel() for p in parts.parameters())


def faster_precision(job: Job, codec: Codec, stream: np.ndarray, fitted: dict[str, Any]) -> str:
    timed = {
        p: measured(replace(sized(job, SHAPES[3]), plan=replace(job.plan, precision=p)), codec, stream, fitted)[0]
        for p in ("float32", "bfloat16")
    }
    return min(timed, key=lambda p: timed[p])


def candidates(
    job: Job,
    codec: Codec,
    stream: np.ndarray,
    wishes: Wishes,
    minutes: float,
    floor: float,
    held: int,
    begun: float,
    fitted: dict[str, Any],
    overrides: Mapping[str, str],
) -> Iterator[Candidate]:
    """Every size worth a try, small to large, until one is too slow for the time or forecast to be worse.

    `held` is the bytes of held-out text, `begun` when the person's minutes began.
    """
    best, before = float("inf"), None
    for shape in SHAPES:
        sizing = sized(job, shape)
        if sizing == before:  # a person has set all sizes
            return
        before = sizing
        seconds, parameters = measured(sizing, codec, stream, fitted)
        tokens = sizing.rows * (sizing.design.length - 1)
        looks = forecast.looking_seconds(seconds / tokens, held)
        room = max(begun + minutes * 60 * (1 - RESERVE) - time.perf_counter() - looks, 0.0)
        steps = wishes.steps or -(-wishes.tokens // tokens) or int(room / seconds)
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
        expected = forecast.bits_per_byte(sizing.design, parameters, steps * tokens, len(stream), floor)
        score = forecast.misfit(parameters, steps * tokens) if expected is None else expected
        yield Candidate(sizing, parameters, seconds, steps, expected, score)
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
