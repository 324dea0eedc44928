"""Generation of images: prompts, guidance, edits and interpolation, stored and replayed."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from genloom.codecs import pixels
from genloom.generate import engine, sampling_params
from genloom.generate.conditions import encode_conditions
from genloom.generate.engine import (
    Request,
    build_request,
    generate,
    run_request,
    split_batches,
)
from genloom.generate.image import EditSource
from genloom.generate.interpolation import Interpolation
from genloom.generate.output_records import replay_output, store_outputs
from genloom.media import image
from genloom.model import Model, build_networks, build_objective, load_model
from genloom.networks import lora
from genloom.store.workspace import Workspace
from genloom.testing import assert_close
from genloom.types import Codec, SignalSpace, TokenSpace
from tests.errors import raises_code

SIDE = 16


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("pictures"))
    worlds.create_blots(workspace, SIDE)
    return workspace


@pytest.fixture(scope="module")
def model(home: Workspace) -> Model:
    return load_model(home, "blots")


@pytest.fixture
def workspace(home: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(home.root / "models", tmp_path / "models")
    return Workspace(tmp_path)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def make_request(*prompts: str, seed: int = 0, count: int = 1, **params: Any) -> Request:
    return build_request(prompts or ("",), count, seed, (), {"steps": 3, **params}, False)


def generate_images(model: Model, request: Request) -> np.ndarray:
    return np.stack(run_request(model, request).values)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def test_a_seed_and_a_prompt_make_an_image_reproducible(model: Model) -> None:
    red = generate_images(model, make_request("a red fox", seed=1, count=2))
    assert red.shape == (2, SIDE, SIDE, 3)
    assert red.dtype == np.uint8
    assert np.array_equal(red, generate_images(model, make_request("a red fox", seed=1, count=2)))
    for other in (make_request("a red fox", seed=2, count=2), make_request("a blue fox", seed=1, count=2)):
        assert distance(red, generate_images(model, other)) > 1
    assert distance(red[0], red[1]) > 1


def test_an_image_hardly_depends_on_its_batch(model: Model) -> None:
    whole = make_request("a red fox", "", "two apples at night", count=2, seed=3)
    together = generate_images(model, whole)
    for portion, first in zip(split_batches(whole, 2), (0, 2, 4), strict=True):
        assert np.abs(generate_images(model, portion).astype(int) - together[first : first + 2]).max() <= 1


def test_drafts_that_are_not_shown_are_not_decoded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    real = pixels.Codec.decode_many
    monkeypatch.setattr(pixels.Codec, "decode_many", lambda self, x: (decoded.append(len(x)), real(self, x))[1])
    drafts = list(generate(model, make_request("a red fox", count=2)))
    assert [len(draft.values) for draft in drafts] == [2] * len(drafts)
    assert not decoded
    assert [draft.is_finished for draft in drafts[:-1]] == [(False, False)] * 3
    assert drafts[-1].is_finished == (True, True)
    assert drafts[-1].values[1].shape == (SIDE, SIDE, 3)
    assert decoded == [2]


def test_guidance_extrapolates_the_effect_of_the_prompt(model: Model) -> None:
    """After one Euler step, the image is linear in guidance, apart from clipping."""

    def sample(guidance: float, prompt: str = "fox", negative: str = "") -> np.ndarray:
        return generate_images(
            model, make_request(prompt, guidance_scale=guidance, negative_prompt=negative, steps=1, solver="euler")
        ).astype(int)

    cond_image, uncond_image = sample(1), sample(0)
    assert distance(uncond_image, generate_images(model, make_request("", steps=1, solver="euler"))) <= 1
    half = sample(0.5)
    assert np.abs(half - (cond_image + uncond_image) / 2).max() <= 1.5 or np.isin(half, (0, 255)).any()
    assert distance(sample(3), cond_image) > 1
    assert distance(sample(3, negative="moon"), sample(3)) > 1
    assert np.array_equal(sample(3, negative="  "), sample(3))
    assert np.array_equal(sample(3, prompt=""), sample(1, prompt=""))


@torch.no_grad()
def test_without_its_prompt_a_fine_tuned_model_is_its_base(home: Workspace) -> None:
    """What an adapter taught with and without a prompt would cancel in the difference of the two, and fade."""
    model = load_model(home, "blots")
    network = model.parts["model"]
    x, t = torch.randn(2, *get_sample_shape(model), generator=torch.manual_seed(0)), torch.full((2,), 0.4)
    lora.attach_adapter(network, lora.Config(rank=2), "style")
    for _, _, adapter in lora.iter_adapters(network):
        nn.init.normal_(adapter.B, std=0.5, generator=torch.manual_seed(1))
    parts, cond = encode_conditions(model, ["fox", "cat"], None, {"guidance_scale": 4.0})
    base = model.with_adapters(()).parts["model"]
    null_cond = None if cond is None else cond.mask_rows(torch.zeros(2, dtype=torch.bool))
    tuned_output, base_output = network(x, t, cond=cond), base(x, t, cond=null_cond)
    assert float((network(x, t, cond=null_cond) - base_output).abs().max()) > 0.01
    assert_close(parts["model"](x, t, cond=cond), base_output + 4 * (tuned_output - base_output), "guided")


def get_sample_shape(model: Model) -> tuple[int, ...]:
    space = model.objective.network_specs["model"].input
    assert isinstance(space, SignalSpace)
    return space.channels, *space.size


def test_words_can_be_weighted(model: Model) -> None:
    plain, emphasized = (
        generate_images(model, make_request("a red fox")),
        generate_images(model, make_request("a red (fox:2)")),
    )
    assert distance(plain, emphasized) > 0.5
    assert np.array_equal(plain, generate_images(model, make_request("a red (fox:1)")))
    with pytest.raises(ValueError, match="much"):
        run_request(model, make_request("(fox:much)"))


@pytest.mark.parametrize(
    ("params", "code", "setting"),
    [
        ({"temperature": 1.0}, "generate.unknown_param", "temperature"),
        ({"mask": 1}, "generate.unknown_param", "mask"),
        ({"guidance_scale": -1}, "generate.bad_guidance_scale", "guidance_scale"),
        ({"guidance_start": 0.8, "guidance_end": 0.2}, "generate.bad_guidance_interval", "guidance_start"),
        ({"solver": "magic"}, "", "magic"),
        ({"guidance_scale": "much"}, "core.bad_setting_value", "guidance_scale"),
    ],
)
def test_an_invalid_setting_is_refused_by_name(model: Model, params: dict, code: str, setting: str) -> None:
    with pytest.raises(ValueError, match=setting) as caught:
        run_request(model, make_request("fox", **params))
    assert code in ("", getattr(caught.value, "code", ""))


def test_the_error_for_an_unknown_setting_lists_the_known_ones(model: Model) -> None:
    with raises_code("generate.unknown_param", name="mask") as caught:
        run_request(model, make_request("fox", mask=1))
    known = "guidance_end, guidance_scale, guidance_start, negative_prompt, resample_steps, shift, size, solver, steps"
    assert caught.value.fields["known"] == known


def test_images_of_another_size_than_the_training_data(model: Model) -> None:
    fixed_settings = {**model.design.network_settings, "positions": "learned"}
    design = replace(model.design, network_settings=fixed_settings)
    fixed = replace(model, design=design, parts=build_networks(design, model.objective))
    with raises_code("networks.size_is_fixed", size=(16, 32)):
        run_request(fixed, make_request("fox", size=[16, 32]))
    assert generate_images(model, make_request("fox", count=2, size=[16, 32], guidance_scale=2.0)).shape == (
        2,
        16,
        32,
        3,
    )


def test_a_model_without_prompts_refuses_them(model: Model) -> None:
    design = replace(model.design, text_encoder="", text_encoder_settings={})
    objective = build_objective(design, model.codec.space)
    without_prompt = replace(
        model, objective=objective, parts=build_networks(design, objective), design=design, conditioners={}
    )
    assert generate_images(without_prompt, make_request(count=2)).shape == (2, SIDE, SIDE, 3)
    with raises_code("generate.no_prompt_support"):
        run_request(without_prompt, make_request("fox"))
    with raises_code("generate.unknown_param", name="guidance_scale"):
        run_request(without_prompt, make_request(guidance_scale=2.0))


def test_distilled_guidance_cannot_be_set(model: Model) -> None:
    design = replace(model.design, objective="shortcut")
    objective = build_objective(design, model.codec.space)
    few_step = replace(model, objective=objective, parts=build_networks(design, objective), design=design)
    assert generate_images(few_step, make_request("fox", count=2, steps=2)).shape == (2, SIDE, SIDE, 3)
    assert sampling_params.list_request_params(few_step) == ["resample_steps", "size", "steps"]
    with raises_code("generate.unknown_param", name="guidance_scale"):
        run_request(few_step, make_request("fox", guidance_scale=2.0, steps=2))


@dataclass(frozen=True)
class QuadrantCodec:
    """An image as the shades of its quadrants, 0 to 4; 5 is BOS."""

    space = TokenSpace(6, 5, bos=5, eos=5, grid=(2, 2))

    def decode_many(self, rows: np.ndarray) -> list[np.ndarray]:
        assert rows.shape[1] == 4
        assert rows.min() >= 0
        return [row.reshape(2, 2).astype(np.uint8) for row in rows]


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_tokens_on_a_grid_are_generated_from_prompts(model: Model, objective: str) -> None:
    sizes = {"width": 16, "depth": 1, "heads": 1}
    design = replace(model.design, objective=objective, network="transformer", network_settings=sizes)
    objective_part = build_objective(design, QuadrantCodec.space)
    writer = replace(
        model,
        codec=cast(Codec, QuadrantCodec()),
        objective=objective_part,
        parts=build_networks(design, objective_part).eval(),
        design=design,
    )
    drafts = list(
        generate(
            writer,
            build_request(["fox", ""], 8, 0, (), {"guidance_scale": 2.0}, engine.is_open_sequence(QuadrantCodec.space)),
        )
    )
    assert engine.count_drafts(writer, build_request(["fox"], 1, 0, (), {})) == 4
    assert all(item.shape == (2, 2) for draft in drafts for item in draft.values)
    assert np.stack(drafts[-1].values).max() <= 4


def test_a_seed_gives_images_of_other_prompts_the_same_noise() -> None:
    assert make_request("fox", count=40).nonces == make_request("hen", count=40).nonces


# edits


def make_mask(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    missing = np.zeros((height, width), bool)
    missing[height // 4 : height // 2, width // 4 : width // 2] = True
    return missing


def test_known_pixels_stay_exactly(model: Model, photo: np.ndarray) -> None:
    missing = make_mask()
    made = generate_images(model, replace(make_request("fox", count=3), edit=EditSource(photo, missing)))
    assert (made[:, ~missing] == photo[~missing]).all()
    assert all(distance(one[missing], photo[missing]) > 5 for one in made)
    assert distance(made[0][missing], made[1][missing]) > 1


@pytest.mark.parametrize("shape", [(50, 90), (90, 20), (7, 9)])
def test_an_image_of_another_size_keeps_its_size(model: Model, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    missing = make_mask(*shape)
    (made,) = generate_images(model, replace(make_request("fox"), edit=EditSource(picture, missing)))
    assert made.shape == picture.shape
    assert (made[~missing] == picture[~missing]).all()
    assert distance(made[missing], picture[missing]) > 5


def test_less_strength_stays_closer_to_the_source(model: Model, photo: np.ndarray) -> None:
    def measure_change(strength: float) -> float:
        request = replace(make_request("fox", count=4, steps=8), edit=EditSource(photo, strength=strength))
        return distance(generate_images(model, request), photo)

    assert measure_change(0.02) < measure_change(0.3) < measure_change(0.9)
    from_scratch = generate_images(model, make_request("fox", count=4, steps=8))
    whole = generate_images(model, replace(make_request("fox", count=4, steps=8), edit=EditSource(photo, strength=1.0)))
    assert np.array_equal(from_scratch, whole)


def test_an_invalid_edit_source_is_refused(photo: np.ndarray) -> None:
    with raises_code("generate.bad_mask_size", mask="8 × 16", image="16 × 16"):
        EditSource(photo, make_mask(16, 8))
    with raises_code("generate.empty_mask"):
        EditSource(photo, np.zeros((SIDE, SIDE), bool))
    with raises_code("generate.bad_strength", value=0):
        EditSource(photo, strength=0)


# interpolation


def make_interpolation(first: str, second: str, nonces: tuple[int, int], weights: Sequence[float]) -> Request:
    count = len(weights)
    interpolation = Interpolation((second,) * count, (nonces[1],) * count, tuple(weights))
    return replace(make_request(*[first] * count), nonces=(nonces[0],) * count, interpolation=interpolation)


@pytest.mark.parametrize(("second", "nonces"), [("two apples at night", (5, 5)), ("fox", (5, 6)), ("moon", (5, 6))])
def test_interpolation_leads_from_one_image_to_the_other(model: Model, second: str, nonces: tuple[int, int]) -> None:
    frames = generate_images(model, make_interpolation("fox", second, nonces, np.linspace(0, 1, 9).tolist())).astype(
        int
    )
    first, last = (
        generate_images(model, replace(make_request(prompt), nonces=(nonce,)))[0]
        for prompt, nonce in zip(("fox", second), nonces, strict=True)
    )
    assert np.abs(frames[0] - first).max() <= 1
    assert np.abs(frames[-1] - last).max() <= 1
    steps = [distance(a, b) for a, b in pairwise(frames)]
    assert 0 < max(steps) < distance(first, last)


# stored images


@pytest.mark.parametrize("kind", ["plain", "masked", "varied", "interpolated"])
def test_an_image_replays_to_the_same_bytes(workspace: Workspace, photo: np.ndarray, kind: str) -> None:
    model = load_model(workspace, "blots")
    made = make_request("a (red:1.2) fox", seed=9, count=2, guidance_scale=2.0, negative_prompt="moon")
    made = {
        "plain": made,
        "masked": replace(made, edit=EditSource(photo, make_mask(), 0.7)),
        "varied": replace(made, edit=EditSource(photo, strength=0.5)),
        "interpolated": make_interpolation("fox", "moon", (1, 2), (0.25, 0.5)),
    }[kind]
    draft = run_request(model, made)
    for output, picture in zip(store_outputs(workspace, model, made, draft), draft.values, strict=True):
        path, item = replay_output(workspace, output)
        assert np.array_equal(item, picture)
        assert np.array_equal(image.open(path).value, picture)
        record = json.loads(path.with_suffix(".json").read_text())
        assert record["prompt"] == made.prompts[0]
        assert record["request"]["params"] == dict(made.params)


def test_an_image_whose_source_is_gone_is_not_replayed(workspace: Workspace, photo: np.ndarray) -> None:
    model = load_model(workspace, "blots")
    made = replace(make_request("fox"), edit=EditSource(photo, strength=0.5))
    (output,) = store_outputs(workspace, model, made, run_request(model, made))
    (source_path,) = (workspace.root / "outputs/originals").iterdir()
    source_path.write_bytes(b"something else")
    with raises_code("store.original_gone"):
        replay_output(workspace, output)
