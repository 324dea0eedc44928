"""Trains toys in processes that are ranks of one run; started by test_parallel.py.

Torch is imported once and every process is a fork, so that a rank costs milliseconds. Standard input is a JSON object
of settings (see `Task`). Rank 0 of each number of ranks writes FOLDER/RANKS/CASE.safetensors.
"""

import json
import os
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # imported by the optimizer's first step, which takes a second: here once for all processes
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))
import toys

from genloom.networks.dropout import Dropout
from genloom.objectives.augmented_likelihood import AugmentedLikelihood
from genloom.objectives.dpo import DPO
from genloom.objectives.grpo import GRPO
from genloom.objectives.kto import KTO
from genloom.objectives.replay import ReplayBatch, ReplayMix
from genloom.train import checkpoint
from genloom.train.checkpoint_writer import CheckpointWriter
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.train.parallel.config import ParallelConfig
from genloom.train.parallel.group import ALONE, ProcessGroup, join_group
from genloom.train.parallel.strategy import build_parallel
from genloom.types import Batch, PreferencePairs, Rollouts, UnpairedPreferences

ROWS = 6
BASE = "autoregressive-transformer"  # of what learns from preferences


@dataclass(frozen=True)
class Task:
    """What to train, and how."""

    folder: str
    world_sizes: tuple[int, ...]
    cases: tuple[str, ...]
    steps: int
    strategy: str = "ddp"
    plan: Any = None  # settings of TrainConfig
    dtype: str = "float32"
    dropout: float = 0.0
    resume_at: int = 0  # the step of a checkpoint that the run loads, as other processes wrote it
    save_at: int = 0


def build_batches(toy: toys.Toy, dtype: torch.dtype) -> Callable[[int], Batch]:
    """Return batches whose rows have different weights, and tokens of different lengths."""

    def batch_fn(step: int) -> Batch:
        batch = toys.build_batches(toy, ROWS)(step)
        batch = replace(batch, weight=(0.5 + torch.arange(ROWS) / ROWS).to(dtype))
        if toy.space == toys.TOKENS:
            return replace(batch, lengths=1 + (torch.arange(ROWS) + step) % 7)
        return batch.map(lambda t: t.to(dtype) if t.is_floating_point() else t)

    return batch_fn


def build_case(name: str, dtype: torch.dtype) -> tuple[Any, torch.nn.ModuleDict, Callable[[int], Any]]:
    """Return the objective, the networks and the batches of a toy, or of a way to learn from preferences."""
    toy = toys.get_toy(name if name in toys.TOYS | toys.GRIDS | toys.CONDITIONAL else BASE)
    parts, batches = toys.build_networks(toy).to(dtype), build_batches(toy, dtype)
    reference: Any = dict(deepcopy(parts).items())
    match name:
        case "dpo":
            return DPO(toy.objective, reference), parts, lambda s: PreferencePairs(batches(s), batches(s + 500))
        case "kto":
            liked = torch.arange(ROWS) % 2 == 0
            return (
                KTO(toy.objective, reference),
                parts,
                lambda s: UnpairedPreferences(batches(s), liked, batches(s + 500)),
            )
        case "grpo" | "reinvent":
            objective: Any = GRPO if name == "grpo" else AugmentedLikelihood
            advantage = torch.linspace(-1, 1, ROWS).to(dtype)
            return objective(toy.objective, reference), parts, lambda s: Rollouts(batches(s), advantage)
        case "replay":
            kto, _, unpaired = build_case("kto", dtype)
            mix = ReplayMix(base=toy.objective, objective=kto)
            return mix, parts, lambda s: ReplayBatch(unpaired(s), batches(s + 900))
        case _:
            return toy.objective, parts, batches


def train_case(name: str, task: Task, group: ProcessGroup) -> None:
    """Train one case, and store its weights."""
    dtype = getattr(torch, task.dtype)
    objective, parts, batches = build_case(name, dtype)
    for layer in parts.modules():
        if isinstance(layer, Dropout):
            layer.p = task.dropout
    optimizer = OptimizerConfig(lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3)
    settings: dict[str, Any] = {"warmup": 5, "ema_decay": 0.9, "optimizer": optimizer} | (task.plan or {})
    plan = TrainConfig(steps=task.steps, **settings)
    state = TrainState.from_parts(parts, objective, plan, build_parallel(ParallelConfig(strategy=task.strategy), group))
    states = Path(task.folder) / f"{name}-state"
    if task.resume_at:
        result = checkpoint.load_checkpoint(state, states)
        assert result is not None
        assert state.step == task.resume_at, result
        if group.is_main:
            (Path(task.folder) / str(group.world_size)).mkdir(exist_ok=True)
            (Path(task.folder) / str(group.world_size) / "warnings.json").write_text(json.dumps(result.warnings))
    writer = CheckpointWriter(state, states)
    for result in train(objective, batches, plan, state):
        assert not result.is_skipped, (name, result)
        if result.step == task.save_at:
            writer.save()  # written while the next steps change the weights
    writer.finish()
    tensors = {key: whole(t) for key, t in state.parallel.copy_tensors(state.to_tensors()).items()}
    if group.is_main:
        path = Path(task.folder) / str(group.world_size) / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_file({key: t.clone() for key, t in tensors.items()}, path)


def whole(tensor: Any) -> torch.Tensor:
    """Return the whole of a tensor that may be shared out."""
    tensor = tensor.detach()
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def run_task(task: Task) -> list[int]:
    """Run the task with each number of ranks; return the exit codes of all processes."""
    codes = []
    for world_size in task.world_sizes:
        store = Path(task.folder) / f"store-{world_size}-{task.strategy}-{task.resume_at}"
        children = []
        for rank in range(world_size):
            child = os.fork()
            if child:
                children.append(child)
                continue
            try:
                with join_group(
                    store_file=store if world_size > 1 else None, rank=rank, world_size=world_size
                ) as group:
                    for name in task.cases:
                        train_case(name, task, group if world_size > 1 else ALONE)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
        codes += [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    return codes


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps([run_task(Task(**settings)) for settings in json.load(sys.stdin)]))
