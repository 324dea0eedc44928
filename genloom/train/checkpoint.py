"""Checkpoints of a run: atomic files with digests, so that a kill at any moment leaves an undamaged one."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes

from genloom.errors import GenloomError
from genloom.model import describe_machine
from genloom.old_names import upgrade_tensors
from genloom.store.files import hash_file, remove_stale_drafts, write_atomic
from genloom.store.manifest import write_record
from genloom.train.loop import TrainState

MAX_CHECKPOINTS = 2  # the newest, and the one before it in case the newest is damaged


@dataclass(frozen=True)
class LoadResult:
    step: int
    warnings: tuple[str, ...]


def save_checkpoint(state: TrainState, folder: Path, should_keep: bool = False) -> Path:
    """Write the state of this step.

    The metadata file with the digest is written last; without it the checkpoint does not count. `should_keep` pins the
    checkpoint from which a run can be extended: later saves do not remove it.
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
    write_record(path.with_suffix(".json"), metadata)
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
        if not path.exists():
            problems.append(f"{path.name} is missing")
            continue
        if hash_file(path) != metadata["sha256"]:
            problems.append(f"{path.name} is damaged (its digest does not match)")
            continue
        try:
            tensors = upgrade_checkpoint(load_file(path), state, network)
            state.load_tensors(tensors, metadata["step"], metadata["skipped"])
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise GenloomError("train.other_checkpoint", path=path, reason=reason) from None
        warnings = [f"{reason}; resuming from the checkpoint of step {state.step:,}." for reason in problems]
        saved_machine, current_machine = metadata["machine"], describe_environment(state)
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
    return {**describe_machine(), "compiled": state.is_compiled}


def find_newest_step(folder: Path, max_step: int) -> int:
    """Return the step of the newest checkpoint up to `max_step`; 0 if there is none."""
    return next((metadata["step"] for _, metadata in list_checkpoints(folder) if metadata["step"] <= max_step), 0)


def delete_checkpoints_after(folder: Path, step: int) -> None:
    """Delete the checkpoints after this step."""
    for path, metadata in [*list_checkpoints(folder)]:
        if metadata["step"] > step:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


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
        is_complete = isinstance(metadata, dict) and {"step", "skipped", "keep", "sha256", "machine"} <= metadata.keys()
        if is_complete and metadata_path.stem == str(metadata["step"]).zfill(9):
            yield metadata_path.with_suffix(".safetensors"), metadata


def list_unreadable(folder: Path) -> list[Path]:
    """Return the metadata files that `list_checkpoints` skips."""
    readable_stems = {path.stem for path, _ in list_checkpoints(folder)}
    return sorted(path for path in folder.glob("*.json") if path.stem not in readable_stems)


def prune_checkpoints(folder: Path) -> None:
    """Delete all but the newest checkpoints, the newest pinned one, and the leftovers of a killed save."""
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
    """Clone tensors that share storage under two names (tied weights), which safetensors refuses."""
    seen_storages: set[int] = set()
    untied_tensors = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        untied_tensors[name] = tensor.clone() if storage in seen_storages else tensor
        seen_storages.add(storage)
    return untied_tensors
