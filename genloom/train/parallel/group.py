"""The processes of a run, one for each device: their ranks, and how they exchange values.

A run has one process unless its job names more devices; then `ProcessGroup` has one rank, and none of its methods
sends anything. Processes find each other through the environment of `torchrun` (RANK, WORLD_SIZE, MASTER_ADDR,
MASTER_PORT), which other launchers set too, or through a file (`launch.py`).
"""

import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

BUCKET_BYTES = 1 << 25  # of gradients that are summed in one message
MEETING_SECONDS = 7200.0  # that processes wait for each other: the first may still encode the data


def ignore_wait(seconds: float) -> None:
    """Take no note of how long a process computed before it waits for the others."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together; by default, one that is alone."""

    rank: int = 0
    world_size: int = 1
    begin_wait: Callable[[float], None] = ignore_wait  # is told the seconds of work of each step, before its sums
    channel: Any = None  # torch's group whose messages these are; None: the one of all processes

    @property
    def is_main(self) -> bool:
        """Whether this is the process that plans, logs and stores."""
        return self.rank == 0

    def select_rows(self, count: int) -> slice:
        """Return the rows that this process computes, of a batch with so many."""
        return slice(self.rank * count // self.world_size, (self.rank + 1) * count // self.world_size)

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """Return the sums of these numbers over all processes."""
        if self.world_size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(sums, group=self.channel)
        return sums.tolist()

    def sum_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Replace the tensors by their sums over all processes, which have the same bits in each of them."""
        if self.world_size == 1:
            return
        pending = []
        for bucket in split_buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            pending.append((bucket, flat, dist.all_reduce(flat, group=self.channel, async_op=True)))
        for bucket, flat, work in pending:
            work.wait()
            sums = flat.split([tensor.numel() for tensor in bucket])
            torch._foreach_copy_(bucket, [s.view_as(tensor) for s, tensor in zip(sums, bucket, strict=True)])

    def broadcast(self, value: T) -> T:
        """Return the value that the main process has."""
        if self.world_size == 1:
            return value
        values: list[Any] = [value if self.is_main else None]
        dist.broadcast_object_list(values, group=self.channel)
        return values[0]

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value, group=self.channel)
        return values

    def open_channel(self) -> "ProcessGroup":
        """Return the same processes with messages of their own, for a thread beside training; all of them call it."""
        return self if self.world_size == 1 else replace(self, channel=dist.new_group(backend="gloo"))

    @contextmanager
    def limit_wait(self, seconds: float) -> Generator[None]:
        """End messages of the block in an error that take longer, as those do that a cut network never delivers."""
        if self.world_size == 1:
            yield
            return
        set_timeout(seconds)
        try:
            yield
        finally:
            set_timeout(MEETING_SECONDS)

    @contextmanager
    def main_first(self) -> Generator[None]:
        """Let the main process do the work of the block before the others, which then find its files."""
        if not self.is_main:
            self.broadcast(None)
        yield
        if self.is_main:
            self.broadcast(None)


ALONE = ProcessGroup()


def split_buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Split tensors into lists of one type each, of about BUCKET_BYTES."""
    buckets: list[list[Tensor]] = []
    num_bytes = 0
    for tensor in tensors:
        if not buckets or num_bytes >= BUCKET_BYTES or tensor.dtype != buckets[-1][0].dtype:
            buckets.append([])
            num_bytes = 0
        buckets[-1].append(tensor)
        num_bytes += tensor.nbytes
    return buckets


def set_timeout(seconds: float) -> None:
    """Set how long a message between all processes may take."""
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=seconds))


@contextmanager
def join_group(
    begin_wait: Callable[[float], None] = ignore_wait,
    store_file: Path | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Generator[ProcessGroup]:
    """Join the processes of this run for the time of the block.

    They meet at `store_file`, or as the environment says; without either, the process is alone. A group of processes
    that torch has already is used as it is, and stays.
    """
    if dist.is_available() and dist.is_initialized():
        yield ProcessGroup(dist.get_rank(), dist.get_world_size(), begin_wait)
        return
    if store_file is None:
        rank, world_size = read_rank(), int(os.environ.get("WORLD_SIZE", "1"))
        if world_size == 1:
            yield ALONE
            return
    elif sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        init_method="env://" if store_file is None else store_file.as_uri(),
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=MEETING_SECONDS),
    )
    try:
        yield ProcessGroup(rank, world_size, begin_wait)
    finally:
        dist.destroy_process_group()


def read_rank() -> int:
    """Return the rank that the environment gives this process; 0 if it gives none."""
    return int(os.environ.get("RANK", "0"))
