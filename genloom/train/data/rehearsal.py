"""Rehearsal: passages that a model generated before it is tuned, trained on beside the new data against forgetting."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from genloom.model import Model
from genloom.noise import Noise
from genloom.objectives.autoregressive import SamplingParams
from genloom.train.data.packing import EncodedDocuments, PackedBatches, write_documents
from genloom.types import Batch, TokenSpace

NUM_PASSAGES, PASSAGE_LENGTH = 32, 128  # that a model generates before it is tuned, and their tokens at most


def generate_passages(model: Model, count: int, length: int) -> Generator[tuple[np.ndarray, np.ndarray]]:
    """Sample passages from the model, with loss masks (pseudorehearsal, Robins 1995)."""
    noise, params = Noise(0, tuple(range(count))), SamplingParams(max_tokens=length)
    with torch.inference_mode():
        *_, tokens_BL = model.objective.sample(dict(model.parts.eval().items()), count, None, noise, params)
    eos = cast(TokenSpace, model.codec.space).eos
    for row in tokens_BL.cpu().numpy():
        ids = row[: np.argmax(row == eos)] if (row == eos).any() else row
        if len(ids):
            yield ids, np.ones(len(ids), bool)


def prepare_passages(
    folder: Path, model: Model, count: int = NUM_PASSAGES, length: int = PASSAGE_LENGTH
) -> EncodedDocuments:
    """Return the passages in a run's folder, which the model generates if they are not there yet."""
    if not (folder / "documents.ends").exists():
        folder.mkdir(parents=True, exist_ok=True)
        is_training = model.parts.training
        write_documents(generate_passages(model, count, length), folder)
        model.parts.train(is_training)
    return EncodedDocuments.load(folder)


@dataclass(frozen=True)
class RehearsedBatches:
    """Batches of new documents, each with further rows of passages to rehearse."""

    documents: PackedBatches
    passages: PackedBatches  # of the same row length

    def __call__(self, step: int) -> Batch:
        new, old = self.documents(step), self.passages(step)
        return replace(
            new,
            **{
                name: torch.cat([getattr(new, name), getattr(old, name)])
                for name in ("x", "mask", "segments", "lengths")
                if getattr(new, name) is not None
            },
        )


def count_rows(batch_size: int, share: float) -> int:
    """Return how many rows of passages make up this share of a step with `batch_size` rows of new documents."""
    return max(round(batch_size * share / (1 - share)), 1) if share else 0
