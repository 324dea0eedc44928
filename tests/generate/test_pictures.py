"""Pictures from the one engine: prompts, guidance, originals and ways between two, stored and made again."""

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
from genloom.generate import engine
from genloom.generate.conditions import encode_conditions
from genloom.generate.engine import (
    Request,
    build_request,
    generate,
    get_nonce_pool_size,
    replay_output,
    run_request,
    split_batches,
    store_outputs,
)
from genloom.generate.image.editing import EditSource
from genloom.generate.interpolation import Interpolation
from genloom.media import image
from genloom.model import Model, build_networks, build_objective, load_model
from genloom.networks import lora
from genloom.noise import NUM_SIGNAL_NONCES
from genloom.store.workspace import Workspace
from genloom.testing import assert_close
from genloom.types import Codec, SignalSpace, TokenSpace

SIDE = 16


@pytest.fixture(scope="module")
def home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("pictures"))
    worlds.blots(workspace, SIDE)
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


def asked(*prompts: str, seed: int = 0, count: int = 1, **controls: Any) -> Request:
    return build_request(prompts or ("",), count, seed, (), {"steps": 3, **controls}, NUM_SIGNAL_NONCES)


def pictures(model: Model, request: Request) -> np.ndarray:
    return np.stack(run_request(model, request).values)


def apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def test_a_seed_and_a_prompt_fix_a_picture(model: Model) -> None:
    red = pictures(model, asked("a red fox", seed=1, count=2))
    assert red.shape == (2, SIDE, SIDE, 3)
    assert red.dtype == np.uint8
    assert np.array_equal(red, pictures(model, asked("a red fox", seed=1, count=2)))
    for other in (asked("a red fox", seed=2, count=2), asked("a blue fox", seed=1, count=2)):
        assert apart(red, pictures(model, other)) > 1
    assert apart(red[0], red[1]) > 1


def test_a_picture_hardly_depends_on_its_company(model: Model) -> None:
    whole = asked("a red fox", "", "two apples at night", count=2, seed=3)
    together = pictures(model, whole)
    for portion, first in zip(split_batches(whole, 2), (0, 2, 4), strict=True):
        assert np.abs(pictures(model, portion).astype(int) - together[first : first + 2]).max() <= 1


def test_drafts_that_nobody_looks_at_are_not_decoded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    real = pixels.Codec.decode_many
    monkeypatch.setattr(pixels.Codec, "decode_many", lambda self, x: (decoded.append(len(x)), real(self, x))[1])
    drafts = list(generate(model, asked("a red fox", count=2)))
    assert [len(draft.values) for draft in drafts] == [2] * len(drafts)
    assert not decoded
    assert [draft.is_finished for draft in drafts[:-1]] == [(False, False)] * 3
    assert drafts[-1].is_finished == (True, True)
    assert drafts[-1].values[1].shape == (SIDE, SIDE, 3)
    assert decoded == [2]


def test_guidance_moves_a_picture_along_the_difference_that_its_prompt_makes(model: Model) -> None:
    """After one Euler step the picture is linear in guidance, as far as its values are not cut off."""

    def drawn(guidance: float, prompt: str = "fox", negative: str = "") -> np.ndarray:
        return pictures(
            model, asked(prompt, guidance_scale=guidance, negative_prompt=negative, steps=1, solver="euler")
        ).astype(int)

    plain, without = drawn(1), drawn(0)
    assert apart(without, pictures(model, asked("", steps=1, solver="euler"))) <= 1
    half = drawn(0.5)
    assert np.abs(half - (plain + without) / 2).max() <= 1.5 or np.isin(half, (0, 255)).any()
    assert apart(drawn(3), plain) > 1
    assert apart(drawn(3, negative="moon"), drawn(3)) > 1
    assert np.array_equal(drawn(3, negative="  "), drawn(3))
    assert np.array_equal(drawn(3, prompt=""), drawn(1, prompt=""))


@torch.no_grad()
def test_without_its_prompt_a_tuned_model_is_what_it_was(home: Workspace) -> None:
    """What an adapter teaches with and without a prompt is no difference between the two, and would fade."""
    model = load_model(home, "blots")
    network = model.parts["model"]
    x, t = torch.randn(2, *role_size(model), generator=torch.manual_seed(0)), torch.full((2,), 0.4)
    lora.attach(network, lora.Config(rank=2), "style")
    for _, _, adapter in lora.iter_adapters(network):
        nn.init.normal_(adapter.B, std=0.5, generator=torch.manual_seed(1))
    parts, cond = encode_conditions(model, ["fox", "cat"], None, {"guidance": 4.0})
    base = model.with_adapters(()).parts["model"]
    nothing = None if cond is None else cond.mask_rows(torch.zeros(2, dtype=torch.bool))
    tuned, before = network(x, t, cond=cond), base(x, t, cond=nothing)
    assert float((network(x, t, cond=nothing) - before).abs().max()) > 0.01
    assert_close(parts["model"](x, t, cond=cond), before + 4 * (tuned - before), "guided")


