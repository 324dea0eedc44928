"""The random goals of structures, and the maker of their data set."""

import argparse
import subprocess
import sys
import time
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genloom.media.design.mechanics.analysis import analyze
from genloom.media.design.mechanics.checks import check_problem
from genloom.media.design.mechanics.packing import pack_problem, unpack_problem
from genloom.media.design.mechanics.problem import EMPTY, SOLID
from recipes.structures.goals import KINDS, build_problem
from recipes.structures.make import SCHEMA, Task, build_row, end_with_parent, list_tasks, name_shard, write_shard
from recipes.structures.space_goals import build_space_problem

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_goals_follow_from_their_number(kind: str) -> None:
    packed = {pack_problem(build_problem(3, index, (16, 16), kind)) for index in range(12)}
    assert len(packed) == 12
    assert packed == {pack_problem(build_problem(3, index, (16, 16), kind)) for index in range(12)}
    assert pack_problem(build_problem(4, 0, (16, 16), kind)) not in packed


@pytest.mark.parametrize("kind", KINDS)
def test_goals_can_be_met_and_differ(kind: str) -> None:
    problems = [build_problem(1, index, (32, 32), kind) for index in range(60)]
    for problem in problems:
        check_problem(problem)
    assert {problem.cases for problem in problems} >= {1, 2}
    assert min(problem.volume for problem in problems) < 0.3 < 0.5 < max(problem.volume for problem in problems)
    assert any((problem.passive == EMPTY).any() for problem in problems)
    if kind == "usual":
        assert any((problem.passive == SOLID).any() for problem in problems)
        assert any((problem.passive == 0).all() for problem in problems)
        assert any((problem.fixed[..., 0] != problem.fixed[..., 1]).any() for problem in problems)  # rollers


def test_the_unusual_kind_acts_inside_the_domain() -> None:
    """No usual problem has a free force inside the domain; nearly all unusual ones do."""

    def acts_inside(kind: str, index: int) -> bool:
        problem = build_problem(1, index, (32, 32), kind)
        loaded = (problem.forces != 0).any((0, -1))[1:-1, 1:-1]
        near_hole = np.zeros(loaded.shape, bool)
        for corner in np.ndindex(2, 2):
            near_hole |= (problem.passive == EMPTY)[corner[0] : 31 + corner[0], corner[1] : 31 + corner[1]]
        return bool((loaded & ~near_hole).any())

    assert not any(acts_inside("usual", index) for index in range(40))
    assert sum(acts_inside("unusual", index) for index in range(40)) >= 38


def test_goals_are_the_same_at_every_resolution() -> None:
    for index in range(8):
        coarse, fine = build_problem(1, index, (24, 24)), build_problem(1, index, (48, 48))
        if coarse.volume != fine.volume:
            continue  # the coarse grid could not hold the first draw
        assert np.allclose(coarse.forces.sum((1, 2)), fine.forces.sum((1, 2)))
        assert (coarse.passive == EMPTY).mean() == pytest.approx((fine.passive == EMPTY).mean(), abs=0.04)


def test_goals_in_space_can_be_met() -> None:
    for index in range(6):
        problem = build_space_problem(1, index, (10, 10, 10))
        check_problem(problem)
        assert problem.axes == 3
        assert pack_problem(problem) == pack_problem(build_space_problem(1, index, (10, 10, 10)))


def test_a_row_holds_the_design_its_goals_and_its_compliance(tmp_path: Path) -> None:
    task = Task(1, "usual", 16, 0, 8, 1.5)
    rows = [row for index in range(task.start, task.end) if (row := build_row(task, index))]
    assert len(rows) >= 3
    write_shard(tmp_path, task, pa.Table.from_pylist(rows, SCHEMA))
    for row in pq.read_table(name_shard(tmp_path, task)).to_pylist():
        problem = unpack_problem(row["problem"])
        density = np.frombuffer(row["density"], np.uint8).reshape(row["rows"], row["columns"]) / 255
        assert analyze(problem, density).compliance == pytest.approx(row["compliance"])
        assert density.mean() == pytest.approx(row["volume"], abs=2e-3)
        assert pack_problem(build_problem(row["seed"], row["index"], (16, 16))) == row["problem"]


def test_a_row_of_the_kind_in_space_is_a_cube() -> None:
    row = next(row for index in range(20) if (row := build_row(Task(1, "space", 6, 0, 1, 1.5), index)))
    assert unpack_problem(row["problem"]).shape == (6, 6, 6)
    assert len(row["density"]) == 6**3


def test_the_maker_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def make(count: int) -> str:
        command = ["-m", "recipes.structures.make", "--out", str(tmp_path), "--size", "12", "--shard", "3"]
        run = subprocess.run(
            [sys.executable, *command, "--processes", "1", "--count", str(count)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout

    assert "of 6 goals" in make(6)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(written) == ["usual-1-0000000-0000003.parquet", "usual-1-0000003-0000006.parquet"]
    assert make(6) == ""  # nothing is left to do
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == written


def start_worker(numbers: "SimpleQueue[int]") -> None:
    """Start a process that does nothing but end with this one, and tell its number."""
    worker = get_context("spawn").Process(target=sleep_until_the_parent_ends)
    worker.start()
    numbers.put(worker.pid or 0)
    time.sleep(60)


def sleep_until_the_parent_ends() -> None:
    end_with_parent()
    time.sleep(60)


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed() -> None:
    context = get_context("spawn")
    numbers = context.SimpleQueue()
    parent = context.Process(target=start_worker, args=(numbers,))
    parent.start()
    worker = numbers.get()
    assert is_running(worker)
    parent.kill()
    parent.join()
    deadline = time.monotonic() + 600
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(number: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        return " Z " not in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False


def test_shards_that_are_there_are_left_out(tmp_path: Path) -> None:
    arguments = argparse.Namespace(
        out=tmp_path, first=0, count=6, shard=2, seed=1, kind="usual", size=32, filter_radius=1.5
    )
    tasks = list(list_tasks(arguments))
    assert [(task.start, task.end) for task in tasks] == [(0, 2), (2, 4), (4, 6)]
    name_shard(tmp_path, tasks[1]).touch()
    assert list(list_tasks(arguments)) == [tasks[0], tasks[2]]
