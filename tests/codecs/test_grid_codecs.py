"""Latents and codes of signals with one and three axes: grids, reconstructions, and stored codecs.

This module is also the codec \"array\" inside the autoencoders: an array is its own signal.
"""

import json
from dataclasses import asdict, dataclass
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
from genloom.types import Batch, SignalSpace, TokenSpace

NETWORK: dict[str, Any] = {"width": 8, "up_blocks": 1}
CASES = [  # size, downsampling, grid
    ((16,), (4,), (4,)),
    pytest.param((2, 8, 8), (1, 4, 4), (2, 2, 2), marks=pytest.mark.slow),
]


@dataclass(frozen=True)
class Config:
    size: tuple[int, ...] = ()
    has_lengths: bool = False


@dataclass(frozen=True)
class Codec:
    config: Config

    @property
    def space(self) -> SignalSpace:
        return SignalSpace(1, self.config.size, self.config.has_lengths)

    def encode(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)[None]

    def decode(self, x: Any) -> Any:
        return np.asarray(x)[0]

    def save(self, folder: Any) -> None:
        (folder / "codec.json").write_text(json.dumps({"codec": "array", **asdict(self.config)}))

    @classmethod
    def load(cls, folder: Any) -> "Codec":
        content = json.loads((folder / "codec.json").read_text())
        return cls(Config(tuple(content["size"]), content["has_lengths"]))


@pytest.fixture(autouse=True)
def array_codec(monkeypatch):
    entry_points = [EntryPoint("array", __name__, "genloom.codecs")]
    monkeypatch.setattr(plugins, "_list_entry_points", lambda kind: entry_points if kind == "codec" else [])


def make_arrays(size: tuple[int, ...], count: int = 64) -> list[np.ndarray]:
    """Arrays of one number each."""
    rng = np.random.default_rng(0)
    return [np.full(size, number) for number in rng.uniform(-1, 1, count)]


def train_model(
    size: tuple[int, ...], downsampling: tuple[int, ...], levels: tuple[int, ...] = (), has_lengths: bool = False
) -> Any:
    codec = Codec(Config(size, has_lengths))
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
    codes = codec.encode(make_arrays(size, 1)[0])
    assert np.array_equal(codec.decode(codes.reshape(grid)), codec.decode(codes))
    larger = codec.decode(np.concatenate([codes.reshape(grid)] * 2))  # a sample of another size
    assert np.shape(larger)[-len(size) :] == (2 * size[0], *size[1:])


@pytest.mark.parametrize("module", [latent, fsq_tokens])
def test_values_of_free_length_have_latents_of_free_length(module):
    """A sound of any length is a latent of as many positions as cover it, or a token sequence that ends."""
    levels = (5, 5) if module is fsq_tokens else ()
    model = train_model((16,), (4,), levels, has_lengths=True)
    values = [make_arrays((length,), 1)[0] for length in (16, 8, 3)]
    codec = module.from_model(model, values, module.Config())
    is_open = codec.space == TokenSpace(26, 5, bos=25, eos=25)
    assert is_open if levels else codec.space == SignalSpace(2, (4,), has_lengths=True)
    encodings = [codec.encode(value) for value in values]
    assert [x.shape[-1] for x in encodings] == [4, 2, 1]
    assert [len(codec.decode(x)) for x in encodings] == [16, 8, 4]
    check_codec(codec, values, lambda value, decoded: is_near(value, decoded[: len(value)]))
    full = codec.decode(encodings[0])
    assert np.allclose(codec.decode(encodings[1]), full[:8], atol=0.3)
    if levels:
        assert len(codec.decode(np.zeros(0, np.int64))) == 4
