"""Images as pixels, latents and codes: reconstructions, stored files, and errors of damaged folders."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import genloom
from genloom import plugins
from genloom.codecs import fsq_tokens, latent, pixels
from genloom.errors import format_message
from genloom.model import Design
from genloom.networks import convolution
from genloom.objectives.vae_gan import VaeGan
from genloom.testing import check_codec
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.types import Batch, ConditionSpec, SignalSpace
from tests.errors import raises_code

SMALL = pixels.Codec(pixels.Config(size=8))
NETWORK: dict[str, Any] = {"width": 8, "up_blocks": 1}


def make_images(count: int, seed: int = 0) -> list[np.ndarray]:
    """Squares of one colour with a disc's quarter of another in a corner."""
    rng = np.random.default_rng(seed)
    corner = np.add.outer(np.arange(8) ** 2, np.arange(8) ** 2)[..., None] < 30
    return [np.where(corner, *rng.integers(0, 256, (2, 3), np.uint8)) for _ in range(count)]


def make_model(levels: tuple[int, ...] = (), steps: int = 0, **settings: Any) -> SimpleNamespace:
    """A stand-in for a loaded autoencoder: untrained, or after some steps."""
    autoencoder_settings: dict[str, Any] = {
        "latent": 4,
        "grid": (4, 4),
        "levels": levels,
        "adv_weight": 0.0,
        "feature_matching_weight": 0.0,
    }
    objective = VaeGan(SMALL.space, **autoencoder_settings, decoder_std=0.2, **settings)
    torch.manual_seed(0)
    parts = torch.nn.ModuleDict(
        {name: convolution.build(spec, convolution.Config(**NETWORK)) for name, spec in objective.network_specs.items()}
    )
    x = torch.from_numpy(np.stack([SMALL.encode(value) for value in make_images(64)]))
    plan = TrainConfig(steps=steps)
    for _ in train(objective, lambda step: Batch(x), plan, TrainState.from_parts(parts, objective, plan)):
        pass
    design = Design("pixels", "vae_gan", "convolution", medium="image", network_settings=NETWORK)
    return SimpleNamespace(name="toy", codec=SMALL, objective=objective, parts=parts, design=design)


def rms_error(value: np.ndarray, decoded: np.ndarray) -> float:
    """Root mean square error, in units of 1/255."""
    return float(np.sqrt(np.square(value.astype(float) - decoded).mean()))


def test_pixels_are_decoded_exactly():
    check_codec(SMALL, make_images(3))
    check_codec(pixels.Codec(pixels.Config(8, "crop")), make_images(3))
    assert [v.tolist() for v in SMALL.decode_many(np.full((2, 3, 8, 8), 1.7))] == [np.full((8, 8, 3), 255).tolist()] * 2


@pytest.mark.parametrize(("fit", "edge"), [("pad", 255), ("crop", 0)])
def test_an_image_that_is_not_square_is_padded_with_white_or_cropped(fit, edge):
    wide = np.zeros((10, 40, 3), np.uint8)
    codec = pixels.Codec(pixels.Config(8, fit))
    square = codec.decode(codec.encode(wide))
    assert square.shape == (8, 8, 3)
    assert (square[0] == edge).all()
    assert (square[4] == 0).all()
    assert codec.encode(wide.transpose(1, 0, 2)).shape == (3, 8, 8)
    assert codec.encode(wide[:1]).shape == (3, 8, 8)


@pytest.mark.parametrize("size", [3, 10**6, 8.0])
def test_an_impossible_size_is_refused(size):
    with raises_code("codecs.bad_image_size", value=size):
        pixels.Config(size=size)


def test_an_unknown_fit_is_refused():
    with raises_code("codecs.bad_image_fit", value="stretch"):
        pixels.Config(fit="stretch")


def test_a_quantized_latent_is_only_used_as_codes():
    quantized: Any = make_model((4, 4, 4, 4))
    with raises_code("codecs.latent_is_discrete", model="toy"):
        latent.from_model(quantized, make_images(5), latent.Config())
    from genloom.evaluate.by_distribution import get_coder  # the only use of an evaluation here

    coder = get_coder(quantized)  # the codec that evaluate measures
    assert isinstance(coder, fsq_tokens.Codec)
    assert coder.levels == (4, 4, 4, 4)


def test_a_latent_codec_reconstructs_its_training_data():
    trained = make_model(steps=70)
    codec = latent.from_model(trained, make_images(64), latent.Config())
    assert codec.space == SignalSpace(4, (4, 4))
    check_codec(codec, make_images(4), lambda value, decoded: rms_error(value, decoded) < 40)
    z = np.stack(list(codec.encode_many(make_images(64))))
    assert np.abs(z.mean((0, 2, 3))).max() < 0.5
    assert 0.5 < z.std((0, 2, 3)).min() < z.std((0, 2, 3)).max() < 2
    assert all(np.array_equal(a, codec.decode(x)) for a, x in zip(codec.decode_many(z[:3]), z, strict=False))


