"""Fingerprints, similarity and scaffolds of molecules.

Shape letters: N molecules, M other molecules.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np

from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import Mol, Molecule, find_mol

RADIUS, NUM_BITS = 2, 2048  # Morgan fingerprints like ECFP4 (Rogers and Hahn 2010)


@cache
def load_generator(radius: int = RADIUS, num_bits: int = NUM_BITS) -> Any:
    """Return rdkit's generator of Morgan fingerprints."""
    load_chem()
    return load_library("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=radius, fpSize=num_bits)


def compute_fingerprint(mol: Mol, radius: int = RADIUS) -> Any:
    """Return the fingerprint of a molecule as bits of rdkit."""
    return load_generator(radius).GetFingerprint(mol)


def compute_similarities(fingerprint: Any, others: Sequence[Any]) -> np.ndarray:
    """Return the Tanimoto similarity, from 0 to 1, of a fingerprint to others, M."""
    return np.array(load_library("rdkit.DataStructs").BulkTanimotoSimilarity(fingerprint, list(others)))


def identify_value(value: Molecule) -> str:
    """Return the canonical SMILES of a molecule; the text of an invalid one, marked as such."""
    mol = find_mol(value)
    return f"!{value.smiles}" if mol is None else load_chem().MolToSmiles(mol)


def find_family(value: Molecule) -> str:
    """Return the scaffold of a molecule, of which learners are to find many; "" without rings."""
    mol = find_mol(value)
    return "" if mol is None else find_scaffold(mol)


def find_scaffold(mol: Mol) -> str:
    """Return the canonical SMILES of the rings and their linkers (Bemis and Murcko 1996); "" without rings."""
    murcko = load_library("rdkit.Chem.Scaffolds.MurckoScaffold")
    try:
        return load_chem().MolToSmiles(murcko.GetScaffoldForMol(mol), isomericSmiles=False)
    except (ValueError, RuntimeError):  # rare aromatic ions lose a bond that they need
        return ""


def count_ring_systems(scaffold: str) -> int:
    """Return the number of rings of a scaffold; MOSES counts scaffolds with at least two."""
    mol = load_chem().MolFromSmiles(scaffold) if scaffold else None
    return 0 if mol is None else mol.GetRingInfo().NumRings()


def to_bits(fingerprints: Iterable[Any]) -> np.ndarray:
    """Return fingerprints of rdkit as packed bytes, N NUM_BITS/8 uint8."""
    data = load_library("rdkit.DataStructs")
    rows = [np.frombuffer(data.BitVectToBinaryText(each), np.uint8) for each in fingerprints]
    return np.array(rows, np.uint8).reshape(len(rows), NUM_BITS // 8)
