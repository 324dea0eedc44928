"""The rows of a step that a process reads and computes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from genloom.train.parallel.group import ProcessGroup


@runtime_checkable
class RowBatches(Protocol):
    """Batches of a fixed size, of which single rows can be read; they depend on the step alone."""

    @property
    def batch_size(self) -> int: ...

    def read_rows(self, step: int, rows: slice) -> Any:
        """Return these rows of the batch of a step, as they are in the whole batch."""
        ...


@dataclass
class RowReader:
    """Reads the rows of this process, and if asked to, those of the next step while this one is computed."""

    batch_fn: Callable[[int], Any]
    group: ProcessGroup
    is_whole: bool  # whether all rows are read, to be prepared together before they are divided
    is_ahead: bool = False
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "rows"))
    _next: tuple[int, Future[tuple[Any, slice, int]]] | None = None

    def read(self, step: int) -> tuple[Any, slice, int]:
        """Return the rows of a step, which rows these are, and how many the step has."""
        if not (self.is_ahead and isinstance(self.batch_fn, RowBatches)):
            return read_share(self.batch_fn, step, self.group, self.is_whole)
        is_read = self._next is not None and self._next[0] == step
        result = self._next[1].result() if self._next is not None and is_read else self._read_now(step)
        self._next = step + 1, self._pool.submit(self._read_now, step + 1)
        return result

    def _read_now(self, step: int) -> tuple[Any, slice, int]:
        return read_share(self.batch_fn, step, self.group, self.is_whole)


def read_share(
    batch_fn: Callable[[int], Any], step: int, group: ProcessGroup, is_whole: bool
) -> tuple[Any, slice, int]:
    """Return the rows of a step that this process computes, which rows these are, and how many the step has.

    With `is_whole`, all rows are returned. Batches that are sampled from the model are made by every process.
    """
    if group.world_size > 1 and not is_whole and isinstance(batch_fn, RowBatches):
        rows = group.select_rows(batch_fn.batch_size)
        return batch_fn.read_rows(step, rows), rows, batch_fn.batch_size
    batch = batch_fn(step)
    rows = group.select_rows(len(batch))
    is_divided = group.world_size > 1 and not is_whole
    return batch.select_rows(rows) if is_divided else batch, rows, len(batch)
