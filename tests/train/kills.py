"""Carries a run on in processes that are killed, one after the other; test_resume.py starts it.

Torch is imported once and every life is a fork, so that a real SIGKILL costs milliseconds. On standard input comes a
list of deaths: {"call": n} kills before the n-th thing done to the disk (writes are cut in half), {"after": seconds}
kills from outside, null lets live. The exit codes go to standard output; a life that finishes ends the list.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the optimizer's first step imports it, which takes a second: here, once for all lives

import genloom.media.image  # and these, to read data: once for all lives too
import genloom.media.text  # noqa: F401
from genloom.store import files
from genloom.store.workspace import Workspace
from genloom.train.run import TrainRequest, train_model


class Death:
    """Counts what is done to the disk and kills this process at the n-th."""

    def __init__(self, call: int):
        self.left = call
        for name in ("fsync", "replace", "rename", "unlink"):
            setattr(os, name, self.before(getattr(os, name)))
        files.open = self.opened  # ty: ignore[missing-attribute]  it hides the built-in one

    def strike(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, call: Any) -> Any:
        def counted(*arguments: Any, **more: Any) -> Any:
            self.strike()
            return call(*arguments, **more)

        return counted

    def opened(self, path: Any, mode: str = "r", **more: Any) -> Any:
        file = open(path, mode, **more)  # noqa: SIM115  whoever asked closes it
        return Torn(file, self) if "w" in mode else file


class Torn:
    """A file that can be cut off in the middle of a write."""

    def __init__(self, file: Any, death: Death):
        self.file, self.death = file, death

    def write(self, data: bytes) -> int:
        half = self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.death.strike()
        return half + self.file.write(data[len(data) // 2 :])

    def __enter__(self) -> "Torn":
        return self

    def __exit__(self, *reason: Any) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def live(workspace: str, run: str, save_steps: int, death: dict[str, float] | None) -> int:
    """One life; returns its exit code, minus nine if it was killed."""
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
        codes.append(live(workspace, run, int(save_steps), death))
        if codes[-1] != -signal.SIGKILL:
            break
    print(json.dumps(codes))


if __name__ == "__main__":
    main(*sys.argv[1:])
