"""Preference data: chosen and rejected answers to prompts, as tokens or samples, and the batches made of them.

Shape letters: N examples, S sides of an example (chosen and rejected, or an answer and a mismatched one).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from genloom.errors import GenloomError
from genloom.noise import build_training_noise
from genloom.objectives.reference import compute_reference_nll
from genloom.objectives.sft import build_completion_batch
from genloom.store.files import write_atomic
from genloom.train.data.conditions import EncodedConditions, build_condition
from genloom.train.data.order import EpochOrder
from genloom.train.data.samples import EncodedSamples as EncodedSamples
from genloom.types import Batch, Objective, Parts, PreferencePairs, UnpairedPreferences

REFERENCE_BATCH_SIZE = 8  # when the reference model is evaluated

TokenRows = tuple[tuple[int, ...], ...]  # token ids; with samples, each row is the index of one


@dataclass(frozen=True)
class PreferenceDataset:
    """Row i is a prompt, a chosen and a rejected answer; or if `rejected` is empty, an answer and its desirability.

    Values that are not text are in `samples`, referenced by index; the prompt of a row is that of its sample.
    """

    prompts: TokenRows
    answers: TokenRows
    rejected: TokenRows
    desirable: tuple[bool, ...]  # () for pairs
    weights: tuple[float, ...]
    samples: EncodedSamples | None = None
    conditions: EncodedConditions = field(default_factory=dict)  # of outputs as tokens; samples have their own
    condition_rows: tuple[int, ...] = ()  # of each example, in `conditions`

    def __post_init__(self) -> None:
        sizes = {len(self.prompts), len(self.answers), len(self.rejected) or len(self.desirable), len(self.weights)}
        assert len(sizes) == 1, "every example has all its parts"
        assert len(self.condition_rows) == (len(self.prompts) if self.conditions else 0)
        assert bool(self.rejected) != bool(self.desirable), "examples are pairs or single answers"

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def digest(self) -> str:
        """SHA-256 of the examples in their order."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @property
    def unpaired_view(self) -> "PreferenceDataset":
        """Pairs as single answers: the chosen one is desirable, the rejected one is not."""
        if not self.rejected:
            return self
        return replace(
            self,
            prompts=self.prompts * 2,
            answers=self.answers + self.rejected,
            rejected=(),
            desirable=(True,) * len(self) + (False,) * len(self),
            weights=self.weights * 2,
            condition_rows=self.condition_rows * 2,
        )

    @property
    def desirable_subset(self) -> "PreferenceDataset":
        """The desirable answers."""
        unpaired = self.unpaired_view
        indices = [n for n, is_desirable in enumerate(unpaired.desirable) if is_desirable]
        if not indices:
            raise GenloomError("train.nothing_desirable")
        return replace(
            unpaired,
            prompts=tuple(unpaired.prompts[n] for n in indices),
            answers=tuple(unpaired.answers[n] for n in indices),
            desirable=(True,) * len(indices),
            weights=tuple(unpaired.weights[n] for n in indices),
            condition_rows=tuple(unpaired.condition_rows[n] for n in indices) if self.conditions else (),
        )

    def to_json(self) -> bytes:
        """Serialize the examples; jobs store the digest of these bytes, so the keys must not change."""
        record = {
            "prompts": self.prompts,
            "answers": self.answers,
            "worse": self.rejected,
            "good": self.desirable,
            "weights": self.weights,
            "samples": None if self.samples is None else digest_samples(self.samples),
        }
        if self.conditions:
            digest = hashlib.sha256(dump_conditions(self.conditions)).hexdigest()
            record |= {"conditions": digest, "condition_rows": self.condition_rows}
        return json.dumps(record, separators=(",", ":")).encode()

    def save(self, folder: Path) -> None:
        """Save the examples in the run's folder, for inspection only; a resumed run gets them from its caller."""
        write_atomic(folder / "preferences.json", self.to_json())


def digest_samples(samples: EncodedSamples) -> str:
    lengths = b"" if samples.lengths is None else samples.lengths.tobytes()
    return hashlib.sha256(np.asarray(samples.x).tobytes() + lengths + dump_conditions(samples.conditions)).hexdigest()


