"""A run's state on disk, known by its digest and written aside, so that a kill at any moment leaves a good one."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes

from genloom.model import machine
from genloom.store.files import digest, sweep, write_atomic
from genloom.train.loop import State

KEPT = 2  # the newest and the one before it, should the newest be damaged


@dataclass(frozen=True)
class Loaded:
    step: int
    warnings: tuple[str, ...]


def save(state: State, folder: Path, keep: bool = False) -> Path:
    """Write the state of this step; the small file beside it, with the digest, is written last and makes it count.

    `keep` marks a state that later ones do not push out: the one from which a run can be extended.
    """
    path = folder / f"{state.step:09d}.safetensors"
    keep = keep or any(facts["keep"] for other, facts in stored(folder) if other == path)
    data = as_bytes({n: t.detach().cpu().contiguous() for n, t in unshared(state.tensors()).items()})
    write_atomic(path, data)
    sha256 = hashlib.sha256(data).hexdigest()
    facts = {"step": state.step, "skipped": state.skipped, "keep": keep, "sha256": sha256, "machine": setting(state)}
    write_atomic(path.with_suffix(".json"), json.dumps(facts, indent=1))
    rewind(folder, state.step)  # what is newer belongs to a future that was given up: it was damaged
    tidy(folder)
    return path


def load(state: State, folder: Path) -> Loaded | None:
    """Fill `state` with the newest undamaged checkpoint; None where there was never one.

    Where all are damaged, `state` stays as it is, at its first step, and a warning says so. Raises ValueError for a
    checkpoint of another model.
    """
    amiss = [f"{path.name} cannot be read" for path in unreadable(folder)]
    for path, facts in [*stored(folder)]:
        if not path.exists():
            amiss.append(f"{path.name} is gone")
            continue
        if digest(path) != facts["sha256"]:
            amiss.append(f"{path.name} is damaged (its digest does not match)")
            continue
        try:
            state.load(load_file(path), facts["step"], facts["skipped"])
        except (KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(
                f"{path}: this checkpoint is of another model than the run's job.toml describes ({reason}). "
                "Put the job back as it was, or start a new run."
            ) from None
        warnings = [f"{reason}; the checkpoint of step {state.step:,} is used." for reason in amiss]
        was, now = facts["machine"], setting(state)
        if changed := [f"{k} {was.get(k)} → {v}" for k, v in now.items() if was.get(k) != v]:
            warnings.append(
                f"This machine is set up differently ({'; '.join(changed)}): the run goes on, but not to the same bits."
            )
        return Loaded(state.step, tuple(warnings))
    if not amiss:
        return None
    warnings = [f"{reason}." for reason in amiss]
    return Loaded(state.step, (*warnings, "No checkpoint of this run is whole: it starts again from its beginning."))


def setting(state: State) -> dict[str, str | int]:
    """What the last bits of a step depend on."""
    return {**machine(), "compiled": state.compiled}


def newest(folder: Path, before: int) -> int:
    """The step of the newest checkpoint that is not after step `before`; 0 where there is none."""
    return next((facts["step"] for _, facts in stored(folder) if facts["step"] <= before), 0)


def rewind(folder: Path, before: int) -> None:
    """Forget the checkpoints after step `before`."""
    for path, facts in [*stored(folder)]:
        if facts["step"] > before:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def keep(folder: Path, step: int) -> None:
    """Keep the checkpoint of this step, if there is one: later ones do not push it out."""
    for path, facts in stored(folder):
        if facts["step"] == step:
            write_atomic(path.with_suffix(".json"), json.dumps({**facts, "keep": True}, indent=1))


def stored(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Complete checkpoints, newest first; one whose facts cannot be read counts as not complete."""
    for facts_path in sorted(folder.glob("*.json"), reverse=True):
        try:
            facts = json.loads(facts_path.read_text())
        except (OSError, ValueError):
            continue
        complete = isinstance(facts, dict) and {"step", "skipped", "keep", "sha256", "machine"} <= facts.keys()
        if complete and facts_path.stem == str(facts["step"]).zfill(9):
            yield facts_path.with_suffix(".safetensors"), facts


def unreadable(folder: Path) -> list[Path]:
    """The facts of checkpoints that say nothing, as `stored` leaves them out."""
    whole = {path.stem for path, _ in stored(folder)}
    return sorted(path for path in folder.glob("*.json") if path.stem not in whole)


def tidy(folder: Path) -> None:
    """Remove all but the newest, the newest to keep, and what a kill during a save left behind."""
    plain = [path for path, facts in stored(folder) if not facts["keep"]]
    kept = [path for path, facts in stored(folder) if facts["keep"]]
    for path in plain[KEPT:] + kept[1:]:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    whole = {path.stem for path, _ in stored(folder)}
    for path in (*folder.glob("*.json"), *folder.glob("*.safetensors")):
        if path.stem not in whole:
            path.unlink(missing_ok=True)
    sweep(folder)


def unshared(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of tensors that are stored once but named twice (tied weights), which the file format refuses."""
    seen: set[int] = set()
    out = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        out[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return out
