"""Faults of a cluster, injected while it works: nothing is lost, and each is named in the log.

    python bench/faults_ray.py                 # all kinds, three times each (some minutes)
    python bench/faults_ray.py --only head --times 1

worker   a process is killed while it prepares a part of a collection: the part runs again
machine  a machine is killed in a collection: its parts run on the others
head     the head is killed, and with it the command: the same command continues with the complete parts
storage  the storage refuses writes for a while (the folder of parts is not writable): the command ends with the
         cure, and continues afterwards
disk     the disk is full (a small tmpfs, else a limit on the size of files): the command ends with the cure, and
         continues with more room
rank     a process of a training on two machines is killed: all ranks start again from the last checkpoint

The machines are processes of this one (ray.cluster_utils). After each fault the data set must have the digest, or the
model the weights, of a run without faults.
"""

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from genloom.cluster import import_ray, open_cluster
from genloom.errors import GenloomError

NUM_FILES = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=sorted(FAULTS), nargs="+", default=sorted(FAULTS))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--collect", nargs=3, metavar=("SOURCES", "WORKSPACE", "ADDRESS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.basicConfig(format="  log: %(message)s", level=logging.WARNING)
    if args.collect:
        collect_in_process(*args.collect)
        return
    wait_longer()
    num_survived = 0
    with tempfile.TemporaryDirectory() as folder:
        sources = write_sources(Path(folder, "notes"))
        expected = collect_locally(sources, Path(folder, "local"))
        for kind in args.only:
            for number in range(args.times):
                print(f"{kind} {number + 1}", flush=True)
                place = Path(folder, f"{kind}-{number}")
                place.mkdir()
                FAULTS[kind](sources, place, expected, number)
                num_survived += 1
    print(f"{num_survived} of {len(args.only) * args.times} faults survived, nothing lost, each named")


def write_sources(folder: Path) -> Path:
    from genloom.collect.builtin import load_shakespeare

    folder.mkdir()
    play = load_shakespeare()
    for n in range(NUM_FILES):
        (folder / f"{n:02}.txt").write_text(play[n * 40_000 : n * 40_000 + 44_000])
    return folder


def collect_locally(sources: Path, folder: Path) -> str:
    from genloom.api.workspace import Workspace

    return Workspace(folder).collect(sources, name="notes").digest


def collect_on(sources: Path, folder: Path, cluster: Any, on_progress: Callable[[Any], None] = lambda _: None) -> str:
    """Collect with small parts on a cluster that is connected, and return the digest."""
    from genloom.collect import collect, parts
    from genloom.store.workspace import Workspace

    setattr(parts, "PART_BYTES", 60_000)  # noqa: B010  a constant for everybody else
    for event in collect([sources], Workspace(folder), "notes", cluster=cluster):
        on_progress(event)
    assert event.report is not None
    return event.report.digest


def start_head() -> Any:
    """Start a head with one processor."""
    cluster_class: Any = import_module("ray.cluster_utils").Cluster
    arguments = {"num_cpus": 1, "include_dashboard": False}
    return cluster_class(initialize_head=True, head_node_args=arguments)


def wait_longer() -> None:
    """Give machines five minutes to start, and not Ray's 30 seconds, which are short where much else runs."""
    services: Any = import_module("ray._private.services")
    get_node = services.get_node

    def get_node_patiently(*arguments: Any) -> Any:
        deadline = time.monotonic() + 300
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    services.get_node = get_node_patiently


