"""Training tokens a second of several processes on one machine, against one process with as many threads.

Both train the same network on the same batches of a step: one process with all threads, or two with half of them each,
which exchange their gradients. They take turns, and what is compared is the median of the steps after a warm-up. What
they say is the same; only who computes which rows differs. With --strategy fsdp the weights are shared out too.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from genloom.collect.builtin import load_shakespeare
from genloom.networks import transformer
from genloom.objectives.autoregressive import Autoregressive
from genloom.train.data.token_stream import TokenBlocks
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.train.parallel.config import STRATEGIES, ParallelConfig
from genloom.train.parallel.group import join_group
from genloom.train.parallel.strategy import build_parallel
from genloom.types import TokenSpace

WARMUP = 2  # steps


def train_rank(rank: int, world_size: int, threads: int, args: argparse.Namespace, store: Path, results: Any) -> None:
    """Train as one of several processes; the first one returns the seconds of each step."""
    torch.set_num_threads(threads)
    objective = Autoregressive(TokenSpace(256, args.context + 1))
    torch.manual_seed(0)
    config = transformer.Config(args.width, args.layers, args.width // 64, tie_embeddings=False)
    parts = nn.ModuleDict({"model": transformer.build(objective.network_specs["model"], config)})
    stream = np.frombuffer(load_shakespeare().encode("ascii"), np.uint8)
    plan = TrainConfig(steps=args.steps + WARMUP, precision=args.precision, optimizer=OptimizerConfig(args.optimizer))
    with join_group(store_file=store if world_size > 1 else None, rank=rank, world_size=world_size) as group:
        parallel = build_parallel(ParallelConfig(strategy=args.strategy), group)
        state = TrainState.from_parts(parts, objective, plan, parallel)
        times = [time.perf_counter()]
        for _ in train(objective, TokenBlocks(stream, args.rows, args.context + 1), plan, state):
            times.append(time.perf_counter())
    if rank == 0:
        results.put([after - before for before, after in zip(times[WARMUP:], times[WARMUP + 1 :], strict=False)])


def time_steps(world_size: int, threads: int, args: argparse.Namespace) -> list[float]:
    """Return the seconds of each step of so many processes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        results = context.Queue()
        store = Path(folder) / "store"
        shared = (world_size, threads, args, store, results)
        processes = [context.Process(target=train_rank, args=(rank, *shared)) for rank in range(world_size)]
        for process in processes:
            process.start()
        seconds = results.get()
        for process in processes:
            process.join()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--optimizer", default="muon", choices=("muon", "adamw"))
    parser.add_argument("--strategy", default=STRATEGIES[0], choices=STRATEGIES)
    args = parser.parse_args()
    one, several = [], []
    for _ in range(args.rounds):
        one.append(median(time_steps(1, args.processes, args)))
        several.append(median(time_steps(args.processes, 1, args)))
    ratios = [a / b for a, b in zip(one, several, strict=True)]
    tokens = args.rows * args.context
    print(f"one process, {args.processes} threads      {tokens / median(one):8,.0f} tokens/s")
    print(f"{args.processes} processes, a thread each   {tokens / median(several):8,.0f} tokens/s")
    print(f"ratio {median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}], of {args.rounds} rounds in turn")
    print(json.dumps({"one": one, "several": several, "ratio": median(ratios)}))


if __name__ == "__main__":
    main()
