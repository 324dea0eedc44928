"""Safeguards measure the part of a model that generates."""

from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from genloom.learn.safeguards.default import compute_losses
from genloom.noise import Noise


@pytest.mark.parametrize("name", ["adversarial-dense", "vae_gan-dense"])
def test_held_out_loss_is_that_of_the_generator_and_not_of_the_critic(toys: ModuleType, name: str) -> None:
    toy = toys.TOYS[name]
    parts, batch = toys.build_networks(toy), toys.build_batches(toy)(0)
    model = cast(Any, SimpleNamespace(parts=parts, objective=toy.objective, device="cpu"))
    critic_phase, phase = toy.objective.phases
    assert critic_phase.name == "critic"
    with torch.inference_mode():
        loss = toy.objective.loss(dict(parts.items()), batch, phase, Noise(0, tuple(range(len(batch)))))
    np.testing.assert_allclose(compute_losses(model, batch), loss.per_sample / loss.num_terms, rtol=1e-5)
