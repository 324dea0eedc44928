"""A run's state on disk, known by its digest and written aside, so that a kill at any moment leaves a good one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as as_bytes

from genloom.model import machine
from genloom.store.files import digest, write_atomic
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
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{state.step:09d}.safetensors"
    write_atomic(path, as_bytes({n: t.detach().cpu().contiguous() for n, t in unshared(state.tensors()).items()}))
    facts = {"step": state.step, "skipped": state.skipped, "keep": keep, "sha256": digest(path), "machine": machine()}
    write_atomic(path.with_suffix(".json"), json.dumps(facts, indent=1))
    tidy(folder)
    return path


def load(state: State, folder: Path) -> Loaded | None:
    """Fill `state` with the newest undamaged checkpoint; None where there is none."""
    warnings: list[str] = []
    for path, facts in stored(folder):
        if not path.exists() or digest(path) != facts.get("sha256"):
            warnings.append(f"{path.name} is damaged (its digest does not match); the one before it is used.")
            continue
        flat = load_file(path)
        state.load(flat, facts["step"], facts["skipped"])
        changed = [f"{k} {facts['machine'].get(k)} → {v}" for k, v in machine().items() if facts["machine"].get(k) != v]
        if changed:
            warnings.append(
                f"This machine is set up differently ({'; '.join(changed)}): the run goes on, but not to the same bits."
            )
        return Loaded(state.step, tuple(warnings))
    return None


def rewind(folder: Path, before: int) -> int:
    """Forget the checkpoints after step `before`, where the learning rate began to decay; returns the newest left."""
    found = [(path, facts["step"]) for path, facts in stored(folder)]
    for path, step in found:
        if step > before:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    return max((step for _, step in found if step <= before), default=0)


def stored(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Complete checkpoints, newest first; one whose facts cannot be read counts as not complete."""
    for facts_path in sorted(folder.glob("*.json"), reverse=True):
        try:
            facts = json.loads(facts_path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and {"step", "skipped", "machine"} <= facts.keys():
            yield facts_path.with_suffix(".safetensors"), facts


def tidy(folder: Path) -> None:
    plain = [path for path, facts in stored(folder) if not facts["keep"]]
    kept = [path for path, facts in stored(folder) if facts["keep"]]
    for path in plain[KEPT:] + kept[1:]:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def unshared(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of tensors that are stored once but named twice (tied weights), which the file format refuses."""
    seen: set[int] = set()
    out = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        out[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return out
