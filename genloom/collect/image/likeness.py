"""Compares pictures by how they look: a perceptual hash to find candidates, thumbnails in colour to judge them.

B pictures, K keys, P = 8 × 8 × 3 bytes of a thumbnail.
"""

import numpy as np

from genloom.collect.duplicates import Sketches
from genloom.media.image import decoding

SIDE, COARSE = 32, 8
BANDS, BITS = 16, 24  # a copy in which 3 of the 63 bits differ shares a band with 1 - (1 - 0.23)¹⁶ = 0.985
CONTRAST_AT_LEAST = 8.0  # of 255: what differs less than this is noise
# The discrete cosine transform (DCT-II) of the lowest frequencies, as a matrix.
_COSINES = np.cos(np.pi / SIDE * (np.arange(SIDE) + 0.5)[None] * np.arange(COARSE)[:, None]).astype(np.float32)
_CHOSEN = np.stack([np.random.default_rng(band).permutation(63)[:BITS] for band in range(BANDS)])
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_POWERS = np.uint64(1) << np.arange(BITS, dtype=np.uint64)


def thumbnail(pixels_HWC: np.ndarray) -> np.ndarray:
    """The picture in 32 × 32 pixels, uint8, whatever its shape."""
    from PIL import Image

    return np.asarray(decoding.image_of(pixels_HWC).resize((SIDE, SIDE), Image.Resampling.BOX))


def sketch(thumbnails: list[np.ndarray], digests: list[bytes], near: bool) -> Sketches:
    """The sketches of pictures with the given digests; without `near` only what finds exact copies.

    The hash is pHash's (Zauner 2010): the signs of the 63 lowest frequencies against their median. Pictures meet in a
    band where 24 bits drawn from them are equal.
    """
    exact_B1 = np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64).reshape(-1, 1)
    if not near or not thumbnails:
        return Sketches(exact_B1, np.zeros((len(thumbnails), 0), np.uint8))
    x_BHWC = np.stack(thumbnails)
    waves_BUV = np.einsum("uh,bhw,vw->buv", _COSINES, x_BHWC @ _LUMA, _COSINES, optimize=True)
    low_BF = waves_BUV.reshape(len(x_BHWC), -1)[:, 1:]
    bits_BF = (low_BF > np.median(low_BF, axis=1, keepdims=True)).astype(np.uint64)
    keys_BK = (bits_BF[:, _CHOSEN] * _POWERS).sum(axis=2, dtype=np.uint64)
    keys_BK |= np.arange(1, BANDS + 1, dtype=np.uint64) << np.uint64(56)
    fold = SIDE // COARSE
    marks = x_BHWC.reshape(len(x_BHWC), COARSE, fold, COARSE, fold, 3).mean(axis=(2, 4)).round().astype(np.uint8)
    return Sketches(np.concatenate([exact_B1, keys_BK], axis=1), marks.reshape(len(x_BHWC), -1))


def similarity(mark_P: np.ndarray, marks_NP: np.ndarray) -> np.ndarray:
    """1 less the root mean square difference of the thumbnails, in units of their own contrast; 1 for the same."""
    one_P, others_NP = mark_P.astype(np.float32), marks_NP.astype(np.float32)
    apart_N = np.sqrt(((others_NP - one_P) ** 2).mean(axis=1))
    contrast_N = np.maximum(np.minimum(others_NP.std(axis=1), one_P.std()), CONTRAST_AT_LEAST)
    return 1 - apart_N / contrast_N
