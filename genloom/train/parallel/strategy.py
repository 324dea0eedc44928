"""Strategies: what each process of a run holds, and how their gradients become one.

Replicated is data parallel training (DDP), and with one process plain training; sharded.py has FSDP. The loop, the
optimizer and the checkpoints know only this interface, objectives and networks nothing of it.

Shape letters: S matrices of one shape, R rows, C columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from genloom.train.parallel.config import FSDP, TP, ParallelConfig
from genloom.train.parallel.group import ALONE, ProcessGroup
from genloom.train.parallel.tensor_files import copy_to_host, read_whole, write_whole

if TYPE_CHECKING:
    from genloom.model import Model
    from genloom.train.loop import TrainConfig

ComputeMatrices = Callable[[Tensor], Tensor]  # S R C to S R C


class Parallel(Protocol):
    """A strategy of the processes of a run."""

    @property
    def group(self) -> ProcessGroup: ...

    @property
    def row_group(self) -> ProcessGroup:
        """The processes among which the rows of a step are divided."""
        ...

    def with_group(self, group: ProcessGroup) -> "Parallel":
        """Return the strategy with another way to exchange messages."""
        ...

    @property
    def can_sample(self) -> bool:
        """Whether the networks in training can generate."""
        ...

    def distribute(self, parts: nn.ModuleDict, plan: "TrainConfig") -> None:
        """Leave in the networks only what this process holds."""
        ...

    def plan_copy(self, plan: "TrainConfig") -> "TrainConfig":
        """Return the plan by which the loop copies the networks for computing."""
        ...

    def reduce_gradients(self, params: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        """Replace the gradients by their sums over all processes; return the sums of the numbers."""
        ...

    def clip_grad_norm(self, params: Sequence[nn.Parameter], max_norm: float) -> float:
        """Clip the gradients to `max_norm` (0: do not); return their norm before."""
        ...

    def map_matrices(
        self, matrices: Sequence[Tensor], shape: tuple[int, ...], compute: ComputeMatrices
    ) -> list[Tensor]:
        """Apply a function of whole matrices of one shape to what this process holds of each of them."""
        ...

    def reshard(self, *modules: nn.Module) -> None:
        """Free what networks have gathered for a forward pass."""
        ...

    def copy_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copy what `save_tensors` writes in this process to the memory of its machine."""
        ...

    def save_tensors(self, tensors: Mapping[str, Tensor], path: Path) -> dict[str, str]:
        """Write a checkpoint, with an ending of its own kind, and return the digests of its files by name.

        The digests are those of all processes, in the main one.
        """
        ...

    def load_tensors(self, path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Read a checkpoint of any strategy; `like` are the tensors of the networks, as this process holds them."""
        ...

    def gather_parts(self, parts: nn.ModuleDict, model: "Model") -> nn.ModuleDict:
        """Return the whole networks in the main process, for evaluation and storage."""
        ...


@dataclass(frozen=True)
class Replicated:
    """Every process holds all weights, and computes its rows (Li et al. 2020, DistributedDataParallel)."""

    group: ProcessGroup = ALONE
    can_sample = True

    @property
    def row_group(self) -> ProcessGroup:
        return self.group

    def with_group(self, group: ProcessGroup) -> "Replicated":
        return replace(self, group=group)

    def distribute(self, parts: nn.ModuleDict, plan: "TrainConfig") -> None:
        """Every process built the same networks from the same seed."""

    def plan_copy(self, plan: "TrainConfig") -> "TrainConfig":
        return plan

    def reduce_gradients(self, params: Sequence[nn.Parameter], numbers: Sequence[float]) -> list[float]:
        if self.group.world_size == 1:
            return list(numbers)
        has_grad = [float(p.grad is not None) for p in params]
        sums = self.group.sum_numbers([*numbers, *has_grad])
        for p, count in zip(params, sums[len(numbers) :], strict=True):
            if count and p.grad is None:  # rows of another process use it
                p.grad = torch.zeros_like(p)
        self.group.sum_tensors([p.grad for p in params if p.grad is not None])
        return sums[: len(numbers)]

    def clip_grad_norm(self, params: Sequence[nn.Parameter], max_norm: float) -> float:
        return torch.nn.utils.clip_grad_norm_(params, max_norm or float("inf")).item()

    def map_matrices(
        self, matrices: Sequence[Tensor], shape: tuple[int, ...], compute: ComputeMatrices
    ) -> list[Tensor]:
        """Apply the function; of several processes, each computes some of the matrices and sends them to the others."""
        stack_SRC = torch.stack(list(matrices)).flatten(2)
        rank, world_size = self.group.rank, self.group.world_size
        if world_size == 1:
            return list(compute(stack_SRC).unbind())
        own_SRC = compute(stack_SRC[rank::world_size])  # of no matrix, too, for its type
        share = -(-len(stack_SRC) // world_size)
        padded_SRC = own_SRC.new_zeros(share, *stack_SRC.shape[1:])
        padded_SRC[: len(own_SRC)] = own_SRC
        gathered = [torch.empty_like(padded_SRC) for _ in range(world_size)]
        dist.all_gather(gathered, padded_SRC)
        return [gathered[n % world_size][n // world_size] for n in range(len(stack_SRC))]

    def reshard(self, *modules: nn.Module) -> None:
        """Nothing is gathered."""

    def copy_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return copy_to_host(tensors) if self.group.is_main else {}

    def save_tensors(self, tensors: Mapping[str, Tensor], path: Path) -> dict[str, str]:
        return write_whole(tensors, path) if self.group.is_main else {}

    def load_tensors(self, path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return read_whole(path)

    def gather_parts(self, parts: nn.ModuleDict, model: "Model") -> nn.ModuleDict:
        return parts


ONE_PROCESS = Replicated()


def get_local(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return what this process holds of each tensor; operations on single numbers need nothing else."""
    return [getattr(tensor, "_local_tensor", tensor) for tensor in tensors]


def build_parallel(config: ParallelConfig, group: ProcessGroup) -> Parallel:
    """Return the strategy of a job for the processes that there are."""
    if config.strategy == FSDP and group.world_size > 1:
        from genloom.train.parallel.sharded import Sharded

        return Sharded(group)
    if config.strategy == TP and group.world_size > 1:
        from genloom.train.parallel.tensor_parallel import TensorParallel

        return TensorParallel(group)
    return Replicated(group)
