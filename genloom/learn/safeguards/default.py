"""What a challenger may not get worse at that makes whole things, as pictures are, and no text."""

from typing import Any

import numpy as np
import torch

from genloom import plugins
from genloom.model import Model
from genloom.model.likelihood import BATCH_SIZE
from genloom.noise import Noise
from genloom.rate.gate import Measure, measure_scores
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.data.samples import load_held_out_samples
from genloom.trust.near_copies import find_near_copies
from genloom.types import Batch, Item

VALIDITY_TOLERANCE = 0.05  # share of the outputs with which something may be wrong
LOSS_TOLERANCE = 0.02  # share by which the loss on held-out samples may rise
NEAR_COPY_TOLERANCE = 0.02  # share of the outputs that may be nearer copies of training items
MAX_HELD_OUT, MAX_TRAIN_ITEMS = 256, 2000  # held-out samples, and training items that outputs are compared with


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, champion_values: list[Any], challenger_values: list[Any]
) -> list[Measure]:
    """Whether the outputs are sound by what their medium says, and where the training data are here, two more.

    How well both still know what they were trained on, and how many outputs are near copies of it.
    """
    medium = plugins.find_part("medium", champion.design.medium)
    champion_flags, challenger_flags = (
        [float(not medium.check(Item(value))) for value in values] for values in (champion_values, challenger_values)
    )
    results = [measure_scores("sound outputs", "check", champion_flags, challenger_flags, tolerance=VALIDITY_TOLERANCE)]
    data_reference = (champion.folder.card.get("data") if champion.folder else None) or {}
    try:
        dataset = workspace.get_dataset(data_reference.get("name", ""), data_reference.get("digest", ""))
    except ValueError:
        return results  # built in or imported, or its data are not here any more
    held_batch = load_held_out_samples(dataset, champion.codec, champion.text_encoder, MAX_HELD_OUT)
    if isinstance(held_batch, Batch) and len(held_batch) > 1:
        champion_losses, challenger_losses = (
            compute_losses(champion, held_batch),
            compute_losses(challenger, held_batch),
        )
        results.append(
            measure_scores(
                "held-out loss",
                "regression",
                champion_losses,
                challenger_losses,
                "lower",
                LOSS_TOLERANCE * float(champion_losses.mean()),
            )
        )
    return results + measure_near_copies(medium, dataset, champion_values, challenger_values)


@torch.inference_mode()
def compute_losses(model: Model, held_batch: Batch) -> np.ndarray:
    """Of every held-out sample what it costs, a unit; the noise is the same for every model."""
    parts, phase, unit_losses = dict(model.parts.items()), model.objective.phases[0], []
    for start in range(0, len(held_batch), BATCH_SIZE):
        batch = held_batch.select_rows(slice(start, start + BATCH_SIZE)).map(lambda t: t.to(model.device))
        loss = model.objective.loss(parts, batch, phase, Noise(0, tuple(range(start, start + len(batch)))))
        unit_losses.append((loss.per_sample / loss.num_terms.clamp(min=1)).double().cpu().numpy())
    return np.concatenate(unit_losses)


def measure_near_copies(
    medium: Any, dataset: Dataset, champion_values: list[Any], challenger_values: list[Any]
) -> list[Measure]:
    """The share of outputs that lie nearer to a training item than held-out ones do, in the medium's features."""
    if not hasattr(medium, "feature_extractor"):
        return []
    features = plugins.find_part("features", medium.feature_extractor)
    held_values = [item.value for item in dataset.sample_documents("val", MAX_HELD_OUT)]
    train_values = dataset.sample_documents("train", MAX_TRAIN_ITEMS)
    near_copies = find_near_copies(
        [*champion_values, *challenger_values],
        train_values,
        held_values,
        features.compute_coarse_embedding,
        features.build_extractor(),
        1,
    )
    near_copy_flags = [float(near_copies.is_near_copy(n)) for n in range(len(champion_values) + len(challenger_values))]
    return [
        measure_scores(
            "near copies of training items",
            "regression",
            near_copy_flags[: len(champion_values)],
            near_copy_flags[len(champion_values) :],
            "lower",
            NEAR_COPY_TOLERANCE,
        )
    ]
