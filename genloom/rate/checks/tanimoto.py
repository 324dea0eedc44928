"""Check that a molecule resembles another one: `tanimoto:reference=CC(=O)Oc1ccccc1C(=O)O;min_similarity=0.5`."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from genloom.errors import GenloomError
from genloom.media.molecule.fingerprints import compute_fingerprint, compute_similarities
from genloom.media.molecule.molecule import Molecule, find_mol, parse_smiles, to_mol
from genloom.rate.checks import CheckResult

media = ("molecule",)


@dataclass(frozen=True)
class Config:
    reference: str = "CC(=O)Oc1ccccc1C(=O)O"  # SMILES; aspirin
    min_similarity: float = 0.4  # Tanimoto similarity of Morgan fingerprints of radius 2
    max_similarity: float = 1.0  # below 1: similar, but not the same

    def __post_init__(self) -> None:
        if not 0 < self.min_similarity <= self.max_similarity <= 1:
            raise GenloomError("rate.bad_tanimoto_range", low=self.min_similarity, high=self.max_similarity)
        load_reference(self.reference)


@cache
def load_reference(smiles: str) -> Any:
    return compute_fingerprint(to_mol(parse_smiles(smiles)))


def check(molecule: Molecule, config: Config) -> CheckResult:
    """Score the similarity over the minimum, and the distance from 1 above the maximum; an invalid one scores 0."""
    mol = find_mol(molecule)
    if mol is None:
        return CheckResult(0.0, False, "it is no valid molecule")
    similarity = float(compute_similarities(compute_fingerprint(mol), [load_reference(config.reference)])[0])
    score = min(similarity / config.min_similarity, 1.0)
    if similarity > config.max_similarity:
        score = (1 - similarity) / (1 - config.max_similarity)
    return CheckResult(score, score == 1, f"similarity {similarity:.2f} to the reference")
