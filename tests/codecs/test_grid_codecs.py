"""Latents and codes of signals with one and three axes: grids, reconstructions, and stored codecs.

This module is also the codec \"array\" inside the autoencoders: an array is its own signal.
"""

import json
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from genloom import plugins
from genloom.codecs import fsq_tokens, latent
from genloom.model import Design
from genloom.networks import convolution
from genloom.objectives.vae_gan import VaeGan
from genloom.testing import check_codec
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.types import Batch, SignalSpace

NETWORK: dict[str, Any] = {"width": 8, "up_blocks": 1}
CASES = [((16,), (4,), (4,)), ((2, 8, 8), (1, 4, 4), (2, 2, 2))]  # size, downsampling, grid


@dataclass(frozen=True)
class Config:
    size: tuple[int, ...] = ()


@dataclass(frozen=True)
class Codec:
    config: Config

    @property
    def space(self) -> SignalSpace:
        return SignalSpace(1, self.config.size)

    def encode(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)[None]

    def decode(self, x: Any) -> Any:
        return np.asarray(x)[0]

    def save(self, folder: Any) -> None:
        (folder / "codec.json").write_text(json.dumps({"codec": "array", "size": self.config.size}))

    @classmethod
    def load(cls, folder: Any) -> "Codec":
        return cls(Config(tuple(json.loads((folder / "codec.json").read_text())["size"])))


@pytest.fixture(autouse=True)
def array_codec(monkeypatch):
    entry_points = [EntryPoint("array", __name__, "genloom.codecs")]
    monkeypatch.setattr(plugins, "_list_entry_points", lambda kind: entry_points if kind == "codec" else [])


def make_arrays(size: tuple[int, ...], count: int = 64) -> list[np.ndarray]:
    """Arrays of one number each."""
    rng = np.random.default_rng(0)
    return [np.full(size, number) for number in rng.uniform(-1, 1, count)]


def train_model(size: tuple[int, ...], downsampling: tuple[int, ...], levels: tuple[int, ...] = ()) -> Any:
    codec = Codec(Config(size))
    objective = VaeGan(
        codec.space,
        2,
        downsampling=downsampling,
        levels=levels,
        decoder_std=0.1,
        adv_weight=0.0,
        feature_matching_weight=0.0,
        laplacian_weight=0.1,
    )
    torch.manual_seed(0)
    config = convolution.Config(**NETWORK)
    parts = torch.nn.ModuleDict({n: convolution.build(s, config) for n, s in objective.network_specs.items()})
    x, plan = torch.from_numpy(np.stack([codec.encode(value) for value in make_arrays(size)])), TrainConfig(steps=60)
    for _ in train(objective, lambda step: Batch(x), plan, TrainState.from_parts(parts, objective, plan)):
        pass
    design = Design("array", "vae_gan", "convolution", medium="array", network_settings=NETWORK)
    return SimpleNamespace(name="toy", codec=codec, objective=objective, parts=parts, design=design)


def is_near(value: np.ndarray, decoded: np.ndarray) -> bool:
    return float(np.abs(value - decoded).mean()) < 0.3


@pytest.mark.parametrize(("size", "downsampling", "grid"), CASES)
def test_latents_of_signals(size, downsampling, grid):
    codec = latent.from_model(train_model(size, downsampling), make_arrays(size), latent.Config())
    assert codec.space == SignalSpace(2, grid)
    check_codec(codec, make_arrays(size, 4), is_near)


@pytest.mark.parametrize(("size", "downsampling", "grid"), CASES)
def test_codes_of_signals(size, downsampling, grid):
    codec = fsq_tokens.from_model(train_model(size, downsampling, levels=(5, 5)), [], fsq_tokens.Config())
    assert codec.space.grid == grid
    check_codec(codec, make_arrays(size, 4), is_near)
