"""Compares pictures by how they look: a difference hash to find candidates, thumbnails in colour to judge them.

B pictures, K keys, S = 8 pixels a side of a thumbnail, P = S × S × 3 bytes of it, F bits of the hash.
"""

import numpy as np

from genloom.collect.duplicates import Sketches
from genloom.media.image import decoding

SIDE = 8
HASH = 2 * SIDE * (SIDE - 1)
# Of icons saved again as JPEG at quality 60 all meet in a band, with a 64th cut off at each edge 97 %; the signs of
# cosines (pHash), nearly zero in many icons, gave 87 and 78 %.
BANDS, BITS = 16, 24
STEP = 2.0  # of 255, by which a neighbour has to be brighter: flat areas are noisy
CONTRAST_AT_LEAST = 8.0  # of 255: what differs less than this is noise
_CHOSEN = np.stack([np.random.default_rng(band).permutation(HASH)[:BITS] for band in range(BANDS)])
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_POWERS = np.uint64(1) << np.arange(BITS, dtype=np.uint64)


def thumbnail(pixels_HWC: np.ndarray) -> np.ndarray:
    """The picture in 8 × 8 pixels, uint8, whatever its shape."""
    from PIL import Image

    return np.asarray(decoding.image_of(pixels_HWC).resize((SIDE, SIDE), Image.Resampling.BOX))


def sketch(thumbnails: list[np.ndarray], digests: list[bytes], near: bool) -> Sketches:
    """The sketches of pictures with the given digests; without `near` only what finds exact copies.

    The hash (Krawetz 2013, "dHash") says of each pixel of the thumbnail whether the next one to the right, and the
    next one below, is brighter. Pictures meet in a band where the 24 bits drawn for it are equal.
    """
    exact_B1 = np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64).reshape(-1, 1)
    if not near or not thumbnails:
        return Sketches(exact_B1, np.zeros((len(thumbnails), 0), np.uint8))
    marks_BSSC = np.stack(thumbnails)
    count = len(marks_BSSC)
    grey_BSS = marks_BSSC @ _LUMA
    right, below = np.diff(grey_BSS, axis=2) > STEP, np.diff(grey_BSS, axis=1) > STEP
    bits_BF = np.concatenate([right.reshape(count, -1), below.reshape(count, -1)], axis=1)
    keys_BK = np.where(bits_BF[:, _CHOSEN], _POWERS, np.uint64(0)).sum(axis=2, dtype=np.uint64)
    keys_BK |= np.arange(1, BANDS + 1, dtype=np.uint64) << np.uint64(BITS)
    return Sketches(np.concatenate([exact_B1, keys_BK], axis=1), marks_BSSC.reshape(count, -1))


def similarity(mark_P: np.ndarray, marks_NP: np.ndarray) -> np.ndarray:
    """1 for thumbnails that are the same but for their brightness, 0 where they differ by half of their own contrast.

    At 0.8 a picture saved again smaller or as JPEG is alike, and of icons the farmer and the man farmer; the numbers 5
    and 6 on a key, or two times on a clock, are not.
    """
    one_P, others_NP = _centred(mark_P), _centred(marks_NP)
    apart_N = np.sqrt(((others_NP - one_P) ** 2).mean(axis=1))
    contrast_N = np.maximum(np.minimum(others_NP.std(axis=1), one_P.std()), CONTRAST_AT_LEAST)
    return 1 - 2 * apart_N / contrast_N


def _centred(marks: np.ndarray) -> np.ndarray:
    levels = marks.astype(np.float32)
    return levels - levels.mean(axis=-1, keepdims=True)
