"""How much likelier a model finds samples than it did before it learned from ratings."""

from dataclasses import replace

import torch
from torch import Tensor

from genloom.noise import Noise
from genloom.types import Batch, Loss, Objective, Parts, Phase


def compute_implicit_reward(
    base: Objective[Batch], parts: Parts, reference: Parts, batch: Batch, phase: Phase, noise: Noise
) -> tuple[Tensor, Loss]:
    """The rise in log-likelihood of each row over the reference, B, in nats, and the loss of the model itself.

    Both see the same noise: where the loss is a bound estimated by a draw, the draw's own spread cancels out.
    """
    loss = base.loss(parts, batch, phase, noise)
    return compute_reference_nll(base, reference, batch, phase, noise) - loss.per_sample, loss


@torch.no_grad()
def compute_reference_nll(base: Objective[Batch], reference: Parts, batch: Batch, phase: Phase, noise: Noise) -> Tensor:
    """Minus log-likelihood of each row under the reference, B: what the batch brings along, or else computed."""
    if batch.reference_nll is not None:
        return batch.reference_nll
    assert reference, "without reference parts, the batch has to bring its reference"
    return base.loss(reference, batch, phase, noise).per_sample


def with_reference_nll(base: Objective[Batch], reference: Parts, batch: Batch, noise: Noise) -> Batch:
    """The batch with its reference written into it: one look a sample for a whole run, in place of one a step.

    Only for objectives whose loss is exact: the loss of the others is another one under each step's noise. The
    reference must compute as the model will, in its precision and without dropout, or the first rise is not zero.
    """
    return replace(batch, reference_nll=compute_reference_nll(base, reference, batch, base.phases[0], noise))
