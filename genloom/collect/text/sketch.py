"""MinHash signatures of documents over their word 5-grams, the band keys by which near-duplicates meet, and samples.

B documents, T words of all of them, G grams, N of them sampled, P = 128 hash functions, K band keys.
"""

from collections.abc import Iterator
from functools import reduce

import numpy as np
from rensa import RMinHash  # ty: ignore[missing-module-member]  # compiled, without stubs

from genloom.collect.duplicates import SPREAD, Sketches

GRAM = 5  # words
PERMUTATIONS = 128
BANDS, ROWS = 16, 4  # two documents that share 0.8 of their 5-grams meet with 1 - (1 - 0.8⁴)¹⁶ = 0.9998
SEED = 20261121
SAMPLED_BITS = 4  # one gram in 16 is kept: ten of a page, so that half a page in another document is noticed
BEGINNING = 2048  # characters that tell whether a text has blanks between its words
STRETCH = 1 << 16  # bytes hashed at once: their numbers stay near the processor
# Punctuation, blanks and capitals do not make texts differ.
WORD_BYTES = bytes(ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else b if b > 127 else 32 for b in range(256))
NUMBERS = np.random.Generator(np.random.PCG64(SEED)).integers(1 << 63, size=256, dtype=np.uint64)
NUMBERS[32] = 0  # a blank is part of no word
ODD = 0x9E3779B97F4A7C15
POWERS = np.cumprod(np.full(STRETCH + 2, ODD, np.uint64))
BACK = np.cumprod(np.full(STRETCH + 2, pow(ODD, -1, 1 << 64), np.uint64))  # their inverses modulo 2^64


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
    tokens_T, counts_B = _tokens(texts)
    padded = np.concatenate([tokens_T, np.zeros(GRAM, np.uint64)])
    grams_T = tokens_T
    for offset in range(1, GRAM):
        grams_T = _mix(grams_T, padded[offset : offset + len(tokens_T)])
    # A text shorter than a gram counts as one whole gram; grams that reach into the next text are left out.
    ends_B = np.cumsum(counts_B)
    starts_B = ends_B - counts_B
    lengths_B = np.maximum(counts_B - GRAM + 1, 1)
    borders = np.concatenate([[0], np.cumsum(lengths_B)])
    within_G = np.arange(borders[-1]) - np.repeat(borders[:-1], lengths_B)
    flat_G = np.append(grams_T, np.uint64(0))[np.repeat(starts_B, lengths_B) + within_G]
    for i in np.flatnonzero(counts_B < GRAM):
        words = np.split(tokens_T[starts_B[i] : ends_B[i]], counts_B[i]) if counts_B[i] else []
        flat_G[borders[i]] = reduce(_mix, words, counts_B[i : i + 1].astype(np.uint64))[0]
    return flat_G, borders


def _sampled(grams_G: np.ndarray, borders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """32 bits of those grams whose hash is small (FracMinHash), and of which text each is."""
    spread_G = grams_G * SPREAD
    places_N = np.flatnonzero(spread_G >> np.uint64(64 - SAMPLED_BITS) == 0)
    samples_N = (spread_G[places_N] >> np.uint64(32 - SAMPLED_BITS)).astype(np.uint32)
    return samples_N, np.searchsorted(borders, places_N, side="right") - 1


def _tokens(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes T of the words of all texts, and how many words each text has, B.

    A word's hash is the sum of its bytes' random numbers, each times a power of an odd number by its place (Karp and
    Rabin 1987, modulo 2^64): so all words of a stretch of text are hashed by a few operations on arrays.
    """
    found, counts_B, waiting, size = [], np.zeros(len(texts), np.int64), [], 0
    for i, text in enumerate(texts):
        for piece in _cut(_worded(text)):
            if waiting and size + len(piece) > STRETCH:
                found.append(_hashed(waiting, counts_B))
                waiting, size = [], 0
            waiting.append((i, piece))
            size += len(piece) + 1
    found.append(_hashed(waiting, counts_B))
    return np.concatenate(found), counts_B


def _hashed(pieces: list[tuple[int, bytes]], counts_B: np.ndarray) -> np.ndarray:
    """The hashes of the words of some pieces, which are added to the counts of the texts they belong to."""
    data_N = np.frombuffer(b" " + b" ".join(piece for _, piece in pieces), np.uint8)
    blank_N = data_N == 32
    starts_T = np.flatnonzero(blank_N[:-1] > blank_N[1:]) + 1
    if not len(starts_T):
        return np.zeros(0, np.uint64)
    numbers_N = np.take(NUMBERS, data_N)
    numbers_N *= POWERS[: len(data_N)]
    hashes_T = np.add.reduceat(numbers_N, starts_T)
    hashes_T *= BACK[starts_T]
    ends = np.cumsum([len(piece) + 1 for _, piece in pieces])
    borders = np.searchsorted(starts_T, ends, side="right")
    np.add.at(counts_B, [i for i, _ in pieces], np.diff(borders, prepend=0))
    return _mix(hashes_T, np.zeros(1, np.uint64))


def _worded(text: str) -> bytes:
    """Lower-case words without punctuation between blanks; in scripts without blanks each character is a word."""
    data = text.encode("utf-8").translate(WORD_BYTES)
    begins = text[:BEGINNING].encode("utf-8").translate(WORD_BYTES)
    if begins.count(b" ") * 24 > min(len(text), BEGINNING) or len(text) < 24:
        return data
    return b" ".join(character.encode("utf-8") for character in text if not character.isspace())


def _cut(data: bytes) -> Iterator[bytes]:
    """Pieces that end with a word, where one of their length has a blank."""
    start = 0
    while len(data) - start > STRETCH:
        at = data.rfind(b" ", start + 1, start + STRETCH)
        end = start + STRETCH if at < 0 else at
        yield data[start:end]
        start = end
    yield data[start:] if start else data


def _mix(state: np.ndarray, value: np.ndarray) -> np.ndarray:
    """A step of multiplicative hashing on uint64, wrapping round (after SplitMix64)."""
    state = (state ^ value) * np.uint64(ODD)
    return state ^ (state >> np.uint64(29))
