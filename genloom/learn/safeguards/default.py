"""Safeguards of a medium that has none of its own: validity, held-out loss, near copies of training items.

A medium's safeguards are the plug-in kind "safeguards", found by the medium's name: a module with `measure_safeguards`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genloom import plugins
from genloom.learn.comparison import AnswerPairs
from genloom.media.abilities import get_ability
from genloom.model import Model
from genloom.model.likelihood import compute_sample_losses
from genloom.rate.gate import Measure, measure_scores
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train.finetune import load_held_out_batch
from genloom.trust.near_copies import build_reconstruction, find_near_copies
from genloom.types import Batch, Item

VALIDITY_TOLERANCE = 0.05  # share of the outputs that may be invalid
LOSS_TOLERANCE = 0.02  # relative increase of the loss on held-out samples
NEAR_COPY_TOLERANCE = 0.02  # share of the outputs that may be near copies
MAX_HELD_OUT, MAX_TRAIN_ITEMS = 256, 2000  # samples that are measured and compared with


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: AnswerPairs
) -> list[Measure]:
    """Measure validity by the medium and, if the training data are here, held-out loss and near copies."""
    medium = plugins.find_part("medium", champion.design.medium)
    champion_flags, challenger_flags = (
        [float(not medium.check(Item(value))) for value in values] for values in (answers.champion, answers.challenger)
    )
    results = [measure_scores("valid outputs", "check", champion_flags, challenger_flags, tolerance=VALIDITY_TOLERANCE)]
    if (dataset := get_dataset(workspace, champion)) is None:
        return results
    held_batch = load_held_out_batch(dataset, champion, MAX_HELD_OUT)
    if isinstance(held_batch, Batch) and len(held_batch) > 1:
        champion_losses, challenger_losses = (compute_losses(model, held_batch) for model in (champion, challenger))
        tolerance = LOSS_TOLERANCE * float(champion_losses.mean())
        results.append(
            measure_scores("held-out loss", "regression", champion_losses, challenger_losses, "lower", tolerance)
        )
    return results + measure_near_copies(medium, dataset, answers.champion, answers.challenger, champion.codec)


def get_dataset(workspace: Workspace, model: Model) -> Dataset | None:
    """Return the model's training data; None if it is built in or imported, or its data were removed."""
    reference = (model.folder.card.get("data") if model.folder else None) or {}
    try:
        return workspace.get_dataset(reference.get("name", ""), reference.get("digest", ""))
    except ValueError:
        return None


def compute_losses(model: Model, held_batch: Batch) -> np.ndarray:
    """Return the loss per term of every held-out sample; the noise is the same for every model."""
    return np.array([loss / max(num_terms, 1) for loss, num_terms in compute_sample_losses(model, held_batch)])


def measure_near_copies(
    medium: Any, dataset: Dataset, champion_values: list[Any], challenger_values: list[Any], codec: Any
) -> list[Measure]:
    """Measure the share of outputs nearer to a training item than held-out items are, in the medium's features.

    Training and held-out items are compared as they are, and as the codec of the models gives them back.
    """
    if not (feature_extractor := get_ability(medium, "feature_extractor")):
        return []
    features = plugins.find_part("features", feature_extractor)
    held_values = [item.value for item in dataset.sample_documents("val", MAX_HELD_OUT)]
    train_values = dataset.sample_documents("train", MAX_TRAIN_ITEMS)
    outputs = [*champion_values, *challenger_values]
    embed, extract = features.compute_coarse_embedding, features.build_extractor()
    near_copies = find_near_copies(outputs, train_values, held_values, embed, extract, 1, build_reconstruction(codec))
    flags = [float(near_copies.is_near_copy(n)) for n in range(len(outputs))]
    by_version = flags[: len(champion_values)], flags[len(champion_values) :]
    return [measure_scores("near copies of training items", "regression", *by_version, "lower", NEAR_COPY_TOLERANCE)]