def role_size(model: Model) -> tuple[int, ...]:
    space = model.objective.network_specs["model"].input
    assert isinstance(space, SignalSpace)
    return space.channels, *space.size


def test_words_can_be_weighed(model: Model) -> None:
    plain, more = pictures(model, asked("a red fox")), pictures(model, asked("a red (fox:2)"))
    assert apart(plain, more) > 0.5
    assert np.array_equal(plain, pictures(model, asked("a red (fox:1)")))
    with pytest.raises(ValueError, match="'much' is no weight"):
        run_request(model, asked("(fox:much)"))


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        (
            {"temperature": 1.0},
            "no setting 'temperature'. It has: again, guidance, guided_from, guided_until, negative, shift, solver",
        ),
        ({"mask": 1}, "no setting 'mask'"),
        ({"guidance": -1}, "guidance must be from 0 to 100"),
        ({"guidance_start": 0.8, "guidance_end": 0.2}, "guidance_start and guidance_end are times"),
        ({"solver": "magic"}, "Unknown solver 'magic'"),
        ({"guidance": "much"}, "generate.guidance: Input should be a valid number"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_words_that_help(model: Model, controls: dict, said: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        run_request(model, asked("fox", **controls))
    assert said in str(caught.value)


def test_a_model_without_prompts_takes_none(model: Model) -> None:
    design = replace(model.design, text_encoder="", text_encoder_settings={})
    objective = build_objective(design, model.codec.space)
    blind = replace(
        model, objective=objective, parts=build_networks(design, objective), design=design, text_encoder=None
    )
    assert pictures(blind, asked(count=2)).shape == (2, SIDE, SIDE, 3)
    with pytest.raises(ValueError, match="takes no prompt"):
        run_request(blind, asked("fox"))
    with pytest.raises(ValueError, match="no setting 'guidance'"):
        run_request(blind, asked(guidance_scale=2.0))


def test_a_strength_that_was_learned_is_not_chosen_again(model: Model) -> None:
    design = replace(model.design, objective="shortcut")
    objective = build_objective(design, model.codec.space)
    quick = replace(model, objective=objective, parts=build_networks(design, objective), design=design)
    assert pictures(quick, asked("fox", count=2, steps=2)).shape == (2, SIDE, SIDE, 3)
    assert engine.list_request_params(quick) == ["resample_steps", "steps"]
    with pytest.raises(ValueError, match="no setting 'guidance'"):
        run_request(quick, asked("fox", guidance_scale=2.0, steps=2))


@dataclass(frozen=True)
class Quarters:
    """A picture as the shades of its quarters, 0 to 4; 5 begins a sample."""

    space = TokenSpace(6, 5, bos=5, eos=5, grid=(2, 2))

    def decode_many(self, rows: np.ndarray) -> list[np.ndarray]:
        assert rows.shape[1] == 4
        assert rows.min() >= 0
        return [row.reshape(2, 2).astype(np.uint8) for row in rows]


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_codes_that_fill_a_grid_are_drawn_from_prompts(model: Model, objective: str) -> None:
    sizes = {"width": 16, "depth": 1, "heads": 1}
    design = replace(model.design, objective=objective, network="transformer", network_settings=sizes)
    learned = build_objective(design, Quarters.space)
    writer = replace(
        model,
        codec=cast(Codec, Quarters()),
        objective=learned,
        parts=build_networks(design, learned).eval(),
        design=design,
    )
    drafts = list(
        generate(writer, build_request(["fox", ""], 8, 0, (), {"guidance": 2.0}, get_nonce_pool_size(Quarters.space)))
    )
    assert engine.count_drafts(writer, build_request(["fox"], 1, 0, (), {})) == 4
    assert all(item.shape == (2, 2) for draft in drafts for item in draft.values)
    assert np.stack(drafts[-1].values).max() <= 4


def test_nonces_of_pictures_come_from_a_larger_pool(model: Model) -> None:
    assert get_nonce_pool_size(model.codec.space) == 2**16
    nonces = asked("fox", count=400).nonces
    assert len(set(nonces)) == 400
    assert 2**15 < max(nonces) < 2**16


# pictures made from others


def hole(height: int = SIDE, width: int = SIDE) -> np.ndarray:
    missing = np.zeros((height, width), bool)
    missing[height // 4 : height // 2, width // 4 : width // 2] = True
    return missing


def test_what_is_known_stays_to_the_pixel(model: Model, photo: np.ndarray) -> None:
    missing = hole()
    made = pictures(model, replace(asked("fox", count=3), original=EditSource(photo, missing)))
    assert (made[:, ~missing] == photo[~missing]).all()
    assert all(apart(one[missing], photo[missing]) > 5 for one in made)
    assert apart(made[0][missing], made[1][missing]) > 1


@pytest.mark.parametrize("shape", [(50, 90), (90, 20), (7, 9)])
def test_a_picture_of_another_size_keeps_it(model: Model, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    missing = hole(*shape)
    (made,) = pictures(model, replace(asked("fox"), original=EditSource(picture, missing)))
    assert made.shape == picture.shape
    assert (made[~missing] == picture[~missing]).all()
    assert apart(made[missing], picture[missing]) > 5


def test_a_variation_stays_the_nearer_the_less_is_to_change(model: Model, photo: np.ndarray) -> None:
    def varied(change: float) -> float:
        request = replace(asked("fox", count=4, steps=8), original=EditSource(photo, strength=change))
        return apart(pictures(model, request), photo)

    assert varied(0.02) < varied(0.3) < varied(0.9)
    from_scratch = pictures(model, asked("fox", count=4, steps=8))
    whole = pictures(model, replace(asked("fox", count=4, steps=8), original=EditSource(photo, strength=1.0)))
    assert np.array_equal(from_scratch, whole)


def test_an_original_that_cannot_be_is_refused(photo: np.ndarray) -> None:
    with pytest.raises(ValueError, match="mask has 8 × 16 pixels, and the picture 16 × 16"):
        EditSource(photo, hole(16, 8))
    with pytest.raises(ValueError, match="black all over"):
        EditSource(photo, np.zeros((SIDE, SIDE), bool))
    with pytest.raises(ValueError, match="more than 0 and at most 1, got 0"):
        EditSource(photo, strength=0)


# ways between two


def between(first: str, second: str, nonces: tuple[int, int], shares: Sequence[float]) -> Request:
    count = len(shares)
    toward = Interpolation((second,) * count, (nonces[1],) * count, tuple(shares))
    return replace(asked(*[first] * count), nonces=(nonces[0],) * count, toward=toward)


@pytest.mark.parametrize(("second", "nonces"), [("two apples at night", (5, 5)), ("fox", (5, 6)), ("moon", (5, 6))])
def test_a_way_leads_from_one_picture_to_the_other(model: Model, second: str, nonces: tuple[int, int]) -> None:
    frames = pictures(model, between("fox", second, nonces, np.linspace(0, 1, 9).tolist())).astype(int)
    first, last = (
        pictures(model, replace(asked(prompt), nonces=(nonce,)))[0]
        for prompt, nonce in zip(("fox", second), nonces, strict=True)
    )
    assert np.abs(frames[0] - first).max() <= 1
    assert np.abs(frames[-1] - last).max() <= 1
    steps = [apart(a, b) for a, b in pairwise(frames)]
    assert 0 < max(steps) < apart(first, last)


# pictures in the store


@pytest.mark.parametrize("way", ["plain", "masked", "varied", "between"])
def test_a_picture_replays_to_the_same_bytes(workspace: Workspace, photo: np.ndarray, way: str) -> None:
    model = load_model(workspace, "blots")
    made = asked("a (red:1.2) fox", seed=9, count=2, guidance_scale=2.0, negative_prompt="moon")
    made = {
        "plain": made,
        "masked": replace(made, original=EditSource(photo, hole(), 0.7)),
        "varied": replace(made, original=EditSource(photo, strength=0.5)),
        "between": between("fox", "moon", (1, 2), (0.25, 0.5)),
    }[way]
    draft = run_request(model, made)
    for output, picture in zip(store_outputs(workspace, model, made, draft), draft.values, strict=True):
        path, item = replay_output(workspace, output)
        assert np.array_equal(item, picture)
        assert np.array_equal(image.open(path).value, picture)
        record = json.loads(path.with_suffix(".json").read_text())
        assert record["prompt"] == made.prompts[0]
        assert record["request"]["params"] == dict(made.params)


def test_a_picture_whose_original_is_gone_does_not_replay(workspace: Workspace, photo: np.ndarray) -> None:
    model = load_model(workspace, "blots")
    made = replace(asked("fox"), original=EditSource(photo, strength=0.5))
    (output,) = store_outputs(workspace, model, made, run_request(model, made))
    (kept,) = (workspace.root / "outputs/originals").iterdir()
    kept.write_bytes(b"something else")
    with pytest.raises(ValueError, match="gone or changed"):
        replay_output(workspace, output)
