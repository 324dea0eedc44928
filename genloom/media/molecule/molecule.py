"""The value of the medium: a molecule as canonical SMILES, standardised, and the errors of texts that are none."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from genloom.errors import GenloomError
from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.syntax import Fault, find_fault, list_atom_positions

MAX_ATOMS = 200  # heavy atoms; the largest drugs that are not proteins have about 120
MAX_CHARS = 4000  # of a text, which is checked before it is read
ELEMENTS = frozenset("H B C N O F Si P S Cl As Se Br Te I".split())  # noqa: SIM905
UNKNOWN_FAULT = Fault(0, GenloomError("molecule.unreadable"))
Mol = Any  # rdkit.Chem.Mol


@dataclass(frozen=True)
class Molecule:
    """A molecule as SMILES. `parse_smiles` and `standardise_mol` make the canonical isomeric SMILES of rdkit.

    What a model wrote is kept as it is, so it may be in another order, or no molecule (`find_mol`).
    """

    smiles: str

    def __str__(self) -> str:
        return self.smiles


@dataclass(frozen=True)
class Standard:
    """The changes that make two drawings of a molecule one value. Stereochemistry and isotopes are kept."""

    should_strip_salts: bool = True  # whether only the largest organic part is kept
    should_neutralise: bool = True  # whether charges are removed where adding or removing protons can
    should_unify_tautomers: bool = False  # whether tautomers become one; takes milliseconds a molecule


DEFAULT_STANDARD, AS_WRITTEN = Standard(), Standard(should_strip_salts=False, should_neutralise=False)
# Texts of which the canonical form needs no more than rdkit's: one part, no charges, common elements.
PLAIN = re.compile(r"(?:Br|Cl|[BCNOPSFIbcnops]|\[(?:nH|C@{1,2}H?|[NSP]@{1,2})\]|[-=#/\\()]|\d|%\d\d)+")


def parse_smiles(text: str, standard: Standard = DEFAULT_STANDARD) -> Molecule:
    """Return the standardised molecule that a SMILES text describes.

    GenloomError with the position (from 1) of a fault of the grammar, a valence or an aromatic ring, and for polymers,
    mixtures, metals, attachment points and more than `MAX_ATOMS` heavy atoms.
    """
    text = text.strip()
    if PLAIN.fullmatch(text) and len(text) <= MAX_CHARS and not standard.should_unify_tautomers:
        chem = load_chem()
        mol = chem.MolFromSmiles(text)
        is_plain = mol is not None and mol.GetNumHeavyAtoms() <= MAX_ATOMS and ("C" in text or "c" in text)
        if is_plain and chem.MolToSmiles(mol) == text:
            return Molecule(text)
    return standardise_mol(parse_mol(text), standard, text)


def parse_mol(text: str) -> Mol:
    """Return the sanitised molecule of a SMILES text, as written: with its salts, charges and attachment points."""
    text = text.strip()
    if not text:
        raise GenloomError("molecule.no_text")
    if len(text) > MAX_CHARS:
        raise GenloomError("molecule.text_too_long", count=len(text), limit=MAX_CHARS)
    if "{" in text:
        raise GenloomError("molecule.polymer", text=shorten_text(text))
    chem = load_chem()
    mol = chem.MolFromSmiles(text, sanitize=False)
    if mol is None:
        raise build_syntax_error(text, find_fault(text) or UNKNOWN_FAULT)
    if mol.GetNumHeavyAtoms() > 4 * MAX_ATOMS:  # with its salts; sanitising takes time
        raise GenloomError("molecule.too_many_atoms", count=mol.GetNumHeavyAtoms(), limit=MAX_ATOMS)
    if problems := sanitise_mol(mol):
        raise build_chemistry_error(text, mol, problems[0])
    return mol


def sanitise_mol(mol: Mol) -> list[Any]:
    """Sanitise a molecule in place and find its stereochemistry, or return its chemistry problems."""
    chem = load_chem()
    before = chem.Mol(mol)  # the problems of one that was sanitised in part are not found
    try:
        chem.SanitizeMol(mol)
    except (ValueError, RuntimeError):
        return list(chem.DetectChemistryProblems(before)) or [None]
    chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return []


def build_syntax_error(text: str, fault: Fault) -> GenloomError:
    """Return the error of a fault of the grammar, with the text up to it."""
    position = fault.position + 1
    return GenloomError("molecule.bad_smiles", text=shorten_text(text), position=position, reason=fault.error)


def build_chemistry_error(text: str, mol: Mol, problem: Any) -> GenloomError:
    """Return the error of a valence or an aromatic ring that cannot be, with the position of its first atom."""
    index, reason = describe_problem(mol, problem)
    positions = list_atom_positions(text)
    position = positions[index] if index < len(positions) else 0
    return GenloomError("molecule.bad_smiles", text=shorten_text(text), position=position + 1, reason=reason)


def build_mol_error(mol: Mol, problem: Any) -> GenloomError:
    """Return the error of a molecule that was drawn, with the number of the atom."""
    index, reason = describe_problem(mol, problem)
    return GenloomError("molecule.bad_atom", number=index + 1, reason=reason)


def describe_problem(mol: Mol, problem: Any) -> tuple[int, GenloomError]:
    """Return the first atom of a chemistry problem of rdkit, and the problem as an error."""
    if hasattr(problem, "GetAtomIdx"):
        index = problem.GetAtomIdx()
    else:
        index = next(iter(problem.GetAtomIndices()), 0) if hasattr(problem, "GetAtomIndices") else 0
    atom = mol.GetAtomWithIdx(index).GetSymbol()
    if problem is not None and problem.GetType() == "AtomValenceException":
        return index, GenloomError("molecule.bad_valence", atom=atom)
    return index, GenloomError("molecule.bad_ring", atom=atom)


def shorten_text(text: str, limit: int = 60) -> str:
    """Return a text for a message, with an ellipsis if it is long."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def standardise_mol(mol: Mol, standard: Standard = DEFAULT_STANDARD, text: str = "") -> Molecule:
    """Return the standardised molecule of a sanitised one of rdkit, read from `text`; GenloomError as above."""
    chem = load_chem()
    if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        raise GenloomError("molecule.attachment_point")
    if len(chem.GetMolFrags(mol)) > 1:
        if not standard.should_strip_salts:
            raise GenloomError("molecule.several_parts", count=len(chem.GetMolFrags(mol)))
        mol = pick_part(mol)
    check_elements(mol)
    if mol.GetNumHeavyAtoms() > MAX_ATOMS:
        raise GenloomError("molecule.too_many_atoms", count=mol.GetNumHeavyAtoms(), limit=MAX_ATOMS)
    if standard.should_neutralise and any(atom.GetFormalCharge() for atom in mol.GetAtoms()):
        mol = load_uncharger().uncharge(mol)
    if standard.should_unify_tautomers:
        mol = load_tautomers().Canonicalize(mol)
    return write_molecule(mol, text)