def test_the_autoencoder_of_a_model_serves_other_models():
    codec = latent.from_model(make_model(), make_images(5), latent.Config())
    reused = latent.from_model(SimpleNamespace(codec=codec), make_images(5), latent.Config())
    assert np.array_equal(reused.encode(make_images(1)[0]), codec.encode(make_images(1)[0]))


def test_codes_reconstruct_their_training_data():
    codec = fsq_tokens.from_model(make_model((5, 5, 5, 5), steps=70), [], fsq_tokens.Config())
    assert codec.space.vocab_size == 626
    assert codec.space.context_length == 17
    assert codec.space.grid == (4, 4)
    check_codec(codec, make_images(4), lambda value, decoded: rms_error(value, decoded) < 40)
    assert codec.decode([625] * 16).shape == (8, 8, 3), "BOS counts as a code"


def test_a_model_that_is_not_an_autoencoder_cannot_become_a_codec():
    with raises_code("codecs.latent_not_discrete", model="toy"):
        fsq_tokens.from_model(make_model(), make_images(2), fsq_tokens.Config())
    with raises_code("codecs.model_with_prompts", model="toy"):
        latent.from_model(make_model(condition=ConditionSpec(vector=2)), make_images(2), latent.Config())
    generator = make_model()
    generator.objective = SimpleNamespace(network_specs={"model": None})
    with raises_code("codecs.model_not_autoencoder", model="toy"):
        latent.from_model(generator, make_images(2), latent.Config())
    with raises_code("codecs.no_samples"):
        latent.from_model(make_model(), [], latent.Config())


@pytest.fixture(params=["latent", "fsq_tokens"])
def stored_codec(request, tmp_path):
    """The name of a codec, and the folder of a saved one."""
    module = plugins.find_part("codec", request.param)
    levels = (4, 4, 4, 4) if request.param == "fsq_tokens" else ()
    module.from_model(make_model(levels), make_images(5), module.Config()).save(tmp_path)
    return request.param, tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"network": "../../evil"},
        {"network": 3},
        {"settings": {"width": 10**9}},
        {"settings": {"depth": 1}},
        {"settings": {"width": 16, "down_blocks": 1, "up_blocks": 1}},
        {"latent": 0},
        {"latent": 5},
        {"grid": [4, 10**7]},
        {"grid": "4"},
        {"grid": [8, 8]},
        {"has_log_variance": 1},
        {"codec": "pixels"},
        {"more": 1},
        {"mean": [0.0], "levels": [0, 4, 4, 4]},
        {"std": [1.0, 0.0, 1.0, 1.0], "levels": [4, 4]},
        {"mean": [float("nan"), 0.0, 0.0, 0.0], "levels": [4, 4, 4, "4"]},
    ],
    ids=str,
)
def test_a_damaged_codec_file_is_refused(stored_codec, change):
    name, folder = stored_codec
    path = folder / "codec.json"
    content = json.loads(path.read_text())
    known_changes = {key: value for key, value in change.items() if key in content or key == "more"}
    path.write_text(json.dumps({**content, **known_changes}))
    with raises_code("codecs.damaged_file"):
        plugins.find_part("codec", name).Codec.load(folder)


def test_a_codec_of_an_earlier_version_is_read_and_saved_under_the_present_names(tmp_path):
    codec = latent.Codec.load(Path(genloom.__file__).parent / "builtin" / "icons" / "2" / "codec")
    codec.save(tmp_path)
    content = json.loads((tmp_path / "codec.json").read_text())
    assert content["codec"] == "latent"
    assert set(content["settings"]) == {"width", "down_blocks", "up_blocks"}
    x = np.random.default_rng(0).normal(size=(4, 16, 16)).astype("f4")
    assert np.array_equal(latent.Codec.load(tmp_path).decode(x), codec.decode(x))


def test_weights_that_do_not_fit_are_refused(stored_codec):
    name, folder = stored_codec
    path = folder / "weights.safetensors"
    weights = load_file(path)
    for wrong in (b"", path.read_bytes()[:-7], None):
        if wrong is None:
            save_file(dict(list(weights.items())[1:]), path)
        else:
            path.write_bytes(wrong)
        with raises_code("codecs.damaged_file", path=path):
            plugins.find_part("codec", name).Codec.load(folder)


def test_an_inner_codec_of_tokens_is_refused(stored_codec):
    name, folder = stored_codec
    (folder / "inside" / "codec.json").write_text(json.dumps({"codec": "bytes"}))
    reason = format_message("codecs.inner_codec_without_signal", codec="bytes")
    with raises_code("codecs.damaged_file", path=folder / "inside", reason=reason):
        plugins.find_part("codec", name).Codec.load(folder)
