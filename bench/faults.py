"""Faults injected into ranks at random moments: nothing is lost, and each is named in the log of the run.

A small run on two or more processes is trained once without a fault. Then it is trained again and again, each time with
one fault at a random step:

killed   a rank is killed
hung     a rank is stopped for good
slow     a rank reads its rows slowly from then on
network  the network between the ranks is cut (the loopback device of a network namespace of this benchmark's own)
disk     the disk with the checkpoints is full (a small tmpfs); the run ends with an error, and continues with room
storage  the bucket of the workspace refuses checkpoints (a folder by fsspec, whose writes fail); likewise

A run passes if it ends in the same bits as the first, has its fault by kind and rank in runs/ID/faults.jsonl, and loses
at most the steps since the last save and those in which that one was written. Ranks are forks, so that a fault costs a
second; `genloom train --devices` starts them again, which takes as long as loading torch. The last two kinds but one
need the rights of root.

    .venv/bin/python bench/faults.py --count 200 --kinds killed hung slow network disk storage
"""

import argparse
import ctypes
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # imported by the optimizer's first step: here once for all processes

import genloom.media.text  # noqa: F401  likewise, to read data
from genloom import Workspace as Home
from genloom.collect.builtin import load_shakespeare
from genloom.errors import GenloomError
from genloom.store.storage import ObjectStorage
from genloom.store.workspace import Workspace
from genloom.train.data.token_stream import TokenBlocks
from genloom.train.events import RunResult, RunWarning, StepMetrics
from genloom.train.job import Job
from genloom.train.parallel import launch, worker
from genloom.train.run import TrainRequest, train_model

KINDS = ("killed", "hung", "slow", "network", "disk", "storage")
LOGGED_KINDS = {"network": "cut", "disk": "error", "storage": "error"}  # others by their own names
STEPS, SAVE_STEPS, TIMEOUT, SLOW_SECONDS = 40, 5, 20.0, 0.3
DISK_MEGABYTES, FILLER = 4, "filler"
CLONE_NEWNET = 0x40000000  # of Linux; os.unshare is new in Python 3.12


def start_run(workspace: Workspace, digest: str, devices: int, strategy: str) -> str:
    """Create a run of a small job without training it, and return its id."""
    job = Job.from_tables(
        {
            "name": "faults",
            "data": "faults",
            "digest": digest,
            "batch_size": 8,
            "context_length": 32,
            "codec": {"name": "bytes"},
            "objective": {"name": "autoregressive"},
            "network": {"name": "transformer", "width": 32, "depth": 2, "heads": 2},
            "plan": {"steps": STEPS, "warmup": 5, "ema_decay": 0.9},
            "parallel": {"devices": devices, "strategy": strategy, "timeout": TIMEOUT, "max_restarts": 20},
        }
    )
    folder = workspace.create_run("faults")
    job.save(folder / "job.toml")
    return folder.name


@dataclass(frozen=True)
class Injection:
    """A fault of one rank after a step, once in a run."""

    kind: str
    rank: int
    at_step: int
    marker: Path  # exists once it has happened
    state: Path  # folder of checkpoints

    def inject(self) -> None:
        """Let the fault happen to this process."""
        self.marker.touch()
        match self.kind:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hung":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "network":
                set_network("down")
            case "disk":
                fill_disk(self.state)
            case "storage":
                ObjectStorage.write = refuse_write  # ty: ignore[invalid-assignment]

    def mend(self) -> None:
        """Take away the cause of the fault, before the ranks start again."""
        if self.kind == "network":
            set_network("up")
        (self.state / FILLER).unlink(missing_ok=True)


