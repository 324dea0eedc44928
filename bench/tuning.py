"""Tuning tokens a second of SmolLM2-135M, by LoRA and whole: Genloom against transformers' Trainer with peft.

The same weights, text, batch (4 x 256 tokens), adapters (rank 16 on every linear map), AdamW and rates; the contenders
take turns step by step-sized runs in one process. Compared are processor seconds a step after warm-up (`process_time`
over threads), which hold on a machine that others use, and the loss after the same steps. The Trainer computes in
bfloat16 autocast, over weights in float32 and over weights in bfloat16; the faster one counts. Without --model the
weights are drawn by chance: the speed is the same, and the losses are still of the same weights.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genloom.collect.builtin import load_shakespeare
from genloom.model import load_model
from genloom.networks import lora, transformer
from genloom.objectives.autoregressive import Autoregressive
from genloom.store.workspace import Workspace
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, NetworkSpec, TokenSpace

SPACE = TokenSpace(49152, 8192)
CONFIG = transformer.Config(
    576, 30, 9, key_heads=3, mlp_width=1536, qk_norm=False, tie_embeddings=True, rotary_base=100000.0
)  # SmolLM2-135M
ROWS, LENGTH, RANK, ALPHA = 4, 256, 16, 32.0
RATES = {
    "lora": OptimizerConfig("adamw", lr_adapter=5e-4),
    "full": OptimizerConfig("adamw", lr_matrix=5e-5, lr_embedding=5e-5, lr_vector=5e-5),
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Stamps:
    """The clock of the wall and of the processor after each step, and the loss of each."""

    def __init__(self) -> None:
        self.wall, self.core, self.losses = [time.perf_counter()], [time.process_time()], list[float]()

    def add(self, loss: float) -> None:
        self.wall.append(time.perf_counter())
        self.core.append(time.process_time())
        self.losses.append(loss)


def tune_genloom(network: nn.Module, data: Tensor, method: str, steps: int, compiled: bool, stamps: Stamps) -> None:
    network = deepcopy(network).train().requires_grad_(True)
    torch.manual_seed(0)
    if method == "lora":
        lora.attach_adapter(network, lora.Config(RANK, ALPHA))
    parts, objective = nn.ModuleDict({"model": network}), Autoregressive(SPACE)
    plan = TrainConfig(
        steps, warmup=1, cooldown=0.0, optimizer=RATES[method], precision="bfloat16", torch_compile=compiled
    )
    segments = torch.zeros(ROWS, LENGTH, dtype=torch.long)  # the path of packed rows, each with one document

    def batch(step: int) -> Batch:
        return Batch(data[step * ROWS : (step + 1) * ROWS], segments=segments)

    for progress in train(objective, batch, plan, TrainState.from_parts(parts, objective, plan)):
        stamps.add(progress.losses["model"])


def tune_peer(network: nn.Module, data: Tensor, method: str, steps: int, low: bool, stamps: Stamps) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Stamp(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                stamps.add(float(logs["loss"]))

    model: Any = build_llama(network)
    model = model.to(torch.bfloat16) if low else model
    if method == "lora":
        torch.manual_seed(0)
        model = get_peft_model(
            model, LoraConfig(r=RANK, lora_alpha=int(ALPHA), target_modules=TARGETS, task_type="CAUSAL_LM")
        )
    rate = RATES[method].lr_adapter if method == "lora" else RATES[method].lr_matrix
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=steps, per_device_train_batch_size=ROWS, bf16=True, use_cpu=True, report_to=[],
            save_strategy="no", logging_strategy="steps", logging_steps=1, disable_tqdm=True, learning_rate=rate,
            lr_scheduler_type="constant", weight_decay=0.0, adam_beta2=0.99, train_sampling_strategy="sequential",
            dataloader_pin_memory=False,
        )  # fmt: skip
        rows: Any = [{"input_ids": row, "labels": row} for row in data]  # the Trainer takes whatever has rows
        trainer = Trainer(model, arguments, train_dataset=rows, callbacks=[Stamp()])
        trainer.train()


def build_llama(network: nn.Module) -> nn.Module:
    """The network as transformers' own, with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    heads, groups = CONFIG.heads * CONFIG.K, CONFIG.key_heads * CONFIG.K
    config = LlamaConfig(
        vocab_size=SPACE.vocab_size, hidden_size=CONFIG.width, intermediate_size=CONFIG.mlp_width,
        num_hidden_layers=CONFIG.depth, num_attention_heads=CONFIG.heads, num_key_value_heads=CONFIG.key_heads,
        max_position_embeddings=SPACE.context_length, rms_norm_eps=CONFIG.norm_eps, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": CONFIG.rotary_base},
    )  # fmt: skip
    ours, named = network.state_dict(), {}
    named["model.embed_tokens.weight"] = named["lm_head.weight"] = ours["embedding.embed.weight"]
    named["model.norm.weight"] = ours["norm.weight"]
    for i in range(CONFIG.depth):
        here, there = f"blocks.{i}", f"model.layers.{i}"
        cut = ours[f"{here}.attention.qkv.weight"].split([heads, groups, groups])
        wide = ours[f"{here}.mlp.up.weight"].chunk(2)
        named |= {f"{there}.self_attn.{n}_proj.weight": w for n, w in zip("qkv", cut, strict=True)}
        named |= {f"{there}.mlp.{n}_proj.weight": w for n, w in zip(("gate", "up"), wide, strict=True)}
        named[f"{there}.self_attn.o_proj.weight"] = ours[f"{here}.attention.out.weight"]
        named[f"{there}.mlp.down_proj.weight"] = ours[f"{here}.mlp.down.weight"]
        named[f"{there}.input_layernorm.weight"] = ours[f"{here}.norm_attention.weight"]
        named[f"{there}.post_attention_layernorm.weight"] = ours[f"{here}.norm_mlp.weight"]
    model = LlamaForCausalLM(config)
    model.load_state_dict({name: tensor.clone() for name, tensor in named.items()})
    return model


