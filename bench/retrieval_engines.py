"""The time of the ten nearest of many vectors in embedded engines: NumPy, sqlite-vec, DuckDB, LanceDB."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def time_calls(call: Callable[[int], Any], count: int) -> np.ndarray:
    """Return the time by the clock and of the processor of each call in milliseconds, 2 × N."""
    for number in range(5):
        call(number)
    times = []
    for number in range(count):
        start, start_cpu = time.perf_counter(), time.process_time()
        call(number)
        times.append((time.perf_counter() - start, time.process_time() - start_cpu))
    return np.array(times).T * 1e3


def print_times(name: str, times: np.ndarray) -> None:
    """Print quantiles by the clock, and of the processor, which other programs do not change."""
    (p50, p95), (cpu50, cpu95) = (np.quantile(row, (0.5, 0.95)) for row in times)
    print(
        f"{name:44} clock p50 {p50:6.1f} p95 {p95:6.1f} ms  processor p50 {cpu50:6.1f} p95 {cpu95:6.1f} ms  "
        f"n = {times.shape[1]}",
        flush=True,
    )


def compare_engines(matrix: np.ndarray, questions: np.ndarray, folder: Path) -> None:
    """Print the time of the ten nearest vectors in each engine, those that are installed, and its size on disk."""
    number = range(len(questions))
    print_times("NumPy float32", time_calls(lambda n: np.argpartition(-(matrix @ questions[n]), 10)[:10], len(number)))
    for name, run in (("sqlite-vec", run_sqlite_vec), ("DuckDB", run_duckdb), ("LanceDB", run_lancedb)):
        try:
            run(matrix, questions, folder)
        except (ImportError, AttributeError) as error:  # many builds of Python load no extensions of SQLite
            print(f"{name}: not measured ({error})")


def run_sqlite_vec(matrix: np.ndarray, questions: np.ndarray, folder: Path) -> None:
    import sqlite3

    import sqlite_vec

    for kind, scale, dtype in (("float", 1.0, np.float32), ("int8", 127.0, np.int8)):
        path = folder / f"vec-{kind}.sqlite"
        connection = sqlite3.connect(path)
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        connection.execute(f"CREATE VIRTUAL TABLE v USING vec0(e {kind}[{matrix.shape[1]}] distance_metric=cosine)")
        cast = "vec_int8(?)" if kind == "int8" else "?"
        rows = np.round(matrix * scale).astype(dtype)
        start = time.perf_counter()
        connection.executemany(
            f"INSERT INTO v (rowid, e) VALUES (?, {cast})", ((n, row.tobytes()) for n, row in enumerate(rows))
        )
        connection.commit()
        stored = time.perf_counter() - start
        asked = np.round(questions * scale).astype(dtype)
        query = f"SELECT rowid FROM v WHERE e MATCH {cast} AND k = 10 ORDER BY distance"
        count = min(60, len(asked))
        times = time_calls(lambda n, q=query, a=asked, c=connection: c.execute(q, (a[n].tobytes(),)).fetchall(), count)
        print_times(f"sqlite-vec {kind} ({path.stat().st_size / 1e6:.0f} MB, stored in {stored:.0f} s)", times)
        connection.close()


def run_duckdb(matrix: np.ndarray, questions: np.ndarray, folder: Path) -> None:
    import duckdb
    import pyarrow as pa

    path, width = folder / "vectors.duckdb", matrix.shape[1]
    connection = duckdb.connect(str(path))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), width)
    table = pa.table({"id": pa.array(range(len(matrix))), "e": vectors})
    connection.register("arrow_table", table)
    start = time.perf_counter()
    connection.execute("CREATE TABLE v AS SELECT * FROM arrow_table")
    connection.execute("CHECKPOINT")
    stored = time.perf_counter() - start
    query = f"SELECT id FROM v ORDER BY array_inner_product(e, ?::FLOAT[{width}]) DESC LIMIT 10"
    times = time_calls(lambda n: connection.execute(query, [questions[n].tolist()]).fetchall(), 60)
    print_times(f"DuckDB ({path.stat().st_size / 1e6:.0f} MB, stored in {stored:.0f} s)", times)


def run_lancedb(matrix: np.ndarray, questions: np.ndarray, folder: Path) -> None:
    import lancedb
    import pyarrow as pa

    database = lancedb.connect(str(folder / "lance"))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
    start = time.perf_counter()
    table = database.create_table("v", pa.table({"id": pa.array(range(len(matrix))), "vector": vectors}))
    stored = time.perf_counter() - start
    times = time_calls(lambda n: table.search(questions[n]).distance_type("dot").limit(10).to_arrow(), 60)
    size = sum(path.stat().st_size for path in (folder / "lance").rglob("*") if path.is_file())
    print_times(f"LanceDB ({size / 1e6:.0f} MB, stored in {stored:.0f} s)", times)
