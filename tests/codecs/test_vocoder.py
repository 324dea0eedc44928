"""A vocoder as a codec: mel bands are its latent, which may be longer than the sounds that it was trained on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from genloom.codecs import latent, waveform
from genloom.model import Design
from genloom.networks import spectral
from genloom.objectives.variational import Variational
from genloom.testing import check_codec
from tests.codecs.test_image_codecs import make_model as make_image_model
from tests.errors import raises_code
from tests.sounds import make_noise, make_tone

NETWORK: dict[str, Any] = {"width": 8, "depth": 2, "bands": 8}
SOUNDS = [make_noise(1, 0.1), make_tone(440, 0.1), make_noise(2, 0.05)]


def make_vocoder() -> SimpleNamespace:
    """Return a stand-in for a loaded vocoder of 16 frames, which has not learned anything."""
    codec = waveform.Codec(waveform.Config(hop=64, frames=16, fills_silence=False, scale=5.0))
    objective = Variational(codec.space, latent=8, downsampling=(1,), beta=0.0, spectral_weight=1.0)
    torch.manual_seed(0)
    config = spectral.Config(**NETWORK)
    parts = torch.nn.ModuleDict({n: spectral.build(spec, config) for n, spec in objective.network_specs.items()})
    design = Design("waveform", "variational", "spectral", medium="audio", network_settings=NETWORK)
    return SimpleNamespace(name="vocoder", codec=codec, objective=objective, parts=parts, design=design)


def encode_alike(value: Any, other: Any) -> bool:
    """Return whether two sounds have the same number of frames: an untrained decoder knows no more."""
    return -(-value.frames // 64) == -(-other.frames // 64)


def test_its_latent_is_as_long_as_asked_for(tmp_path: Path) -> None:
    codec = latent.from_model(make_vocoder(), SOUNDS * 5, latent.Config("vocoder", length=40))
    assert (codec.space.channels, codec.space.size, codec.space.has_lengths) == (8, (40,), True)
    long = make_noise(3, 0.15)
    assert codec.encode(long).shape == (8, 38)
    assert codec.decode(codec.encode(long)).frames == 38 * 64
    check_codec(codec, [*SOUNDS, long], encode_alike)
    short = latent.from_model(make_vocoder(), SOUNDS * 5, latent.Config("vocoder"))
    assert short.encode(long).shape == (8, 16)
    assert torch.allclose(short.autoencoder.encode(SOUNDS[2]), codec.autoencoder.encode(SOUNDS[2]), atol=1e-5)


def test_what_cannot_be_longer_is_refused() -> None:
    with raises_code("codecs.latent_length_is_fixed"):
        latent.from_model(make_image_model(), [np.zeros((8, 8, 3), np.uint8)] * 5, latent.Config(length=9))
    with pytest.raises(ValueError, match=r"codec\.length"):
        latent.Config(length=-1)
