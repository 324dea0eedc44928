"""Faults injected into ranks at random moments: nothing is lost, and each is named in the log of the run.

A small run on two or more processes is trained once without a fault. Then it is trained again and again while one of
its ranks is killed, stopped for good, or stopped every now and then so that it is slow. A run passes if it ends in the
same bits as the first, loses at most one interval of saves, and names the rank. Ranks are forks, so that a fault costs
a second; `genloom train --devices` starts them again, which takes as long as loading torch.

    .venv/bin/python bench/faults.py --count 200
"""

import argparse
import json
import os
import random
import signal
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
from genloom.store.workspace import Workspace
from genloom.train.data.token_stream import TokenBlocks
from genloom.train.events import RunResult, RunWarning, StepMetrics
from genloom.train.job import Job
from genloom.train.parallel import launch, worker
from genloom.train.run import TrainRequest, train_model

KINDS = ("killed", "hung", "slow")
STEPS, SAVE_STEPS, TIMEOUT, SLOW_SECONDS = 60, 5, 20.0, 0.3


def start_run(workspace: Workspace, digest: str, devices: int, strategy: str) -> str:
    """Create a run of a small job without training it, and return its id."""
    job = Job.from_tables(
        {
            "name": "faults",
            "data": "faults",
            "digest": digest,
            "batch_size": 8,
            "context_length": 64,
            "codec": {"name": "bytes"},
            "objective": {"name": "autoregressive"},
            "network": {"name": "transformer", "width": 64, "depth": 2, "heads": 2},
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


def run_faulty_rank(injection: Injection, execute: Any, assignment: Any, rank: int, *where: Any) -> None:
    """Run a rank, and let it kill or stop itself, or read its rows slowly from then on."""
    end_step, read_rows = worker.Reporter.end_step, TokenBlocks.read_rows

    def read_rows_slowly(batches: TokenBlocks, step: int, rows: slice) -> Any:
        if rank == injection.rank and step >= injection.at_step and injection.kind == "slow":
            time.sleep(SLOW_SECONDS)
        return read_rows(batches, step, rows)

    def end_step_with_fault(reporter: worker.Reporter, step: int) -> None:
        end_step(reporter, step)
        is_due = rank == injection.rank and step == injection.at_step and not injection.marker.exists()
        if is_due and injection.kind in ("killed", "hung"):
            injection.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL if injection.kind == "killed" else signal.SIGSTOP)

    worker.Reporter.end_step = end_step_with_fault  # ty: ignore[invalid-assignment]
    TokenBlocks.read_rows = read_rows_slowly  # ty: ignore[invalid-assignment]
    worker.run_rank(execute, assignment, rank, *where)


def train_with_fault(workspace: Workspace, run: str, injection: Injection) -> tuple[str, list[str], int]:
    """Train a run with a fault; return its model, its warnings, and how many steps were repeated."""
    launch.run_rank = partial(run_faulty_rank, injection)  # ty: ignore[invalid-assignment]
    ref, warnings, last_step, num_repeated = "", [], 0, 0
    for event in train_model(workspace, TrainRequest(run, should_resume=True, save_steps=SAVE_STEPS, save_seconds=1e9)):
        match event:
            case StepMetrics(step=step):
                num_repeated = max(num_repeated, last_step - step + 1)
                last_step = max(step, last_step)
            case RunWarning(text=text):
                warnings.append(text)
            case RunResult():
                ref = event.ref
    return ref, warnings, num_repeated


def read_weights(workspace: Workspace, ref: str) -> str:
    """Return the digest of a model's weights."""
    return workspace.get_model(ref).card["files"]["weights.safetensors"]["sha256"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--strategy", default="ddp", choices=("ddp", "fsdp"))
    parser.add_argument("--kinds", nargs="+", default=KINDS[:2], choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    launch.START_METHOD = "fork"  # ty: ignore[invalid-assignment]
    launch.POLL_SECONDS, launch.SETTLE_SECONDS = 0.1, 0.2
    rng, outcomes = random.Random(args.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(load_shakespeare()[:200_000])
        home = Home(Path(folder) / "home")
        home.collect(text, name="faults")
        workspace = home.store
        shared = workspace, workspace.get_dataset("faults").digest, args.devices, args.strategy
        ref, _, _ = train_with_fault(workspace, start_run(*shared), Injection("", -1, 0, Path(folder) / "none"))
        expected = read_weights(workspace, ref)
        for number in range(args.count):
            kind = args.kinds[number % len(args.kinds)]
            rank, at_step = rng.randrange(args.devices), rng.randint(1, STEPS - 20 if kind == "slow" else STEPS - 1)
            run = start_run(*shared)
            injection = Injection(kind, rank, at_step, Path(folder) / f"{run}-had-its-fault")
            ref, warnings, num_repeated = train_with_fault(workspace, run, injection)
            checks = {
                "other bits": read_weights(workspace, ref) == expected,
                "not named": any(f"Rank {rank} " in warning for warning in warnings),
                "lost more than a save": num_repeated <= SAVE_STEPS,
            }
            failed = [name for name, is_passed in checks.items() if not is_passed]
            outcomes[f"{kind}: {', '.join(failed) or 'passed'}"] += 1
            if failed:
                print(f"{run}: rank {rank} {kind} after step {at_step}: {failed}; {warnings}", flush=True)
    print(json.dumps(dict(sorted(outcomes.items())), indent=1))


if __name__ == "__main__":
    main()
