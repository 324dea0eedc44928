"""Properties of molecules that are computed from the structure alone, with their units, bounds and sources.

They are estimates for comparison and choice, not measurements. Counts of functional groups are properties, too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import numpy as np

from genloom.errors import GenloomError, format_suggestion
from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import MAX_ATOMS, Mol, Molecule, to_mol
from genloom.media.molecule.synthesis import compute_sa


@dataclass(frozen=True)
class Property:
    """A number that every molecule has."""

    name: str
    meaning: str
    unit: str  # "" for counts and shares
    compute: Callable[[Mol], float]
    low: float = 0.0  # the least possible value
    high: float = inf  # the greatest possible value
    is_integer: bool = False
    softness: float = 1.0  # how far from a range a value is half as good, in its unit


def compute_logp(mol: Mol) -> float:
    """Return the logarithm of the octanol-water partition coefficient (Wildman and Crippen 1999)."""
    return float(load_descriptors().CalcCrippenDescriptors(mol)[0])


def compute_qed(mol: Mol) -> float:
    """Return the quantitative estimate of drug-likeness (Bickerton et al. 2012), as rdkit computes it."""
    return float(load_library("rdkit.Chem.QED").qed(mol))


def compute_mw(mol: Mol) -> float:
    """Return the average molecular weight in Da."""
    return float(load_descriptors()._CalcMolWt(mol))


def compute_tpsa(mol: Mol) -> float:
    """Return the topological polar surface area of nitrogen and oxygen in Å² (Ertl et al. 2000)."""
    return float(load_descriptors().CalcTPSA(mol))


def compute_logs(mol: Mol) -> float:
    """Return the logarithm of the solubility in water in mol/L (ESOL: Delaney 2004, equation 2)."""
    descriptors = load_descriptors()
    aromatic_share = sum(atom.GetIsAromatic() for atom in mol.GetAtoms()) / max(mol.GetNumHeavyAtoms(), 1)
    rotatable = descriptors.CalcNumRotatableBonds(mol)
    return 0.16 - 0.63 * compute_logp(mol) - 0.0062 * compute_mw(mol) + 0.066 * rotatable - 0.74 * aromatic_share


def count_stereocenters(mol: Mol) -> float:
    """Return the number of stereocentres, specified or not."""
    return float(len(load_chem().FindMolChiralCenters(mol, includeUnassigned=True)))


def call_descriptor(name: str) -> Callable[[Mol], float]:
    """Return a function that calls a descriptor of rdkit by its name."""
    return lambda mol: float(getattr(load_descriptors(), name)(mol))


@cache
def load_descriptors() -> Any:
    load_chem()
    return load_library("rdkit.Chem.rdMolDescriptors")


@cache
def load_pattern(smarts: str) -> Mol:
    """Return a substructure pattern of this program; users' patterns are checked where they are read."""
    return load_chem().MolFromSmarts(smarts)


def count_group(smarts: str) -> Callable[[Mol], float]:
    """Return a function that counts the atoms at which a functional group is."""
    return lambda mol: float(len(mol.GetSubstructMatches(load_pattern(smarts))))


GROUPS = {  # functional groups by the first atom of a pattern, which is counted once
    "amines": "[$([NX3;H2,H1,H0;+0;!$(N-[!#6;!#1]);!$(N-[C,c]=[O,S,N]);!$(N-C#N);!$(N=*)]-[#6])]",
    "alcohols": "[$([OX2H]-[CX4])]",
    "phenols": "[$([OX2H]-c)]",
    "acids": "[$([CX3](=O)[OX2H1,O-])]",
    "esters": "[$([CX3;!$(C(=O)[OH])](=O)[OX2]-[#6;!$(C=[O,S,N])])]",
    "amides": "[$([CX3](=O)[NX3])]",
    "ketones": "[$([CX3](=O)([#6])[#6])]",
    "aldehydes": "[$([CX3H1](=O)),$([CX3H2](=O))]",
    "ethers": "[$([OX2]([#6;!$(C=[O,S,N])])[#6;!$(C=[O,S,N])])]",
    "nitriles": "[$([CX2]#[NX1])]",
    "nitro_groups": "[$([NX3+](=O)[O-]),$([NX3](=O)=O)]",
    "sulfonamides": "[$([SX4](=O)(=O)[NX3])]",
    "thiols": "[$([SX2H])]",
    "ureas": "[$([CX3](=O)([NX3])[NX3])]",
    "halogens": "[F,Cl,Br,I]",
    "fluorines": "[F]",
    "chlorines": "[Cl]",
}

