"""Pictures as pixels, latents and codes: what comes back, what is stored, and what damaged folders are answered."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genloom import plugins
from genloom.cli.report_features import get_coder
from genloom.codecs import fsq_tokens, latent, pixels
from genloom.model import Design
from genloom.networks import convolution
from genloom.objectives.vae_gan import VaeGan
from genloom.testing import check_codec
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.types import Batch, ConditionSpec, SignalSpace

SMALL = pixels.Codec(pixels.Config(size=8))
NETWORK = {"width": 8, "up_blocks": 1}


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Squares of one colour with a disc's quarter of another in a corner."""
    draw = np.random.default_rng(seed)
    near = np.add.outer(np.arange(8) ** 2, np.arange(8) ** 2)[..., None] < 30
    return [np.where(near, *draw.integers(0, 256, (2, 3), np.uint8)) for _ in range(count)]


def model(levels: tuple[int, ...] = (), steps: int = 0, **settings: Any) -> SimpleNamespace:
    """What `open_model` gives of an autoencoder: untaught, or after some steps."""
    alone: dict[str, Any] = {
        "latent": 4,
        "grid": (4, 4),
        "levels": levels,
        "adv_weight": 0.0,
        "feature_matching_weight": 0.0,
    }
    objective = VaeGan(SMALL.space, **alone, decoder_std=0.2, **settings)
    torch.manual_seed(0)
    parts = torch.nn.ModuleDict(
        {name: convolution.build(role, convolution.Config(**NETWORK)) for name, role in objective.network_specs.items()}
    )
    x = torch.from_numpy(np.stack([SMALL.encode(value) for value in pictures(64)]))
    plan = TrainConfig(steps=steps)
    for _ in train(objective, lambda step: Batch(x), plan, TrainState.from_parts(parts, objective, plan)):
        pass
    design = Design("pixels", "vae_gan", "convolution", medium="image", network_settings=NETWORK)
    return SimpleNamespace(name="toy", codec=SMALL, objective=objective, parts=parts, design=design)


def gap(value: np.ndarray, back: np.ndarray) -> float:
    """Root mean square, of 255."""
    return float(np.sqrt(np.square(value.astype(float) - back).mean()))


def test_pixels_come_back_exactly():
    check_codec(SMALL, pictures(3))
    check_codec(pixels.Codec(pixels.Config(8, "crop")), pictures(3))
    assert [v.tolist() for v in SMALL.decode_many(np.full((2, 3, 8, 8), 1.7))] == [np.full((8, 8, 3), 255).tolist()] * 2


@pytest.mark.parametrize(("fit", "edge"), [("pad", 255), ("crop", 0)])
def test_an_oblong_picture_is_padded_with_white_or_cut(fit, edge):
    wide = np.zeros((10, 40, 3), np.uint8)
    codec = pixels.Codec(pixels.Config(8, fit))
    square = codec.decode(codec.encode(wide))
    assert square.shape == (8, 8, 3)
    assert (square[0] == edge).all()
    assert (square[4] == 0).all()
    assert codec.encode(wide.transpose(1, 0, 2)).shape == (3, 8, 8)
    assert codec.encode(wide[:1]).shape == (3, 8, 8)


@pytest.mark.parametrize("wrong", [{"size": 3}, {"size": 10**6}, {"size": 8.0}, {"fit": "stretch"}], ids=str)
def test_sizes_that_no_picture_has_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        pixels.Config(**wrong)


def test_a_latent_of_codes_is_used_as_codes_only():
    rounding: Any = model((4, 4, 4, 4))
    with pytest.raises(ValueError, match=r"codec\.name=fsq_tokens"):
        latent.from_model(rounding, pictures(5), latent.Config())
    coder = get_coder(rounding)  # what evaluate measures
    assert isinstance(coder, fsq_tokens.Codec)
    assert coder.levels == (4, 4, 4, 4)


