"""Fingerprints of molecules for near-duplicates: MinHash signatures of circular substructures.

Shape letters: B molecules, K hashes, P bytes of a signature.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from genloom.collect.duplicates import Sketches
from genloom.media.molecule.libraries import load_library
from genloom.media.molecule.molecule import Mol

NUM_HASHES, NUM_BANDS = 64, 16
RADIUS = 2


@cache
def load_generator() -> Any:
    return load_library("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=RADIUS)


def compute_fingerprint(mol: Mol) -> np.ndarray:
    """Return the identifiers of the circular substructures up to two bonds around each atom (Rogers and Hahn 2010)."""
    bits = load_generator().GetSparseFingerprint(mol).GetOnBits()  # as signed numbers of 32 bits
    return np.array(sorted(bit & 0xFFFFFFFF for bit in bits), np.uint64)


def compute_signatures(fingerprints: Sequence[np.ndarray | None], digests: Sequence[bytes]) -> Sketches:
    """Return the exact keys of molecules and, where there are fingerprints, MinHash signatures (Broder 1997)."""
    exact = np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)
    if any(bits is None for bits in fingerprints) or not len(digests):
        return Sketches(exact.reshape(-1, 1), np.zeros((len(digests), 0), np.uint8))
    rng = np.random.default_rng(0)
    factors_K = rng.integers(1, 1 << 63, NUM_HASHES, np.uint64) | np.uint64(1)
    signatures_BK = np.zeros((len(digests), NUM_HASHES), np.uint64)
    for row, (bits, key) in enumerate(zip(fingerprints, exact, strict=True)):
        assert bits is not None
        spread = np.array([hash_number(bit) for bit in bits.tolist()], np.uint64)
        signatures_BK[row] = (spread[:, None] * factors_K).min(0) if len(bits) else key
    bands = signatures_BK.reshape(len(digests), NUM_BANDS, NUM_HASHES // NUM_BANDS)
    mixed = (bands * factors_K[: bands.shape[2]]).sum(2) ^ np.arange(NUM_BANDS, dtype=np.uint64)
    low = (signatures_BK >> np.uint64(32)).astype(np.uint32).view(np.uint8).reshape(len(digests), 4 * NUM_HASHES)
    return Sketches(np.concatenate([exact.reshape(-1, 1), mixed], 1), low)


def hash_number(number: int) -> int:
    return int.from_bytes(hashlib.blake2b(number.to_bytes(8, "little"), digest_size=8).digest(), "little")


def compute_jaccard(signature_P: np.ndarray, signatures_NP: np.ndarray) -> np.ndarray:
    """Return the share of equal hashes, which estimates the Tanimoto similarity of the substructures."""
    own, others = signature_P.reshape(-1, 4), signatures_NP.reshape(len(signatures_NP), NUM_HASHES, 4)
    return (own == others).all(2).mean(1)
