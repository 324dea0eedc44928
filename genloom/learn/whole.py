"""What a challenger may not get worse at that makes whole things, as pictures are, and no text."""

from typing import Any

import numpy as np
import torch

from genloom import plugins
from genloom.likelihood import ROWS
from genloom.model import Model
from genloom.noise import Noise
from genloom.rate.gate import Measure, paired
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.samples import held_out
from genloom.trust.lookalike import lookalikes
from genloom.types import Batch, Item

VALID = 0.05  # share of the outputs with which something may be wrong
LOSS = 0.02  # share by which the loss on held-out samples may rise
COPIED = 0.02  # share of the outputs that may be nearer copies of training items
HELD, LOOKED_AT = 256, 2000  # held-out samples, and training items that outputs are compared with


def safeguards(
    workspace: Workspace, champion: Model, challenger: Model, one: list[Any], two: list[Any]
) -> list[Measure]:
    """Whether the outputs are sound by what their medium says, and where the training data are here, two more.

    How well both still know what they were trained on, and how many outputs are near copies of it.
    """
    medium = plugins.find("medium", champion.design.medium)
    before, after = ([float(not medium.check(Item(value))) for value in values] for values in (one, two))
    found = [paired("sound outputs", "check", before, after, allowed=VALID)]
    data = (champion.folder.card.get("data") if champion.folder else None) or {}
    try:
        dataset = workspace.dataset(data.get("name", ""), data.get("digest", ""))
    except ValueError:
        return found  # built in or imported, or its data are not here any more
    held = held_out(dataset, champion.codec, champion.prompts, HELD)
    if isinstance(held, Batch) and len(held) > 1:
        old, new = losses(champion, held), losses(challenger, held)
        found.append(paired("held-out loss", "regression", old, new, "lower", LOSS * float(old.mean())))
    return found + copies(medium, dataset, one, two)


@torch.inference_mode()
def losses(model: Model, held: Batch) -> np.ndarray:
    """Of every held-out sample what it costs, a unit; the noise is the same for every model."""
    parts, turn, found = dict(model.parts.items()), model.objective.turns[0], []
    for first in range(0, len(held), ROWS):
        batch = held.rows(slice(first, first + ROWS)).map(lambda t: t.to(model.device))
        loss = model.objective.loss(parts, batch, turn, Noise(0, tuple(range(first, first + len(batch)))))
        found.append((loss.per_sample / loss.units.clamp(min=1)).double().cpu().numpy())
    return np.concatenate(found)


def copies(medium: Any, dataset: Dataset, one: list[Any], two: list[Any]) -> list[Measure]:
    """The share of outputs that lie nearer to a training item than held-out ones do, in the medium's features."""
    if not hasattr(medium, "features"):
        return []
    features = plugins.find("features", medium.features)
    held = [item.value for item in dataset.sample("val", HELD)]
    some = dataset.sample("train", LOOKED_AT)
    found = lookalikes([*one, *two], some, held, features.sketch, features.extractor(), 1)
    near = [float(found.near_copy(n)) for n in range(len(one) + len(two))]
    return [paired("near copies of training items", "regression", near[: len(one)], near[len(one) :], "lower", COPIED)]
