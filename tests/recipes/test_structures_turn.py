import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.media import design as medium
from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.packing import pack_problem
from genloom.media.design.mechanics.problem import EMPTY, build_empty_problem
from genloom.media.design.problems import build_problem
from recipes.structures import turn


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Return a folder with one design of random densities."""
    problem = build_empty_problem((8, 8), 0.5, cases=2)
    problem.fixed[:, 0] = True
    problem.forces[0, 8, 8], problem.forces[1, 0, 6] = (1, -2), (0, 1)
    problem.passive[3, 4] = EMPTY
    levels = np.random.default_rng(0).integers(100, 256, (8, 8), dtype=np.uint8)
    row = {"seed": 1, "index": 7, "kind": "usual", "rows": 8, "columns": 8, "problem": pack_problem(problem),
           "density": levels.tobytes(), "volume": 0.5}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "usual-1.parquet")
    return tmp_path


def test_every_turn_of_a_design_holds_as_well(
    shard: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shard.parent / f"{shard.name}.parquet"
    monkeypatch.setattr(sys, "argv", ["turn", str(shard), "--out", str(out)])
    turn.main()
    assert "8 rows" in capsys.readouterr().out
    rows = pq.read_table(out).to_pylist()
    designs = [medium.decode(row["design"]) for row in rows]
    assert len({design.levels.tobytes() for design in designs}) == 8
    assert len({row["source"] for row in rows}) == 8
    compliances = [analyze(build_problem(design.goals), design.density).compliance for design in designs]
    np.testing.assert_allclose(compliances, compliances[0], rtol=1e-6)


def test_fewer_turns_are_drawn_by_the_design(shard: Path) -> None:
    (path,) = shard.glob("*.parquet")
    sources = [str(row["source"]) for row in turn.build_rows(path, 3)]
    assert sources[0] == "structures:usual:1:7:0"
    assert len(set(sources)) == 3
    assert sources == [str(row["source"]) for row in turn.build_rows(path, 3)]
    assert {tuple(turn.choose_turns(1, index, 3)) for index in range(20)} != {tuple(turn.choose_turns(1, 7, 3))}
