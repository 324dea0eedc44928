"""The landmarks of all training sounds on disk, and the sounds that share the longest stretch with another one.

Shape letters: M training sounds, K landmarks of all of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genloom.media.audio.fingerprints import FRAME_SECONDS, Landmarks, find_landmarks, find_shared_stretch
from genloom.media.audio.sound import Sound
from genloom.store import files
from genloom.store.dataset import Dataset
from genloom.trust.copies import TrainingData

KIND = "landmarks"
NUM_CANDIDATES = 12  # training sounds with most hashes in common, of which the stretches are compared


@dataclass(frozen=True)
class SharedStretch:
    """A stretch that a sound shares with a training sound."""

    number: int  # of the training sound
    seconds: float
    begin: float  # seconds, in the sound
    training_begin: float  # seconds, in the training sound


@dataclass(frozen=True)
class LandmarkIndex:
    """The landmarks of training sounds one after the other; those of sound m are from `starts_M[m]` on."""

    hashes_K: np.ndarray
    frames_K: np.ndarray
    starts_M: np.ndarray  # with one more entry, their number

    def find_stretches(self, landmarks: Landmarks, count: int) -> list[SharedStretch]:
        """Return the longest stretches that landmarks share with training sounds, the longest first."""
        if not len(landmarks) or not len(self.hashes_K):
            return []
        owners = np.searchsorted(self.starts_M, np.flatnonzero(np.isin(self.hashes_K, landmarks.hashes_K)), "right") - 1
        counts = np.bincount(owners, minlength=len(self.starts_M) - 1)
        sizes = np.diff(self.starts_M)
        scores = counts / np.sqrt(sizes + 20)  # long recordings share some hashes with everything
        stretches = []
        for number in np.argsort(scores, kind="stable")[::-1][:NUM_CANDIDATES]:
            part = slice(self.starts_M[number], self.starts_M[number + 1])
            other = Landmarks(np.asarray(self.hashes_K[part]), np.asarray(self.frames_K[part]))
            length, begin, training_begin = find_shared_stretch(landmarks, other)
            if length:
                times = (FRAME_SECONDS * each for each in (length, begin, training_begin))
                stretches.append(SharedStretch(int(number), *times))
        return sorted(stretches, key=lambda stretch: -stretch.seconds)[:count]


def find_stretches(index: LandmarkIndex, sound: Sound, count: int) -> list[SharedStretch]:
    return index.find_stretches(find_landmarks(sound), count)


def open_index(data: TrainingData, dataset: Dataset) -> LandmarkIndex:
    """Open the landmarks of a data set; compute them if they are not there yet."""
    folder = data.get_index_folder(dataset, KIND)
    if not (folder / "starts.npy").is_file():
        files.remove_stale_drafts(folder.parent)
        with files.temp_folder(folder.parent) as draft:
            write_index(draft, dataset)
            files.commit_folder(draft, folder)
    hashes, frames, starts = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("hashes", "frames", "starts"))
    return LandmarkIndex(hashes, frames, np.asarray(starts))


def write_index(folder: Path, dataset: Dataset) -> None:
    """Write the landmarks of the training sounds of a data set, in the order of `iter_documents`."""
    hashes, frames, starts = [], [], [0]
    for item in dataset.iter_documents("train"):
        landmarks = find_landmarks(item.value)
        hashes.append(landmarks.hashes_K)
        frames.append(landmarks.frames_K)
        starts.append(starts[-1] + len(landmarks))
    np.save(folder / "hashes.npy", np.concatenate([np.zeros(0, np.uint32), *hashes]))
    np.save(folder / "frames.npy", np.concatenate([np.zeros(0, np.int32), *frames]))
    np.save(folder / "starts.npy", np.array(starts, np.int64))
