"""The samples that a run has scored, by step: the best are replayed, and families of many are no longer rewarded.

The memory is a file of JSON lines in the run's folder, of which a step keeps only the lines of the steps before it:
so a resumed run has the memory that an uninterrupted one would have.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genloom.errors import GenloomError
from genloom.store.files import write_atomic


@dataclass(frozen=True)
class ScoredSample:
    """An answer as tokens, the number of its prompt, its score from 0 to 1, and the family that it belongs to."""

    step: int
    key: str  # the same for values that are the same
    prompt: int
    answer: tuple[int, ...]
    score: float
    family: str = ""  # "": none

    def to_json(self) -> str:
        return json.dumps([self.step, self.key, self.prompt, list(self.answer), self.score, self.family])


@dataclass
class ScoreMemory:
    """Distinct scored samples in the order in which they were first scored."""

    path: Path | None = None  # None: only in memory
    samples: dict[str, ScoredSample] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> "ScoreMemory":
        """Open the memory of a run, which may be new; raises GenloomError for a damaged file."""
        memory = cls(path)
        if path.is_file():
            memory.samples = {sample.key: sample for sample in read_samples(path)}
        return memory

    def rewind(self, step: int) -> None:
        """Forget what this step and later ones have scored, before the step is computed again."""
        kept = {key: sample for key, sample in self.samples.items() if sample.step < step}
        if len(kept) < len(self.samples):
            self.samples = kept
            if self.path is not None:
                write_atomic(self.path, "".join(f"{sample.to_json()}\n" for sample in kept.values()))

    def add(self, samples: Iterable[ScoredSample]) -> list[ScoredSample]:
        """Add samples, and return those that are new."""
        new = {sample.key: sample for sample in samples if sample.key not in self.samples}
        self.samples |= new
        if self.path is not None and new:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(f"{sample.to_json()}\n" for sample in new.values())
        return list(new.values())

    def count_families(self) -> Counter[str]:
        """Return how many samples each family has."""
        return Counter(sample.family for sample in self.samples.values() if sample.family)

    def select_best(self, count: int, family_size: int = 0) -> list[ScoredSample]:
        """Return the samples with the highest scores above 0, at most `family_size` of a family (0: any number)."""
        best, sizes = [], Counter[str]()
        for sample in sorted(self.samples.values(), key=lambda sample: -sample.score):
            if len(best) == count or sample.score <= 0:
                break
            if not (family_size and sample.family and sizes[sample.family] >= family_size):
                best.append(sample)
                sizes[sample.family] += 1
        return best


def read_samples(path: Path) -> Iterator[ScoredSample]:
    """Yield the samples of a file; a last line that a kill has cut off is left out."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            return
        try:
            step, key, prompt, answer, score, family = json.loads(line)
        except ValueError as error:
            raise GenloomError("train.damaged_memory", path=path, reason=error) from None
        yield ScoredSample(int(step), str(key), int(prompt), tuple(map(int, answer)), float(score), str(family))


def combine_scores(scores_RB: np.ndarray) -> np.ndarray:
    """Return the geometric mean of the scores of each sample, B, from 0 to 1."""
    clipped = np.clip(scores_RB.astype(np.float64), 0.0, 1.0)
    return np.where((clipped > 0).all(0), np.exp(np.log(np.maximum(clipped, 1e-12)).mean(0)), 0.0)


def penalise_families(scores: Sequence[float], families: Sequence[str], counts: Counter[str], size: int) -> np.ndarray:
    """Return the scores with 0 for samples of families that are full (the diversity filter of Blaschke et al. 2020)."""
    counts, result = counts.copy(), np.array(scores, np.float64)
    for index, family in enumerate(families):
        if family and size and counts[family] >= size:
            result[index] = 0.0
        counts[family] += 1
    return result
