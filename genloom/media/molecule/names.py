"""Names of common molecules, from a table in the package; nothing is looked up elsewhere."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from genloom.errors import GenloomError, format_suggestion
from genloom.media.molecule.molecule import Molecule, parse_smiles
from genloom.media.molecule.syntax import find_fault

WORD = re.compile(r"[a-z]{4}")
TABLE = Path(__file__).with_name("names.tsv")


@cache
def load_names() -> Mapping[str, str]:
    """Return the SMILES by name, in lower case."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return {name.lower(): smiles for name, smiles in pairs}


@cache
def load_known() -> Mapping[str, str]:
    """Return the names by SMILES; the first of several names."""
    known: dict[str, str] = {}
    for name, smiles in load_names().items():
        known.setdefault(smiles, name)
    return known


def find_molecule(text: str) -> Molecule:
    """Return the molecule of a common name or a SMILES text; GenloomError that says what of both is wrong."""
    text = text.strip()
    name = " ".join(text.lower().split())
    if (smiles := load_names().get(name)) is not None:
        return Molecule(smiles)
    fault = find_fault(text)
    if fault is not None and fault.error.code == "molecule.unknown_symbol" and WORD.search(text):
        raise GenloomError("molecule.unknown_name", name=text, hint=format_suggestion(name, load_names()))
    return parse_smiles(text)


def find_name(value: Molecule) -> str:
    """Return the common name of a molecule; "" if the table has none."""
    return load_known().get(value.smiles, "")
