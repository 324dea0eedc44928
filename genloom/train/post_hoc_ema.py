"""Averages of the weights whose width is chosen after training (post-hoc EMA; Karras et al. 2024, arXiv 2312.02696).

Training tracks two averages with power-function profiles and stores both now and then. Their profiles span others:
at the end, an average of any width is a weighted sum of what was stored, and the one with the lowest loss is kept.
The width is relative to the length of the run: the standard deviation of a profile as a share of it.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from genloom.model import Model
from genloom.store import mirror
from genloom.train.parallel.tensor_files import write_whole

STDS = (0.05, 0.10)  # the widths that are tracked
CANDIDATE_STDS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.14)
SUFFIX = ".safetensors"


def compute_power(std: float) -> float:
    """Return the power gamma of the profile t^gamma whose relative standard deviation is `std` (above 0, below 0.28).

    Its variance is (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) of the squared length.
    """
    variance = std**-2
    return float(np.roots([1, 7, 16 - variance, 12 - variance]).real.max())


def compute_decay(step: int, power: float) -> float:
    """Return the share of the average that stays at a step; the first is 1, and takes the weights alone."""
    return (1 - 1 / step) ** (power + 1)


POWERS = tuple(map(compute_power, STDS))


def solve_coefficients(steps: Sequence[int], stds: Sequence[float], step: int, std: float) -> np.ndarray:
    """Return the weights, which sum to 1, of stored averages (their steps and widths) in one of `step` and `std`.

    They minimise the squared distance of the profiles.
    """
    powers = np.array([compute_power(each) for each in stds])
    times, power = np.array(steps, float), compute_power(std)
    gram = _multiply_profiles(times[:, None], powers[:, None], times, powers)
    target = _multiply_profiles(times, powers, np.array(float(step)), np.array(power))
    weights = np.linalg.lstsq(gram, target, rcond=1e-12)[0]
    return weights / weights.sum()


def _multiply_profiles(first: np.ndarray, first_power: np.ndarray, second: np.ndarray, power: np.ndarray) -> np.ndarray:
    """Return the inner products of profiles that end at `first` and `second`, each with its power."""
    exponent = np.where(first < second, power, -first_power)
    scale = (first_power + 1) * (power + 1) / (first_power + power + 1)
    return scale * (first / second) ** exponent / np.maximum(first, second)


def is_snapshot_step(step: int, steps: int, num_snapshots: int) -> bool:
    """Return whether the averages are stored at a step of a run; always at its last."""
    return bool(num_snapshots) and (step == steps or step % max(steps // num_snapshots, 1) == 0)


def save_snapshot(averages: Sequence[nn.ModuleDict], folder: Path, step: int) -> None:
    """Store the averages of a step, in half precision."""
    folder.mkdir(exist_ok=True)
    for std, average in zip(STDS, averages, strict=True):
        tensors = {name: param.detach().half() for name, param in average.named_parameters()}
        write_whole(tensors, folder / f"{step:09d}-{std}{SUFFIX}")


def list_snapshots(folder: Path) -> list[tuple[int, float, Path]]:
    """Return the step, the width and the file of each stored average."""
    found = [(path.stem.split("-"), path) for path in sorted(folder.glob(f"*-*{SUFFIX}"))]
    return [(int(step), float(std), path) for (step, std), path in found]


def delete_snapshots_after(folder: Path, step: int) -> None:
    """Delete what was stored after a step, from which a run goes on in another way."""
    for other_step, _, path in list_snapshots(folder):
        if other_step > step:
            mirror.remove_path(path)


def build_average(model: Model, folder: Path, step: int, std: float) -> Model:
    """Return the model with the average of this width at a step of its run."""
    snapshots = [each for each in list_snapshots(folder) if each[0] <= step]
    weights = solve_coefficients([each[0] for each in snapshots], [each[1] for each in snapshots], step, std)
    parts = deepcopy(model.parts).requires_grad_(False)
    params = dict(parts.named_parameters())
    torch._foreach_zero_([param.data for param in params.values()])
    for (_, _, path), weight in zip(snapshots, weights, strict=True):
        for name, tensor in load_file(path).items():
            params[name].data.add_(tensor.to(params[name].device, torch.float32), alpha=float(weight))
    return replace(model, parts=parts.eval())


def choose_average(
    model: Model, folder: Path, step: int, measure_loss: Callable[[Model], float]
) -> tuple[Model, dict[str, Any]]:
    """Return the model, with its weights or those of the average that has the lowest loss, and what was measured."""
    best, losses = (measure_loss(model), 0.0, model), {}
    losses["as_trained"] = round(best[0], 5)
    for std in CANDIDATE_STDS:
        candidate = build_average(model, folder, step, std)
        loss = measure_loss(candidate)
        losses[str(std)] = round(loss, 5)
        best = min(best, (loss, std, candidate), key=lambda each: each[0])
    return best[2], {"post_hoc_ema": {"std": best[1], "losses": losses}}
