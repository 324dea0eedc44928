"""Tensor parallel training: every process computes some heads and hidden features of each block, for all rows.

Blocks of transformers are cut by torch's `parallelize_module` (Megatron-LM, Shoeybi et al. 2019): the first layer of
attention and of the MLP by its outputs, the second by its inputs, and the results are summed. Our first layers stack
queries, keys and values, or gate and up; their rows are put into another order, so that the share of a process holds
its heads of each. Checkpoints and models have the usual order.

Shape letters: R rows, C columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from genloom.capabilities import unwrap_objective
from genloom.errors import GenloomError
from genloom.model import Model, build_networks, find_best_device
from genloom.networks.transformer_block import TransformerBlock
from genloom.train.parallel.group import ALONE, ProcessGroup
from genloom.train.parallel.strategy import ComputeMatrices, get_local
from genloom.train.parallel.tensor_files import copy_to_host, read_whole, write_whole

if TYPE_CHECKING:
    from genloom.train.loop import TrainConfig

LAYERS: Mapping[str, type[ParallelStyle]] = {
    "attention.qkv": ColwiseParallel,
    "attention.out": RowwiseParallel,
    "mlp.up": ColwiseParallel,
    "mlp.down": RowwiseParallel,
}


@dataclass(frozen=True)
class TensorParallel:
    """All processes compute the same rows; each holds its share of the blocks' matrices, and all of the rest."""

    group: ProcessGroup
    orders: dict[str, Tensor] = field(default_factory=dict)  # of the rows of fused layers, by name
    head_norms: list[Tensor] = field(default_factory=list)  # weights of which each process has gradients of its heads
    can_sample = False  # the cache of a sampler has room for all heads
    row_group = ALONE

    @cached_property
    def mesh(self) -> DeviceMesh:
        return init_device_mesh(find_best_device().type, (self.group.world_size,))

    def with_group(self, group: ProcessGroup) -> "TensorParallel":
        return replace(self, group=group)

    def distribute(self, parts: nn.ModuleDict, plan: "TrainConfig") -> None:
        """Cut the blocks of the transformers in place. Raise GenloomError for other networks, and for uneven shares."""
        blocks = {name: module for name, module in parts.named_modules() if isinstance(module, TransformerBlock)}
        if not blocks or any(not any(name.startswith(f"{part}.") for name in blocks) for part in parts):
            raise GenloomError("train.not_tensor_parallel")
        for name, block in blocks.items():
            self.cut_block(name, block)

    def cut_block(self, name: str, block: TransformerBlock) -> None:
        """Reorder the rows of the fused layers of a block, and leave in it the share of this process."""
        count, attention, mlp = self.group.world_size, block.attention, block.mlp
        shares = {"heads": attention.heads, "key_heads": attention.key_heads, "mlp_width": mlp.down.in_features}
        for what, size in shares.items():
            if size % count:
                raise GenloomError("train.uneven_shares", what=what, size=size, devices=count)
        for fused, layer, owner in (("attention.qkv", attention.qkv, attention), ("mlp.up", mlp.up, mlp)):
            order = order_rows(list(owner.adaptable_layers()[fused.rpartition(".")[2]].values()), count)
            for tensor, parameter in layer.named_parameters():
                self.orders[f"{name}.{fused}.{tensor}"] = order
                with torch.no_grad():
                    parameter.copy_(parameter[order].clone())
        parallelize_module(block, self.mesh, {path: style() for path, style in LAYERS.items()})
        attention.heads, attention.key_heads = attention.heads // count, attention.key_heads // count
        if attention.qk_norms is not None:
            self.head_norms.extend(attention.qk_norms.parameters())

    def plan_copy(self, plan: "TrainConfig") -> "TrainConfig":
        return plan

    def reduce_gradients(self, params: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        """Sum the gradients of the norms of queries and keys: the others are the same in every process, or its own."""
        ids = {id(weight) for weight in self.head_norms}
        self.group.sum_tensors([p.grad for p in params if p.grad is not None and id(p) in ids])
        return list(numbers)

    def clip_grad_norm(self, params: Sequence[nn.Parameter], max_norm: float) -> float:
        grads = [p.grad for p in params if p.grad is not None]
        squares = [grad.double().pow(2).sum().item() for grad in get_local(grads)]
        shared = sum(square for square, grad in zip(squares, grads, strict=True) if is_cut(grad))
        norm = (self.group.sum_numbers([shared])[0] + sum(squares) - shared) ** 0.5
        if max_norm and norm > max_norm:
            torch._foreach_mul_(get_local(grads), max_norm / (norm + 1e-6))
        return norm

    def map_matrices(
        self, matrices: Sequence[Tensor], shape: tuple[int, ...], compute: ComputeMatrices
    ) -> list[Tensor]:
        """Apply the function to whole matrices, whose order of rows does not matter to it, in every process."""
        results = []
        for matrix in matrices:
            dim = next((d for d in range(matrix.ndim) if matrix.shape[d] != shape[d]), None)
            whole = matrix if dim is None else self.gather_shares(matrix, dim)
            result = compute(whole[None])[0]
            results.append(
                result if dim is None else result.chunk(self.group.world_size, dim)[self.group.rank].contiguous()
            )
        return results

    def gather_shares(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the shares of all processes, joined on a dimension."""
        shares = [torch.empty_like(tensor) for _ in range(self.group.world_size)]
        dist.all_gather(shares, tensor.contiguous())
        return torch.cat(shares, dim)

    def reshard(self, *modules: nn.Module) -> None:
        """Nothing is gathered."""

    def copy_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return whole tensors in the usual order of their rows, in the main process."""
        whole = {}
        for name, tensor in tensors.items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            order = self.find_order(name, full)
            if self.group.is_main:
                whole[name] = full if order is None else full[order.argsort().to(full.device)]
        return copy_to_host(whole)

    def save_tensors(self, tensors: Mapping[str, Tensor], path: Path) -> dict[str, str]:
        is_whole = not any(isinstance(tensor, DTensor) for tensor in tensors.values())
        whole = tensors if is_whole else self.copy_tensors(tensors)
        return write_whole(whole, path) if self.group.is_main else {}

    def load_tensors(self, path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.cut(name, tensor, like) for name, tensor in read_whole(path).items()}

    def cut(self, name: str, tensor: Tensor, like: Mapping[str, Tensor]) -> Tensor:
        """Return this process's share of a whole tensor of a checkpoint."""
        target: Any = like.get(find_parameter(name))
        if not isinstance(target, DTensor) or not tensor.ndim:
            return tensor
        order = self.find_order(name, tensor)
        tensor = (tensor if order is None else tensor[order]).to(self.mesh.device_type)
        return distribute_tensor(tensor, self.mesh, target.placements, src_data_rank=None)

    def find_order(self, name: str, tensor: Tensor) -> Tensor | None:
        """Return in which order the rows of a tensor of a checkpoint are held; None for the usual one."""
        return self.orders.get(find_parameter(name)) if tensor.ndim else None

    def gather_parts(self, parts: nn.ModuleDict, model: Model) -> nn.ModuleDict:
        whole = self.copy_tensors({f"parts/{name}": tensor for name, tensor in parts.state_dict().items()})
        if not self.group.is_main:
            return nn.ModuleDict()
        networks = build_networks(model.design, unwrap_objective(model.objective))
        networks.load_state_dict({name.removeprefix("parts/"): tensor for name, tensor in whole.items()})
        return networks.to(find_best_device())


def order_rows(targets: Sequence[slice], count: int) -> Tensor:
    """Return the rows of stacked targets in an order in which each of `count` shares has its part of every target."""
    rows = [torch.arange(target.start, target.stop).chunk(count) for target in targets]
    return torch.cat([part[share] for share in range(count) for part in rows])


def is_cut(tensor: Tensor) -> bool:
    """Return whether processes hold different parts of a tensor."""
    return isinstance(tensor, DTensor) and any(placement.is_shard() for placement in tensor.placements)


def find_parameter(name: str) -> str:
    """Return the name of the parameter that a tensor of a checkpoint belongs to.

    Names are parts/PARAMETER, average/PARAMETER, post_hoc_averages/NUMBER/PARAMETER and
    optimizers/PHASE/PARAMETER/KIND.
    """
    kind, _, rest = name.partition("/")
    if kind in ("optimizers", "post_hoc_averages"):
        rest = rest.partition("/")[2]
    return rest.rpartition("/")[0] if kind == "optimizers" else rest
