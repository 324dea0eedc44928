"""Collecting molecules: tables and files, standardisation, duplicates, properties, and what cannot be read."""

import gzip
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import genloom as gl
from genloom.media import molecule as medium
from genloom.media.molecule.molecule import compute_inchi_key, parse_smiles
from genloom.media.molecule.properties import compute_property
from genloom.testing import check_preparation
from genloom.types import Item
from tests.errors import raises_code

SMILES = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCl", "C1CCNCC1", "CC(C)O", "N#CC"]


@pytest.fixture
def workspace(tmp_path: Path) -> gl.Workspace:
    return gl.Workspace(tmp_path / "workspace")


def read_items(workspace: gl.Workspace, name: str) -> list[Item]:
    dataset = workspace.store.get_dataset(name)
    return [item for split in ("train", "val", "test") for item in dataset.iter_documents(split)]


def list_codes(workspace: gl.Workspace, name: str) -> set[str]:
    return {note["code"] for note in workspace.store.get_dataset(name).manifest["notes"]}


def test_the_preparation_meets_its_contract(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO ethanol\nCC(=O)[O-].[Na+] acetate\n")
    (tmp_path / "b.csv").write_text("smiles,pIC50\nc1ccccc1,5.5\nCCN,n/a\n")
    medium.save(Item(parse_smiles("CC(N)=O")), tmp_path / "c.sdf")
    medium.save(Item(parse_smiles("CC#N")), tmp_path / "d.inchi")
    check_preparation("molecule", [tmp_path / name for name in ("a.smi", "b.csv", "c.sdf", "d.inchi")])


def test_a_table_is_known_by_its_column_and_keeps_its_numbers(workspace: gl.Workspace, tmp_path: Path) -> None:
    rows = "\n".join(f"{smiles},cpd {n},{n + 0.5 if n else 'n/a'},MIT" for n, smiles in enumerate(SMILES))
    (tmp_path / "assay.csv").write_text(f"Canonical SMILES,Name,pIC50,License\n{rows}\n")
    workspace.collect(tmp_path / "assay.csv", property=["pIC50"])
    items = {item.value.smiles: item for item in read_items(workspace, "assay")}
    assert {*items} == {parse_smiles(smiles).smiles for smiles in SMILES}
    assert workspace.store.get_dataset("assay").medium == "molecule"
    for number, smiles in enumerate(SMILES):
        item = items[parse_smiles(smiles).smiles]
        assert item.meta["pIC50"] == (number + 0.5 if number else None)
        assert item.meta["caption"] == f"cpd {number}"
        assert item.meta["inchi_key"] == compute_inchi_key(item.value)
        assert item.licence == "MIT"
        assert np.isclose(item.meta["logp"], compute_property(item.value, "logp"))


def test_salts_charges_and_other_writings_are_one_molecule(workspace: gl.Workspace, tmp_path: Path) -> None:
    texts = [
        "CC(=O)Oc1ccccc1C(=O)O",
        "OC(=O)c1ccccc1OC(C)=O",
        "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]",
        "CC(=O)Oc1ccccc1C([O-])=O",
    ]
    (tmp_path / "forms.smi").write_text("\n".join([*texts, "N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"]))
    workspace.collect(tmp_path / "forms.smi")
    values = {item.value.smiles for item in read_items(workspace, "forms")}
    assert values == {"CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"}
    assert workspace.store.get_dataset("forms").manifest["documents"]["removed"] == {"exact copy": 3}
    workspace.collect(tmp_path / "forms.smi", name="charged", keep_charges=True, descriptors="none")
    charged = read_items(workspace, "charged")
    assert any("[O-]" in item.value.smiles for item in charged)
    assert "logp" not in charged[0].meta


def test_fields_of_sdf_and_gzipped_and_parquet_files_are_read(workspace: gl.Workspace, tmp_path: Path) -> None:
    values = [parse_smiles(smiles) for smiles in SMILES]
    folder = tmp_path / "files"
    folder.mkdir()
    items = [Item(value, meta={"Ki": 1.5 * n, "site": "A"}) for n, value in enumerate(values)]
    (folder / "some.sdf").write_bytes(medium.render_collection(items, ".sdf"))
    workspace.collect(folder, name="some", property=["Ki"], keep=["site"])
    found = {item.value: item.meta for item in read_items(workspace, "some")}
    assert {value: meta["Ki"] for value, meta in found.items()} == {v: 1.5 * n for n, v in enumerate(values)}
    assert {meta["site"] for meta in found.values()} == {"A"}
    (tmp_path / "packed.smi.gz").write_bytes(gzip.compress("\n".join(SMILES).encode()))
    workspace.collect(tmp_path / "packed.smi.gz", name="packed")
    assert {item.value for item in read_items(workspace, "packed")} == {*values}
    table = pa.table({"smiles": SMILES, "qed": [0.5, None] * 4, "source": ["paper"] * 8, "licence": ["CC0"] * 8})
    pq.write_table(table, tmp_path / "table.parquet")
    workspace.collect(tmp_path / "table.parquet")
    numbers = {item.value.smiles: item.meta["qed"] for item in read_items(workspace, "table")}
    assert [numbers[parse_smiles(smiles).smiles] for smiles in SMILES] == [0.5, None] * 4
    assert {item.source for item in read_items(workspace, "table")} == {"paper"}


def test_what_cannot_be_read_is_listed_and_the_rest_is_kept(workspace: gl.Workspace, tmp_path: Path) -> None:
    bad = ["C1CC", "C[Fe]C", "CC.CN", "*CC", "{[$]CC[$]}", "C" * 300, "", "C" * 5000]
    (tmp_path / "mixed.csv").write_text("smiles\n" + "\n".join([*SMILES, *bad]) + "\n")
    workspace.collect(tmp_path / "mixed.csv")
    assert len(read_items(workspace, "mixed")) == len(SMILES)
    expected = ("bad_smiles", "metal", "mixture", "attachment_point", "polymer", "too_many_atoms", "text_too_long")
    assert {f"molecule.{key}" for key in expected} <= list_codes(workspace, "mixed")
    many = "\n".join(f"C1CC{'C' * n}" for n in range(60))
    (tmp_path / "broken.smi").write_text(f"{many}\nCCO\n")
    workspace.collect(tmp_path / "broken.smi")
    manifest = workspace.store.get_dataset("broken").manifest
    assert manifest["documents"]["kept"] == 1
    assert manifest["documents"]["removed"]["unread"] == 40
    assert len(manifest["notes"]) == 20


def test_missing_columns_and_wrong_options_are_errors(workspace: gl.Workspace, tmp_path: Path) -> None:
    (tmp_path / "assay.csv").write_text("smiles,pIC50\nCCO,5\nCCN,low\n")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"smiles": "structure"}, "structure"),
        ({"property": ["Ki"]}, "Ki"),
    )
    for options, reason in wrong:
        with raises_code("collect.nothing_readable") as caught:
            workspace.collect(tmp_path / "assay.csv", **options)
        assert reason in caught.value.fields["reasons"]
    with raises_code("collect.nothing_readable"):
        workspace.collect(tmp_path / "other.csv", medium="molecule")
    with raises_code("molecule.property_unknown"):
        workspace.collect(tmp_path / "assay.csv", descriptors="logp,wit")
    with raises_code("collect.reserved_column"):
        workspace.collect(tmp_path / "assay.csv", property=["logp"])
    workspace.collect(tmp_path / "assay.csv", property=["pIC50"])
    assert {item.value.smiles: item.meta.get("pIC50") for item in read_items(workspace, "assay")} == {
        "CCO": 5.0,
        "CCN": None,
    }
    assert "molecule.values_unread" in list_codes(workspace, "assay")


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (("5,5", "6,25", "7"), [5.5, 6.25, 7.0]),
        (("5.5", ">7", "n/a"), [5.5, None, None]),
        (("1,234", "2", ""), [None, 2.0, None]),
    ],
)
def test_numbers_are_read_with_decimal_commas_and_missing_ones_cost_no_molecule(
    values: tuple[str, ...], read: list[float | None], workspace: gl.Workspace, tmp_path: Path
) -> None:
    rows = "".join(f"{smiles};{value};0,5\n" for smiles, value in zip(("CCO", "CCN", "CCCC"), values, strict=True))
    (tmp_path / "assay.csv").write_text(f"SMILES;pIC50;logp\n{rows}")
    workspace.collect(tmp_path / "assay.csv", property=["pIC50"])
    items = {item.value.smiles: item.meta for item in read_items(workspace, "assay")}
    assert [items[smiles].get("pIC50") for smiles in ("CCO", "CCN", "CCCC")] == read
    assert {meta["logp"] for meta in items.values()} == {0.5}


def test_near_duplicates_are_removed_if_that_is_asked_for(workspace: gl.Workspace, tmp_path: Path) -> None:
    chains = ["".join(pair) + "C" * 20 + "O" for pair in itertools.product("CN", "CC")]
    (tmp_path / "chains.smi").write_text("\n".join([*dict.fromkeys(chains), "C" * 23 + "O", *SMILES]))
    workspace.collect(tmp_path / "chains.smi", name="all")
    workspace.collect(tmp_path / "chains.smi", name="few", near_duplicates=0.8)
    assert len(read_items(workspace, "all")) > len(read_items(workspace, "few")) >= len(SMILES) + 1
