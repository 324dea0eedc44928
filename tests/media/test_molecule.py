"""Molecules: what is read and refused, where a fault is, and what files and pictures of them hold."""

import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from genloom.errors import GenloomError
from genloom.media import molecule as medium
from genloom.media.molecule import files, syntax
from genloom.media.molecule.facts import NOTICE
from genloom.media.molecule.libraries import load_chem, load_library
from genloom.media.molecule.molecule import (
    AS_WRITTEN,
    MAX_ATOMS,
    Molecule,
    Standard,
    compute_inchi_key,
    find_mol,
    parse_mol,
    parse_smiles,
    to_mol,
)
from genloom.media.molecule.names import find_molecule, find_name, load_names
from genloom.media.molecule.writing import embed_conformer
from genloom.testing import check_medium
from genloom.types import Item
from tests.errors import raises_code

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
ALANINE = "C[C@H](N)C(=O)O"
STRANGE = "C1CC(("  # that a model may write


def test_the_medium_meets_its_contract() -> None:
    values = [parse_smiles(ASPIRIN), parse_smiles("CC(=O)[O-]", AS_WRITTEN), Molecule("OCC"), Molecule(STRANGE)]
    check_medium(medium, [*values, Molecule("")])


@pytest.mark.parametrize(
    ("text", "position", "key"),
    [
        ("CC(C", 3, "open_without_close"),
        ("CC)C", 3, "close_without_open"),
        ("C()C", 3, "empty_branch"),
        ("C1CCC", 2, "open_ring"),
        ("CCX", 3, "unknown_symbol"),
        ("CC[Xx]", 3, "unknown_element"),
        ("C[CH3", 2, "open_bracket"),
        ("C[@@@]", 2, "bad_bracket"),
        ("C=", 2, "bond_without_atom"),
        ("=C", 1, "symbol_without_atom"),
        ("(C)C", 1, "symbol_without_atom"),
        ("C.", 2, "symbol_without_atom"),
        ("CC(C)(C)(C)C", 2, "bad_valence"),
        ("CCO=C", 3, "bad_valence"),
        ("CCc1cccc1", 3, "bad_ring"),
    ],
)
def test_a_fault_is_named_with_its_position(text: str, position: int, key: str) -> None:
    with raises_code("molecule.bad_smiles") as caught:
        parse_smiles(text)
    assert caught.value.fields["position"] == position
    fault = syntax.find_fault(text)
    assert (fault.error.code if fault else f"molecule.{key}") == f"molecule.{key}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "molecule.no_text"),
        (" \n", "molecule.no_text"),
        ("{[$]CC[$]}", "molecule.polymer"),
        ("CCCCCC.CCCCCN", "molecule.mixture"),
        ("[Na+].[Cl-]", "molecule.inorganic"),
        ("O", "molecule.inorganic"),
        ("C[Fe]C", "molecule.metal"),
        ("*CC", "molecule.attachment_point"),
        ("C~C", "molecule.unknown_bond"),
        ("C" * (MAX_ATOMS + 1), "molecule.too_many_atoms"),
        ("C" * 10_000, "molecule.text_too_long"),
        ("(" * 3999, "molecule.bad_smiles"),
    ],
)
def test_what_is_no_small_molecule_is_refused(text: str, code: str) -> None:
    with raises_code(code):
        parse_smiles(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("OC(=O)c1ccccc1OC(C)=O", ASPIRIN),
        (f"  {ASPIRIN}\n", ASPIRIN),
        ("CC(=O)Oc1ccccc1C(=O)[O-].[Na+]", ASPIRIN),  # a salt
        ("C1CCNCC1.OC(=O)/C=C/C(=O)O", "C1CCNCC1"),  # an acid that is larger than the base
        ("C[NH3+]", "CN"),
        ("C[N+](C)(C)CC(=O)[O-]", "C[N+](C)(C)CC(=O)[O-]"),  # which no proton neutralises
        ("CN(=O)=O", "C[N+](=O)[O-]"),
        ("[CH3:7]O", "CO"),
        ("[H]C([H])([H])O", "CO"),
        ("[2H]C", "[2H]C"),
        ("F/C=C/F", "F/C=C/F"),
        ("N[C@@H](C)C(=O)O", ALANINE),
    ],
)
def test_molecules_are_standardised_and_keep_their_stereochemistry(text: str, canonical: str) -> None:
    assert parse_smiles(text) == Molecule(canonical)
    assert parse_smiles(canonical) == Molecule(canonical)


