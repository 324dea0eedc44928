"""The synthetic accessibility score: how common the fragments of a molecule are, less what makes it complex.

Ertl and Schuffenhauer (2009), J. Cheminform. 1:8, with the changes of rdkit's version 1.1 (macrocycles count once;
symmetric molecules are easier). The contributions of the fragments are a file of rdkit (BSD licence, Novartis).
"""

import gzip
import math
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from genloom.errors import GenloomError
from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import Mol

RARE = -4.0  # contribution of a fragment that the file does not have
LOW, HIGH = -4.0, 2.5  # of the raw score, which is mapped to 10 … 1
MAX_BYTES = 64 << 20  # of the unpacked file; it has 9 MB


def compute_sa(mol: Mol) -> float:
    """Return the score from 1, easy to make, to 10, difficult; a molecule without atoms has 10."""
    num_atoms = mol.GetNumAtoms()
    counts = load_fingerprints().GetSparseCountFingerprint(mol).GetNonzeroElements()
    if not counts:
        return 10.0
    ids = np.fromiter(counts.keys(), np.int64, len(counts))
    weights = np.fromiter(counts.values(), np.float64, len(counts))
    score = float(find_contributions(ids) @ weights / weights.sum()) - measure_complexity(mol)
    if num_atoms > len(counts):
        score += 0.5 * math.log(num_atoms / len(counts))  # symmetry
    score = 11.0 - (score - LOW + 1.0) / (HIGH - LOW) * 9.0
    if score > 8.0:
        score = 8.0 + math.log(score - 8.0)
    return min(max(score, 1.0), 10.0)


def measure_complexity(mol: Mol) -> float:
    """Return the penalty of size, stereocentres, spiro and bridgehead atoms and macrocycles."""
    chem, descriptors = load_chem(), load_library("rdkit.Chem.rdMolDescriptors")
    num_atoms = mol.GetNumAtoms()
    num_centers = len(chem.FindMolChiralCenters(mol, includeUnassigned=True))
    has_macrocycle = any(len(ring) > 8 for ring in mol.GetRingInfo().AtomRings())
    counts = (num_centers, descriptors.CalcNumSpiroAtoms(mol), descriptors.CalcNumBridgeheadAtoms(mol), has_macrocycle)
    return num_atoms**1.005 - num_atoms + sum(math.log10(count + 1) for count in counts)


def find_contributions(ids: np.ndarray) -> np.ndarray:
    """Return the contribution of each fragment id, F."""
    known_ids, contributions = load_contributions()
    index = np.searchsorted(known_ids, ids).clip(max=len(known_ids) - 1)
    return np.where(known_ids[index] == ids, contributions[index], RARE)


@cache
def load_fingerprints() -> Any:
    """Return the generator of circular fragments of up to two bonds (Rogers and Hahn 2010)."""
    return load_library("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=2)


@cache
def load_contributions() -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of known fragments, sorted, and their contributions; takes half a second, once.

    The file is a pickle in text form, which is read as text: groups of one number, as `F-2.8`, and the ids that have
    it, as `I910163969`. Nothing is unpickled.
    """
    folder = Path(load_library("rdkit.RDConfig").RDContribDir)
    path = folder / "SA_Score" / "fpscores.pkl.gz"
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise GenloomError("molecule.property_file", path=path, reason=error) from None
    groups = [(match[1], match[2]) for match in re.finditer(rb"\nF([-+.\de]+)\n((?:aI\d+\n)+)", data)]
    if not groups:
        raise GenloomError("molecule.property_file", path=path, reason="it has no groups of fragments")
    ids = [np.array(numbers[2:].split(b"\naI"), np.int64) for _, numbers in groups]
    contributions = np.repeat([float(value) for value, _ in groups], list(map(len, ids)))
    all_ids = np.concatenate(ids)
    order = np.argsort(all_ids)
    return all_ids[order], contributions[order]
