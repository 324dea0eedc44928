"""The recipe of the upscaler: its network in torch is the one that is computed by NumPy."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from genloom.media.image.upscaling import FACTOR, load_upscaler
from recipes.icons.upscaler import Pair, UpscalerNetwork, build_batches, degrade_picture, load, save


def test_the_stored_network_computes_what_torch_computes(tmp_path: Path) -> None:
    network = UpscalerNetwork(width=6, blocks=2)
    for number, weight in enumerate(network.parameters()):
        nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(number))
    network.half().float()
    save(network, tmp_path / "weights.npz")
    x = np.random.default_rng(0).uniform(-1, 1, (7, 9, 3)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x.transpose(2, 0, 1))[None])[0].permute(1, 2, 0).numpy()
    stored = load_upscaler(tmp_path / "weights.npz")
    assert np.allclose(stored.compute_residual(x), expected, atol=1e-4)
    assert stored.margin == 6
    again = UpscalerNetwork(width=6, blocks=2)
    load(again, tmp_path / "weights.npz")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True))


def test_a_batch_shows_small_patches_and_what_their_enlargement_lacks() -> None:
    large = np.random.default_rng(0).integers(0, 256, (FACTOR * 40, FACTOR * 40, 3), dtype=np.uint8)
    small = degrade_picture(large, np.random.default_rng(1), None)
    assert small.shape == (40, 40, 3)
    x, residual = next(build_batches([Pair(small, large)]))
    assert x.shape[1:] == (3, 32, 32)
    assert residual.shape[1:] == (3, 128, 128)
    assert float(x.abs().max()) <= 1
