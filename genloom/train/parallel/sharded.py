"""Sharded training: every process holds a share of weights, gradients, averages and optimizer state (FSDP2).

A network gathers the weights of one block after the other for its forward and backward passes (Zhao et al. 2023,
arXiv:2304.11277). Weights are shared out by rows, so that processes can hold different numbers of them, or none.

Shape letters: R rows, C columns.
"""

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor, zeros

from genloom.capabilities import unwrap_objective
from genloom.model import Model, build_networks, find_best_device
from genloom.store import mirror
from genloom.store.files import hash_file
from genloom.train.parallel.blocks import list_blocks
from genloom.train.parallel.group import ProcessGroup
from genloom.train.parallel.strategy import ComputeMatrices
from genloom.train.parallel.tensor_files import (
    SHARDS_SUFFIX,
    WHOLE_SUFFIX,
    copy_to_host,
    read_shards,
    read_sizes,
    write_shards,
)

if TYPE_CHECKING:
    from genloom.train.loop import TrainConfig


@dataclass(frozen=True)
class Sharded:
    """Each block of a network is gathered on its own, and the rest of the network together."""

    group: ProcessGroup
    can_sample = False  # a sampler reads weights outside of a forward pass

    @property
    def row_group(self) -> ProcessGroup:
        return self.group

    def with_group(self, group: ProcessGroup) -> "Sharded":
        return replace(self, group=group)

    @cached_property
    def mesh(self) -> DeviceMesh:
        return init_device_mesh(find_best_device().type, (self.group.world_size,))

    def distribute(self, parts: nn.ModuleDict, plan: "TrainConfig") -> None:
        """Cut the weights into shards. In bfloat16 they are gathered in it, and gradients are summed in float32."""
        warnings.filterwarnings("ignore", "FSDP2-wrapped module")  # of views, on which no part works in place
        is_low = plan.precision == "bfloat16"
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if is_low else MixedPrecisionPolicy()
        for part in parts.values():
            for block in list_blocks(part):
                if plan.torch_compile:
                    block.compile()
                fully_shard(block, mesh=self.mesh, mp_policy=policy)
            fully_shard(part, mesh=self.mesh, mp_policy=policy)
        for module in list_sharded(parts):
            module.set_gradient_divide_factor(1.0)  # sums: the loop divides by the terms of all processes
            module.set_force_sum_reduction_for_comms(True)

    def plan_copy(self, plan: "TrainConfig") -> "TrainConfig":
        """The networks compute in place; they are gathered in the precision of the plan."""
        return replace(plan, precision="float32", torch_compile=False)

    def reduce_gradients(self, params: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        """The backward pass has summed the gradients."""
        return self.group.sum_numbers(numbers)

    def clip_grad_norm(self, params: Sequence[nn.Parameter], max_norm: float) -> float:
        norm = torch.nn.utils.clip_grad_norm_(params, max_norm or float("inf"))
        return (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()

    def map_matrices(
        self, matrices: Sequence[Tensor], shape: tuple[int, ...], compute: ComputeMatrices
    ) -> list[Tensor]:
        """Apply the function to whole matrices: each process receives the shards of one, and sends them back."""
        rank, world_size = self.group.rank, self.group.world_size
        R, C = shape[0], prod(shape[1:])
        share = -(-R // world_size)
        rows = [max(min(share, R - n * share), 0) for n in range(world_size)]
        results = []
        for first in range(0, len(matrices), world_size):
            own = matrices[first : first + world_size]
            is_computing = rank < len(own)
            held = [m.numel() for m in own] + [0] * (world_size - len(own))
            whole = [r * C if is_computing else 0 for r in rows]
            shards = torch.cat([m.flatten() for m in own])
            matrix = shards.new_empty(sum(whole))
            dist.all_to_all_single(matrix, shards, whole, held)
            if is_computing:
                matrix = compute(matrix.view(1, R, C)).to(shards.dtype).flatten().contiguous()
            returned = shards.new_empty(sum(held))
            dist.all_to_all_single(returned, matrix, held, whole)
            results += [t.view_as(m) for t, m in zip(returned.split(held[: len(own)]), own, strict=True)]
        return results

    def reshard(self, *modules: nn.Module) -> None:
        for module in modules:
            for sharded in list_sharded(module):
                sharded.reshard()

    def copy_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return copy_to_host(tensors)

    def save_tensors(self, tensors: Mapping[str, Tensor], path: Path) -> dict[str, str]:
        path = path.with_suffix(SHARDS_SUFFIX)
        draft = path.with_name(f".{path.name}.draft")
        if self.group.is_main:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        self.group.broadcast(None)
        write_shards(tensors, draft, self.group.channel)
        files = sorted(draft.glob(f"*{WHOLE_SUFFIX}"))[self.group.rank :: self.group.world_size]
        digests = self.group.gather({file.name: hash_file(file) for file in files})
        if self.group.is_main:
            mirror.remove_path(path)
            with mirror.publish_folder(draft, path):
                draft.rename(path)
        return {name: digest for part in digests for name, digest in part.items()}

    def load_tensors(self, path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if path.suffix == WHOLE_SUFFIX:
            whole = load_file(path)
            return {n: self.cut(t) if is_cut(n, like) else t for n, t in whole.items()}
        tensors: dict[str, Tensor] = {}
        for name, (size, dtype) in read_sizes(path).items():
            is_shard = is_cut(name, like)
            tensors[name] = (
                zeros(size, dtype=dtype, device_mesh=self.mesh, placements=[Shard(0)])
                if is_shard
                else torch.zeros(size, dtype=dtype)
            )
        read_shards(tensors, path)
        return tensors

    def cut(self, tensor: Tensor) -> Tensor:
        """Return the shards of a whole tensor, which every process has."""
        return distribute_tensor(tensor.to(self.mesh.device_type), self.mesh, [Shard(0)], src_data_rank=None)

    def gather_parts(self, parts: nn.ModuleDict, model: Model) -> nn.ModuleDict:
        self.reshard(parts)
        whole = {}
        for name, tensor in parts.state_dict().items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.group.is_main:
                whole[name] = full.cpu()
        if not self.group.is_main:
            return nn.ModuleDict()
        networks = build_networks(model.design, unwrap_objective(model.objective))
        networks.load_state_dict(whole)
        return networks.to(find_best_device())


def list_sharded(module: nn.Module) -> list[FSDPModule]:
    return [m for m in module.modules() if isinstance(m, FSDPModule)]


def is_cut(name: str, like: Mapping[str, Tensor]) -> bool:
    """Return whether a tensor of a checkpoint belongs to a parameter that is cut into shards.

    Names are parts/PARAMETER, average/PARAMETER, and optimizers/PHASE/PARAMETER/KIND, of which the step is a number.
    """
    kind, _, rest = name.partition("/")
    if kind == "optimizers":
        _, _, rest = rest.partition("/")
        rest, _, state = rest.rpartition("/")
        return state != "step" and isinstance(like.get(rest), DTensor)
    return isinstance(like.get(rest), DTensor)