def write_molecule(mol: Mol, text: str = "") -> Molecule:
    """Return the canonical SMILES of a molecule, without the numbers of atom maps; `text` is what it was read from."""
    chem = load_chem()
    if any(atom.GetAtomMapNum() for atom in mol.GetAtoms()):
        mol = chem.Mol(mol)
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
    smiles = chem.MolToSmiles(mol)
    if "[H]" in smiles:  # hydrogens that a text or file has as atoms
        smiles = chem.MolToSmiles(chem.RemoveHs(mol))
    if "~" in smiles or "$" in smiles:
        raise GenloomError("molecule.unknown_bond")
    if smiles == text:
        return Molecule(smiles)
    for _ in range(3):  # for rare molecules, the first canonical order is not that of its own text
        again = chem.MolFromSmiles(smiles)
        if again is None or (canonical := chem.MolToSmiles(again)) == smiles:
            break
        smiles = canonical
    return Molecule(smiles)


def pick_part(mol: Mol) -> Mol:
    """Return the organic part of a salt or solvate; GenloomError if several different parts are about as large."""
    chem = load_chem()
    parts = {chem.MolToSmiles(part): part for part in chem.GetMolFrags(mol, asMols=True, sanitizeFrags=True)}
    organic = {smiles: part for smiles, part in parts.items() if any(a.GetAtomicNum() == 6 for a in part.GetAtoms())}
    if not organic:
        raise GenloomError("molecule.inorganic", text=shorten_text(chem.MolToSmiles(mol)))
    if len(organic) > 1:
        organic = {smiles: part for smiles, part in organic.items() if not is_counterion(smiles)} or organic
    ordered = sorted(organic.items(), key=lambda pair: (-pair[1].GetNumHeavyAtoms(), pair[0]))
    sizes = [part.GetNumHeavyAtoms() for _, part in ordered]
    if len(sizes) > 1 and 2 * sizes[1] > sizes[0]:
        raise GenloomError("molecule.mixture", first=shorten_text(ordered[0][0]), second=shorten_text(ordered[1][0]))
    return ordered[0][1]


