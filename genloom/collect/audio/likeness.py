"""Compare sounds: some of their landmarks find candidates, small pictures of their spectrograms decide.

Shape letters: B sounds, K keys, S the side of a thumbnail, P = S × S its bytes.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from genloom.collect.duplicates import Sketches
from genloom.media.audio.fingerprints import find_landmarks
from genloom.media.audio.processing import mix_to_mono, trim_silence
from genloom.media.audio.sound import Sound
from genloom.media.audio.spectrum import average_parts, compute_mel_decibels

SIDE = 16  # of a thumbnail: parts of the length, and bands up to 4 kHz
RANGE_DB = 50.0  # of a thumbnail below its loudest cell
UNLIKE_DB = 20.0  # of difference in the mean, from which sounds are not alike at all
NUM_KEYS = 12  # by which candidates are found
NUM_SAMPLES = 32  # hashes of landmarks, of which copies share some, but two sounds of rain do not
MIN_SHARED = 2  # hashes that are shared, and more of many
MIN_SHARED_SHARE = 0.1
HIGHEST_HZ = 4_000.0


@dataclass(frozen=True)
class SketchInput:
    """The parts of which the sketch of a sound is made."""

    thumbnail_P: np.ndarray  # uint8
    hashes_K: np.ndarray  # uint64, the least ones of its landmarks; 0 where there are fewer
    link: int  # of sounds that belong in one split, 0 for none


def build_sketch_input(sound: Sound, group: str) -> SketchInput:
    """Return the thumbnail and the keys of a sound; `group` is the name of those that belong in one split, or ""."""
    heard = trim_silence(mix_to_mono(sound))
    link = hash_text(group) if group else 0
    return SketchInput(make_thumbnail(heard), choose_hashes(heard), link)


def make_thumbnail(sound: Sound) -> np.ndarray:
    """Return the spectrogram in 16 parts of the length and 16 bands, uint8, relative to its loudest cell."""
    levels = compute_mel_decibels(sound, SIDE, floor=-120.0, highest=min(HIGHEST_HZ, sound.rate / 2))
    cells = average_parts(levels, SIDE)
    shares = ((cells - cells.max()) / RANGE_DB + 1).clip(0, 1)
    return np.rint(255 * shares).astype(np.uint8).ravel()


def choose_hashes(sound: Sound) -> np.ndarray:
    """Return the least of the mixed hashes of the landmarks (Broder 1997), of which similar sounds share some."""
    hashes = np.unique(find_landmarks(sound).hashes_K).astype(np.uint64) + np.uint64(1)
    mixed = np.sort(hashes * np.uint64(0x9E3779B97F4A7C15))[:NUM_SAMPLES]
    return np.pad(mixed, (0, NUM_SAMPLES - len(mixed)))


def compute_sketches(sketch_inputs: list[SketchInput], digests: list[bytes], should_find_near: bool) -> Sketches:
    """Return the sketches of sounds; sounds without landmarks are only compared as exact copies."""
    exact_B1 = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64).reshape(-1, 1)
    links_B = np.array([each.link for each in sketch_inputs], np.uint64)
    if not should_find_near or not sketch_inputs:
        return Sketches(exact_B1, np.zeros((len(digests), 0), np.uint8), links_B=links_B)
    hashes_BK = np.stack([each.hashes_K for each in sketch_inputs])
    keys_BK = np.where(hashes_BK == 0, exact_B1, hashes_BK)[:, :NUM_KEYS]
    samples_BP = np.ascontiguousarray((hashes_BK >> np.uint64(32)).astype(np.uint32)).view(np.uint8)
    signatures_BP = np.concatenate([np.stack([each.thumbnail_P for each in sketch_inputs]), samples_BP], 1)
    return Sketches(np.concatenate([exact_B1, keys_BK], 1), signatures_BP, links_B=links_B)


def compute_similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    """Return 1 for equal spectrograms, 0 for those that differ by 20 decibels or share too few landmarks."""
    cells = SIDE * SIDE
    thumbnails_NP, thumbnail_P = signatures_NP[:, :cells].astype(np.float32), signature_P[:cells].astype(np.float32)
    differences = np.abs(thumbnails_NP - thumbnail_P).mean(1)
    own, others = unpack_samples(signature_P[None, cells:])[0], unpack_samples(signatures_NP[:, cells:])
    num_shared = ((others[:, :, None] == own) & (others[:, :, None] > 0)).any(2).sum(1)
    num_fewest = np.minimum((own > 0).sum(), (others > 0).sum(1))
    is_shared = num_shared >= np.maximum(MIN_SHARED, MIN_SHARED_SHARE * num_fewest)
    is_shared |= (others == own).all(1)  # sounds with too few landmarks to share
    return np.where(is_shared, 1 - differences * (RANGE_DB / 255 / UNLIKE_DB), 0)


def unpack_samples(signatures_NP: np.ndarray) -> np.ndarray:
    """Return the sampled hashes in signatures."""
    return np.ascontiguousarray(signatures_NP).view(np.uint32)


def hash_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
