"""The bound on forgetting: a tuned model is moved back towards its base until it loses no more than allowed.

Between base and tuned weights, learning and forgetting both grow (Wortsman et al. 2022, WiSE-FT).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from genloom.model import Model

NUM_HALVINGS = 4  # the strength is found to a sixteenth


def limit_strength(model: Model, base: Mapping[str, Tensor], measure: Callable[[], float], limit: float) -> float:
    """Move the parameters in `base` towards it, in place, until `measure()` is at most `limit`.

    Return the strength: 1 where nothing had to be moved, 0 where even a sixteenth of the change is too much.
    """
    tuned = {name: p.detach().clone() for name, p in model.parts.named_parameters() if name in base}
    if measure() <= limit:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        interpolate_weights(model, base, tuned, middle)
        low, high = (middle, high) if measure() <= limit else (low, middle)
    interpolate_weights(model, base, tuned, low)
    return low


@torch.no_grad()
def interpolate_weights(model: Model, base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], strength: float) -> None:
    """Set the parameters to a mean of the base's and the tuned ones, of which `strength` is the share."""
    parameters = dict(model.parts.named_parameters())
    for name, tensor in tuned.items():
        parameters[name].copy_(torch.lerp(base[name].to(tensor), tensor, strength))