_PROPERTIES = (
    Property("logp", "octanol-water partition, log10 (Wildman and Crippen 1999)", "", compute_logp, -inf),
    Property("qed", "drug-likeness (Bickerton et al. 2012)", "", compute_qed, 0.0, 1.0, softness=0.2),
    Property("mw", "molecular weight", "Da", compute_mw, 16.0, softness=50.0),
    Property("tpsa", "polar surface area (Ertl et al. 2000)", "Å²", compute_tpsa, softness=20.0),
    Property(
        "sa", "synthetic accessibility, 1 easy … 10 hard (Ertl and Schuffenhauer 2009)", "", compute_sa, 1.0, 10.0
    ),
    Property("logs", "solubility in water, log10 (ESOL, Delaney 2004)", "log mol/L", compute_logs, -inf),
    Property("donors", "hydrogen bond donors", "", call_descriptor("CalcNumHBD"), is_integer=True),
    Property("acceptors", "hydrogen bond acceptors", "", call_descriptor("CalcNumHBA"), is_integer=True),
    Property("rings", "rings (smallest set)", "", call_descriptor("CalcNumRings"), is_integer=True),
    Property("aromatic_rings", "aromatic rings", "", call_descriptor("CalcNumAromaticRings"), is_integer=True),
    Property("rotatable", "rotatable bonds, strict", "", call_descriptor("CalcNumRotatableBonds"), is_integer=True),
    Property(
        "heavy_atoms", "atoms without hydrogen", "", lambda mol: float(mol.GetNumHeavyAtoms()), 1, MAX_ATOMS, True, 5.0
    ),
    Property("charge", "net charge", "", lambda mol: float(load_chem().GetFormalCharge(mol)), -inf, is_integer=True),
    Property("fsp3", "share of carbons that are sp³", "", call_descriptor("CalcFractionCSP3"), 0.0, 1.0, softness=0.2),
    Property("stereocenters", "stereocentres, specified or not", "", count_stereocenters, is_integer=True),
    *(
        Property(name, f"{name.replace('_', ' ')}, counted", "", count_group(smarts), is_integer=True)
        for name, smarts in GROUPS.items()
    ),
)
PROPERTIES: Mapping[str, Property] = {each.name: each for each in _PROPERTIES}
MAIN_PROPERTIES = tuple(name for name in PROPERTIES if name not in GROUPS)  # of reports
ALIASES = {
    "clogp": "logp", "weight": "mw", "molwt": "mw", "mass": "mw", "psa": "tpsa", "sascore": "sa", "sa_score": "sa",
    "hbd": "donors", "hba": "acceptors", "esol": "logs", "solubility": "logs", "rotatable_bonds": "rotatable",
    "rotb": "rotatable", "atoms": "heavy_atoms", "size": "heavy_atoms", "sp3": "fsp3", "stereocentres": "stereocenters",
}  # fmt: skip


def find_property(name: str) -> Property:
    """Return a property by its name or alias, in any case; GenloomError for another name."""
    key = name.strip().lower().replace("-", "_")
    found = PROPERTIES.get(ALIASES.get(key, key))
    if found is None:
        hint = format_suggestion(key, [*PROPERTIES, *ALIASES])
        raise GenloomError("molecule.property_unknown", name=name, hint=hint, names=", ".join(MAIN_PROPERTIES))
    return found


def compute_mol_properties(mol: Mol, names: Iterable[str] = MAIN_PROPERTIES) -> dict[str, float]:
    """Return the properties of a sanitised molecule of rdkit, by the names given."""
    return {name: find_property(name).compute(mol) for name in names}


def compute_property(molecule: Molecule, name: str) -> float:
    """Return one property of a molecule."""
    return find_property(name).compute(to_mol(molecule))


def compute_properties(molecule: Molecule, names: Iterable[str] = MAIN_PROPERTIES) -> dict[str, float]:
    """Return properties of a molecule by name; about a millisecond for the main ones, of which QED takes most."""
    return compute_mol_properties(to_mol(molecule), names)


def compute_table(molecules: Sequence[Molecule], names: Sequence[str] = MAIN_PROPERTIES) -> np.ndarray:
    """Return the properties of molecules as float64, N P."""
    rows = [list(compute_properties(molecule, names).values()) for molecule in molecules]
    return np.array(rows, np.float64).reshape(len(molecules), len(names))
