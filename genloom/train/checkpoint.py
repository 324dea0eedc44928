"""Checkpoints of a run: atomic files with digests, so that a kill at any moment leaves an undamaged one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from genloom.errors import GenloomError
from genloom.model import describe_machine
from genloom.old_names import upgrade_tensors
from genloom.store import mirror
from genloom.store.files import remove_stale_drafts
from genloom.store.manifest import write_record
from genloom.train.loop import TrainState
from genloom.train.parallel.group import ProcessGroup
from genloom.train.parallel.strategy import Parallel
from genloom.train.parallel.tensor_files import (
    SHARDS_SUFFIX,
    WHOLE_SUFFIX,
    delete_checkpoint,
    find_damage,
)

MAX_CHECKPOINTS = 2  # the newest, and the one before it in case the newest is damaged


@dataclass(frozen=True)
class LoadResult:
    step: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """The state of a step as a checkpoint holds it, and the processes that write it."""

    tensors: Mapping[str, torch.Tensor]
    step: int
    skipped_steps: int
    machine: Mapping[str, str | int]
    parallel: Parallel

    @classmethod
    def from_state(cls, state: TrainState) -> "Snapshot":
        """Return the present state, with its own tensors, which training changes."""
        environment = describe_environment(state)
        return cls(state.to_tensors(), state.step, state.skipped_steps, environment, state.parallel)

    def copy(self, group: ProcessGroup) -> "Snapshot":
        """Copy the tensors, to be written by processes with other channels."""
        tensors = self.parallel.copy_tensors(self.tensors)
        return replace(self, tensors=tensors, parallel=self.parallel.with_group(group))


def save_checkpoint(state: TrainState, folder: Path, should_keep: bool = False) -> Path:
    """Write the state of this step, as `write_snapshot` does."""
    return write_snapshot(Snapshot.from_state(state), folder, should_keep)


def write_snapshot(state: Snapshot, folder: Path, should_keep: bool = False) -> Path:
    """Write the state of a step.

    The metadata file with the digest is written last; without it the checkpoint does not count. `should_keep` pins the
    checkpoint from which a run can be extended: later saves do not remove it.
    """
    path = folder / f"{state.step:09d}{WHOLE_SUFFIX}"
    digests = state.parallel.save_tensors(state.tensors, path)
    if not state.parallel.group.is_main:
        return path
    should_keep = should_keep or any(
        metadata["keep"] for other_path, metadata in list_checkpoints(folder) if other_path.stem == path.stem
    )
    metadata = {
        "step": state.step,
        "skipped": state.skipped_steps,
        "keep": should_keep,
        "machine": dict(state.machine),
    }
    is_whole = list(digests) == [path.name]
    stored = {"sha256": digests[path.name]} if is_whole else {"files": digests}
    write_record(path.with_suffix(".json"), {**metadata, **stored})
    delete_checkpoints_after(folder, state.step)  # newer ones are damaged leftovers of an abandoned continuation
    prune_checkpoints(folder)
    return path


def load_checkpoint(state: TrainState, folder: Path, network: str = "") -> LoadResult | None:
    """Fill `state` with the newest undamaged checkpoint; return None if there is no checkpoint.

    If all are damaged, `state` stays at its first step and a warning says so. `network` is the name of the networks'
    part, for checkpoints whose tensors have older names. Raises ValueError for a checkpoint of another model.
    """
    problems = [f"{path.name} cannot be read" for path in list_unreadable(folder)]
    for path, metadata in [*list_checkpoints(folder)]:
        if damage := find_shared_damage(path, metadata, state.parallel.group):
            problems.append(damage)
            continue
        try:
            tensors = state.parallel.load_tensors(path, state.parts.state_dict())
            tensors = upgrade_checkpoint(tensors, state, network)
            state.load_tensors(tensors, metadata["step"], metadata["skipped"])
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise GenloomError("train.other_checkpoint", path=path, reason=reason) from None
        warnings = [f"{reason}; resuming from the checkpoint of step {state.step:,}." for reason in problems]
        saved_machine, current_machine = {"processes": 1, **metadata["machine"]}, describe_environment(state)
        if differences := [
            f"{k} {saved_machine.get(k, 'not recorded')} → {v}"
            for k, v in current_machine.items()
            if saved_machine.get(k) != v
        ]:
            warnings.append(
                f"This machine is set up differently ({'; '.join(differences)}). The run continues, but its weights "
                "will not be bit-identical to those of an uninterrupted run."
            )
        return LoadResult(state.step, tuple(warnings))
    if not problems:
        return None
    warnings = [f"{reason}." for reason in problems]
    return LoadResult(state.step, (*warnings, "No checkpoint of this run is undamaged: it restarts from step 0."))


def find_shared_damage(path: Path, metadata: Mapping[str, Any], group: ProcessGroup) -> str:
    """Return what is wrong with a checkpoint, or ""; each process reads some of its files."""
    with group.main_first():
        mirror.fetch_files(path)
    digests = list(metadata["files"].items()) if "files" in metadata else [(path.name, metadata["sha256"])]
    found = group.gather(find_damage(path, dict(digests[group.rank :: group.world_size])))
    return next(filter(None, found), "")


def upgrade_checkpoint(
    tensors: Mapping[str, torch.Tensor], state: TrainState, network: str
) -> Mapping[str, torch.Tensor]:
    """Rename the tensors of a checkpoint that an earlier version of Genloom wrote; others are returned as they are."""
    if all(f"parts/{name}" in tensors for name in state.parts.state_dict()):
        return tensors
    new_names = upgrade_tensors(network, tensors)
    return {new_names[name]: tensor for name, tensor in tensors.items()}


def describe_environment(state: TrainState) -> dict[str, str | int]:
    """Return everything that the last bits of a step depend on."""
    return {**describe_machine(), "compiled": state.is_compiled, "processes": state.parallel.group.world_size}


def find_newest_step(folder: Path, max_step: int) -> int:
    """Return the step of the newest checkpoint up to `max_step`; 0 if there is none."""
    return next((metadata["step"] for _, metadata in list_checkpoints(folder) if metadata["step"] <= max_step), 0)


def delete_checkpoints_after(folder: Path, step: int) -> None:
    """Delete the checkpoints after this step."""
    for path, metadata in [*list_checkpoints(folder)]:
        if metadata["step"] > step:
            delete_checkpoint(path)


def pin_checkpoint(folder: Path, step: int) -> None:
    """Keep the checkpoint of this step, if it exists, when later ones are saved."""
    for path, metadata in list_checkpoints(folder):
        if metadata["step"] == step:
            write_record(path.with_suffix(".json"), {**metadata, "keep": True})


def list_checkpoints(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Yield complete checkpoints with their metadata, newest first; unreadable metadata counts as incomplete."""
    for metadata_path in sorted(folder.glob("*.json"), reverse=True):
        try:
            metadata = json.loads(metadata_path.read_text())
        except (OSError, ValueError):
            continue
        is_complete = isinstance(metadata, dict) and {"step", "skipped", "keep", "machine"} <= metadata.keys()
        is_complete = is_complete and ("files" in metadata or "sha256" in metadata)
        if is_complete and metadata_path.stem == str(metadata["step"]).zfill(9):
            yield metadata_path.with_suffix(SHARDS_SUFFIX if "files" in metadata else WHOLE_SUFFIX), metadata


def list_unreadable(folder: Path) -> list[Path]:
    """Return the metadata files that `list_checkpoints` skips."""
    readable_stems = {path.stem for path, _ in list_checkpoints(folder)}
    return sorted(path for path in folder.glob("*.json") if path.stem not in readable_stems)


def prune_checkpoints(folder: Path) -> None:
    """Delete all but the newest checkpoints, the newest pinned one, and the leftovers of a killed save."""
    unpinned_paths = [path for path, metadata in list_checkpoints(folder) if not metadata["keep"]]
    pinned_paths = [path for path, metadata in list_checkpoints(folder) if metadata["keep"]]
    for path in unpinned_paths[MAX_CHECKPOINTS:] + pinned_paths[1:]:
        delete_checkpoint(path)
    complete = {path for path, _ in list_checkpoints(folder)}
    for path in (*folder.glob(f"*{WHOLE_SUFFIX}"), *folder.glob(f"*{SHARDS_SUFFIX}")):
        if path not in complete:
            mirror.remove_path(path)
    for path in list_unreadable(folder):
        mirror.remove_path(path)
    remove_stale_drafts(folder)
