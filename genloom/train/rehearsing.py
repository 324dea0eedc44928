"""What a model learned before, read again beside something new, so that it is not forgotten."""

from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from genloom.model import Model
from genloom.noise import Noise
from genloom.objectives.autoregressive import Controls
from genloom.objectives.rehearsal import Rehearsal, Rehearsed
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train import documents, samples
from genloom.train.attempts import Attempting
from genloom.train.events import Event, Stage
from genloom.train.job import Job
from genloom.train.lessons import Drawn
from genloom.train.packing import Documents, write_documents
from genloom.train.samples import Samples
from genloom.types import Batch, Tokens

READ_AGAIN = 256  # symbols of a row of text at most
OWN = 64  # passages, where a model reads its own
SEEN_AGAIN = 1024  # samples at most: encoding them takes time

Known = Callable[[int], Batch]  # the batch of a step


def what_it_knows(
    folder: Path, workspace: Workspace, model: Model, job: Job, share: float
) -> Generator[Event, None, Known | None]:
    """What the model was trained on, in batches; None where that is not here or nothing shall be read again.

    A network that has counted its text knows it by heart, and would only learn to trust its counts: it reads what it
    writes itself instead.
    """
    if share and any(hasattr(part, "fit") for part in model.parts.values()):
        if not (folder / "documents.ends").exists():
            yield Stage("Writing what it can write before it learns, to be read again")
            write_documents(own(model), folder)
        written = Documents.read(folder)
        return documents.packed(written, model, job) if len(written.ends) else None
    data = (model.folder.card.get("data") if model.folder else None) or {}
    try:
        dataset = workspace.dataset(data.get("name", ""), data.get("digest", "")) if data else None
    except ValueError:
        return None
    if dataset is None or not share:
        return None
    if samples.fixed(model.codec.space):
        yield Stage("Encoding some of what it was trained on, to be seen again")
        return some(dataset, model, job)
    return documents.packed(documents.encoded(folder, dataset, model), model, job)


def own(model: Model) -> Generator[tuple[np.ndarray, np.ndarray]]:
    """Passages of the model itself, drawn as it finds them likely (pseudorehearsal, Robins 1995), and what counts."""
    noise, controls = Noise(0, tuple(range(OWN))), Controls(length=READ_AGAIN)
    with torch.inference_mode():
        *_, written = model.objective.sample(dict(model.parts.eval().items()), OWN, None, noise, controls)
    stop = cast(Tokens, model.codec.space).stop
    for row in written.cpu().numpy():
        ids = row[: np.argmax(row == stop)] if (row == stop).any() else row
        if len(ids):
            yield ids, np.ones(len(ids), bool)


def some(dataset: Dataset, model: Model, job: Job) -> Samples | None:
    few = islice(dataset.documents("train"), SEEN_AGAIN)
    parts = list(samples.encoded(few, model.codec, model.prompts))
    return Samples(samples.together(parts), job.rows, job.plan.seed, job.unprompted) if parts else None


def rehearsing(
    model: Model, lessons: Drawn | Attempting, known: Known | None, share: float
) -> tuple[Model, Callable[[int], Any]]:
    """The model and the batches of a run that also reads again what is known, where there is some."""
    if known is None:
        return model, lessons
    base = getattr(model.objective, "base", model.objective)
    objective: Any = Rehearsal(model.objective, base, share)
    again: Known = known

    def both(step: int) -> Rehearsed:
        # Lessons can be fewer than the rows of a step; both have to have as many.
        return Rehearsed(lessons(step), again(step).rows(slice(0, lessons.rows)))

    return replace(model, objective=objective), both
