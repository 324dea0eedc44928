"""A run's state on disk, known by its digest and written aside, so that a kill at any moment leaves a good one."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes

from genloom.model import describe_machine
from genloom.store.files import hash_file, remove_stale_drafts, write_atomic
from genloom.train.loop import TrainState

MAX_CHECKPOINTS = 2  # the newest and the one before it, should the newest be damaged


@dataclass(frozen=True)
class LoadResult:
    step: int
    warnings: tuple[str, ...]


def save(state: TrainState, folder: Path, should_keep: bool = False) -> Path:
    """Write the state of this step; the small file beside it, with the digest, is written last and makes it count.

    `keep` marks a state that later ones do not push out: the one from which a run can be extended.
    """
    path = folder / f"{state.step:09d}.safetensors"
    should_keep = should_keep or any(
        metadata["keep"] for other_path, metadata in list_checkpoints(folder) if other_path == path
    )
    data = as_bytes({n: t.detach().cpu().contiguous() for n, t in clone_tied_tensors(state.to_tensors()).items()})
    write_atomic(path, data)
    sha256 = hashlib.sha256(data).hexdigest()
    metadata = {
        "step": state.step,
        "skipped": state.skipped_steps,
        "keep": should_keep,
        "sha256": sha256,
        "machine": describe_environment(state),
    }
    write_atomic(path.with_suffix(".json"), json.dumps(metadata, indent=1))
    delete_checkpoints_after(folder, state.step)  # what is newer belongs to a future that was given up: it was damaged
    prune_checkpoints(folder)
    return path


def load(state: TrainState, folder: Path) -> LoadResult | None:
    """Fill `state` with the newest undamaged checkpoint; None where there was never one.

    Where all are damaged, `state` stays as it is, at its first step, and a warning says so. Raises ValueError for a
    checkpoint of another model.
    """
    problems = [f"{path.name} cannot be read" for path in list_unreadable(folder)]
    for path, metadata in [*list_checkpoints(folder)]:
        if not path.exists():
            problems.append(f"{path.name} is gone")
            continue
        if hash_file(path) != metadata["sha256"]:
            problems.append(f"{path.name} is damaged (its digest does not match)")
            continue
        try:
            state.load_tensors(load_file(path), metadata["step"], metadata["skipped"])
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(
                f"{path}: this checkpoint is of another model than the run's job.toml describes ({reason}). "
                "Put the job back as it was, or start a new run."
            ) from None
        warnings = [f"{reason}; the checkpoint of step {state.step:,} is used." for reason in problems]
        saved_machine, current_machine = metadata["machine"], describe_environment(state)
        if differences := [
            f"{k} {saved_machine.get(k)} → {v}" for k, v in current_machine.items() if saved_machine.get(k) != v
        ]:
            warnings.append(
                f"This machine is set up differently ({'; '.join(differences)}): the run goes on, but not to the same bits."
            )
        return LoadResult(state.step, tuple(warnings))
    if not problems:
        return None
    warnings = [f"{reason}." for reason in problems]
    return LoadResult(
        state.step, (*warnings, "No checkpoint of this run is whole: it starts again from its beginning.")
    )


def describe_environment(state: TrainState) -> dict[str, str | int]:
    """What the last bits of a step depend on."""
    return {**describe_machine(), "compiled": state.is_compiled}


def find_newest_step(folder: Path, max_step: int) -> int:
    """The step of the newest checkpoint that is not after step `before`; 0 where there is none."""
    return next((metadata["step"] for _, metadata in list_checkpoints(folder) if metadata["step"] <= max_step), 0)


def delete_checkpoints_after(folder: Path, step: int) -> None:
    """Forget the checkpoints after step `before`."""
    for path, metadata in [*list_checkpoints(folder)]:
        if metadata["step"] > step:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def pin_checkpoint(folder: Path, step: int) -> None:
    """Keep the checkpoint of this step, if there is one: later ones do not push it out."""
    for path, metadata in list_checkpoints(folder):
        if metadata["step"] == step:
            write_atomic(path.with_suffix(".json"), json.dumps({**metadata, "keep": True}, indent=1))


def list_checkpoints(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Complete checkpoints, newest first; one whose facts cannot be read counts as not complete."""
    for metadata_path in sorted(folder.glob("*.json"), reverse=True):
        try:
            metadata = json.loads(metadata_path.read_text())
        except (OSError, ValueError):
            continue
        is_complete = isinstance(metadata, dict) and {"step", "skipped", "keep", "sha256", "machine"} <= metadata.keys()
        if is_complete and metadata_path.stem == str(metadata["step"]).zfill(9):
            yield metadata_path.with_suffix(".safetensors"), metadata


def list_unreadable(folder: Path) -> list[Path]:
    """The facts of checkpoints that say nothing, as `stored` leaves them out."""
    readable_stems = {path.stem for path, _ in list_checkpoints(folder)}
    return sorted(path for path in folder.glob("*.json") if path.stem not in readable_stems)


def prune_checkpoints(folder: Path) -> None:
    """Remove all but the newest, the newest to keep, and what a kill during a save left behind."""
    unpinned_paths = [path for path, metadata in list_checkpoints(folder) if not metadata["keep"]]
    pinned_paths = [path for path, metadata in list_checkpoints(folder) if metadata["keep"]]
    for path in unpinned_paths[MAX_CHECKPOINTS:] + pinned_paths[1:]:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    readable_stems = {path.stem for path, _ in list_checkpoints(folder)}
    for path in (*folder.glob("*.json"), *folder.glob("*.safetensors")):
        if path.stem not in readable_stems:
            path.unlink(missing_ok=True)
    remove_stale_drafts(folder)


def clone_tied_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of tensors that are stored once but named twice (tied weights), which the file format refuses."""
    seen_storages: set[int] = set()
    untied_tensors = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        untied_tensors[name] = tensor.clone() if storage in seen_storages else tensor
        seen_storages.add(storage)
    return untied_tensors
