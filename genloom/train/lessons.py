"""What ratings teach: better and worse answers to prompts, as symbols or as samples, and the batches made of them.

Shape letters: B rows, N lessons, S sides of a lesson: a better and a worse answer, or an answer and another's.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from genloom.noise import training_noise
from genloom.objectives.answers import answered
from genloom.objectives.reference import before
from genloom.store.files import write_atomic
from genloom.train.samples import Rows as Samples
from genloom.types import Batch, Objective, Opinions, Pairs, Parts

LOOKED_AT_ONCE = 8  # rows, when the reference is asked

Rows = tuple[tuple[int, ...], ...]  # of symbols; where there are samples, each row is the number of one


@dataclass(frozen=True)
class Lessons:
    """Row i is a prompt, an answer and a worse one; or, where `worse` is empty, an answer and whether it is good.

    What is no text is among `samples`, and a row names it by its number; its prompt is the one that sample came with.
    """

    prompts: Rows
    answers: Rows
    worse: Rows
    good: tuple[bool, ...]  # () of pairs
    weights: tuple[float, ...]
    samples: Samples | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.prompts), len(self.answers), len(self.worse) or len(self.good), len(self.weights)}
        assert len(sizes) == 1, "each lesson has all its parts"
        assert bool(self.worse) != bool(self.good), "lessons are pairs or single answers"

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def digest(self) -> str:
        """What is learned; the same lessons in the same order have the same digest."""
        return hashlib.sha256(self.json()).hexdigest()

    @property
    def single(self) -> "Lessons":
        """Pairs taken apart: the better answer is good, the worse one bad."""
        if not self.worse:
            return self
        count = len(self)
        good = (True,) * count + (False,) * count
        return Lessons(self.prompts * 2, self.answers + self.worse, (), good, self.weights * 2, self.samples)

    @property
    def liked(self) -> "Lessons":
        """The good answers alone."""
        single = self.single
        kept = [n for n, good in enumerate(single.good) if good]
        if not kept:
            raise ValueError("Nothing was liked, so there is nothing to become likelier. Rate some answers up.")
        return Lessons(
            tuple(single.prompts[n] for n in kept),
            tuple(single.answers[n] for n in kept),
            (),
            (True,) * len(kept),
            tuple(single.weights[n] for n in kept),
            self.samples,
        )

    def json(self) -> bytes:
        told = {**vars(self), "samples": None if self.samples is None else digest_of(self.samples)}
        return json.dumps(told, separators=(",", ":")).encode()

    def save(self, folder: Path) -> None:
        """Keep what was learned from beside the run, for who wants to know; a run that goes on is told it anew."""
        write_atomic(folder / "lessons.json", self.json())


def digest_of(samples: Samples) -> str:
    states = b"" if samples.states is None else samples.states.tobytes() + samples.ends.tobytes()
    return hashlib.sha256(samples.x.tobytes() + states).hexdigest()


@dataclass(frozen=True)
class Sides:
    """The lessons as a method reads them: each with one answer, or with two that are set against each other."""

    method: str
    lessons: Lessons
    length: int  # symbols the model reads at once

    @staticmethod
    def of(method: str, lessons: Lessons, length: int) -> "Sides":
        chosen = {"dpo": lessons, "kto": lessons.single, "weighted": lessons.liked}[method]
        if method == "dpo" and not lessons.worse:
            raise ValueError("Only single answers were rated, so there are no pairs to learn from: use --method kto.")
        return Sides(method, chosen, length)

    def answers(self) -> list[Rows]:
        told = self.lessons
        match self.method:
            case "dpo":
                return [told.answers, told.worse]
            case "kto":  # what an answer to another prompt gains says how far the model has moved
                return [told.answers, (*told.answers[-1:], *told.answers[:-1])]
            case _:
                return [told.answers]

    def batch(self, side: int, chosen: Sequence[int]) -> Batch:
        answers, prompts = self.answers()[side], self.lessons.prompts
        if (samples := self.lessons.samples) is not None:
            shown = samples.batch(np.array([answers[n][0] for n in chosen]))
            return replace(shown, cond=samples.batch(np.array([prompts[n][0] for n in chosen])).cond)
        given = [np.array(prompts[n], np.int64) for n in chosen]
        return answered(given, [np.array(answers[n], np.int64) for n in chosen], self.length)


class Drawn:
    """The batch of a step; every epoch reads each lesson once, in an order drawn from (seed, epoch)."""

    def __init__(self, sides: Sides, rows: int, seed: int, reference_SN: np.ndarray | None = None):
        self.sides, self.rows, self.seed = sides, min(rows, len(sides.lessons)), seed
        self.reference_SN = None if reference_SN is None else torch.from_numpy(reference_SN)

    def __call__(self, step: int) -> Batch | Pairs | Opinions:
        count = len(self.sides.lessons)
        chosen = [place_of(index, count, self.seed) for index in range(step * self.rows, (step + 1) * self.rows)]
        batches = [self.sides.batch(side, chosen) for side in range(len(self.sides.answers()))]
        if (known := self.reference_SN) is not None:
            batches = [replace(batch, reference=known[side, chosen]) for side, batch in enumerate(batches)]
        told = self.sides.lessons
        weight = torch.tensor([told.weights[n] for n in chosen], dtype=torch.float32)
        match self.sides.method:
            case "dpo":
                return Pairs(*batches, weight)
            case "kto":
                good = torch.tensor([told.good[n] for n in chosen])
                return Opinions(batches[0], good, batches[1], weight=weight)
            case _:
                return replace(batches[0], weight=weight)


def place_of(index: int, count: int, seed: int) -> int:
    """Which of `count` things is read at `index` of all epochs' things; every epoch reads each once."""
    epoch, place = divmod(index, count)
    chance = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return int(chance.permutation(count)[place])


@torch.no_grad()
def looked_up(base: Objective[Batch], parts: Parts, sides: Sides, draws: int = 1) -> np.ndarray:
    """Minus log-likelihoods of all answers, S N float32: where the loss is a bound, the mean of so many draws of it.

    All sides of a lesson see the same noise, and so does every model that is asked.
    """
    count = len(sides.lessons)
    found_SN = np.zeros((len(sides.answers()), count), np.float32)
    device = next(next(iter(parts.values())).parameters()).device
    longest_N = np.max([[len(row) for row in rows] for rows in sides.answers()], 0)
    longest_N += [len(row) for row in sides.lessons.prompts]
    order = np.argsort(longest_N, kind="stable")  # so that little is padded
    for side in range(len(found_SN)):
        for first in range(0, count, LOOKED_AT_ONCE):
            chosen = [int(n) for n in order[first : first + LOOKED_AT_ONCE]]
            batch = sides.batch(side, chosen).map(lambda t: t.to(device))
            for draw in range(draws):
                noise = training_noise(0, draw, first, len(chosen))
                found = before(base, parts, batch, base.turns[0], noise).float().cpu().numpy()
                found_SN[side, chosen] += found / draws
    return found_SN
