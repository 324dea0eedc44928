"""What the last bits of a sum depend on: the machine as a record keeps it."""

import platform

import torch


def describe_machine() -> dict[str, str | int]:
    """What the last bits of a sum depend on."""
    return {
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
