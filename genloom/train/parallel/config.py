"""The table [parallel] of a job: how many devices train together, and what each of them holds."""

from dataclasses import dataclass
from math import isfinite

import torch

from genloom.errors import GenloomError

DDP, FSDP, TP = "ddp", "fsdp", "tp"
STRATEGIES = (DDP, FSDP, TP)
MAX_DEVICES = 65_536


@dataclass(frozen=True)
class ParallelConfig:
    """Each device has a process of its own, which computes its share of the rows of a step."""

    devices: int = 1  # that train together
    # "ddp": every device holds all weights; "fsdp": a share of weights, gradients and optimizer state; "tp": likewise,
    # of the blocks of a transformer, and computes its share of them for all rows.
    strategy: str = DDP
    timeout: float = 600.0  # seconds that a process may keep the others waiting before all of them are restarted
    max_restarts: int = 5  # in a row, without a step between two of them


def check_parallel(config: ParallelConfig) -> None:
    """Raise GenloomError (train.bad_parallel) for a setting out of range."""
    ranges = {
        "devices": (1 <= config.devices <= MAX_DEVICES, f"from 1 to {MAX_DEVICES:,}"),
        "strategy": (config.strategy in STRATEGIES, " or ".join(STRATEGIES)),
        "timeout": (isfinite(config.timeout) and config.timeout > 0, "a number of seconds above 0"),
        "max_restarts": (0 <= config.max_restarts <= 10**6, "from 0 to 1,000,000"),
    }
    for name, (is_valid, constraint) in ranges.items():
        if not is_valid:
            raise GenloomError("train.bad_parallel", name=name, value=getattr(config, name), constraint=constraint)


def check_devices(config: ParallelConfig, batch_size: int, is_local: bool) -> None:
    """Raise GenloomError if a device would have no row of a step, or if this machine has fewer GPUs."""
    if batch_size < config.devices and config.strategy != TP:
        raise GenloomError("train.too_few_rows", batch_size=batch_size, devices=config.devices)
    num_gpus = torch.cuda.device_count()
    if is_local and 0 < num_gpus < config.devices:
        raise GenloomError("train.too_few_devices", devices=config.devices, available=num_gpus)
