"""Safeguards of images: validity, held-out loss and near copies, noise in flat areas, and the distance to real images.

The real images are held-out ones of the model's data set or, where that is not here, those whose features come with a
built-in model. Shape letters: N outputs, M real images, D features.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genloom import plugins
from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards import default
from genloom.media import image
from genloom.metrics.frechet import polynomial_kernel
from genloom.model import Model
from genloom.rate.gate import Measure, measure_scores
from genloom.store.workspace import Workspace

NOISE_TOLERANCE = 0.5  # levels of 255
DISTANCE_TOLERANCE = 0.005  # of the kernel distance, which a taste may move a little
BLOCK = 8  # pixels: the cell of an autoencoder's grid, or two of them
FLAT_SHARE = 0.25  # of the blocks, those with the smallest differences
MIN_OUTPUTS = 4  # for a distance
REFERENCE_FILE = Path(__file__).parents[2] / "builtin" / "icons" / "reference.npz"


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: AnswerPairs
) -> list[Measure]:
    """Measure the shared safeguards, the noise in flat areas, and the distance to real images."""
    shared = default.measure_safeguards(workspace, champion, challenger, writers, answers)
    noise, new_noise = (
        [measure_flat_noise(value) for value in values] for values in (answers.champion, answers.challenger)
    )
    measures = [
        *shared,
        measure_scores("noise in flat areas", "regression", noise, new_noise, "lower", NOISE_TOLERANCE),
    ]
    return [*measures, *measure_reference_distance(workspace, champion, answers)]


def measure_flat_noise(picture: NDArray[np.uint8]) -> float:
    """Return the standard deviation inside the flattest blocks, in levels: near 0 for areas of one colour.

    A codec's grid, which a model that learns too much in one direction brings out, is seen there first.
    """
    height, width = (side // BLOCK * BLOCK for side in picture.shape[:2])
    if not height * width:
        return 0.0
    blocks = picture[:height, :width].astype(np.float64).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    slopes = np.concatenate([np.abs(np.diff(blocks, axis=axis)).mean(axis=(1, 3, 4)).ravel()[None] for axis in (1, 3)])
    return float(np.quantile(slopes.mean(0), FLAT_SHARE))


def measure_reference_distance(workspace: Workspace, champion: Model, answers: AnswerPairs) -> list[Measure]:
    """Measure the kernel distance of each version's outputs to real images, as a score of every output."""
    if len(answers.champion) < MIN_OUTPUTS:
        return []
    features = plugins.find_part("features", image.feature_extractor)
    extract = features.build_extractor()
    dataset = default.get_dataset(workspace, champion)
    if dataset is not None:
        real_MD = extract(item.value for item in dataset.sample_documents("val", default.MAX_HELD_OUT))
    elif has_reference(champion):
        real_MD = load_reference()
    else:
        return []
    if len(real_MD) < MIN_OUTPUTS:
        return []
    scores, new_scores = (score_outputs(extract(values), real_MD) for values in (answers.champion, answers.challenger))
    name = "kernel distance to real pictures"
    return [measure_scores(name, "regression", scores, new_scores, "lower", DISTANCE_TOLERANCE)]


def score_outputs(outputs_ND: NDArray[np.floating], real_MD: NDArray[np.floating]) -> list[float]:
    """Return the part of every output in the kernel distance of all; their mean is the distance, up to a constant."""
    among = polynomial_kernel(outputs_ND, outputs_ND)
    np.fill_diagonal(among, 0)
    own = among.sum(1) / (len(outputs_ND) - 1)
    return (own - 2 * polynomial_kernel(outputs_ND, real_MD).mean(1)).tolist()


def has_reference(model: Model) -> bool:
    """Return whether the features that come with the package are those of the model's data."""
    data = (model.folder.card.get("data") if model.folder else None) or {}
    with np.load(REFERENCE_FILE, allow_pickle=False) as stored:
        return str(stored["data"]) == data.get("name")


def load_reference() -> NDArray[np.float32]:
    """Return the features of held-out pictures of the built-in model's data, M D."""
    with np.load(REFERENCE_FILE, allow_pickle=False) as stored:
        return stored["features"].astype(np.float32)
