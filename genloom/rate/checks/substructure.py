"""Check that a molecule has a substructure, or does not: `substructure:smarts=c1ccc2[nH]ccc2c1`."""

from dataclasses import dataclass
from functools import cache

from genloom.errors import GenloomError
from genloom.media.molecule.libraries import load_chem
from genloom.media.molecule.molecule import Mol, Molecule, find_mol
from genloom.rate.checks import CheckResult

media = ("molecule",)
MAX_CHARS = 1000  # of a pattern


@dataclass(frozen=True)
class Config:
    smarts: str = "a"  # a SMARTS pattern, or the SMILES of a part; "a" is any aromatic atom
    is_absent: bool = False  # the molecule must not have it

    def __post_init__(self) -> None:
        load_smarts(self.smarts)


@cache
def load_smarts(smarts: str) -> Mol:
    """Return the pattern; GenloomError if it cannot be read."""
    pattern = load_chem().MolFromSmarts(smarts) if 0 < len(smarts) <= MAX_CHARS else None
    if pattern is None or not pattern.GetNumAtoms():
        raise GenloomError("rate.bad_smarts", smarts=smarts[:60])
    return pattern


def check(molecule: Molecule, config: Config) -> CheckResult:
    """Score 1 if the molecule has the substructure, or has it not where it must be absent; else 0."""
    mol = find_mol(molecule)
    if mol is None:
        return CheckResult(0.0, False, "it is no valid molecule")
    has_it = mol.HasSubstructMatch(load_smarts(config.smarts))
    has_passed = has_it != config.is_absent
    return CheckResult(float(has_passed), has_passed, f"it {'has' if has_it else 'does not have'} {config.smarts}")
