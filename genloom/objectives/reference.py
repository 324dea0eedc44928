"""The implicit reward: how much more likely a model finds samples than its reference does."""

from dataclasses import replace

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Loss, Objective, Parts, Phase


def compute_implicit_reward(
    base: Objective[Batch], parts: Parts, reference: Parts, batch: Batch, phase: Phase, noise: Noise
) -> tuple[Tensor, Loss]:
    """Return the log-ratio of each row between model and reference, B, in nats, and the loss of the model itself.

    Both use the same noise: if the loss is a stochastic bound, the variance of its noise cancels out.
    """
    loss = base.loss(parts, batch, phase, noise)
    return compute_reference_nll(base, reference, batch, phase, noise) - loss.per_sample, loss


@torch.no_grad()
def compute_reference_nll(base: Objective[Batch], reference: Parts, batch: Batch, phase: Phase, noise: Noise) -> Tensor:
    """Return the negative log-likelihood of each row under the reference, B: from the batch, or else computed."""
    if batch.reference_nll is not None:
        return batch.reference_nll
    assert reference, "without reference parts, the batch must have a reference_nll"
    return base.loss(reference, batch, phase, noise).per_sample


def with_reference_nll(base: Objective[Batch], reference: Parts, batch: Batch, noise: Noise) -> Batch:
    """Return the batch with its reference_nll, so that a run computes it once per sample, not once per step.

    Only for objectives whose loss is exact: the loss of the others depends on the noise of each step. The reference
    must compute like the model, in the same precision and without dropout, or the first log-ratio is not zero.
    """
    return replace(batch, reference_nll=compute_reference_nll(base, reference, batch, base.phases[0], noise))