@cache
def load_counterions() -> frozenset[str]:
    """Return common acids and solvents of salts that are not small beside the drugs, as canonical SMILES."""
    chem = load_chem()
    return frozenset(chem.CanonSmiles(smiles) for smiles in COUNTERIONS)


COUNTERIONS = (  # noqa: SIM905
    "CC(=O)O OC(=O)C(F)(F)F CS(=O)(=O)O OC(=O)/C=C/C(=O)O OC(=O)/C=C\\C(=O)O OC(=O)CCC(=O)O OC(=O)C(=O)O "
    "OC(=O)CC(O)(CC(=O)O)C(=O)O OC(=O)[C@H](O)[C@@H](O)C(=O)O OC(=O)[C@@H](O)[C@H](O)C(=O)O OC(=O)C(O)C(O)C(=O)O "
    "Cc1ccc(cc1)S(=O)(=O)O OS(=O)(=O)c1ccccc1 OC(=O)c1ccccc1 OC(=O)C(O)CC(=O)O CC(O)C(=O)O OC=O CO CCO CC(C)O "
    "CC(C)=O CC#N CS(C)=O CN(C)C=O ClCCl ClC(Cl)Cl CCOC(C)=O Cc1ccccc1 CCN(CC)CC NCCO OCC(N)(CO)CO "
    "CNC[C@H](O)[C@@H](O)[C@H](O)[C@H](O)CO OC(=O)c1cc2ccccc2c(Cc2c(O)c(cc3ccccc23)C(=O)O)c1O"
).split()


def is_counterion(smiles: str) -> bool:
    """Return whether a part is one of the common acids, bases and solvents, charged or not."""
    chem = load_chem()
    return chem.MolToSmiles(load_uncharger().uncharge(chem.MolFromSmiles(smiles))) in load_counterions()


def check_elements(mol: Mol) -> None:
    """Raise GenloomError for a metal or another element that models of molecules do not know, or without carbon."""
    elements = [atom.GetSymbol() for atom in mol.GetAtoms()]
    if foreign := next((symbol for symbol in elements if symbol not in ELEMENTS), None):
        raise GenloomError("molecule.metal", element=foreign, known=" ".join(sorted(ELEMENTS)))
    if "C" not in elements:
        raise GenloomError("molecule.inorganic", text=shorten_text(load_chem().MolToSmiles(mol)))


@cache
def load_uncharger() -> Any:
    load_chem()
    return load_library("rdkit.Chem.MolStandardize.rdMolStandardize").Uncharger()


@cache
def load_tautomers() -> Any:
    load_chem()
    return load_library("rdkit.Chem.MolStandardize.rdMolStandardize").TautomerEnumerator()


@lru_cache(maxsize=4096)
def find_mol(molecule: Molecule) -> Mol | None:
    """Return the molecule of rdkit; None if what a model wrote is none. It is shared: copy it before changing it."""
    if not molecule.smiles or len(molecule.smiles) > MAX_CHARS:
        return None
    return load_chem().MolFromSmiles(molecule.smiles)


def to_mol(molecule: Molecule) -> Mol:
    """Return the molecule of rdkit, shared like that of `find_mol`; GenloomError if it is none."""
    mol = find_mol(molecule)
    if mol is None:
        raise parse_error(molecule.smiles)
    return mol


def canonicalise_molecule(molecule: Molecule) -> Molecule:
    """Return the molecule in its canonical form, with its charges; itself if it is none."""
    try:
        return parse_smiles(molecule.smiles, AS_WRITTEN)
    except GenloomError:
        return molecule


def parse_error(text: str) -> GenloomError:
    """Return the error of a text that is no molecule."""
    try:
        parse_mol(text)
    except GenloomError as error:
        return error
    return build_syntax_error(text, UNKNOWN_FAULT)


@lru_cache(maxsize=4096)
def compute_inchi_key(molecule: Molecule) -> str:
    """Return the InChIKey, the same for all texts of a molecule (Heller et al. 2015)."""
    load_chem()
    return load_library("rdkit.Chem.inchi").MolToInchiKey(to_mol(molecule))


_SPACES = re.compile(r"\s")


def is_smiles_like(text: str) -> bool:
    """Return whether a text has the grammar of SMILES; it may still be no molecule."""
    return bool(text) and not _SPACES.search(text) and find_fault(text) is None
