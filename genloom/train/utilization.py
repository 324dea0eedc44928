"""The share of the arithmetic of the devices that a run used (MFU, Chowdhery et al. 2022, appendix B)."""

from collections.abc import Mapping

import torch

from genloom.model import Model
from genloom.train.job import Job
from genloom.train.planning.devices import DeviceKind, find_device_kind
from genloom.train.planning.network_sizes import measure_sizes
from genloom.types import TokenSpace


def measure_utilization(
    model: Model, job: Job, kinds: Mapping[str, DeviceKind], units_per_second: float
) -> dict[str, float]:
    """Return the operations a second of the networks, and their share of what the table says of the devices.

    A network of tokens needs the same for each; of others this is not known. The share is of GPUs only.
    """
    space = model.codec.space
    if job.adapter or not units_per_second or not isinstance(space, TokenSpace):
        return {}
    sizes = measure_sizes(job.design, space, job.plan.optimizer)
    flops = sizes.flops_per_position * units_per_second
    measured = {"model_tflops_per_second": float(f"{flops / 1e12:.4g}")}
    kind = find_device_kind(torch.cuda.get_device_name(), dict(kinds)) if torch.cuda.is_available() else None
    if kind is not None:
        measured["mfu"] = round(flops / (kind.tflops * 1e12 * job.parallel.devices), 4)
    return measured
