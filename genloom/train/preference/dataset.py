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

from genloom.noise import build_training_noise
from genloom.objectives.reference import compute_reference_nll
from genloom.objectives.sft import build_completion_batch
from genloom.store.files import write_atomic
from genloom.train.data.samples import EncodedSamples as EncodedSamples
from genloom.types import Batch, Objective, Parts, PreferencePairs, UnpairedPreferences

REFERENCE_BATCH_SIZE = 8  # rows, when the reference is asked

TokenRows = tuple[tuple[int, ...], ...]  # of symbols; where there are samples, each row is the number of one


@dataclass(frozen=True)
class PreferenceDataset:
    """Row i is a prompt, an answer and a worse one; or, where `worse` is empty, an answer and whether it is good.

    What is no text is among `samples`, and a row names it by its number; its prompt is the one that sample came with.
    """

    prompts: TokenRows
    answers: TokenRows
    rejected: TokenRows
    desirable: tuple[bool, ...]  # () of pairs
    weights: tuple[float, ...]
    samples: EncodedSamples | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.prompts), len(self.answers), len(self.rejected) or len(self.desirable), len(self.weights)}
        assert len(sizes) == 1, "each lesson has all its parts"
        assert bool(self.rejected) != bool(self.desirable), "lessons are pairs or single answers"

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def digest(self) -> str:
        """What is learned; the same lessons in the same order have the same digest."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @property
    def unpaired_view(self) -> "PreferenceDataset":
        """Pairs taken apart: the better answer is good, the worse one bad."""
        if not self.rejected:
            return self
        count = len(self)
        desirable = (True,) * count + (False,) * count
        return PreferenceDataset(
            self.prompts * 2, self.answers + self.rejected, (), desirable, self.weights * 2, self.samples
        )

    @property
    def desirable_subset(self) -> "PreferenceDataset":
        """The good answers alone."""
        unpaired = self.unpaired_view
        indices = [n for n, is_desirable in enumerate(unpaired.desirable) if is_desirable]
        if not indices:
            raise ValueError("Nothing was liked, so there is nothing to become likelier. Rate some answers up.")
        return PreferenceDataset(
            tuple(unpaired.prompts[n] for n in indices),
            tuple(unpaired.answers[n] for n in indices),
            (),
            (True,) * len(indices),
            tuple(unpaired.weights[n] for n in indices),
            self.samples,
        )

    def to_json(self) -> bytes:
        record = {**vars(self), "samples": None if self.samples is None else digest_samples(self.samples)}
        return json.dumps(record, separators=(",", ":")).encode()

    def save(self, folder: Path) -> None:
        """Keep what was learned from beside the run, for who wants to know; a run that goes on is told it anew."""
        write_atomic(folder / "preferences.json", self.to_json())


def digest_samples(samples: EncodedSamples) -> str:
    states = b"" if samples.states is None else samples.states.tobytes() + samples.ends.tobytes()
    return hashlib.sha256(samples.x.tobytes() + states).hexdigest()


@dataclass(frozen=True)
class PreferenceSides:
    """The lessons as a method reads them: each with one answer, or with two that are set against each other."""

    method: str
    dataset: PreferenceDataset
    context_length: int  # symbols the model reads at once

    @staticmethod
    def from_dataset(method: str, dataset: PreferenceDataset, context_length: int) -> "PreferenceSides":
        method_dataset = {"dpo": dataset, "kto": dataset.unpaired_view, "weighted": dataset.desirable_subset}[method]
        if method == "dpo" and not dataset.rejected:
            raise ValueError("Only single answers were rated, so there are no pairs to learn from: use --method kto.")
        return PreferenceSides(method, method_dataset, context_length)

    def list_answer_sides(self) -> list[TokenRows]:
        dataset = self.dataset
        match self.method:
            case "dpo":
                return [dataset.answers, dataset.rejected]
            case "kto":  # what an answer to another prompt gains says how far the model has moved
                return [dataset.answers, (*dataset.answers[-1:], *dataset.answers[:-1])]
            case _:
                return [dataset.answers]

    def build_batch(self, side: int, indices: Sequence[int]) -> Batch:
        answers, prompts = self.list_answer_sides()[side], self.dataset.prompts
        if (samples := self.dataset.samples) is not None:
            batch = samples.build_batch(np.array([answers[n][0] for n in indices]))
            return replace(batch, cond=samples.build_batch(np.array([prompts[n][0] for n in indices])).cond)
        prompt_ids = [np.array(prompts[n], np.int64) for n in indices]
        return build_completion_batch(
            prompt_ids, [np.array(answers[n], np.int64) for n in indices], self.context_length
        )


class PreferenceBatches:
    """The batch of a step; every epoch reads each lesson once, in an order drawn from (seed, epoch)."""

    def __init__(self, sides: PreferenceSides, batch_size: int, seed: int, reference_nll_SN: np.ndarray | None = None):
        self.sides, self.batch_size, self.seed = sides, min(batch_size, len(sides.dataset)), seed
        self.reference_nll_SN = None if reference_nll_SN is None else torch.from_numpy(reference_nll_SN)

    def __call__(self, step: int) -> Batch | PreferencePairs | UnpairedPreferences:
        count = len(self.sides.dataset)
        indices = [
            shuffled_index(index, count, self.seed)
            for index in range(step * self.batch_size, (step + 1) * self.batch_size)
        ]
        batches = [self.sides.build_batch(side, indices) for side in range(len(self.sides.list_answer_sides()))]
        if (reference_nll_SN := self.reference_nll_SN) is not None:
            batches = [
                replace(batch, reference_nll=reference_nll_SN[side, indices]) for side, batch in enumerate(batches)
            ]
        dataset = self.sides.dataset
        weight = torch.tensor([dataset.weights[n] for n in indices], dtype=torch.float32)
        match self.sides.method:
            case "dpo":
                return PreferencePairs(*batches, weight)
            case "kto":
                desirable = torch.tensor([dataset.desirable[n] for n in indices])
                return UnpairedPreferences(batches[0], desirable, batches[1], weight=weight)
            case _:
                return replace(batches[0], weight=weight)


def shuffled_index(index: int, count: int, seed: int) -> int:
    """Which of `count` things is read at `index` of all epochs' things; every epoch reads each once."""
    epoch, position = divmod(index, count)
    rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return int(rng.permutation(count)[position])


@torch.no_grad()
def precompute_reference_nll(
    base: Objective[Batch], parts: Parts, sides: PreferenceSides, num_draws: int = 1
) -> np.ndarray:
    """Minus log-likelihoods of all answers, S N float32: where the loss is a bound, the mean of so many draws of it.

    All sides of a lesson see the same noise, and so does every model that is asked.
    """
    count = len(sides.dataset)
    nll_SN = np.zeros((len(sides.list_answer_sides()), count), np.float32)
    device = next(next(iter(parts.values())).parameters()).device
    length_N = np.max([[len(row) for row in rows] for rows in sides.list_answer_sides()], 0)
    length_N += [len(row) for row in sides.dataset.prompts]
    order = np.argsort(length_N, kind="stable")  # so that little is padded
    for side in range(len(nll_SN)):
        for start in range(0, count, REFERENCE_BATCH_SIZE):
            indices = [int(n) for n in order[start : start + REFERENCE_BATCH_SIZE]]
            batch = sides.build_batch(side, indices).map(lambda t: t.to(device))
            for draw in range(num_draws):
                noise = build_training_noise(0, draw, start, len(indices))
                nll_B = compute_reference_nll(base, parts, batch, base.phases[0], noise).float().cpu().numpy()
                nll_SN[side, indices] += nll_B / num_draws
    return nll_SN
