"""Autoencoders as codecs of other models, and unconditional image generators."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from genloom.generate import engine
from genloom.model import Model, load_model
from genloom.noise import Noise
from genloom.plugins import find_part
from genloom.store.workspace import Workspace
from genloom.train.run import TrainRequest, train_model
from genloom.types import SignalSpace, TokenSpace

PICTURES = {
    "codec.name": "pixels",
    "codec.size": "8",
    "network.width": "8",
    "batch_size": "8",
    "plan.precision": "float32",
}
AUTOENCODER = {**PICTURES, "objective.grid": "[4, 4]", "objective.latent": "3", "objective.beta": "0.1"}
QUANTISED = {**AUTOENCODER, "objective.levels": "[5, 5, 5]"}
SMALL = {
    "network.width": "16",
    "network.depth": "1",
    "batch_size": "8",
    "text_encoder.name": "words",
    "plan.precision": "float32",
}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    worlds.create_image_dataset(workspace)
    return workspace


def train(workspace: Workspace, name: str, objective: str, overrides: dict[str, str], steps: int = 4) -> Model:
    settings = {"objective.name": objective, **overrides}
    for _ in train_model(workspace, TrainRequest("tiles", name=name, steps=steps, overrides=settings)):
        pass
    return load_model(workspace, name)


def sample_images(model: Model, count: int = 2, **params: Any) -> list[np.ndarray]:
    kind = find_part("objective", model.design.objective)
    noise = Noise(0, tuple(range(count)))
    *_, x = model.objective.sample(dict(model.parts.items()), count, None, noise, kind.SamplingParams(**params))
    return model.codec.decode_many(x.numpy())  # ty: ignore[missing-attribute]  # every image codec has it


def test_an_autoencoder_becomes_the_codec_of_a_latent_flow(workspace: Workspace) -> None:
    autoencoder = train(workspace, "between", "vae_gan", AUTOENCODER, steps=80)
    settings = {"codec.name": "latent", "codec.model": "between", "network.name": "dit", "network.head_width": "16"}
    flow = train(workspace, "latent", "flow", {**SMALL, **settings})
    assert flow.codec.space == SignalSpace(3, (4, 4))
    back = flow.codec.decode(flow.codec.encode(np.full((8, 8, 3), (220, 40, 40), np.uint8)))
    assert np.abs(back.mean((0, 1)) - (220, 40, 40)).max() < 60
    assert sample_images(flow, steps=2)[0].shape == (8, 8, 3)
    taken = {path.name for path in (workspace.get_model("latent").folder / "codec").iterdir()}
    assert taken == {"codec.json", "inside", "weights.safetensors"}, "the codec does not depend on the model"
    assert autoencoder.ref == "between/1"


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_quantised_codes_are_tokens(workspace: Workspace, objective: str) -> None:
    train(workspace, "coded", "vae_gan", QUANTISED)
    settings = {"codec.name": "fsq_tokens", "codec.model": "coded", "network.name": "transformer", "network.heads": "2"}
    model = train(workspace, "pictures", objective, {**SMALL, **settings})
    assert model.codec.space == TokenSpace(126, 17, bos=125, eos=125, grid=(4, 4))
    x = model.codec.encode(np.full((8, 8, 3), 128, np.uint8))
    assert model.codec.decode(x).shape == (8, 8, 3)
    request = engine.build_request(["a red tile"], 2, 0, (), {"size": [4, 8]}, False)
    assert engine.run_request(model, request).values[1].shape == (8, 16, 3)


@pytest.mark.parametrize("objective", ["variational", "adversarial"])
def test_generators_of_images_from_a_vector(workspace: Workspace, objective: str) -> None:
    model = train(workspace, "made", objective, PICTURES)
    one, other = sample_images(model)
    assert one.shape == (8, 8, 3)
    assert not np.array_equal(one, other)


def test_a_codec_needs_an_existing_model(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="'beyond'"):
        train(workspace, "latent", "flow", {**SMALL, "codec.name": "latent", "codec.model": "beyond"})
