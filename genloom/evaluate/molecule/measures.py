"""Measures of sets of molecules by the definitions of MOSES (Polykovskiy et al. 2020).

Shape letters: N molecules, M reference molecules.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from genloom.media.molecule.fingerprints import compute_similarities, count_ring_systems, find_scaffold, load_generator
from genloom.media.molecule.libraries import load_chem
from genloom.media.molecule.molecule import Mol

MOSES_BITS = 1024  # of the fingerprints of MOSES
Fingerprints = Sequence[Any]  # bit vectors of rdkit


def build_fingerprints(mols: Iterable[Mol], num_bits: int = MOSES_BITS) -> Fingerprints:
    """Return the Morgan fingerprints of radius 2, N."""
    return list(load_generator(2, num_bits).GetFingerprints(tuple(mols)))


def measure_snn(fingerprints: Fingerprints, references: Fingerprints) -> np.ndarray:
    """Return the Tanimoto similarity of each molecule to its nearest reference, N; SNN is the mean."""
    return np.array([compute_similarities(each, references).max() for each in fingerprints] if references else [])


def measure_internal_diversity(fingerprints: Fingerprints, power: int = 1) -> float:
    """Return one minus the power mean of all pairwise similarities, with those to itself as MOSES has it; IntDiv_p."""
    if not fingerprints:
        return 0.0
    total = sum(float((compute_similarities(each, fingerprints) ** power).sum()) for each in fingerprints)
    return 1 - (total / len(fingerprints) ** 2) ** (1 / power)


def count_scaffolds(mols: Iterable[Mol], min_rings: int = 2) -> Counter[str]:
    """Count the scaffolds with at least so many rings."""
    counts = Counter(find_scaffold(mol) for mol in mols)
    return Counter({key: count for key, count in counts.items() if key and _has_rings(key, min_rings)})


@cache
def _has_rings(scaffold: str, min_rings: int) -> bool:
    return count_ring_systems(scaffold) >= min_rings


def count_fragments(mols: Iterable[Mol]) -> Counter[str]:
    """Count the BRICS fragments (Degen et al. 2008)."""
    chem, counts = load_chem(), Counter[str]()
    for mol in mols:
        counts.update(chem.MolToSmiles(chem.FragmentOnBRICSBonds(mol)).split("."))
    return counts


def compare_counts(first: Counter[str], second: Counter[str]) -> float:
    """Return the cosine of two counts, from 0 to 1: Scaf and Frag of MOSES; 0 if one is empty."""
    dot = sum(count * second[key] for key, count in first.items())
    norms = sqrt(sum(count**2 for count in first.values())) * sqrt(sum(count**2 for count in second.values()))
    return dot / norms if norms else 0.0


def measure_wasserstein(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the Wasserstein-1 distance of two samples of numbers, in their unit."""
    values = [np.sort(np.asarray(each, np.float64)) for each in (first, second)]
    if not all(map(len, values)):
        return float("inf")
    edges = np.sort(np.concatenate(values))
    shares = [np.searchsorted(each, edges[:-1], "right") / len(each) for each in values]
    return float((np.abs(shares[0] - shares[1]) * np.diff(edges)).sum())