def dump_conditions(conditions: EncodedConditions) -> bytes:
    arrays = [a for name in conditions for a in (conditions[name].values, conditions[name].ends) if a is not None]
    return b"".join(array.tobytes() for array in arrays)


@dataclass(frozen=True)
class PreferenceSides:
    """The examples as a method reads them: each with one answer, or with two that are contrasted."""

    method: str
    dataset: PreferenceDataset
    context_length: int

    @staticmethod
    def from_dataset(method: str, dataset: PreferenceDataset, context_length: int) -> "PreferenceSides":
        method_dataset = {"dpo": dataset, "kto": dataset.unpaired_view, "weighted": dataset.desirable_subset}[method]
        if method == "dpo" and not dataset.rejected:
            raise GenloomError("train.no_pairs")
        return PreferenceSides(method, method_dataset, context_length)

    def list_answer_sides(self) -> list[TokenRows]:
        dataset = self.dataset
        match self.method:
            case "dpo":
                return [dataset.answers, dataset.rejected]
            case "kto":  # answers to other prompts estimate the KL divergence from the reference
                return [dataset.answers, (*dataset.answers[-1:], *dataset.answers[:-1])]
            case _:
                return [dataset.answers]

    def build_batch(self, side: int, indices: Sequence[int]) -> Batch:
        answers, prompts = self.list_answer_sides()[side], self.dataset.prompts
        if (samples := self.dataset.samples) is not None:
            batch = samples.build_batch(np.array([answers[n][0] for n in indices]))
            return replace(batch, cond=samples.build_batch(np.array([prompts[n][0] for n in indices])).cond)
        prompt_ids = [np.array(prompts[n], np.int64) for n in indices]
        batch = build_completion_batch(
            prompt_ids, [np.array(answers[n], np.int64) for n in indices], self.context_length
        )
        if not (encoded := self.dataset.conditions):
            return batch
        rows = np.array([self.dataset.condition_rows[n] for n in indices])
        return replace(batch, cond=build_condition(encoded, rows))


class PreferenceBatches:
    """Batches of examples; every epoch reads each once, in an order drawn from (seed, epoch)."""

    def __init__(self, sides: PreferenceSides, batch_size: int, seed: int, reference_nll_SN: np.ndarray | None = None):
        self.sides, self.batch_size = sides, min(batch_size, len(sides.dataset))
        self.order = EpochOrder.shuffle(len(sides.dataset), seed)
        self.reference_nll_SN = None if reference_nll_SN is None else torch.from_numpy(reference_nll_SN)

    def __call__(self, step: int) -> Batch | PreferencePairs | UnpairedPreferences:
        indices = self.order(step * self.batch_size + np.arange(self.batch_size)).tolist()
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


@torch.no_grad()
def precompute_reference_nll(
    base: Objective[Batch], parts: Parts, sides: PreferenceSides, num_draws: int = 1
) -> np.ndarray:
    """Return the negative log-likelihoods of all answers, S N float32; of a stochastic bound, the mean of some draws.

    All sides of an example use the same noise, and so does every model.
    """
    count = len(sides.dataset)
    nll_SN = np.zeros((len(sides.list_answer_sides()), count), np.float32)
    device = next(next(iter(parts.values())).parameters()).device
    length_N = np.max([[len(row) for row in rows] for rows in sides.list_answer_sides()], 0)
    length_N += [len(row) for row in sides.dataset.prompts]
    order = np.argsort(length_N, kind="stable")  # by length, for little padding
    for side in range(len(nll_SN)):
        for start in range(0, count, REFERENCE_BATCH_SIZE):
            indices = [int(n) for n in order[start : start + REFERENCE_BATCH_SIZE]]
            batch = sides.build_batch(side, indices).map(lambda t: t.to(device))
            for draw in range(num_draws):
                noise = build_training_noise(0, draw, start, len(indices))
                phase = base.phases[-1]  # not that of a GAN's critic
                nll_B = compute_reference_nll(base, parts, batch, phase, noise).float().cpu().numpy()
                nll_SN[side, indices] += nll_B / num_draws
    return nll_SN
