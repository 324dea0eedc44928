"""The properties of the machine that affect the last bits of floating-point sums, for records."""

import platform

import torch

from genloom.processors import describe_processor


def describe_machine() -> dict[str, str | int]:
    """Return the properties that affect the last bits of floating-point sums."""
    return {
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "kind": describe_processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
