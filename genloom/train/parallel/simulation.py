"""A training step on fake ranks: the memory that each of many devices needs, without the devices.

Tensors have sizes and no numbers (torch's FakeTensorMode), and messages are not sent (its fake process group). All else
is the code of a real run: the loop, the strategy, the optimizer.
"""

import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from unittest.mock import patch

import torch
import torch.distributed as dist
import torch.distributed._tools.fake_collectives  # registers collectives of fake tensors
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genloom.model import Design, build_meta_networks, build_objective
from genloom.networks.attention import get_cached_causal_bias
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.parallel.config import FSDP, ParallelConfig
from genloom.train.parallel.group import ProcessGroup
from genloom.train.parallel.sharded import Sharded
from genloom.train.parallel.strategy import Parallel, build_parallel
from genloom.types import Batch, TokenSpace

T = TypeVar("T")
NUM_STEPS = 2  # the first one allocates the state of the optimizer


@dataclass(frozen=True)
class SimulatedMemory:
    """Bytes on one device: between steps, and at the peak of a step."""

    kept: int
    peak: int


def simulate_memory(
    design: Design, space: TokenSpace, plan: TrainConfig, world_size: int, rows: int, strategy: str = FSDP
) -> SimulatedMemory:
    """Return what one of `world_size` devices needs, which computes `rows` rows of a step, one micro-batch at a time.

    The design is of tokens. No other process group may exist.
    """
    plan = replace(plan, steps=NUM_STEPS)
    group = SimulatedGroup(0, world_size)
    with fake_ranks(world_size):
        parallel = build_parallel(ParallelConfig(world_size, strategy), group)
        if isinstance(parallel, Sharded):
            _ = parallel.mesh  # of ranks, which are real numbers
        return _simulate_steps(design, space, plan, rows, parallel)


def _simulate_steps(
    design: Design, space: TokenSpace, plan: TrainConfig, rows: int, parallel: Parallel
) -> SimulatedMemory:
    world_size = parallel.group.world_size
    objective = build_objective(design, space)
    networks = build_meta_networks(design, objective)
    with FakeTensorMode(allow_non_fake_inputs=True), AnyNumber():
        parts = allocate_weights(networks)
        state = TrainState.from_parts(parts, objective, plan, parallel)
        batch = Batch(torch.zeros(rows * world_size, space.context_length, dtype=torch.int64))
        with StorageMeter() as meter:
            meter.add(parts.parameters())
            meter.add(parts.buffers())
            for step in train(objective, lambda _: batch, plan, state):
                if step.step < NUM_STEPS:
                    meter.reset_peak()
            for optimizer in state.optimizers.values():
                optimizer.zero_grad()
            parallel.reshard(parts)
        return SimulatedMemory(meter.current, meter.peak)


def allocate_weights(networks: nn.ModuleDict) -> nn.ModuleDict:
    """Move networks from the meta device to the processor; weights that two layers share stay one.

    `Module.to_empty` would make two of them.
    """
    weights = {}
    for module in networks.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight not in weights:
                weights[weight] = nn.Parameter(torch.empty_like(weight, device="cpu"), weight.requires_grad)
            setattr(module, name, weights[weight])
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty_like(buffer, device="cpu"))
    return networks


class FusedNorm(torch.autograd.Function):
    """RMSNorm that takes the memory of a GPU's kernel: it keeps its input, and a number for each vector."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        x, weight = args
        ctx.save_for_backward(x, weight, x.new_empty(x.shape[:-1], dtype=torch.float32))
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return grad_outputs[0].clone(), torch.zeros_like(ctx.saved_tensors[1])


@contextmanager
def fuse_norms() -> Generator[None]:
    """Let RMSNorm keep what it keeps on a GPU."""
    with patch("torch.nn.functional.rms_norm", lambda x, shape, weight, eps: FusedNorm.apply(x, weight)):
        yield


class SimulatedGroup(ProcessGroup):
    """Ranks of which there is one: it receives what it sends."""

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        return list(numbers)

    def broadcast(self, value: T) -> T:
        return value

    def gather(self, value: T) -> list[T]:
        return [value]


@contextmanager
def fake_ranks(world_size: int) -> Generator[None]:
    """Let torch believe that this process is one of many."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()
        get_cached_causal_bias.cache_clear()  # of tensors without numbers


class AnyNumber(TorchDispatchMode):
    """Gives code that reads a number of a tensor without numbers a 1, and lets all positions count."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(t, DTensor) for t in types):
            return NotImplemented  # its shards come here next
        if func is torch.ops.aten._local_scalar_dense.default:
            dtype = args[0].dtype
            return True if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1
        if func is torch.ops.aten.nonzero.default:
            return torch.zeros(args[0].numel(), args[0].ndim, dtype=torch.int64)
        return func(*args, **(kwargs or {}))


@dataclass
class StorageMeter(TorchDispatchMode):
    """Adds up the bytes of the storages that exist, and their peak."""

    current: int = 0
    peak: int = 0
    sizes: dict[int, int] = field(default_factory=dict)  # by the address of the storage
    references: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __enter__(self) -> "StorageMeter":
        resize, meter = torch.UntypedStorage.resize_, self

        def resize_counted(storage: torch.UntypedStorage, size: int) -> Any:
            result = resize(storage, size)
            meter.count(storage)
            return result

        self.patcher = patch.object(torch.UntypedStorage, "resize_", resize_counted)
        self.patcher.start()
        super().__enter__()
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)
        self.patcher.stop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(t, DTensor) for t in types):
            return NotImplemented  # its shards come here next
        result = func(*args, **(kwargs or {}))
        self.add(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    def add(self, tensors: Any) -> None:
        """Count the storages of these tensors from now on."""
        for tensor in tensors:
            local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
            self.count(local.untyped_storage())

    def count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.sizes:
            self.references[key] = weakref.ref(storage, lambda _, key=key: self.forget(key))
        self.current += size - self.sizes.get(key, 0)
        self.sizes[key] = size
        self.peak = max(self.peak, self.current)

    def forget(self, key: int) -> None:
        self.current -= self.sizes.pop(key, 0)
        self.references.pop(key, None)

    def reset_peak(self) -> None:
        self.peak = self.current
