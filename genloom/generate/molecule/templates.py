"""Texts of molecules with gaps: scaffolds that may grow, fragments to join, a molecule of which a part changes.

A template is SMILES in pieces, written in a random order, so that outputs grow in different places. Between two pieces
a model writes: a branch, which ends with the parenthesis that closes it; a chain of atoms; or the rest of the molecule.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from genloom.errors import GenloomError
from genloom.media.molecule.libraries import load_chem
from genloom.media.molecule.molecule import MAX_ATOMS, Mol, Molecule, parse_mol, shorten_text, to_mol
from genloom.media.molecule.syntax import Token, split_tokens

Closing = Literal["branch", "chain", "end"]
MAX_CHAIN_ATOMS = 8  # between two fragments
MAX_TRIES = 40  # orders of writing, until one suits
GROWTHS = (0.5, 0.4, 0.1)  # share of outputs that grow in one, two and three places
MAX_LINK_TRIES = 500
DUMMY = re.compile(r"\[\d*\*(?::\d+)?\]|\*")

LAST_DUMMY = re.compile(rf"(?:{DUMMY.pattern})$")


@dataclass(frozen=True)
class Template:
    """Pieces of SMILES with a gap after each but the last, which is "" if the model ends the molecule."""

    pieces: tuple[str, ...]
    closings: tuple[Closing, ...]
    num_chain_atoms: int = 0  # the least, of a chain


def read_scaffold(text: str) -> Mol:
    """Return a scaffold with its attachment points; GenloomError if it is none, or has no place to grow."""
    mol = read_fragment(text)
    if not count_dummies(mol) and not list_open_atoms(mol):
        raise GenloomError("molecule.scaffold_closed", text=shorten_text(text))
    return mol


def read_fragment(text: str) -> Mol:
    """Return one part with its attachment points; GenloomError for several parts and points without a single bond."""
    mol = parse_mol(text)
    if len(load_chem().GetMolFrags(mol)) != 1 or not mol.GetNumHeavyAtoms():
        raise GenloomError("molecule.scaffold_parts", text=shorten_text(text))
    if mol.GetNumHeavyAtoms() > MAX_ATOMS:
        raise GenloomError("molecule.too_many_atoms", count=mol.GetNumHeavyAtoms(), limit=MAX_ATOMS)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0 and not is_attachment(atom):
            raise GenloomError("molecule.bad_attachment", text=shorten_text(text))
    return mol


def is_attachment(atom: Any) -> bool:
    """Return whether a dummy atom stands for one atom at a single bond."""
    bonds = atom.GetBonds()
    return len(bonds) == 1 and bonds[0].GetBondTypeAsDouble() == 1.0 and not atom.IsInRing()


def read_fragments(text: str) -> tuple[Mol, Mol]:
    """Return the two fragments to join, "A.B"; GenloomError unless both have one attachment point."""
    parts = text.strip().split(".")
    if len(parts) != 2:
        raise GenloomError("molecule.link_parts", count=len(parts))
    first, second = (read_fragment(part) for part in parts)
    for part, mol in zip(parts, (first, second), strict=True):
        if count_dummies(mol) != 1:
            raise GenloomError("molecule.link_points", text=shorten_text(part), count=count_dummies(mol))
    return first, second


def count_dummies(mol: Mol) -> int:
    """Return the number of attachment points."""
    return sum(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms())


def list_open_atoms(mol: Mol) -> list[int]:
    """Return the atoms with a hydrogen that another atom could take the place of."""
    return [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() and atom.GetTotalNumHs()]


def build_query(mol: Mol) -> Mol:
    """Return the pattern that finds a scaffold in a molecule; an attachment point is any atom but hydrogen."""
    chem = load_chem()
    params = chem.AdjustQueryParameters.NoAdjustments()
    params.makeDummiesQueries = True
    return chem.AdjustQueryProperties(mol, params)


def draw_scaffold_template(mol: Mol, rng: np.random.Generator, max_growths: int = len(GROWTHS)) -> Template:
    """Return a scaffold to grow: at its attachment points, else at one or a few random atoms with a hydrogen."""
    if not count_dummies(mol):
        atoms = list_open_atoms(mol)
        count = min(int(rng.choice(len(GROWTHS), p=GROWTHS)) + 1, len(atoms), max_growths)
        mol = add_dummies(mol, sorted(rng.choice(atoms, count, replace=False).tolist()))
    for _ in range(MAX_TRIES):
        text = write_random_order(mol, rng)
        if not DUMMY.match(text):
            return split_at_dummies(text)
    return split_at_dummies(write_from(mol, next(a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum())))


def add_dummies(mol: Mol, atoms: Sequence[int]) -> Mol:
    """Return a molecule with an attachment point in place of a hydrogen of each of these atoms."""
    chem = load_chem()
    editable = chem.RWMol(mol)
    for index in atoms:
        atom = editable.GetAtomWithIdx(index)
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
        editable.AddBond(index, editable.AddAtom(chem.Atom(0)), chem.BondType.SINGLE)
    grown = editable.GetMol()
    chem.SanitizeMol(grown)
    return grown


def remove_dummies(mol: Mol) -> Mol:
    """Return a molecule with hydrogens in place of its attachment points."""
    chem = load_chem()
    bare = chem.RWMol(mol)
    for atom in sorted((a for a in bare.GetAtoms() if a.GetAtomicNum() == 0), key=lambda a: -a.GetIdx()):
        for neighbour in atom.GetNeighbors():
            if neighbour.GetNoImplicit() or neighbour.GetIsAromatic():
                neighbour.SetNumExplicitHs(neighbour.GetNumExplicitHs() + (neighbour.GetAtomicNum() != 6))
        bare.RemoveAtom(atom.GetIdx())
    result = bare.GetMol()
    chem.SanitizeMol(result)
    return result


def split_at_dummies(text: str) -> Template:
    """Return the pieces between the attachment points of a text that begins with none."""
    pieces, closings, position = [], list[Closing](), 0
    for match in DUMMY.finditer(text):
        pieces.append(text[position : match.start()].removesuffix("-"))
        is_last = match.end() == len(text)
        closings.append("end" if is_last else "branch")
        position = match.end() if is_last else match.end() + 1  # with the parenthesis, which the model writes
    return Template((*pieces, text[position:]), tuple(closings))


def draw_link_template(first: Mol, second: Mol, rng: np.random.Generator) -> Template:
    """Return two fragments with a chain between them, in either order."""
    if rng.random() < 0.5:
        first, second = second, first
    head = write_to_dummy(first, rng)
    tail = write_from(second, find_dummy(second), rng)
    start, end = LAST_DUMMY.search(head), DUMMY.match(tail)
    assert start is not None
    assert end is not None
    length = int(rng.integers(1, MAX_CHAIN_ATOMS + 1))
    pieces = (head[: start.start()].removesuffix("-"), tail[end.end() :].removeprefix("-"))
    return Template(pieces, ("chain",), length)


def find_dummy(mol: Mol) -> int:
    """Return the index of the attachment point."""
    return next(atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0)


def write_to_dummy(mol: Mol, rng: np.random.Generator) -> str:
    """Return a text that ends with the attachment point; GenloomError if none of many random ones does."""
    for _ in range(MAX_LINK_TRIES):
        if LAST_DUMMY.search(text := write_random_order(mol, rng)):
            return text
    raise GenloomError("molecule.scaffold_parts", text=shorten_text(load_chem().MolToSmiles(mol)))


def draw_gap_template(value: Molecule, share: float, rng: np.random.Generator) -> Template:
    """Return a molecule without a random part of its text, about `share` of its tokens."""
    text = write_random_order(to_mol(value), rng)
    tokens = [token for token in split_tokens(text) if isinstance(token, Token)]
    length = min(max(round(share * len(tokens)), 1), len(tokens))
    first = int(rng.integers(len(tokens) - length + 1))
    begin = tokens[first].begin
    end = tokens[first + length].begin if first + length < len(tokens) else len(text)
    return Template((text[:begin], text[end:]), ("chain",))


def draw_prefix_template(value: Molecule, share: float, rng: np.random.Generator) -> Template:
    """Return the beginning of a random text of a molecule, without about `share` of its tokens."""
    text = write_random_order(to_mol(value), rng)
    tokens = [token for token in split_tokens(text) if isinstance(token, Token)]
    kept = min(max(round((1 - share) * len(tokens)), 0), len(tokens) - 1)
    return Template((text[: tokens[kept].begin], ""), ("end",))


def write_random_order(mol: Mol, rng: np.random.Generator) -> str:
    """Return the SMILES of a molecule from a random atom in a random order."""
    chem = load_chem()
    order = rng.permutation(mol.GetNumAtoms()).tolist()
    return chem.MolToSmiles(chem.RenumberAtoms(mol, order), canonical=False)


def write_from(mol: Mol, index: int, rng: np.random.Generator | None = None) -> str:
    """Return the SMILES of a molecule that begins at an atom."""
    chem = load_chem()
    if rng is None:
        return chem.MolToSmiles(mol, rootedAtAtom=index, canonical=False)
    rest = [int(other) for other in rng.permutation(mol.GetNumAtoms()) if other != index]
    return chem.MolToSmiles(chem.RenumberAtoms(mol, [index, *rest]), rootedAtAtom=0, canonical=False)