def test_a_learned_codec_gives_back_what_it_was_taught():
    taught = model(steps=70)
    codec = latent.from_model(taught, pictures(64), latent.Config())
    assert codec.space == SignalSpace(4, (4, 4))
    check_codec(codec, pictures(4), lambda value, back: gap(value, back) < 40)
    z = np.stack(list(codec.encode_many(pictures(64))))
    assert np.abs(z.mean((0, 2, 3))).max() < 0.5
    assert 0.5 < z.std((0, 2, 3)).min() < z.std((0, 2, 3)).max() < 2
    assert all(np.array_equal(a, codec.decode(x)) for a, x in zip(codec.decode_many(z[:3]), z, strict=False))


def test_the_autoencoder_under_a_model_serves_others():
    codec = latent.from_model(model(), pictures(5), latent.Config())
    again = latent.from_model(SimpleNamespace(codec=codec), pictures(5), latent.Config())
    assert np.array_equal(again.encode(pictures(1)[0]), codec.encode(pictures(1)[0]))


def test_codes_give_back_what_they_were_taught():
    codec = fsq_tokens.from_model(model((5, 5, 5, 5), steps=70), [], fsq_tokens.Config())
    assert codec.space.vocab_size == 626
    assert codec.space.context_length == 17
    assert codec.space.grid == (4, 4)
    check_codec(codec, pictures(4), lambda value, back: gap(value, back) < 40)
    assert codec.decode([625] * 16).shape == (8, 8, 3), "what is no code is read as one"


def test_a_model_that_is_no_autoencoder_makes_no_codec():
    with pytest.raises(ValueError, match="levels"):
        fsq_tokens.from_model(model(), pictures(2), fsq_tokens.Config())
    with pytest.raises(ValueError, match="prompts"):
        latent.from_model(model(cond=ConditionSpec(vector=2)), pictures(2), latent.Config())
    generator = model()
    generator.objective = SimpleNamespace(network_specs={"model": None})
    with pytest.raises(ValueError, match="no encoder"):
        latent.from_model(generator, pictures(2), latent.Config())
    with pytest.raises(ValueError, match="no samples"):
        latent.from_model(model(), [], latent.Config())


@pytest.fixture(params=["latent", "fsq_tokens"])
def stored(request, tmp_path):
    """The name of a codec, and a folder that holds it."""
    module = plugins.find_part("codec", request.param)
    levels = (4, 4, 4, 4) if request.param == "fsq_tokens" else ()
    module.from_model(model(levels), pictures(5), module.Config()).save(tmp_path)
    return request.param, tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"network": "../../evil"},
        {"network": 3},
        {"settings": {"width": 10**9}},
        {"settings": {"depth": 1}},
        {"settings": {"width": 16, "shrink": 1, "up_blocks": 1}},
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
def test_a_codec_file_that_lies_is_refused(stored, change):
    name, folder = stored
    path = folder / "codec.json"
    content = json.loads(path.read_text())
    known = {key: value for key, value in change.items() if key in content or key == "more"}
    path.write_text(json.dumps({**content, **known}))
    with pytest.raises(ValueError, match=r"can't be used|no network"):
        plugins.find_part("codec", name).Codec.load(folder)


def test_weights_that_do_not_fit_are_refused(stored):
    name, folder = stored
    path = folder / "weights.safetensors"
    weights = load_file(path)
    for wrong in (b"", path.read_bytes()[:-7], None):
        if wrong is None:
            save_file(dict(list(weights.items())[1:]), path)
        else:
            path.write_bytes(wrong)
        with pytest.raises(ValueError, match="can't be used"):
            plugins.find_part("codec", name).Codec.load(folder)


def test_a_codec_inside_that_gives_symbols_is_refused(stored):
    name, folder = stored
    (folder / "inner" / "codec.json").write_text(json.dumps({"codec": "bytes", "context_length": 9}))
    with pytest.raises(ValueError, match="no signal"):
        plugins.find_part("codec", name).Codec.load(folder)
