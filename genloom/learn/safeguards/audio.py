"""Safeguards of sounds: validity, held-out loss and near copies, and stretches of training sounds."""

from collections.abc import Sequence

import numpy as np

from genloom.learn.comparison import AnswerPairs
from genloom.learn.safeguards import default
from genloom.media.audio.fingerprints import FRAME_SECONDS, find_landmarks, find_shared_stretch
from genloom.media.audio.sound import Sound
from genloom.model import Model
from genloom.rate.gate import Measure, measure_scores
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace

COPYING_TOLERANCE = 0.05  # more of a sound that is one stretch of a training sound


def measure_safeguards(
    workspace: Workspace, champion: Model, challenger: Model, writers: Sequence[Model], answers: AnswerPairs
) -> list[Measure]:
    """Measure the shared safeguards and, if the training data are here, the stretches that sounds have copied."""
    shared = default.measure_safeguards(workspace, champion, challenger, writers, answers)
    if (dataset := default.get_dataset(workspace, champion)) is None:
        return shared
    shares = measure_copied_shares([*answers.champion, *answers.challenger], dataset)
    count = len(answers.champion)
    name = "copied stretch"
    return [*shared, measure_scores(name, "regression", shares[:count], shares[count:], "lower", COPYING_TOLERANCE)]


def measure_copied_shares(sounds: Sequence[Sound], dataset: Dataset) -> list[float]:
    """Return the share of each sound that is its longest stretch of one of the training sounds."""
    landmarks = [find_landmarks(sound) for sound in sounds]
    longest = np.zeros(len(sounds))
    for item in dataset.sample_documents("train", default.MAX_TRAIN_ITEMS):
        other = find_landmarks(item.value)
        for number, own in enumerate(landmarks):
            longest[number] = max(longest[number], FRAME_SECONDS * find_shared_stretch(own, other)[0])
    return [min(float(each) / sound.seconds, 1.0) for each, sound in zip(longest, sounds, strict=True)]
