"""Batches of private training: every document is in a step with the same probability, apart from all others.

Shape letters: N documents, B rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genloom.train.data import conditions
from genloom.train.data.conditions import CondDropout
from genloom.train.data.packing import EncodedDocuments, PackedBatches
from genloom.train.job import Job
from genloom.train.privacy import NoiseKey
from genloom.types import Batch, TokenSpace

BuildRows = Callable[[np.ndarray, int], Batch]  # of documents (B) and a step


@dataclass(frozen=True)
class PoissonBatches:
    """Rows of randomly drawn documents, one row a document; their number varies, and can be 0."""

    build_rows: BuildRows
    num_documents: int
    rows: int  # of a step, on average
    key: NoiseKey = NoiseKey()

    def __call__(self, step: int) -> Batch:
        drawn_B = self.draw_documents(step)
        if len(drawn_B):
            return self.build_rows(drawn_B, step)
        return self.build_rows(np.zeros(1, np.int64), step).select_rows(slice(0, 0))

    def draw_documents(self, step: int) -> np.ndarray:
        """Return the documents of a step, by their numbers."""
        draws_N = self.key.draw_noise(step).uniform((self.num_documents,))[0].numpy()
        return np.flatnonzero(draws_N < self.rows / self.num_documents)

    def with_key(self, key: NoiseKey) -> "PoissonBatches":
        return replace(self, key=key)


def build_packed_rows(documents: EncodedDocuments, space: TokenSpace, job: Job) -> tuple[BuildRows, int]:
    """Return the function that builds rows of documents without conditions, and the number of documents."""
    batches, first_packs_N = list_first_packs(documents, space, job)
    return lambda numbers_B, step: batches.build_batch(first_packs_N[numbers_B]), len(first_packs_N)


def list_first_packs(documents: EncodedDocuments, space: TokenSpace, job: Job) -> tuple[PackedBatches, np.ndarray]:
    """Return the rows of single documents, and the first row of each document that has any, N."""
    shape = job.batch_size, job.tokens_per_row, space.eos, job.plan.seed
    batches = PackedBatches(documents, *shape, is_one_per_row=True)
    documents_P, _ = batches.find_documents(np.arange(len(batches.packs)))
    return batches, np.unique(documents_P, return_index=True)[1]


def draw_kept(
    encoded: Mapping[str, Any], cond_dropout: CondDropout, count: int, seed: int, step: int
) -> dict[str, np.ndarray] | None:
    """Draw which rows keep each condition; None without conditions."""
    return conditions.draw_kept(list(encoded), cond_dropout, count, seed, step) if encoded else None
