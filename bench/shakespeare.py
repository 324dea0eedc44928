"""Seconds to a given loss on character-level Shakespeare, in training and as a whole process, against a known setting.

The peer is the well-known small CPU setting: transformers' GPT-2, 4 layers x 128, context 64, 2,000 steps of 12
sequences, AdamW with warm-up and cosine decay, float32, eager. Genloom runs twice: with n-gram counts under the network
(`ngram`) and without (`transformer`). All read the first 90 % of the built-in text and are judged, at the end, on the
whole last 10 % in blocks of 64 characters.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()
CONTEXT = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=["peer", "transformer", "ngram"], help="one run, its figures as JSON")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(run_training(args.only, args.seed, args.threads)))
        return
    runs_by_kind: dict[str, list[dict[str, float]]] = {"peer": [], "transformer": [], "ngram": []}
    for seed in range(args.seeds):
        for kind, runs in runs_by_kind.items():
            runs.append(run_child(kind, seed, args.threads))
            print(f"{kind:12s} seed {seed}: {runs[-1]}", flush=True)
    print(f"\nmean of {args.seeds} seeds; times as many seconds as each in the same round, median [least, greatest]")
    for kind, runs in runs_by_kind.items():
        loss, training, process = ([run[key] for run in runs] for key in ("loss", "training", "process"))
        line = f"{kind:12s} loss {statistics.mean(loss):.3f} ± {statistics.pstdev(loss):.3f} nats, "
        line += f"training {statistics.mean(training):.2f} s, process {statistics.mean(process):.2f} s"
        for key in ("training", "process"):
            ratio = sorted(peer[key] / own[key] for peer, own in zip(runs_by_kind["peer"], runs, strict=True))
            line += f"; {key} {statistics.median(ratio):.1f} x [{ratio[0]:.1f}, {ratio[-1]:.1f}] sooner"
        print(line)


def run_child(kind: str, seed: int, threads: int) -> dict[str, float]:
    """One run in a process of its own; `process` is its whole time as seen from here."""
    begun = time.perf_counter()
    command = [sys.executable, __file__, "--only", kind, "--seed", str(seed), "--threads", str(threads)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return {**json.loads(out.stdout.splitlines()[-1]), "process": round(time.perf_counter() - begun, 3)}


def run_training(kind: str, seed: int, threads: int) -> dict[str, float]:
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    network, training = train_peer(seed) if kind == "peer" else train_genloom(seed, counts=kind == "ngram")
    return {"loss": round(measure_loss(network), 4), "training": round(training, 3)}


def split_text():
    import numpy as np

    from genloom.collect.builtin import load_shakespeare

    ids = np.frombuffer(load_shakespeare().encode("ascii"), np.uint8)
    num_train = int(0.9 * len(ids))
    return ids[:num_train], ids[num_train:]


def measure_loss(network) -> float:
    """Mean nats a character over the whole held-out text in blocks of CONTEXT, each read alone."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    _, held_out = split_text()
    count = (len(held_out) - 1) // CONTEXT
    blocks = torch.from_numpy(
        np.stack([held_out[i * CONTEXT : i * CONTEXT + CONTEXT + 1] for i in range(count)]).astype(np.int64)
    )
    total = 0.0
    with torch.inference_mode():
        for rows in blocks.split(128):
            logits = network(rows[:, :-1]).float()
            total += F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()
    return total / (count * CONTEXT)


def train_peer(seed: int):
    import math

    import numpy as np
    import torch
    import torch.nn.functional as F
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=128, n_positions=CONTEXT, n_embd=128, n_layer=4, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    network = GPT2LMHeadModel(config)
    params = list(network.parameters())
    groups = [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    train, _ = split_text()
    chance = torch.Generator().manual_seed(seed)
    steps, begun = 2000, time.perf_counter()
    for step in range(steps):
        decayed = 1e-4 + 0.5 * (1 + math.cos(math.pi * max(step - 100, 0) / (steps - 100))) * 9e-4
        for group in optimizer.param_groups:
            group["lr"] = min(1e-3 * (step + 1) / 100, decayed)
        at = torch.randint(len(train) - CONTEXT - 1, (12,), generator=chance).numpy()
        rows = torch.from_numpy(train[at[:, None] + np.arange(CONTEXT + 1)].astype(np.int64))
        logits = network(rows[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
    return lambda rows: network(rows).logits, time.perf_counter() - begun


def train_genloom(seed: int, counts: bool):
    from torch import nn

    from genloom.networks import ngram, transformer
    from genloom.objectives.autoregressive import Autoregressive
    from genloom.train.data.token_stream import TokenBlocks, get_num_folds
    from genloom.train.loop import TrainConfig, TrainState, train
    from genloom.train.optimizers import OptimizerConfig
    from genloom.types import TokenSpace

    stream, _ = split_text()
    objective = Autoregressive(TokenSpace(128, CONTEXT + 1))
    role = objective.network_specs["model"]
    begun = time.perf_counter()
    base = transformer.Config(width=128, depth=4, heads=4, tie_embeddings=False, softcap=15.0)
    if counts:
        network = ngram.build(role, ngram.Config(order=6, num_folds=2, base=base))
        network.fit(stream)
        steps, rows = 30, 8
    else:
        network = transformer.build(role, base)
        steps, rows = 200, 16
    parts = nn.ModuleDict({"model": network})
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    precision = "bfloat16" if "bf16" in flags else "float32"  # as auto-configuration does: else it is emulated
    plan = TrainConfig(
        steps=steps,
        precision=precision,
        optimizer=OptimizerConfig(lr_matrix=0.04, lr_embedding=0.06, lr_vector=0.01),
        seed=seed,
    )
    for _ in train(
        objective,
        TokenBlocks(stream, rows, CONTEXT + 1, seed, get_num_folds(parts)),
        plan,
        TrainState.from_parts(parts, objective, plan),
    ):
        pass
    return network.eval(), time.perf_counter() - begun


if __name__ == "__main__":
    main()
