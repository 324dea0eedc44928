"""The memory of a collection does not grow with the size of its sources."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genloom.collect.builtin import load_shakespeare

# Runs in its own process, because the peak of a process never falls. Prints the kept bytes, the kept documents and the
# growth of the peak in MB after a first, small collection, which loads the libraries and the language model.
CHILD = """
import resource, sys
from pathlib import Path
from genloom.collect import collect, jobs, shard_files, shards, sorted_runs, spool, workers
from genloom.store.workspace import Workspace

source, workspace, scale = sys.argv[1], Workspace(Path(sys.argv[2])), int(sys.argv[3])
shards.SMALL_BYTES //= scale
shard_files.ROW_GROUP_BYTES //= scale
jobs.JOB_BYTES //= scale
workers.JOB_BYTES //= scale
spool.MAX_BYTES_IN_MEMORY //= scale
sorted_runs.MAX_RECORDS //= scale

def peak(what, name):
    *_, last = collect([what], workspace, name, dict(workers=1))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, last.report

first, _ = peak("builtin:shakespeare", "first")
then, report = peak(source, "then")
print(report.bytes_kept, report.documents_kept, then - first)
"""


def words(megabytes: int, seed: int):
    """Blocks of a megabyte of random words, without newlines."""
    draw = np.random.default_rng(seed)
    vocabulary = np.array(sorted(set(load_shakespeare().split())), dtype=object)
    for _ in range(megabytes):
        yield " ".join(vocabulary[draw.integers(len(vocabulary), size=135_000)])[: (1 << 20) - 1] + " "


def collect_in_process(source: Path, workspace: Path, scale: int) -> tuple[int, int, float]:
    command = [sys.executable, "-c", CHILD, str(source), str(workspace), str(scale)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(output[0]), int(output[1]), float(output[2])


@pytest.mark.slow
def test_one_line_much_larger_than_the_buffers_in_little_memory(tmp_path: Path) -> None:
    source = tmp_path / "line.txt"
    with source.open("w") as file:
        file.writelines(words(40, seed=1))
    assert source.read_bytes().count(b"\n") == 0
    kept_bytes, kept, grown = collect_in_process(source, tmp_path / "w", scale=16)
    assert kept_bytes > 39 << 20
    assert kept > 400
    assert grown < 20  # buffers of fixed sizes


def test_gzipped_rows_in_little_memory(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl.gz"
    with gzip.open(source, "wt", compresslevel=1) as file:
        for block in words(24, seed=2):
            file.writelines(json.dumps({"text": block[i : i + 16_000]}) + "\n" for i in range(0, len(block), 16_000))
    kept_bytes, _, grown = collect_in_process(source, tmp_path / "w", scale=16)
    assert kept_bytes > 23 << 20
    assert grown < 20  # buffers of fixed sizes


@pytest.mark.slow
def test_400_megabytes_with_the_real_buffers(tmp_path: Path) -> None:
    source = tmp_path / "line.txt"
    with source.open("w") as file:
        file.writelines(words(400, seed=3))
    kept_bytes, _, grown = collect_in_process(source, tmp_path / "w", scale=1)
    assert kept_bytes > 399 << 20
    assert grown < 160
