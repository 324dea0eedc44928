"""Training tokens a second of a 10-million-parameter transformer: Genloom's loop against transformers' Trainer.

The same shape (Llama, 6 layers x 384, context 256, 256 tokens), text, batch and threads; the two take turns in one
process, and what is compared is seconds a step after warm-up. The Trainer runs in float32 and in bfloat16 autocast;
Genloom with the Trainer's optimizer, AdamW, and with its own default, Muon. `matmuls alone` is the floor: the products
of a step, forward and backward, and nothing else.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from paired import Spread
from torch import nn

from genloom.collect.builtin import load_shakespeare
from genloom.networks import transformer
from genloom.objectives.autoregressive import Autoregressive
from genloom.train.data.token_stream import TokenBlocks
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import TokenSpace

LAYERS, WIDTH, HEADS, HIDDEN, CONTEXT, ROWS = 6, 384, 6, 1024, 256, 16
STREAM = np.frombuffer(load_shakespeare().encode("ascii"), np.uint8)


def train_genloom(steps: int, precision: str, family: str, compiled: bool = False) -> Iterator[None]:
    objective = Autoregressive(TokenSpace(256, CONTEXT + 1))
    config = transformer.Config(WIDTH, LAYERS, HEADS, mlp_width=HIDDEN, qk_norm=False, tie_embeddings=False)
    parts = nn.ModuleDict({"model": transformer.build(objective.network_specs["model"], config)})
    plan = TrainConfig(
        steps=steps, precision=precision, torch_compile=compiled, optimizer=OptimizerConfig(family=family)
    )
    for _ in train(
        objective, TokenBlocks(STREAM, ROWS, CONTEXT + 1), plan, TrainState.from_parts(parts, objective, plan)
    ):
        yield


def multiply_weights(steps: int) -> Iterator[None]:
    """The weight products of a step, in bfloat16: the bound of any loop over this network."""
    rows = ROWS * CONTEXT
    shapes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 2 * HIDDEN), (HIDDEN, WIDTH)] * LAYERS + [(WIDTH, 256)]
    pairs = [(torch.randn(rows, a).bfloat16(), torch.randn(a, b).bfloat16()) for a, b in shapes]
    for _ in range(steps):
        for x, w in pairs:
            y = x @ w
            y @ w.T
            x.T @ y
        yield


def train_peer(steps: int, bf16: bool, stamps: list[float]) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    config = LlamaConfig(
        vocab_size=256, hidden_size=WIDTH, intermediate_size=HIDDEN, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS, max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    rows = len(STREAM) // CONTEXT
    data: Any = [  # the Trainer takes whatever has rows
        {"input_ids": block, "labels": block}
        for block in torch.from_numpy(STREAM[: rows * CONTEXT].astype(np.int64)).view(rows, -1)
    ]

    class Stamp(TrainerCallback):
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            stamps.append(time.perf_counter())

    arguments = TrainingArguments(
        tempfile.mkdtemp(), max_steps=steps, per_device_train_batch_size=ROWS, bf16=bf16, use_cpu=True, report_to=[],
        save_strategy="no",
        logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    stamps.append(time.perf_counter())
    Trainer(LlamaForCausalLM(config), arguments, train_dataset=data, callbacks=[Stamp()]).train()


def measure_step(work: Callable[[list[float]], None], warm: int) -> float:
    """The median step of a run, its first steps left out."""
    stamps: list[float] = []
    work(stamps)
    return statistics.median(np.diff(stamps)[warm:])


def time_steps(stamps: list[float], steps: Iterator[None]) -> None:
    for _ in steps:
        stamps.append(time.perf_counter())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compiled", action="store_true", help="also time our loop compiled (adds its compile time)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore")
    n = args.steps
    contenders: dict[str, Callable[[list[float]], None]] = {
        "Trainer float32": lambda s: train_peer(n, False, s),
        "Trainer bfloat16": lambda s: train_peer(n, True, s),
        "Genloom float32 AdamW": lambda s: time_steps(s, train_genloom(n, "float32", "adamw")),
        "Genloom bfloat16 AdamW": lambda s: time_steps(s, train_genloom(n, "bfloat16", "adamw")),
        "Genloom bfloat16 Muon": lambda s: time_steps(s, train_genloom(n, "bfloat16", "muon")),
        "matmuls alone bfloat16": lambda s: time_steps(s, multiply_weights(n)),
    }
    if args.compiled:
        contenders["Genloom bfloat16 AdamW compiled"] = lambda s: time_steps(
            s, train_genloom(n, "bfloat16", "adamw", True)
        )
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, work in contenders.items():
            found[name].append(measure_step(work, 2))
    plain = found["Trainer float32"]  # the Trainer's default
    faster = [min(pair) for pair in zip(plain, found["Trainer bfloat16"], strict=True)]
    print(
        f"{torch.get_num_threads()} threads, {ROWS} x {CONTEXT} tokens a step, {args.rounds} rounds in turn; "
        "median [least, greatest]"
    )
    for name, times in found.items():
        speed = Spread.of([ROWS * CONTEXT / t for t in times])
        print(
            f"{name:32s} {speed} tokens/s; {compute_ratio(faster, times)} x the faster Trainer, "
            f"{compute_ratio(plain, times)} x the Trainer as it comes",
            flush=True,
        )


def compute_ratio(slow: list[float], fast: list[float]) -> Spread:
    return Spread.of([a / b for a, b in zip(slow, fast, strict=True)])


if __name__ == "__main__":
    main()
