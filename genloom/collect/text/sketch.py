"""MinHash signatures of documents over their word 5-grams, the band keys by which near-duplicates meet, and samples.

B documents, T words of all of them, G grams, N of them sampled, P = 128 hash functions, K band keys.
"""

import hashlib

import numpy as np
from rensa import RMinHash  # ty: ignore[missing-module-member]  # compiled, without stubs

from genloom.collect.duplicates import SPREAD, Sketches

GRAM = 5  # words
PERMUTATIONS = 128
BANDS, ROWS = 16, 4  # two documents that share 0.8 of their 5-grams meet with 1 - (1 - 0.8⁴)¹⁶ = 0.9998
SEED = 20261121
SAMPLED_BITS = 4  # one gram in 16 is kept: ten of a page, so that half a page in another document is noticed
# Punctuation, blanks and capitals do not make texts differ.
WORD_BYTES = bytes(ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else b if b > 127 else 32 for b in range(256))


def sketch(texts: list[str], digests: list[bytes], near: bool) -> Sketches:
    """The sketches of texts with the given SHA-256 digests; without `near` only what finds exact copies."""
    exact_B1 = np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64).reshape(-1, 1)
    if not near or not texts:
        return Sketches(exact_B1, np.zeros((len(texts), 0), np.uint8))
    grams_G, borders = _grams(texts)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(grams_G, borders.tolist(), num_perm=PERMUTATIONS, seed=SEED)
    hashes_BP = np.array(matrix.to_rows(), dtype=np.uint64)
    rows_BKR = hashes_BP[:, : BANDS * ROWS].reshape(len(texts), BANDS, ROWS)
    keys_BK = np.broadcast_to(np.arange(1, BANDS + 1, dtype=np.uint64), (len(texts), BANDS)).copy()
    for row in range(ROWS):
        keys_BK = _mix(keys_BK, rows_BKR[:, :, row])
    samples_N, owners_N = _sampled(grams_G, borders)
    return Sketches(np.concatenate([exact_B1, keys_BK], axis=1), hashes_BP.astype(np.uint8), samples_N, owners_N)


def similarity(mark_P: np.ndarray, marks_NP: np.ndarray) -> np.ndarray:
    """Estimates of the Jaccard similarity, from the equal bytes less those equal by chance (Li & König 2010, b = 8)."""
    return ((marks_NP == mark_P).mean(axis=1) - 1 / 256) / (1 - 1 / 256)


def _grams(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of every text's grams, one text after the other, and where each text begins and the last one ends."""
    words = [_words(text) for text in texts]
    counts_B = np.array([len(row) for row in words])
    hashed = RMinHash.hash_token_sets(words)
    tokens_T = np.concatenate([np.array(row, dtype=np.uint64) for row in hashed])
    padded = np.concatenate([tokens_T, np.zeros(GRAM, np.uint64)])
    grams_T = tokens_T
    for offset in range(1, GRAM):
        grams_T = _mix(grams_T, padded[offset : offset + len(tokens_T)])
    # A text shorter than a gram counts as one whole gram; grams that reach into the next text are left out.
    ends_B = np.cumsum(counts_B)
    starts_B = ends_B - counts_B
    lengths_B = np.maximum(counts_B - GRAM + 1, 1)
    borders = np.concatenate([[0], np.cumsum(lengths_B)])
    flat = np.empty(borders[-1], np.uint64)
    for i, length in enumerate(lengths_B):
        if counts_B[i] >= GRAM:
            flat[borders[i] : borders[i + 1]] = grams_T[starts_B[i] : starts_B[i] + length]
        else:
            whole = hashlib.blake2b(b" ".join(words[i]), digest_size=8).digest()
            flat[borders[i]] = int.from_bytes(whole, "little")
    return flat, borders


def _sampled(grams_G: np.ndarray, borders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """32 bits of those grams whose hash is small (FracMinHash), and of which text each is."""
    spread_G = grams_G * SPREAD
    places_N = np.flatnonzero(spread_G >> np.uint64(64 - SAMPLED_BITS) == 0)
    samples_N = (spread_G[places_N] >> np.uint64(32 - SAMPLED_BITS)).astype(np.uint32)
    return samples_N, np.searchsorted(borders, places_N, side="right") - 1


def _words(text: str) -> list[bytes]:
    """Lower-case words without punctuation; scripts without blanks are taken by single characters."""
    words = text.encode("utf-8").translate(WORD_BYTES).split()
    if len(words) * 24 > len(text) or len(text) < 24:
        return words
    return [character.encode("utf-8") for character in text if not character.isspace()]


def _mix(state: np.ndarray, value: np.ndarray) -> np.ndarray:
    """A step of multiplicative hashing on uint64, wrapping round (after SplitMix64)."""
    state = (state ^ value) * np.uint64(0x9E3779B97F4A7C15)
    return state ^ (state >> np.uint64(29))