def test_what_is_standardised_is_a_choice() -> None:
    assert parse_smiles("C[NH3+]", AS_WRITTEN) == Molecule("C[NH3+]")
    with raises_code("molecule.several_parts"):
        parse_smiles("CCO.[Na+]", AS_WRITTEN)
    tautomers = {parse_smiles(text, Standard(should_unify_tautomers=True)) for text in ("Oc1ccccn1", "O=c1cccc[nH]1")}
    assert len(tautomers) == 1
    assert len({parse_smiles(text) for text in ("Oc1ccccn1", "O=c1cccc[nH]1")}) == 2


def test_a_value_may_be_no_molecule() -> None:
    value = Molecule(STRANGE)
    assert find_mol(value) is None
    assert medium.check(Item(value))
    assert medium.screen_value(value)
    assert not medium.screen_value(parse_smiles(ASPIRIN))
    with raises_code("molecule.bad_smiles"):
        to_mol(value)
    for data in (b"CC O", b"C\x00", "é".encode(), b"C" * 5000):
        with raises_code("molecule.damaged_text"):
            medium.decode(data)


def test_names_are_molecules_and_misspelt_ones_are_corrected() -> None:
    assert find_molecule(" Aspirin ") == Molecule(ASPIRIN)
    assert find_name(Molecule(ASPIRIN)) in ("aspirin", "acetylsalicylic acid")
    with raises_code("molecule.unknown_name") as caught:
        find_molecule("asprin")
    assert "aspirin" in str(caught.value)
    with raises_code("molecule.bad_smiles"):
        find_molecule("C1CC")
    assert all(parse_smiles(smiles).smiles == smiles for smiles in load_names().values())


@pytest.mark.parametrize("suffix", [".smi", ".sdf", ".mol", ".inchi"])
@pytest.mark.parametrize("smiles", [ASPIRIN, ALANINE, "C/C=C/C", "C[N+](C)(C)CC(=O)[O-]", "c1ccc2[nH]ccc2c1"])
def test_files_give_back_the_molecule(suffix: str, smiles: str, tmp_path: Path) -> None:
    path = tmp_path / f"value{suffix}"
    medium.save(Item(parse_smiles(smiles), meta={"name": "my molecule"}), path)
    opened = medium.open(path)
    assert compute_inchi_key(parse_smiles(opened.value.smiles, AS_WRITTEN)) == compute_inchi_key(parse_smiles(smiles))
    if suffix != ".inchi":
        assert opened.meta["name"] == "my molecule"
        assert NOTICE in path.read_text()


def test_an_sdf_file_has_a_conformer_in_space_and_properties() -> None:
    data = medium.render_collection([Item(parse_smiles(text)) for text in (ASPIRIN, ALANINE)], ".sdf")
    assert data == medium.render_collection([Item(parse_smiles(text)) for text in (ASPIRIN, ALANINE)], ".sdf")
    chem = load_chem()
    mols = list(chem.ForwardSDMolSupplier(io.BytesIO(data)))
    assert len(mols) == 2
    for mol in mols:
        conformer = mol.GetConformer()
        assert conformer.Is3D()
        depths = [conformer.GetAtomPosition(atom).z for atom in range(mol.GetNumAtoms())]
        assert max(depths) - min(depths) > 0.5  # Å
        assert mol.GetProp("notice") == NOTICE
        assert float(mol.GetProp("qed")) > 0
    entries = list(files.read_entries(iter(data.decode().splitlines()), ".sdf"))
    assert [parse_smiles(entry.smiles).smiles for entry in entries] == [ASPIRIN, ALANINE]
    assert entries[0].values["donors"] == 1


def test_without_a_conformer_the_drawing_is_written() -> None:
    assert embed_conformer(to_mol(Molecule("C1CC1")))[1] == ""
    mol, note = embed_conformer(to_mol(Molecule("C1#CCCC1")))  # a ring that does not exist
    assert note
    assert not mol.GetConformer().Is3D()
    assert "conformer" in medium.render_collection([Item(Molecule("C1#CCCC1"))], ".sdf").decode()


