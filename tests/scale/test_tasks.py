"""Tasks run in order on two machines, again if a process or a machine is lost, and their errors are raised."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from genloom.cluster import open_cluster
from genloom.errors import GenloomError
from tests.errors import raises_code


def meet(number: int, folder: str) -> tuple[int, str]:
    """Wait for the task on the other machine, which has one processor as this one."""
    import ray

    Path(folder, str(number % 2)).touch()
    while len(list(Path(folder).iterdir())) < 2:
        time.sleep(0.05)
    return number, ray.get_runtime_context().get_node_id()


def die_once(number: int, folder: str) -> int:
    if number == 2 and not (mark := Path(folder, "died")).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_always(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    raise GenloomError("cluster.source_not_shared", path=f"/mnt/{number}")


def wait_for_file(number: int, folder: str) -> int:
    Path(folder, str(os.getpid())).touch()
    while not Path(folder, "go").exists():
        time.sleep(0.05)
    return number


def test_tasks_run_in_order_on_both_machines(machines: Any, tmp_path: Path) -> None:
    with open_cluster("ray") as cluster:
        assert cluster.num_processors == 2
        results = list(cluster.map_tasks(meet, [(n, str(tmp_path)) for n in range(12)], "task"))
    assert [value for value, _ in results] == list(range(12))
    assert len({node for _, node in results}) == 2


def test_a_killed_process_is_named_and_its_task_runs_again(machines: Any, tmp_path: Path) -> None:
    with open_cluster("ray") as cluster:
        assert list(cluster.map_tasks(die_once, [(n, str(tmp_path)) for n in range(4)], "part")) == [0, 1, 2, 3]
        assert cluster.faults == ["part 3 was lost (its process ended unexpectedly) and runs again"]
        with raises_code("cluster.task_lost", task="part 1"):
            list(cluster.map_tasks(die_always, [(0,)], "part"))


def test_the_error_of_a_task_is_raised_as_it_was(machines: Any) -> None:
    with open_cluster("ray") as cluster, raises_code("cluster.source_not_shared", path="/mnt/1"):
        list(cluster.map_tasks(refuse, [(1,)], "part"))


def test_a_lost_machine_is_named_and_its_task_runs_elsewhere(machines: Any, tmp_path: Path) -> None:
    (second,) = machines.worker_nodes
    with open_cluster("ray") as cluster:
        results = cluster.map_tasks(wait_for_file, [(n, str(tmp_path)) for n in range(2)], "part")

        def kill_second() -> None:
            while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
                time.sleep(0.05)
            machines.remove_node(second, allow_graceful=False)
            while all(map(psutil.pid_exists, pids)):  # a process outlives its machine a little
                time.sleep(0.05)
            (tmp_path / "go").touch()

        threading.Thread(target=kill_second).start()
        assert list(results) == [0, 1]
        assert [fault for fault in cluster.faults if "runs again" in fault], cluster.faults


def test_an_address_where_nothing_answers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("refused.")))
    expected = raises_code("cluster.no_answer", address="ray://nowhere:10001", reason="refused")
    with expected, open_cluster("ray://nowhere:10001"):
        pass
