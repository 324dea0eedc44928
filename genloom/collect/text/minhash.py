"""MinHash signatures of documents over their word 5-grams, band keys that near-duplicates share, and samples.

B documents, T words of all documents, G grams, N of them sampled, P = 128 hash functions, K band keys.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
from rensa import RMinHash  # ty: ignore[missing-module-member]  # compiled, without stubs

from genloom.collect.duplicates import HASH_MULTIPLIER, Sketches

NGRAM_WORDS = 5
NUM_PERMUTATIONS = 128
BANDS, ROWS_PER_BAND = 16, 4  # at a similarity of 0.8 two documents share a key with 1 - (1 - 0.8⁴)¹⁶ = 0.9998
SEED = 20261121
# All grams of a short document are sampled; of longer ones 1 in 2, 4 or 8, so that each has at least MIN_SAMPLED.
MIN_SAMPLED, MAX_LEVEL = 64, 3
LEVEL_SIZES = MIN_SAMPLED << np.arange(1, MAX_LEVEL + 1)
GRAM_LEVELS = np.array([MAX_LEVEL - top.bit_length() for top in range(1 << MAX_LEVEL)], np.uint64)
SCRIPT_SAMPLE_CHARS = 2048  # decide whether a text has blanks between its words
BLOCK_BYTES = 1 << 16  # hashed at a time, so that the arrays fit the processor's cache
# Punctuation, blanks and capitals do not count.
WORD_BYTE_TABLE = bytes(
    ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else b if b > 127 else 32 for b in range(256)
)
BYTE_HASHES = np.random.Generator(np.random.PCG64(SEED)).integers(1 << 63, size=256, dtype=np.uint64)
BYTE_HASHES[32] = 0  # a blank is not part of a word
HASH_BASE = 0x9E3779B97F4A7C15
BASE_POWERS = np.cumprod(np.full(BLOCK_BYTES + 2, HASH_BASE, np.uint64))
# Their inverses modulo 2^64.
INVERSE_POWERS = np.cumprod(np.full(BLOCK_BYTES + 2, pow(HASH_BASE, -1, 1 << 64), np.uint64))


@dataclass(frozen=True)
class ComparedText:
    """The compared part of a document: of a conversation without the system prompt, with its answers and its prompt."""

    text: str
    answers: str = ""
    prompt: str = ""


def compute_sketches(texts: list[ComparedText], digests: list[bytes], should_find_near: bool) -> Sketches:
    """Return the sketches of texts with the given digests; without `should_find_near` only for exact copies."""
    exact_B1 = np.array([int.from_bytes(digest[:8], "little") for digest in digests], dtype=np.uint64).reshape(-1, 1)
    if not should_find_near or not texts:
        return Sketches(exact_B1, np.zeros((len(texts), 0), np.uint8))
    ngrams_G, boundaries = hash_ngrams([text.text for text in texts])
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        ngrams_G, boundaries.tolist(), num_perm=NUM_PERMUTATIONS, seed=SEED
    )
    hashes_BP = np.array(matrix.to_rows(), dtype=np.uint64)
    bands_BKR = hashes_BP[:, : BANDS * ROWS_PER_BAND].reshape(len(texts), BANDS, ROWS_PER_BAND)
    keys_BK = np.broadcast_to(np.arange(1, BANDS + 1, dtype=np.uint64), (len(texts), BANDS)).copy()
    for row in range(ROWS_PER_BAND):
        keys_BK = _mix_state(keys_BK, bands_BKR[:, :, row])
    links_B = np.array([_hash_message(text.answers) for text in texts], np.uint64)
    prompt_links_B = np.array([_hash_message(text.prompt) for text in texts], np.uint64)
    all_keys, samples = np.concatenate([exact_B1, keys_BK], axis=1), _sample_ngrams(ngrams_G, boundaries)
    return Sketches(all_keys, hashes_BP.astype(np.uint8), *samples, links_B, prompt_links_B)


def compute_similarity(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    """Return estimates of the Jaccard similarity: equal bytes minus those by chance (Li & König 2010, b = 8)."""
    return ((signatures_NP == signature_P).mean(axis=1) - 1 / 256) / (1 - 1 / 256)


def hash_ngrams(texts: list[str], num_words: int = NGRAM_WORDS) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of the grams of all texts in order, and the B + 1 boundaries of the texts in them."""
    word_hashes_T, counts_B = _hash_words(texts)
    padded_T = np.concatenate([word_hashes_T, np.zeros(num_words, np.uint64)])
    ngrams_T = word_hashes_T
    for offset in range(1, num_words):
        ngrams_T = _mix_state(ngrams_T, padded_T[offset : offset + len(word_hashes_T)])
    # A text shorter than a gram counts as one gram; grams that reach into the next text are dropped.
    ends_B = np.cumsum(counts_B)
    starts_B = ends_B - counts_B
    lengths_B = np.maximum(counts_B - num_words + 1, 1)
    boundaries = np.concatenate([[0], np.cumsum(lengths_B)])
    offsets_G = np.arange(boundaries[-1]) - np.repeat(boundaries[:-1], lengths_B)
    ngrams_G = np.append(ngrams_T, np.uint64(0))[np.repeat(starts_B, lengths_B) + offsets_G]
    for i in np.flatnonzero(counts_B < num_words):
        words = np.split(word_hashes_T[starts_B[i] : ends_B[i]], counts_B[i]) if counts_B[i] else []
        ngrams_G[boundaries[i]] = reduce(_mix_state, words, counts_B[i : i + 1].astype(np.uint64))[0]
    return ngrams_G, boundaries