def load_start(args: argparse.Namespace) -> tuple[nn.Module, Tensor]:
    """The network and the rows to learn from: real ones, or drawn by chance."""
    if args.model:
        model = load_model(Workspace.from_option(args.workspace and str(args.workspace)), args.model)
        ids = model.codec.encode(load_shakespeare()[:400_000]).astype(np.int64)
        return model.parts["model"], torch.from_numpy(ids[: len(ids) // LENGTH * LENGTH]).view(-1, LENGTH)
    torch.manual_seed(1)
    network = transformer.build(NetworkSpec(SPACE, SPACE, is_causal=True), CONFIG)
    for name, weight in network.named_parameters():
        if "norm" not in name:
            nn.init.normal_(weight, std=0.02)
    return network, torch.randint(0, 20_000, (400, LENGTH))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=tuple(RATES), default="lora")
    parser.add_argument("--model", default="", help="the imported SmolLM2; without it the weights are drawn by chance")
    parser.add_argument("--workspace", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compiled", action="store_true", help="also time our loop compiled (adds its compile time)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore")
    network, data = load_start(args)
    method, n = args.method, args.steps
    contenders: dict[str, Callable[[Stamps], None]] = {
        "Trainer, weights float32": lambda s: tune_peer(network, data, method, n, False, s),
        "Trainer, weights bfloat16": lambda s: tune_peer(network, data, method, n, True, s),
        "Genloom": lambda s: tune_genloom(network, data, method, n, False, s),
    }
    if args.compiled:
        contenders["Genloom compiled"] = lambda s: tune_genloom(network, data, method, n, True, s)
    found: dict[str, list[Stamps]] = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, work in contenders.items():
            stamps = Stamps()
            work(stamps)
            found[name].append(stamps)
    print(f"{method}, {args.threads} threads, {ROWS} x {LENGTH} tokens a step, {args.rounds} rounds in turn")
    print_report(found)


def print_report(found: dict[str, list[Stamps]]) -> None:
    core = {name: [statistics.median(np.diff(s.core)[2:]) for s in runs] for name, runs in found.items()}
    wall = {name: [statistics.median(np.diff(s.wall)[2:]) for s in runs] for name, runs in found.items()}
    peers = [name for name in found if name.startswith("Trainer")]
    peer = min(peers, key=lambda name: statistics.median(core[name]))
    for name, times in core.items():
        ratio = sorted(p / t for p, t in zip(core[peer], times, strict=True))
        tokens = ROWS * (LENGTH - 1)
        losses = found[name][0].losses
        print(
            f"{name:26s} {tokens / statistics.median(times):6.0f} tokens a core-second, "
            f"{tokens / statistics.median(wall[name]):6.0f} a second, {statistics.median(ratio):.2f} x the faster "
            f"Trainer [{ratio[0]:.2f}, {ratio[-1]:.2f}]; loss {losses[0]:.4f} at first, {losses[-1]:.4f} at last"
        )


if __name__ == "__main__":
    main()
