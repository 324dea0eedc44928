"""Resumes a run in processes that are killed one after the other; started by test_resume.py.

Torch is imported once and every process is a fork, so that a real SIGKILL costs milliseconds. Standard input is a JSON
list of deaths: {"call": n} kills before the n-th disk operation (writes are cut in half), {"after": seconds} kills from
outside, null does not kill. Standard output is the list of exit codes; a process that finishes ends it.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # imported by the optimizer's first step, which takes a second: here once for all processes

import genloom.media.image  # likewise, to read data
import genloom.media.text  # noqa: F401
from genloom.store import files
from genloom.store.workspace import Workspace
from genloom.train.run import TrainRequest, train_model


class Death:
    """Counts disk operations and kills this process at the n-th."""

    def __init__(self, call: int):
        self.calls_left = call
        for name in ("fsync", "replace", "rename", "unlink"):
            setattr(os, name, self.count_before(getattr(os, name)))
        files.open = self.open_torn  # ty: ignore[missing-attribute]  it shadows the built-in

    def count_call(self) -> None:
        self.calls_left -= 1
        if self.calls_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def count_before(self, call: Any) -> Any:
        def call_counted(*args: Any, **options: Any) -> Any:
            self.count_call()
            return call(*args, **options)

        return call_counted

    def open_torn(self, path: Any, mode: str = "r", **options: Any) -> Any:
        file = open(path, mode, **options)  # noqa: SIM115  the caller closes it
        return TornFile(file, self) if "w" in mode else file


class TornFile:
    """A file whose writes can be cut in half."""

    def __init__(self, file: Any, death: Death):
        self.file, self.death = file, death

    def write(self, data: bytes) -> int:
        half = self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.death.count_call()
        return half + self.file.write(data[len(data) // 2 :])

    def __enter__(self) -> "TornFile":
        return self

    def __exit__(self, *reason: Any) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def run_once(workspace: str, run: str, save_steps: int, death: dict[str, float] | None) -> int:
    """Run one process; return its exit code, -9 if it was killed."""
    child = os.fork()
    if child == 0:
        try:
            if death and "call" in death:
                Death(int(death["call"]))
            for _ in train_model(
                Workspace(Path(workspace)), TrainRequest(run, should_resume=True, save_steps=save_steps)
            ):
                pass
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    if death and "after" in death:
        time.sleep(death["after"])
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(workspace: str, run: str, save_steps: str) -> None:
    torch.set_num_threads(1)
    codes = []
    for death in [*json.load(sys.stdin), None]:
        codes.append(run_once(workspace, run, int(save_steps), death))
        if codes[-1] != -signal.SIGKILL:
            break
    print(json.dumps(codes))


if __name__ == "__main__":
    main(*sys.argv[1:])
