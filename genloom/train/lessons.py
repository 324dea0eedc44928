"""What ratings teach, as symbols: better and worse answers to prompts, kept by digest, and the batches made of them.

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
from genloom.types import Batch, Objective, Opinions, Pairs, Parts

LARGEST = 1 << 30  # bytes of a file of lessons
LOOKED_AT_ONCE = 8  # rows, when the reference is asked

Rows = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Lessons:
    """Row i is a prompt, an answer and a worse one; or, where `worse` is empty, an answer and whether it is good."""

    prompts: Rows
    answers: Rows
    worse: Rows
    good: tuple[bool, ...]  # () of pairs
    weights: tuple[float, ...]

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
        return Lessons(
            self.prompts * 2, self.answers + self.worse, (), (True,) * count + (False,) * count, self.weights * 2
        )

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
        )

    def json(self) -> bytes:
        return json.dumps(vars(self), separators=(",", ":")).encode()

    def save(self, folder: Path) -> None:
        write_atomic(folder / "lessons.json", self.json())

    @staticmethod
    def read(folder: Path, digest: str) -> "Lessons":
        """Raises ValueError where the file is not the one whose digest is given."""
        path = folder / "lessons.json"
        data = path.read_bytes() if path.is_file() and path.stat().st_size < LARGEST else b""
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(f"{path} is missing or damaged: it is not what the run began with. Learn again.")
        said = json.loads(data)

        def rows(name: str) -> Rows:
            return tuple(tuple(row) for row in said[name])

        return Lessons(rows("prompts"), rows("answers"), rows("worse"), tuple(said["good"]), tuple(said["weights"]))


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
        answers = self.answers()[side]
        prompts = [np.array(self.lessons.prompts[n], np.int64) for n in chosen]
        return answered(prompts, [np.array(answers[n], np.int64) for n in chosen], self.length)


class Drawn:
    """The batch of a step; every epoch reads each lesson once, in an order drawn from (seed, epoch)."""

    def __init__(self, sides: Sides, rows: int, seed: int, reference_SN: np.ndarray):
        self.sides, self.rows, self.seed = sides, min(rows, len(sides.lessons)), seed
        self.reference_SN = torch.from_numpy(reference_SN)

    def __call__(self, step: int) -> Batch | Pairs | Opinions:
        chosen = [self.row(index) for index in range(step * self.rows, (step + 1) * self.rows)]
        batches = [
            replace(self.sides.batch(side, chosen), reference=self.reference_SN[side, chosen])
            for side in range(len(self.reference_SN))
        ]
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

    def row(self, index: int) -> int:
        """The lesson that is read at `index` of all epochs' lessons."""
        epoch, place = divmod(index, len(self.sides.lessons))
        chance = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        return int(chance.permutation(len(self.sides.lessons))[place])


@torch.no_grad()
def looked_up(base: Objective[Batch], parts: Parts, sides: Sides) -> np.ndarray:
    """Minus log-likelihoods of all answers before learning, S N float32, in nats."""
    count = len(sides.lessons)
    found_SN = np.zeros((len(sides.answers()), count), np.float32)
    device = next(parts["model"].parameters()).device
    for side in range(len(found_SN)):
        for first in range(0, count, LOOKED_AT_ONCE):
            chosen = list(range(first, min(first + LOOKED_AT_ONCE, count)))
            batch = sides.batch(side, chosen).map(lambda t: t.to(device))
            noise = training_noise(0, 0, first, len(chosen))
            found_SN[side, chosen] = before(base, parts, batch, base.turns[0], noise).float().cpu().numpy()
    return found_SN
