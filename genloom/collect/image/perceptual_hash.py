"""Compare pictures by their appearance: a difference hash finds candidates, thumbnails in colour decide.

B pictures, K keys, S = 8 the side of a thumbnail in pixels, P = S × S × 3 its bytes, F bits of the hash.
"""

import numpy as np

from genloom.collect.duplicates import Sketches
from genloom.media.image import decoding

THUMBNAIL_SIDE = 8
HASH_BITS = 2 * THUMBNAIL_SIDE * (THUMBNAIL_SIDE - 1)
# All icons saved again as JPEG at quality 60 share a band with their originals, and 97 % of those cropped by a 64th at
# each edge; the signs of cosines (pHash), nearly zero in many icons, gave 87 and 78 %.
BANDS, BAND_BITS = 16, 24
MIN_STEP = 2.0  # of 255, by which a neighbour must be brighter, because flat areas are noisy
MIN_CONTRAST = 8.0  # of 255; smaller differences are noise
_BAND_INDICES = np.stack([np.random.default_rng(band).permutation(HASH_BITS)[:BAND_BITS] for band in range(BANDS)])
_LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
_BIT_VALUES = np.uint64(1) << np.arange(BAND_BITS, dtype=np.uint64)


def make_thumbnail(pixels_HWC: np.ndarray) -> np.ndarray:
    """Return the picture scaled to 8 × 8 pixels, uint8, whatever its shape."""
    from PIL import Image

    return np.asarray(decoding.to_pil_image(pixels_HWC).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX))


def compute_sketches(thumbnails: list[np.ndarray], digests: list[bytes], should_find_near: bool) -> Sketches:
    """Return the sketches of pictures with the given digests; without `should_find_near` only for exact copies.

    The hash (Krawetz 2013, "dHash") holds for each pixel of the thumbnail whether the next pixel to the right, and the
    next one below, is brighter. Pictures share the key of a band if the 24 bits drawn for it are equal.
    """
    exact_B1 = np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64).reshape(-1, 1)
    if not should_find_near or not thumbnails:
        return Sketches(exact_B1, np.zeros((len(thumbnails), 0), np.uint8))
    thumbnails_BSSC = np.stack(thumbnails)
    count = len(thumbnails_BSSC)
    grey_BSS = thumbnails_BSSC @ _LUMA_WEIGHTS
    right, below = np.diff(grey_BSS, axis=2) > MIN_STEP, np.diff(grey_BSS, axis=1) > MIN_STEP
    bits_BF = np.concatenate([right.reshape(count, -1), below.reshape(count, -1)], axis=1)
    keys_BK = np.where(bits_BF[:, _BAND_INDICES], _BIT_VALUES, np.uint64(0)).sum(axis=2, dtype=np.uint64)
    keys_BK |= np.arange(1, BANDS + 1, dtype=np.uint64) << np.uint64(BAND_BITS)
    return Sketches(np.concatenate([exact_B1, keys_BK], axis=1), thumbnails_BSSC.reshape(count, -1))


def compute_similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    """Return 1 for thumbnails that differ only in brightness, 0 for a difference of half of their contrast.

    At 0.8 a picture counts as similar to itself saved smaller or as JPEG, and the icons "farmer" and "man farmer" to
    each other; the numbers 5 and 6 on a key, or two times on a clock, do not.
    """
    query_P, candidates_NP = _center_signatures(signature_P), _center_signatures(signatures_NP)
    distance_N = np.sqrt(((candidates_NP - query_P) ** 2).mean(axis=1))
    contrast_N = np.maximum(np.minimum(candidates_NP.std(axis=1), query_P.std()), MIN_CONTRAST)
    return 1 - 2 * distance_N / contrast_N


def _center_signatures(signatures: np.ndarray) -> np.ndarray:
    levels = signatures.astype(np.float32)
    return levels - levels.mean(axis=-1, keepdims=True)
