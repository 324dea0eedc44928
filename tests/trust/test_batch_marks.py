"""Marks of batches: short values that prove nothing alone prove it together, and never without the key."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from genloom.api.verification import verify
from genloom.noise import TOKEN_POOL_SIZE
from genloom.store.keys import MarkingKeys
from genloom.store.workspace import Workspace
from genloom.trust.marks import MAX_P_VALUE
from genloom.trust.token_marks import BATCH_SHARES, PoolEvidence, combine_evidence


def build_evidence(*pairs: tuple[int, float]) -> PoolEvidence:
    return PoolEvidence(np.array([index for index, _ in pairs]), np.array([log_e for _, log_e in pairs]), 9)


def count_cost(share: float, num_values: int) -> float:
    """Return what the choices of the share and of the pool indices cost, in nats."""
    return math.log(len(BATCH_SHARES)) + num_values * (math.log(TOKEN_POOL_SIZE) - math.log(share))


def test_the_evidence_of_values_adds_up_less_the_choices() -> None:
    values = [build_evidence((index, 12.0), (index + 99, 3.0)) for index in range(10)]
    assert combine_evidence(values) == pytest.approx(count_cost(0.95, 10) - 10 * 12)
    assert combine_evidence(values[:1]) == pytest.approx(count_cost(0.95, 1) - 12)


def test_values_without_a_mark_cost_little() -> None:
    marked = [build_evidence((index, 20.0)) for index in range(5)]
    others = [build_evidence((index, -8.0)) for index in range(5)]
    cost = combine_evidence([*marked, *others]) - combine_evidence(marked)
    assert 0 < cost <= 5 * math.log(2) + 5 * math.log(0.95 / 0.5) + 1e-9
    assert combine_evidence(others) == 0.0
    assert combine_evidence([]) == 0.0


def test_one_pool_index_counts_for_one_value_only() -> None:
    """Two values of one pool index share their noise: the evidence of the second says nothing new."""
    twice = [build_evidence((5, 30.0)), build_evidence((5, 28.0))]
    alone = [build_evidence((5, 30.0)), build_evidence((6, -9.0))]
    assert combine_evidence(twice) == combine_evidence(alone)
    second_best = [build_evidence((5, 30.0)), build_evidence((5, 28.0), (6, 15.0))]
    assert combine_evidence(second_best) == pytest.approx(count_cost(0.95, 2) - 45)


def test_p_values_without_a_mark_are_not_small() -> None:
    """E-values of mean 1 for each value and pool index, as the null hypothesis has them: few p-values are below p."""
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(300):
        scale = 3.0  # of log-normal e-values, of mean 1 by their shift: a heavier tail than those of marks
        values = [
            PoolEvidence(np.arange(TOKEN_POOL_SIZE), scale * rng.standard_normal(TOKEN_POOL_SIZE) - scale**2 / 2, 9)
            for _ in range(8)
        ]
        p_values.append(math.exp(combine_evidence(values)))
    assert np.mean(np.array(p_values) < 0.1) <= 0.1
    assert min(p_values) > 1e-4


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A workspace, and a file of twenty molecules that it generated."""
    pytest.importorskip("rdkit")
    import genloom as gl

    home = tmp_path_factory.mktemp("batch") / "home"
    outputs = gl.Workspace(home).model("molecules").generate(n=20, seed=3)
    return home, outputs.save_collection(home.parent / "hits.smi")


@pytest.mark.slow
def test_a_batch_of_molecules_is_found_in_each_format_and_not_by_another_workspace(
    batch: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import genloom as gl

    home, path = batch
    ws = gl.Workspace(home)
    lines = [line.split()[0] for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 20
    bare = tmp_path / "bare.smi"  # nothing but the molecules, in another order
    bare.write_text("\n".join(sorted(lines)) + "\n")
    table = tmp_path / "bare.csv"
    table.write_text("name,smiles\n" + "".join(f"m{n},{smiles}\n" for n, smiles in enumerate(lines)))
    for file in (bare, table):
        found = verify(ws, file)
        assert found.mark is not None
        assert (found.mark.is_found, found.mark.num_values) == (True, 20), found.mark
        assert found.is_fine
    other = tmp_path / "other"
    shutil.copytree(home, other)
    shutil.rmtree(other / "keys")
    monkeypatch.setattr("genloom.store.keys.draw_secret", lambda: bytes(32))
    MarkingKeys(Workspace(other).root).get_active()
    found = verify(gl.Workspace(other), bare)
    assert found.mark is not None
    assert found.mark.p_value > MAX_P_VALUE
    assert not found.mark.is_found


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".smi", "# a comment\nCCO ethanol\n\nc1ccccc1\n"),
        (".csv", "name,SMILES\nethanol,CCO\nbenzene,c1ccccc1\n"),
        (".csv", "canonical_smiles;x\nCCO;1\nc1ccccc1;2\n"),
        (".csv", "smiles\nCCO\nc1ccccc1\n"),
        (".inchi", "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3\nInChI=1S/C6H6/c1-2-4-6-5-3-1/h1-6H\n"),
    ],
)
def test_files_of_several_molecules_are_opened(tmp_path: Path, suffix: str, content: str) -> None:
    pytest.importorskip("rdkit")
    from genloom.rate.outputs import open_values

    path = tmp_path / f"some{suffix}"
    path.write_text(content)
    name, values = open_values(path)
    assert name == "molecule"
    assert [value.smiles for value in values] == ["CCO", "c1ccccc1"]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b"smiles\n\0\n", b'smiles\n"' + b"x" * 200_000])
def test_a_table_without_molecules_is_of_no_medium(tmp_path: Path, content: bytes) -> None:
    from genloom.errors import GenloomError
    from genloom.rate.outputs import open_values

    path = tmp_path / "some.csv"
    path.write_bytes(content)
    with pytest.raises(GenloomError):
        open_values(path)


def test_a_molecule_is_read_as_written_and_in_canonical_form() -> None:
    pytest.importorskip("rdkit")
    from genloom.media.molecule import list_writings
    from genloom.media.molecule.molecule import Molecule

    assert [each.smiles for each in list_writings(Molecule("OCC"))] == ["OCC", "CCO"]
    assert [each.smiles for each in list_writings(Molecule("CCO"))] == ["CCO"]
    assert [each.smiles for each in list_writings(Molecule("C1CC"))] == ["C1CC"]
