"""Checkpoints that are written while training goes on."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from genloom.running_time import read_running_seconds
from genloom.store import mirror
from genloom.train.checkpoint import Snapshot, save_checkpoint, write_snapshot
from genloom.train.loop import TrainState
from genloom.train.parallel.group import ProcessGroup


@dataclass
class CheckpointWriter:
    """Writes the checkpoints of a run.

    On a GPU, with several processes, or for a workspace on a storage, a save only copies the state to the memory of the
    machine: a thread writes the copy, with the digests and in the order of any other checkpoint, and training goes on.
    A single process on processors writes at once, since a thread would take its processors and its memory.
    """

    state: TrainState
    folder: Path
    save_seconds: float = 0.0  # that training waited for the last save
    is_background: bool = field(init=False)
    _channel: ProcessGroup = field(init=False)
    _thread: threading.Thread | None = None
    _error: BaseException | None = None

    def __post_init__(self) -> None:
        group, device = self.state.parallel.group, next(self.state.parts.parameters()).device
        is_remote = mirror.find_mirror(self.folder) is not None
        self.is_background = group.world_size > 1 or device.type != "cpu" or is_remote
        self._channel = group.open_channel()

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._thread is not None and self._thread.is_alive()

    def save(self, should_keep: bool = False) -> None:
        """Save the present state, after the checkpoint before it is complete. Raise the error that ended that one."""
        started_at = read_running_seconds()
        self.finish()
        if self.is_background:
            snapshot = Snapshot.from_state(self.state).copy(self._channel)
            self._thread = threading.Thread(target=self._write, args=(snapshot, should_keep), daemon=True)
            self._thread.start()
        else:
            save_checkpoint(self.state, self.folder, should_keep)
        self.save_seconds = read_running_seconds() - started_at

    def finish(self) -> None:
        """Wait until the last checkpoint is complete; raise the error that ended it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def abandon(self) -> None:
        """Complete the last checkpoint after another error; of several processes, the others may not answer."""
        if self._thread is not None and self.state.parallel.group.world_size == 1:
            self._thread.join()

    def check(self) -> None:
        """Raise the error that ended a checkpoint, if one did."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _write(self, snapshot: Snapshot, should_keep: bool) -> None:
        try:
            write_snapshot(snapshot, self.folder, should_keep)
        except BaseException as error:  # raised by the thread that trains
            self._error = error