@contextmanager
def start_machines() -> Generator[Any]:
    """Start a head and a second machine, and connect to them."""
    ray, machines = import_ray(), start_head()
    machines.add_node(num_cpus=1)
    ray.init(machines.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield machines
    finally:
        ray.shutdown()
        machines.shutdown()


def kill_process(words: str, seconds: float = 60) -> None:
    """Kill a process that this one has started and whose command has these words, as soon as there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for process in psutil.Process().children(recursive=True):
            try:
                if words in " ".join(process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)
                    return
            except (psutil.Error, ProcessLookupError):
                continue
        time.sleep(0.02)
    raise SystemExit(f"no process {words!r} to kill")


def lose_worker(sources: Path, place: Path, expected: str, number: int) -> None:
    with start_machines(), open_cluster("ray") as cluster:
        killer = threading.Thread(target=kill_process, args=("ray::prepare_part",))
        killer.start()
        assert collect_on(sources, place / "w", cluster) == expected, "the data set differs"
        killer.join()
        assert any("runs again" in fault for fault in cluster.faults), "the fault is not in the log"


def lose_machine(sources: Path, place: Path, expected: str, number: int) -> None:
    with start_machines() as machines, open_cluster("ray") as cluster:
        (second,) = machines.worker_nodes
        has_killed = False

        def kill_second(event: Any) -> None:
            nonlocal has_killed
            if event.bytes_done > 0.1 * (number + 1) * event.total_bytes and not has_killed:
                machines.remove_node(second, allow_graceful=False)
                has_killed = True

        assert collect_on(sources, place / "w", cluster, kill_second) == expected, "the data set differs"
        assert has_killed
        if not cluster.faults:
            print("  no part was lost with the machine", flush=True)


def lose_head(sources: Path, place: Path, expected: str, number: int) -> None:
    """Kill the head during a collection in a process of its own, start another, and repeat the command."""
    for attempt in range(2):
        machines = start_head()
        command = [sys.executable, __file__, "--collect", str(sources), str(place / "w"), machines.address]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if attempt == 0:
            wait_for_parts(place / "w", 2 + number)
            machines.head_node.kill_gcs_server()
            machines.head_node.kill_raylet()
            child.wait(120)
            assert child.returncode, "the command ended as if nothing had happened"
            machines.remove_node(machines.head_node, allow_graceful=False)
            complete = len(list((place / "w" / "collecting").glob("*/*.json")))
            print(
                f"  head killed: the command ended with {child.returncode}, {complete} parts are complete", flush=True
            )
            continue
        output, _ = child.communicate(timeout=300)
        machines.shutdown()
        assert json.loads(output.splitlines()[-1])["digest"] == expected, "the data set differs"


def wait_for_parts(workspace: Path, count: int) -> None:
    while len(list((workspace / "collecting").glob("*/*.json"))) < count:
        time.sleep(0.02)


def collect_in_process(sources: str, workspace: str, address: str) -> None:
    import_ray().init(address, log_to_driver=False, logging_level=logging.ERROR)
    with open_cluster("ray") as cluster:
        print(json.dumps({"digest": collect_on(Path(sources), Path(workspace), cluster)}))


def refuse_storage(sources: Path, place: Path, expected: str, number: int) -> None:
    """Take the folder of parts away while workers write to it: a file stands in its place."""
    with start_machines(), open_cluster("ray") as cluster:

        def replace_folder(event: Any) -> None:
            (folder,) = (place / "w" / "collecting").iterdir()
            if event.bytes_done > 0.1 * event.total_bytes and folder.is_dir():
                folder.rename(place / "away")
                folder.touch()

        error = catch_error(lambda: collect_on(sources, place / "w", cluster, replace_folder))
        (file,) = (place / "w" / "collecting").iterdir()
        file.unlink()
        (place / "away").rename(file)
        print(f"  {error}", flush=True)
        assert collect_on(sources, place / "w", cluster) == expected, "the data set differs"


def fill_disk(sources: Path, place: Path, expected: str, number: int) -> None:
    """Collect into a disk with room for a few parts only; then give it more."""
    disk = place / "w" / "collecting"
    disk.mkdir(parents=True)
    is_mounted = mount_small(disk, "600k")
    if not is_mounted:
        print("  a tmpfs cannot be mounted here: skipped", flush=True)
        return
    try:
        with start_machines(), open_cluster("ray") as cluster:
            error = catch_error(lambda: collect_on(sources, place / "w", cluster))
            print(f"  {error}", flush=True)
            assert error.code == "store.disk_full", error
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            assert collect_on(sources, place / "w", cluster) == expected, "the data set differs"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def mount_small(folder: Path, size: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return (
        shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def catch_error(work: Callable[[], Any]) -> GenloomError:
    """Return the error that a user reads; a fault without one is a failure of this test."""
    try:
        work()
    except GenloomError as error:
        return error
    raise AssertionError("the fault was not noticed")


def lose_rank(sources: Path, place: Path, expected: str, number: int) -> None:
    """Kill a rank of a training; the weights have to be those of a training without faults."""
    import torch
    from safetensors.torch import load_file

    from genloom.store.workspace import Workspace
    from genloom.train.cluster import train_on_cluster
    from genloom.train.events import RunResult, StepMetrics
    from genloom.train.request import TrainRequest

    collect_locally(sources, place / "w")
    workspace = Workspace(place / "w")
    settings = {
        "codec.name": "bytes",
        "network.name": "transformer",
        "network.width": "16",
        "network.depth": "1",
        "plan.precision": "float32",
        "batch_size": "4",
        "context_length": "32",
    }
    weights = []
    with start_machines(), open_cluster("ray") as cluster:
        for name, should_kill in (("whole", False), ("killed", True)):
            request = TrainRequest("notes", name, steps=60, overrides=settings, save_steps=5)
            result = ""
            for event in train_on_cluster(workspace, request, cluster, 2):
                result = event.ref if isinstance(event, RunResult) else result
                if should_kill and isinstance(event, StepMetrics) and event.step > 5 * number:
                    kill_process("RayTrainWorker")
                    should_kill = False
            weights.append(load_file(workspace.get_model(result).folder / "weights.safetensors"))
        assert any("Rank" in fault for fault in cluster.faults), "the fault is not in the log"
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]), "the weights differ"


FAULTS: dict[str, Callable[[Path, Path, str, int], None]] = {
    "worker": lose_worker,
    "machine": lose_machine,
    "head": lose_head,
    "storage": refuse_storage,
    "disk": fill_disk,
    "rank": lose_rank,
}

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_worker_niceness", "0")  # else other work of this machine goes before
    main()