def test_a_table_has_a_row_for_each_and_no_formulas_for_spreadsheets() -> None:
    items = [Item(Molecule("OCC"), meta={"name": "=1+1", "score": 0.5}), Item(parse_smiles(ASPIRIN))]
    rows = list(csv.DictReader(io.StringIO(medium.render_collection(items, ".csv").decode())))
    assert [row["smiles"] for row in rows] == ["CCO", ASPIRIN]
    assert rows[0]["name"] == "'=1+1"
    assert rows[0]["score"] == "0.5"
    assert {row["notice"] for row in rows} == {NOTICE}
    with raises_code("molecule.bad_save_suffix"):
        medium.render_collection(items, ".xyz")


def test_what_is_no_molecule_is_only_saved_as_text_or_drawn(tmp_path: Path) -> None:
    for suffix in (".sdf", ".csv", ".mol", ".inchi"):
        with raises_code("molecule.bad_smiles"):
            medium.save(Item(Molecule(STRANGE)), tmp_path / f"value{suffix}")
    medium.save(Item(Molecule(STRANGE)), tmp_path / "value.svg")
    assert not list(tmp_path.glob("*.part"))


def test_drawings_differ_and_say_what_they_are() -> None:
    svg, png = (medium.show(parse_smiles(text)).data for text in (ASPIRIN, ALANINE))
    assert svg != png
    image = Image.open(io.BytesIO(svg))
    assert image.info["Description"] == NOTICE
    assert len(image.getcolors(100_000) or ()) > 10
    sheet = medium.sheet([parse_smiles(ASPIRIN), Molecule(STRANGE)] * 3, ["one"] * 6)
    assert Image.open(io.BytesIO(sheet.data)).height > image.height
    assert sheet.text.count("one") == 6


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ("name\n\n\nbroken\n", "molecule.bad_block"),
        ("", "molecule.no_molecules"),
        ("x\n" * 30_000, "molecule.block_too_long"),
    ],
)
def test_damaged_blocks_are_refused(block: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "value.sdf"
    path.write_text(block)
    with raises_code("media.unreadable") as caught:
        medium.open(path)
    assert caught.value.fields["reason"].code == code


def test_a_drawn_polymer_a_wrong_atom_and_a_bad_field_are_refused_each_by_itself() -> None:
    def write(smiles: str, extra: str = "") -> str:
        chem = load_chem()
        mol = chem.MolFromSmiles(smiles, sanitize=False)
        return chem.MolToMolBlock(mol, kekulize=False).replace("M  END", f"{extra}M  END")

    polymer = "M  STY  1   1 SRU\nM  SAL   1  2   1   2\n"
    text = "$$$$\n".join([write("CC", polymer), write("CC(C)(C)(C)C"), write("CCO"), ""])
    entries = list(files.read_entries(iter(text.splitlines()), ".sdf"))
    codes = [entry.problem.code if entry.problem else "" for entry in entries]
    assert codes == ["molecule.polymer_block", "molecule.bad_atom", ""]
    assert entries[1].problem is not None
    assert entries[1].problem.fields["number"] == 2


def test_inchi_and_comments_are_read_and_damage_is_not() -> None:
    load_library("rdkit.Chem.inchi")
    lines = ["smiles name", "# a comment", "CCO ethanol", "", "InChI=1S/CH4/h1H4 methane", "InChI=1S/nothing", "C\x07"]
    entries = list(files.read_smiles_lines(lines))
    assert [(entry.smiles, entry.name) for entry in entries[:2]] == [("CCO", "ethanol"), ("C", "methane")]
    assert [entry.problem.code for entry in entries[2:] if entry.problem] == [
        "molecule.bad_inchi",
        "molecule.damaged_text",
    ]


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "value.smi").write_bytes(b"\xff\xfe\x00binary")
    (tmp_path / "value.xyz").write_text("CCO")
    for name in ("value.smi", "value.xyz"):
        with raises_code("media.unreadable"):
            medium.open(tmp_path / name)


def test_dummies_are_read_for_scaffolds_only() -> None:
    assert parse_mol("[*]c1ccccc1").GetNumAtoms() == 7
    with pytest.raises(GenloomError):
        parse_smiles("[*]c1ccccc1")
