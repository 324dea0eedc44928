"""Copies of training molecules: the same in any writing, a shared scaffold, the nearest, and what chance explains."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("rdkit")

from genloom import plugins
from genloom.media.molecule.molecule import Molecule
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.trust.copies import TrainingData, measure_copies
from genloom.trust.molecule import find_shared
from genloom.trust.molecule.similarity_index import compute_tanimoto, encode_molecules, find_top

CHAINS = [f"{'C' * n}c1ccc(O)cc1" for n in range(1, 25)]
DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(C)Cc1ccc(C(C)C(=O)O)cc1"]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """A data set of 27 molecules: three drugs and phenols with chains, every fourth of which is held out."""
    smiles = [*DRUGS, *CHAINS]
    columns = {
        "id": [hashlib.sha256(text.encode()).hexdigest() for text in smiles],
        "text": [""] * len(smiles),
        "source": [f"list.smi:{n}" for n in range(len(smiles))],
        "licence": ["CC0-1.0"] * len(smiles),
        "split": ["val" if n > 3 and n % 4 == 0 else "train" for n in range(len(smiles))],
        "bytes": [len(text) for text in smiles],
        "content": [text.encode() for text in smiles],
    }
    staged = Workspace(tmp_path / "home").create_dataset("mols")
    with staged as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        manifest = {"medium": "molecule", "licences": {"CC0-1.0": len(smiles)}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return staged.result


@pytest.fixture
def data(dataset: Dataset, tmp_path: Path) -> TrainingData:
    return TrainingData(plugins.find_part("medium", "molecule"), (dataset,), tmp_path / "copies")


def test_a_training_molecule_is_found_in_any_writing(data: TrainingData) -> None:
    (report,) = measure_copies([Molecule("OC(=O)c1ccccc1OC(C)=O")], data)
    assert report.matches[0].is_identical
    assert (report.matches[0].source, report.matches[0].similarity) == ("list.smi:0", 1.0)
    assert report.is_beyond_chance
    assert DRUGS[0] in str(report)


def test_a_variant_has_the_scaffold_of_its_nearest_and_is_no_copy(data: TrainingData) -> None:
    (report,) = find_shared([Molecule("CC(=O)Oc1ccccc1C(=O)OC")], data)
    nearest = report.matches[0]
    assert (nearest.source, nearest.is_identical) == ("list.smi:0", False)
    assert "scaffold c1ccccc1" in nearest.place
    assert 0.3 < (nearest.similarity or 0) < 1
    assert len(report.matches) == 3
    similarities = [match.similarity or 0 for match in report.matches]
    assert similarities == sorted(similarities, reverse=True)


def test_held_out_molecules_say_what_chance_explains(data: TrainingData) -> None:
    reports = find_shared([Molecule("C" * 30 + "c1ccc(O)cc1"), Molecule("C1CCNCC1")], data)
    chance = reports[0].chance
    assert chance is not None
    assert chance.count == sum(n > 3 and n % 4 == 0 for n in range(27))
    assert 0 < chance.median <= chance.limit <= 1
    assert not reports[1].is_beyond_chance
    assert find_shared([Molecule("CCO")], data)[0].chance == chance, "from its file"


def test_what_is_no_molecule_is_near_nothing(data: TrainingData) -> None:
    (report,) = find_shared([Molecule("c1ccc(")], data)
    assert report.matches == ()
    assert not report.is_beyond_chance


def test_similarities_are_those_of_rdkit() -> None:
    from rdkit import DataStructs

    from genloom.media.molecule.fingerprints import compute_fingerprint
    from genloom.media.molecule.molecule import to_mol

    molecules = [Molecule(smiles) for smiles in (*DRUGS, *CHAINS)]
    bits = encode_molecules(molecules)
    fingerprints = [compute_fingerprint(to_mol(molecule)) for molecule in molecules]
    expected = DataStructs.BulkTanimotoSimilarity(fingerprints[0], fingerprints)
    assert np.allclose(compute_tanimoto(bits[0], bits), expected)
    assert find_top(bits[0], bits, 1) == [(0, 1.0)]
    assert find_top(bits[0], bits[:0], 3) == []
    assert not encode_molecules([Molecule("x")]).any()
