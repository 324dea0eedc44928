"""Files of molecules: SMILES, SDF with 3-D conformers, MOL, CSV, InChI and drawings."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.errors import GenloomError
from genloom.media.molecule.drawing import draw_png, draw_svg, lay_out
from genloom.media.molecule.facts import NOTICE
from genloom.media.molecule.hazards import format_alerts, screen_mol
from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import Mol, Molecule, canonicalise_molecule, compute_inchi_key, to_mol
from genloom.media.molecule.properties import MAIN_PROPERTIES, PROPERTIES, compute_mol_properties
from genloom.types import Item

CONFORMER_SEED = 0x67656E  # of ETKDG: a file of a molecule has the same bytes each time
CONFORMER_SECONDS = 10  # for one molecule; beyond, its drawing is written
MAX_CONFORMER_ATOMS = 500  # with hydrogens


def render(item: Item, suffix: str) -> bytes:
    """Return the molecule as a file of this suffix; GenloomError for another one, or for what is no molecule."""
    value: Molecule = item.value
    if suffix in (".smi", ".smiles"):
        return f"{value.smiles}\n".encode() if not item.meta else write_smiles([item])
    if suffix == ".svg":
        return draw_svg(value)
    if suffix == ".png":
        return draw_png([value])
    if suffix == ".mol":
        return write_block(lay_out(to_mol(value)), str(item.meta.get("name", ""))).encode()
    return render_several([item], suffix)


def render_several(items: Sequence[Item], suffix: str) -> bytes:
    """Return one file with several molecules; GenloomError for a suffix of a format that holds only one."""
    if suffix in (".smi", ".smiles"):
        return write_smiles(items)
    if suffix == ".sdf":
        return "".join(write_sdf_entry(item) for item in items).encode()
    if suffix == ".csv":
        return write_table(items)
    if suffix == ".inchi":
        return "".join(f"{write_inchi(item.value)}\n" for item in items).encode()
    raise GenloomError("molecule.bad_save_suffix", suffix=suffix or "such")


def write_smiles(items: Sequence[Item]) -> bytes:
    """Return lines of SMILES and names, after the notice."""
    lines = [f"# {NOTICE}"]
    lines += [f"{canonicalise_molecule(item.value).smiles} {item.meta.get('name', '')}".rstrip() for item in items]
    return ("\n".join(lines) + "\n").encode()


def write_inchi(value: Molecule) -> str:
    """Return the InChI of a molecule."""
    mol = to_mol(value)
    return load_library("rdkit.Chem.inchi").MolToInchi(mol)


def describe_item(item: Item) -> dict[str, Any]:
    """Return the columns of a table for a molecule: identity, computed properties, and what its `meta` adds."""
    mol = to_mol(item.value)
    properties = {
        name: int(value) if PROPERTIES[name].is_integer else round(value, 4)
        for name, value in compute_mol_properties(mol, MAIN_PROPERTIES).items()
    }
    alerts = format_alerts(screen_mol(mol))
    added = {name: value for name, value in item.meta.items() if name not in ("name", "alerts", *properties)}
    return {"inchi_key": compute_inchi_key(item.value), **properties, "alerts": alerts, **added}


def write_table(items: Sequence[Item]) -> bytes:
    """Return a table with the SMILES, the name and the properties of each molecule, and the notice in a column."""
    rows = [
        {
            "smiles": canonicalise_molecule(item.value).smiles,
            "name": item.meta.get("name", ""),
            **describe_item(item),
            "notice": NOTICE,
        }
        for item in items
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: protect_cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue().encode()


def name_item(item: Item) -> dict[str, str]:
    """Return the canonical SMILES and the name of a molecule."""
    return {"smiles": canonicalise_molecule(item.value).smiles, "name": str(item.meta.get("name", ""))}


def protect_cell(value: Any) -> Any:
    """Return a cell that spreadsheets do not take for a formula; SMILES and numbers never begin like one."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t") else value


def write_sdf_entry(item: Item) -> str:
    """Return a molecule with its conformer and fields."""
    mol, note = embed_conformer(to_mol(item.value))
    fields: Mapping[str, Any] = {
        "SMILES": canonicalise_molecule(item.value).smiles,
        **describe_item(item),
        "notice": NOTICE,
    }
    fields = {**fields, **({"conformer": note} if note else {})}
    text = "".join(f"> <{name}>\n{flatten_value(value)}\n\n" for name, value in fields.items())
    return f"{write_block(mol, str(item.meta.get('name', '')))}{text}$$$$\n"


def flatten_value(value: Any) -> str:
    """Return a value on one line, as fields of SDF files need it."""
    return " ".join(str(value).split()) or "-"


def write_block(mol: Mol, name: str) -> str:
    """Return the block of a molecule; its third line is the notice."""
    chem = load_chem()
    lines = chem.MolToMolBlock(mol).splitlines()
    is_3d = mol.GetConformer().Is3D()
    lines[0], lines[1] = flatten_value(name)[:80] if name else "", f"  Genloom{'':10}{'3D' if is_3d else '2D'}"
    lines[2] = NOTICE[:80]
    return "\n".join(lines) + "\n"


def embed_conformer(mol: Mol) -> tuple[Mol, str]:
    """Return the molecule with hydrogens and a 3-D conformer, by ETKDG version 3 (Wang et al. 2020) and MMFF94.

    Where none is found in time, return the coordinates of a drawing, and that as a note.
    """
    chem, all_chem = load_chem(), load_library("rdkit.Chem.AllChem")
    full = chem.AddHs(mol)
    if full.GetNumAtoms() <= MAX_CONFORMER_ATOMS:
        params = load_library("rdkit.Chem.rdDistGeom").ETKDGv3()
        params.randomSeed = CONFORMER_SEED
        params.timeout = CONFORMER_SECONDS
        params.clearConfs = True
        if load_library("rdkit.Chem.rdDistGeom").EmbedMolecule(full, params) == 0:
            if all_chem.MMFFHasAllMoleculeParams(full):
                all_chem.MMFFOptimizeMolecule(full, maxIters=200)
            return full, ""
    return lay_out(mol), "no 3-D conformer was found: the coordinates are those of a drawing"