def _sample_ngrams(ngrams_G: np.ndarray, boundaries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the grams with small hashes (FracMinHash), the index of the text of each, and the levels of the texts."""
    sizes_B = np.diff(boundaries)
    levels_B = np.searchsorted(LEVEL_SIZES, sizes_B, side="right").astype(np.uint8)
    mixed_G = ngrams_G * HASH_MULTIPLIER
    limits_B = (1 << MAX_LEVEL) >> levels_B
    indices_N = np.flatnonzero((mixed_G >> np.uint64(64 - MAX_LEVEL)).astype(np.uint8) < np.repeat(limits_B, sizes_B))
    mixed_N = mixed_G[indices_N]
    hashes_N = mixed_N >> np.uint64(32 - MAX_LEVEL) & np.uint64(0xFFFFFFFF)
    samples_N = hashes_N << np.uint64(2) | GRAM_LEVELS[mixed_N >> np.uint64(64 - MAX_LEVEL)]
    return samples_N, np.searchsorted(boundaries, indices_N, side="right") - 1, levels_B


def _hash_message(message: str) -> int:
    """Return a number for the words of a message; 0 for fewer words than a gram, which are equal by chance."""
    words = _normalize_words(message).split()
    if len(words) < NGRAM_WORDS:
        return 0
    return int.from_bytes(hashlib.blake2b(b" ".join(words), digest_size=8).digest(), "little")


def _hash_words(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes T of the words of all texts, and the number of words of each text, B.

    A word's hash is the sum of its bytes' random numbers, each times a power of an odd number by its position (Karp
    and Rabin 1987, modulo 2^64): a few array operations hash all words of a block.
    """
    hash_blocks, counts_B, pending, size = [], np.zeros(len(texts), np.int64), [], 0
    for i, text in enumerate(texts):
        for segment in _split_segments(_normalize_words(text)):
            if pending and size + len(segment) > BLOCK_BYTES:
                hash_blocks.append(_hash_segments(pending, counts_B))
                pending, size = [], 0
            pending.append((i, segment))
            size += len(segment) + 1
    hash_blocks.append(_hash_segments(pending, counts_B))
    return np.concatenate(hash_blocks), counts_B


def _hash_segments(segments: list[tuple[int, bytes]], counts_B: np.ndarray) -> np.ndarray:
    """Return the hashes of the words of some segments, and add their numbers to the counts of their texts."""
    data_N = np.frombuffer(b" " + b" ".join(segment for _, segment in segments), np.uint8)
    blank_N = data_N == 32
    starts_T = np.flatnonzero(blank_N[:-1] > blank_N[1:]) + 1
    if not len(starts_T):
        return np.zeros(0, np.uint64)
    numbers_N = np.take(BYTE_HASHES, data_N)
    numbers_N *= BASE_POWERS[: len(data_N)]
    hashes_T = np.add.reduceat(numbers_N, starts_T)
    hashes_T *= INVERSE_POWERS[starts_T]
    ends = np.cumsum([len(segment) + 1 for _, segment in segments])
    boundaries = np.searchsorted(starts_T, ends, side="right")
    np.add.at(counts_B, [i for i, _ in segments], np.diff(boundaries, prepend=0))
    return _mix_state(hashes_T, np.zeros(1, np.uint64))


def _normalize_words(text: str) -> bytes:
    """Return lower-case words without punctuation, separated by blanks; without blanks each character is a word."""
    data = text.encode("utf-8").translate(WORD_BYTE_TABLE)
    head = text[:SCRIPT_SAMPLE_CHARS].encode("utf-8").translate(WORD_BYTE_TABLE)
    if head.count(b" ") * 24 > min(len(text), SCRIPT_SAMPLE_CHARS) or len(text) < 24:
        return data
    return b" ".join(character.encode("utf-8") for character in text if not character.isspace())


def _split_segments(data: bytes) -> Iterator[bytes]:
    """Yield segments that end with a word, if there is a blank within the length of a block."""
    start = 0
    while len(data) - start > BLOCK_BYTES:
        blank_index = data.rfind(b" ", start + 1, start + BLOCK_BYTES)
        end = start + BLOCK_BYTES if blank_index < 0 else blank_index
        yield data[start:end]
        start = end
    yield data[start:] if start else data


def _mix_state(state: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return a step of multiplicative hashing on uint64, with wrap-around (after SplitMix64)."""
    state = (state ^ value) * np.uint64(HASH_BASE)
    return state ^ (state >> np.uint64(29))