def enter_network() -> None:
    """Move this process to a network of its own, with nothing but the loopback device."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace needs the rights of root")
    set_network("up")


def set_network(state: str) -> None:
    """Turn the loopback device of this network namespace up or down."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def fill_disk(folder: Path) -> None:
    """Write to a file until the disk is full."""
    with open(folder / FILLER, "wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            return


def refuse_write(storage: ObjectStorage, key: str, content: Any, expected: str | None = None) -> str:
    raise GenloomError("store.storage_failed", url=storage.url, reason="503 Slow Down")


def run_faulty_rank(injection: Injection, execute: Any, assignment: Any, rank: int, *where: Any) -> None:
    """Run a rank, and let its fault happen after a step, or let it read its rows slowly from then on."""
    end_step, read_rows = worker.Reporter.end_step, TokenBlocks.read_rows

    def read_rows_slowly(batches: TokenBlocks, step: int, rows: slice) -> Any:
        if rank == injection.rank and step >= injection.at_step and injection.kind == "slow":
            time.sleep(SLOW_SECONDS)
        return read_rows(batches, step, rows)

    def end_step_with_fault(reporter: worker.Reporter, step: int) -> None:
        end_step(reporter, step)
        is_due = rank == injection.rank and step == injection.at_step and not injection.marker.exists()
        if is_due and injection.kind != "slow":
            injection.inject()

    worker.Reporter.end_step = end_step_with_fault  # ty: ignore[invalid-assignment]
    TokenBlocks.read_rows = read_rows_slowly  # ty: ignore[invalid-assignment]
    worker.run_rank(execute, assignment, rank, *where)


def train_with_fault(workspace: Workspace, run: str, injection: Injection) -> tuple[str, list[str], int]:
    """Train a run with a fault; return its model, its warnings and errors, and how many steps were repeated."""
    launch.run_rank = partial(run_faulty_rank, injection)  # ty: ignore[invalid-assignment]
    texts, last_step, num_repeated = [], 0, 0
    request = TrainRequest(run, should_resume=True, save_steps=SAVE_STEPS, save_seconds=1e9)
    for _ in range(3):
        try:
            for event in train_model(workspace, request):
                match event:
                    case StepMetrics(step=step):
                        num_repeated = max(num_repeated, last_step - step + 1)
                        last_step = max(step, last_step)
                    case RunWarning(text=text):
                        texts.append(text)
                        injection.mend()
                    case RunResult():
                        return event.ref, texts, num_repeated
        except GenloomError as error:
            texts.append(str(error))
            injection.mend()
    return "", texts, num_repeated


def is_logged(run_folder: Path, injection: Injection) -> bool:
    """Return whether the log of a run names its fault."""
    path, kind = run_folder / launch.FAULTS_FILE, LOGGED_KINDS.get(injection.kind, injection.kind)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    has_rank = kind == injection.kind
    return any(row["kind"] == kind and (not has_rank or row["rank"] == injection.rank) for row in rows)


def read_weights(workspace: Workspace, ref: str) -> str:
    """Return the digest of a model's weights."""
    return workspace.get_model(ref).card["files"]["weights.safetensors"]["sha256"] if ref else ""


def inject_faults(place: str | Path, text: Path, scratch: Path, args: argparse.Namespace) -> Counter[str]:
    """Train with faults in a new workspace, a folder or the address of a storage; return the number of each outcome."""
    home, outcomes, rng = Home(place), Counter[str](), random.Random(args.seed)
    home.collect(text, name="faults")
    workspace = home.store
    shared = workspace, workspace.get_dataset("faults").digest, args.devices, args.strategy
    ref, _, _ = train_with_fault(workspace, start_run(*shared), Injection("", -1, 0, scratch / "none", scratch))
    expected = read_weights(workspace, ref)
    kinds = [kind for kind in args.kinds if (kind == "storage") == ("://" in str(place))]
    for number in range(args.count * len(kinds) // len(args.kinds)):
        kind = kinds[number % len(kinds)]
        # Rank 0 writes what all hold. A rank that is slow needs some steps to be noticed, and one whose checkpoints
        # fail another checkpoint.
        is_saving = kind in ("disk", "storage")
        rank = 0 if is_saving and args.strategy == "ddp" else rng.randrange(args.devices)
        at_step = rng.randint(1, STEPS - (20 if kind == "slow" else 2 * SAVE_STEPS if is_saving else 1))
        run = start_run(*shared)
        folder = workspace.get_run(run).folder
        injection = Injection(kind, rank, at_step, scratch / f"{run}-had-its-fault", folder / "state")
        if kind == "disk":
            injection.state.mkdir()
            options = ["-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs"]
            subprocess.run(["mount", *options, injection.state], check=True)
        ref, texts, num_repeated = train_with_fault(workspace, run, injection)
        checks = {
            "other bits": read_weights(workspace, ref) == expected,
            "not named": is_logged(folder, injection),
            "lost more than a save": num_repeated < 2 * SAVE_STEPS,
        }
        if kind == "disk":
            subprocess.run(["umount", injection.state], check=True)
        failed = [name for name, is_passed in checks.items() if not is_passed]
        outcomes[f"{kind}: {', '.join(failed) or 'passed'}"] += 1
        outcomes["steps repeated"] += num_repeated
        if failed:
            print(f"{run}: rank {rank} {kind} after step {at_step}: {failed}; {texts}", flush=True)
        elif args.verbose:
            print(f"{run}: rank {rank} {kind} after step {at_step}, {num_repeated} steps repeated", flush=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--strategy", default="ddp", choices=("ddp", "fsdp"))
    parser.add_argument("--kinds", nargs="+", default=KINDS[:2], choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    launch.START_METHOD = "fork"  # ty: ignore[invalid-assignment]
    launch.POLL_SECONDS, launch.SETTLE_SECONDS = 0.1, 0.2
    if "network" in args.kinds:
        enter_network()
    outcomes = Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # of the mirror of a storage
        text = folder / "text.txt"
        text.write_text(load_shakespeare()[:200_000])
        if set(args.kinds) - {"storage"}:
            outcomes += inject_faults(folder / "home", text, folder, args)
        if "storage" in args.kinds:
            (folder / "bucket").mkdir()
            outcomes += inject_faults(f"file://{folder}/bucket", text, folder, args)
    print(json.dumps(dict(sorted(outcomes.items())), indent=1))


if __name__ == "__main__":
    main()
