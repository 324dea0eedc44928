"""Molecules in files of lines: SMILES with names, SDF and MOL blocks with fields, InChI."""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from genloom.errors import GenloomError
from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import MAX_ATOMS, build_mol_error, sanitise_mol, shorten_text

MAX_BLOCK_LINES = 20_000  # of one molecule in an SDF file
MAX_LINE_CHARS = 100_000
MAX_FIELD_CHARS = 1000
POLYMER_GROUPS = re.compile(r"^M {2}(?:STY.*|V30 +\d+ )(?:SRU|MON|MER|COP|CRO|GRA|MOD|ANY)\b", re.MULTILINE)
MIXTURE_GROUPS = re.compile(r"^M {2}(?:STY.*|V30 +\d+ )(?:MIX|FOR)\b", re.MULTILINE)
FIELD_NAME = re.compile(r"^> .*?<([^<>]+)>")
HEADER_WORDS = frozenset({"smiles", "smi", "smile", "canonical_smiles", "isomeric_smiles", "inchi"})


@dataclass(frozen=True)
class Entry:
    """A molecule as it stands in a file, not yet standardised; or the reason why it cannot be read (`problem`)."""

    number: int  # of the line, or of the molecule in an SDF file
    smiles: str = ""
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)  # the fields of an SDF file
    problem: GenloomError | None = None


def read_entries(lines: Iterable[str], suffix: str) -> Iterator[Entry]:
    """Yield the molecules in the lines of a file of this suffix."""
    if suffix in (".sdf", ".mol"):
        return read_blocks(lines)
    if suffix == ".csv":
        return read_table_lines(lines)
    return read_inchi_lines(lines) if suffix == ".inchi" else read_smiles_lines(lines)


def read_smiles_lines(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the molecules of lines "SMILES name"; comments after # and a line of headings are left out."""
    for number, line in enumerate(lines, start=1):
        text = line.strip("\ufeff \t\r\n")
        if not text or text.startswith("#") or (number == 1 and re.split(r"[\s,;]", text)[0].lower() in HEADER_WORDS):
            continue
        smiles, _, name = text.replace("\t", " ").partition(" ")
        if len(smiles) > MAX_LINE_CHARS or not smiles.isascii() or not smiles.isprintable():
            yield Entry(number, problem=GenloomError("molecule.damaged_text"))
        elif smiles.startswith("InChI="):
            yield read_inchi(number, smiles, name.strip())
        else:
            yield Entry(number, smiles, name.strip()[:MAX_FIELD_CHARS])


def read_table_lines(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the molecules of a table: of the first column that is called like one of SMILES, or of InChI."""
    remaining = iter(lines)
    head = next(remaining, "")
    separator = max(",;\t", key=head.count)
    rows = csv.reader(chain([head], remaining), delimiter=separator)
    try:
        names = [name.strip("\ufeff ").lower() for name in next(rows, [])]
        words = ("smiles", "smi", "inchi")
        column = next((n for word in words for n, name in enumerate(names) if f"_{name}".endswith(f"_{word}")), None)
        for row in rows:
            if column is not None and column < len(row):
                yield from read_smiles_lines([row[column].removeprefix("'")])
    except csv.Error:  # a cell that is too long, or a NUL
        yield Entry(rows.line_num, problem=GenloomError("molecule.damaged_text"))


def read_inchi_lines(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the molecules of lines that begin with "InChI="."""
    for number, line in enumerate(lines, start=1):
        text = line.strip("\ufeff \t\r\n")
        if text and not text.startswith("#"):
            inchi, _, name = text.replace("\t", " ").partition(" ")
            yield read_inchi(number, inchi, name.strip())


def read_inchi(number: int, text: str, name: str = "") -> Entry:
    """Return the molecule of an InChI."""
    chem = load_chem()
    is_inchi = text.startswith("InChI=") and len(text) <= MAX_LINE_CHARS and text.isascii()
    mol = load_library("rdkit.Chem.inchi").MolFromInchi(text) if is_inchi else None
    if mol is None:
        return Entry(number, problem=GenloomError("molecule.bad_inchi", text=shorten_text(text)))
    return Entry(number, chem.MolToSmiles(mol), name[:MAX_FIELD_CHARS])


def read_blocks(lines: Iterable[str]) -> Iterator[Entry]:
    """Yield the molecules of an SDF file, or of one MOL block, with their fields."""
    block: list[str] = []
    number, is_too_long = 1, False
    for line in chain(lines, ["$$$$"]):
        if not line.startswith("$$$$"):
            is_too_long = is_too_long or len(block) >= MAX_BLOCK_LINES or len(line) > MAX_LINE_CHARS
            block += [] if is_too_long else [line.rstrip("\r\n")]
            continue
        if is_too_long:
            yield Entry(number, problem=GenloomError("molecule.block_too_long", limit=MAX_BLOCK_LINES))
        elif any(map(str.strip, block)):
            yield read_block(number, block)
        number, block, is_too_long = number + 1, [], False


def read_block(number: int, lines: list[str]) -> Entry:
    """Return the molecule of a block, with its stereochemistry from wedges or coordinates."""
    end = next((index for index, line in enumerate(lines) if line.startswith("M  END")), None)
    text = "\n".join(lines[: end + 1 if end is not None else len(lines)]) + "\n"
    values = read_fields(lines[end + 1 :]) if end is not None else {}
    name = lines[0].strip()[:MAX_FIELD_CHARS]
    if POLYMER_GROUPS.search(text):
        return Entry(number, name=name, values=values, problem=GenloomError("molecule.polymer_block"))
    if MIXTURE_GROUPS.search(text):
        return Entry(number, name=name, values=values, problem=GenloomError("molecule.mixture_block"))
    chem = load_chem()
    mol = chem.MolFromMolBlock(text, sanitize=False, removeHs=False)
    if mol is None or not mol.GetNumAtoms():
        return Entry(number, name=name, values=values, problem=GenloomError("molecule.bad_block"))
    if mol.GetNumHeavyAtoms() > 4 * MAX_ATOMS:
        error = GenloomError("molecule.too_many_atoms", count=mol.GetNumHeavyAtoms(), limit=MAX_ATOMS)
        return Entry(number, name=name, values=values, problem=error)
    if problems := sanitise_mol(mol.__class__(mol)):
        return Entry(number, name=name, values=values, problem=build_mol_error(mol, problems[0]))
    mol = chem.MolFromMolBlock(text)  # again with rdkit's own order of steps: wedges are read before they are removed
    if mol is None:
        return Entry(number, name=name, values=values, problem=GenloomError("molecule.bad_block"))
    if mol.GetNumConformers() and mol.GetConformer().Is3D():
        chem.AssignStereochemistryFrom3D(mol)
    return Entry(number, chem.MolToSmiles(mol), name, values)


def read_fields(lines: list[str]) -> dict[str, Any]:
    """Return the fields after a block, "> <NAME>" and the lines up to an empty one; numbers as numbers."""
    values: dict[str, Any] = {}
    name, content = "", list[str]()
    for line in [*lines, ""]:
        if match := FIELD_NAME.match(line):
            name, content = match[1].strip(), []
        elif line.strip():
            content.append(line)
        elif name:
            values[name], name = to_number("\n".join(content)[:MAX_FIELD_CHARS]), ""
    return values


def to_number(text: str) -> float | str:
    """Return a text as a number if it is a finite one."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
