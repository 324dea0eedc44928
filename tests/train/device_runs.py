"""Resumes runs on several devices, with faults of their ranks; started by test_parallel.py.

Torch is imported once and every rank is a fork. Standard input is a JSON list of runs (see `RunTask`), standard output
the list of what happened: the texts of warnings, and the reference of the stored model.
"""

import json
import os
import secrets
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # imported by the optimizer's first step, which takes a second: here once for all processes

import genloom.media.text  # noqa: F401  likewise, to read data
from genloom.store.workspace import Workspace
from genloom.train.events import RunResult, RunWarning, StepMetrics
from genloom.train.parallel import launch, worker
from genloom.train.run import TrainRequest, train_model


@dataclass(frozen=True)
class RunTask:
    """A run to resume."""

    workspace: str
    run: str
    devices: int = 2
    fault: str = ""  # the signal that rank 1 gets
    at_step: int = 0  # after which it gets it
    stop_at: int = 0  # the step after which the caller stops
    has_launcher: bool = False  # whether another program starts the processes, which find each other by the environment


def run_faulty_rank(task: RunTask, execute: Any, assignment: Any, rank: int, *where: Any) -> None:
    """Run a rank; rank 1 sends itself the signal of the task after its step, once in a run."""
    marker, end_step = Path(task.workspace) / f"{task.run}-had-its-fault", worker.Reporter.end_step

    def end_step_with_fault(reporter: worker.Reporter, step: int) -> None:
        end_step(reporter, step)
        if rank == 1 and step == task.at_step and task.fault and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), getattr(signal, task.fault))

    worker.Reporter.end_step = end_step_with_fault  # ty: ignore[invalid-assignment]
    worker.run_rank(execute, assignment, rank, *where)


def run_devices(task: RunTask) -> dict[str, Any]:
    """Resume a run until it ends or is stopped."""
    warnings, ref, step = [], "", 0
    launch.run_rank = partial(run_faulty_rank, task)  # ty: ignore[invalid-assignment]
    devices = 0 if task.has_launcher else task.devices
    request = TrainRequest(task.run, should_resume=True, devices=devices, save_steps=2, threads=task.devices)
    events = train_model(Workspace(Path(task.workspace)), request)
    for event in events:
        match event:
            case StepMetrics(step=step):
                if step == task.stop_at:
                    events.close()
                    break
            case RunWarning(text=text):
                warnings.append(text)
            case RunResult():
                ref = event.ref
    return {"warnings": warnings, "ref": ref, "step": step}


def launch_devices(task: RunTask) -> dict[str, Any]:
    """Start the processes as a launcher does; return what happened in the main one."""
    port = 20_000 + secrets.randbelow(12_000)  # the system gives none of these by itself
    children, (reader, writer) = [], os.pipe()
    for rank in range(task.devices):
        child = os.fork()
        if child:
            children.append(child)
            continue
        where = {"RANK": rank, "WORLD_SIZE": task.devices, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in where.items()} | {"GLOO_SOCKET_IFNAME": "lo"}
        result = run_devices(task)
        if rank == 0:
            os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        result = json.load(file)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    return result


if __name__ == "__main__":
    torch.set_num_threads(1)
    launch.START_METHOD = "fork"  # ty: ignore[invalid-assignment]
    launch.POLL_SECONDS, launch.SETTLE_SECONDS = 0.1, 0.2
    tasks = [RunTask(**settings) for settings in json.load(sys.stdin)]
    print(json.dumps([launch_devices(task) if task.has_launcher else run_devices(task) for task in tasks]))
