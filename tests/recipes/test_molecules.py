"""The recipe of molecules: a pinned package becomes one table, a share of whose rows has properties."""

import gzip
import hashlib
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("rdkit.Chem")

from recipes.molecules import fetch, make

SMILES = ("CCO", "c1ccccc1", "CC(=O)O", "CCN", "CCC")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / f"molsets-{fetch.VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        table = "SMILES,SPLIT\n" + "".join(f"{smiles},train\n" for smiles in SMILES)
        archive.writestr("moses/dataset/data/train.csv.gz", gzip.compress(table.encode()))
        archive.writestr("moses/metrics/mcf.csv", "names,smarts\nMCF1,[#6]=[#6]\n")
        archive.writestr("moses/metrics/wehi_pains.csv", '"[#7]#[#6]"  ,"<regId=one(1)>"\n')
    monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_pinned_package_is_read(wheel: Path) -> None:
    assert fetch.fetch_wheel(wheel.parent) == wheel
    assert tuple(fetch.iter_smiles(wheel, "train")) == SMILES
    assert [each.strip() for each in fetch.read_filters(wheel)] == ["[#6]=[#6]", "[#7]#[#6]"]


def test_another_package_is_refused(wheel: Path) -> None:
    wheel.write_bytes(b"another")
    with pytest.raises(ValueError, match=fetch.VERSION):
        fetch.fetch_wheel(wheel.parent)


def test_a_table_that_is_too_large_is_refused() -> None:
    packed = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"0" * 1000)))
    with pytest.raises(ValueError, match="larger"):
        fetch.LimitedReader(packed, 100).read()


def test_a_share_of_the_rows_has_properties() -> None:
    with ThreadPoolExecutor(1) as pool:
        (table,) = make.build_tables(SMILES, 2, pool)
    assert table.column("smiles").to_pylist() == list(SMILES)
    weights = table.column("mw").to_pylist()
    assert [weight is None for weight in weights] == [False, True, False, True, False]
    assert weights[0] == pytest.approx(46.07, abs=0.01)
    assert table.column("source").to_pylist()[0] == "moses:train:1"
