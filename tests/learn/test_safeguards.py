"""Safeguards measure the part of a model that generates."""

from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from genloom.learn.safeguards import text
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


@pytest.mark.parametrize(
    ("languages", "expected"),
    [({}, True), ({"en": 5, "de": 4}, True), ({"de": 5, "en": 4, "und": 9}, False), ({"und": 9, "zxx": 3}, True)],
)
def test_english_word_lists_are_for_models_of_english_data(
    languages: dict[str, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = SimpleNamespace(manifest={"languages": languages})
    monkeypatch.setattr(text, "get_dataset", lambda workspace, model: dataset)
    assert text.is_english(cast(Any, None), cast(Any, None)) == expected
    monkeypatch.setattr(text, "get_dataset", lambda workspace, model: None)
    assert text.is_english(cast(Any, None), cast(Any, None))
