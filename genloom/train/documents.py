"""Documents and conversations that a model is tuned on, each by itself: kept, packed into rows, and held out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log2
from pathlib import Path
from typing import cast

import numpy as np

from genloom.codecs.roles import Speaking, roles_of
from genloom.likelihood import BITS, Told, size
from genloom.model import Model
from genloom.store.dataset import Dataset
from genloom.train import forecast
from genloom.train.events import TOKENS
from genloom.train.job import Job
from genloom.train.packing import Documents, Packed, symbols_of, write_documents
from genloom.types import Codec, Tokens

STEP_SYMBOLS = 1024  # a step, about
SHORTEST_ROW, LONGEST_ROW = 64, 1024  # unless a person says otherwise


@dataclass(frozen=True)
class Written:
    """Documents as material of a run."""

    codec: Codec
    documents: Documents
    dataset: Dataset

    unit, measure = TOKENS, BITS
    epochs = 4  # readings at most, where only the time was given (Muennighoff et al. 2023)
    check, final = 4_000, 24_000  # bytes of held-out text, during a run and before and after it

    def batches(self, job: Job, model: Model) -> Packed:
        return packed(self.documents, model, job)

    def shaped(self, job: Job) -> Job:
        return shaped(job, self.documents)

    def size(self, job: Job, model: Model) -> int:
        """Rows of an epoch."""
        return len(self.batches(job, model).packs)

    def warnings(self, job: Job, model: Model) -> list[str]:
        if not (cut := self.batches(job, model).cut):
            return []
        longest = int(np.diff(self.documents.ends, prepend=0).max())
        told = (
            f"{cut:,} of {len(self.documents.ends):,} documents are longer than a row of {job.symbols} symbols and "
            f"are cut. To read them whole: --set row_length={min(longest, job.design.length)}"
        )
        return [told]

    def kept(self, job: Job, model: Model) -> int:
        """Bytes that a step keeps of each row for its backward pass."""
        return kept(job)

    def held_out(self, limit: int) -> Sequence[Told]:
        return held_out(self.dataset, limit)


def encoded(folder: Path, dataset: Dataset, model: Model) -> Documents:
    """The documents as symbols, kept in the run's folder. ValueError where the base cannot hold a conversation."""
    if not (folder / "documents.ends").exists():
        codec = cast(Speaking, model.codec)
        if any("turns" in item.meta for item in dataset.documents("train")):
            roles_of(codec)
        write_documents((symbols_of(model.codec, item) for item in dataset.documents("train")), folder)
    return Documents.read(folder)


def shaped(job: Job, documents: Documents) -> Job:
    """The job with rows that most documents fit into, and as many of them as make a step."""
    most = float(np.quantile(np.diff(documents.ends, prepend=0), 0.95)) if len(documents.ends) else 0.0
    fitting = 2 ** ceil(log2(max(most, 2)))
    length = job.row_length or min(max(fitting, SHORTEST_ROW), LONGEST_ROW, job.design.length)
    return replace(job, row_length=length, rows=job.rows or max(STEP_SYMBOLS // length, 1))


def packed(documents: Documents, model: Model, job: Job) -> Packed:
    """The batches of a run. Networks that cannot tell documents within a row apart get one a row."""
    space = model.codec.space
    assert isinstance(space, Tokens), "documents are made of symbols"
    causal = all(role.causal for role in model.objective.roles.values())
    together = causal and all(hasattr(part, "scores") for part in model.parts.values())
    return Packed(documents, job.rows, job.symbols, space.stop, job.plan.seed, alone=not together)


def kept(job: Job) -> int:
    """Bytes that a step keeps of each row for its backward pass."""
    return forecast.kept_of_symbols(replace(job.design, length=job.symbols), job.plan)


def held_out(dataset: Dataset, limit: int) -> list[Told]:
    """What stands for all that is held out, up to about `limit` bytes of what is measured.

    The last text is cut, a conversation never.
    """
    chosen: list[Told] = []
    room = limit
    for item in dataset.passages("val", limit):
        if room <= 0:
            break
        told: Told = item.meta.get("turns") or item.value[:room]
        chosen.append(told)
        room -= size(told)
    return chosen
