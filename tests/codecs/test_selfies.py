"""SELFIES as tokens: structures come back, and any symbols are a valid molecule."""

from pathlib import Path

import numpy as np
import pytest

from genloom.codecs.selfies import Codec, Config, write_selfies
from genloom.codecs.spelled_tokens import END, FIRST_TOKEN
from genloom.errors import GenloomError
from genloom.media.molecule.molecule import Molecule, canonicalise_molecule
from genloom.testing import check_codec

chem = pytest.importorskip("rdkit.Chem")
pytest.importorskip("selfies")

DRUGS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CN1CCC[C@H]1c1cccnc1",
    "CS(=O)(=O)c1ccc(-c2cnc3ccccc3n2)cc1",
    "O=[N+]([O-])c1ccc(Cl)cc1Br",
    "C/C=C/c1ccc(F)cc1",
)
CODEC = Codec.fit(map(Molecule, DRUGS), Config(context_length=64))


def test_codec_contract() -> None:
    def is_same(value: Molecule, roundtrip: Molecule) -> bool:
        return canonicalise_molecule(value).smiles == roundtrip.smiles

    check_codec(CODEC, map(Molecule, [*DRUGS, "", "C[Se]C"]), is_close=is_same)


def test_a_symbol_without_a_token_is_spelled() -> None:
    ids = CODEC.encode(Molecule("C[Se]C"))
    assert ids.min() < FIRST_TOKEN
    assert CODEC.decode(ids) == Molecule("C[Se]C")


def test_any_symbols_are_a_molecule() -> None:
    rng = np.random.default_rng(0)
    constraint = CODEC.build_constraint([""] * 8, 32)
    assert constraint.describe() == [""] * 8
    rows = [[END] for _ in range(8)]
    for _ in range(24):
        allowed_BV = constraint([np.array(row) for row in rows])
        for row, allowed_V in zip(rows, allowed_BV, strict=True):
            row.append(int(rng.choice(np.flatnonzero(allowed_V))))
    for row in rows:
        smiles = CODEC.decode(row[1:]).smiles
        assert smiles
        assert chem.MolFromSmiles(smiles) is not None


def test_tokens_that_are_no_symbols_decode() -> None:
    ids = np.random.default_rng(0).integers(0, CODEC.space.vocab_size, 50)
    assert isinstance(CODEC.decode(ids), Molecule)


def test_a_molecule_that_selfies_cannot_write_is_refused() -> None:
    with pytest.raises(GenloomError) as caught:
        write_selfies("CN(C)(C)(C)C")
    assert caught.value.code == "codecs.not_selfies"


def test_damaged_codec_is_refused(tmp_path: Path) -> None:
    CODEC.save(tmp_path)
    path = tmp_path / "codec.json"
    path.write_text(path.read_text().replace('"[C]"', '"C]"'))
    with pytest.raises(GenloomError) as caught:
        Codec.load(tmp_path)
    assert caught.value.code == "codecs.damaged_file"
