"""The designs in the package: each with goals of its own, that hold as their table says."""

import numpy as np
import pyarrow.parquet as pq

from genloom.collect import design
from genloom.collect.sources import SourceFile
from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.problems import build_problem

PATH = design.builtin_sources["structures"]


def test_each_row_has_its_own_goals_and_licence() -> None:
    table = pq.read_table(PATH, columns=["index", "source", "licence", "problem"])
    assert table.num_rows > 6000
    assert len(set(table["source"].to_pylist())) == len(set(table["problem"].to_pylist())) == table.num_rows
    assert set(table["licence"].to_pylist()) == {"CC0-1.0"}


def test_designs_hold_as_the_table_says() -> None:
    file = SourceFile(PATH, PATH.name, PATH.stat().st_size, PATH.parent)
    assert design.list_design_columns(file) == design.ARRAY_COLUMNS
    rows = next(pq.ParquetFile(PATH).iter_batches(8)).to_pylist()
    for row in rows:
        structure = design.decode_raw(design.RawDesign(row["density"], row["source"], row["problem"]))
        assert structure.goals is not None
        compliance = analyze(build_problem(structure.goals), structure.density).compliance
        np.testing.assert_allclose(compliance, row["compliance"], rtol=1e-3)
        assert abs(structure.density.mean() - row["volume"]) < 0.01
