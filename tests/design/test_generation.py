"""Designs by a model, here an untrained one: from words, finished, rated and answered again."""

from pathlib import Path
from typing import cast

import pytest
import torch

import genloom as gl
from genloom.api.design import MadeDesign, iter_designs
from genloom.cli import run
from genloom.codecs import density
from genloom.generate.design import read_goal
from genloom.learn.eval_prompts import build_eval_prompts, encode_requests, generate_answers
from genloom.media.design.facts import list_faults
from genloom.model import Design, Model, build_networks, build_objective, load_model, save_model
from genloom.store.workspace import Workspace
from genloom.types import Codec

WORDS = "a light bridge held at both ends"
SIDE = 16


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Return a workspace with an untrained model of plane parts."""
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path))
    workspace = Workspace(tmp_path)
    build_design_model(workspace, (SIDE, SIDE))
    return workspace


def build_design_model(workspace: Workspace, size: tuple[int, ...]) -> None:
    small = {"width": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "head_width": 8, "attention_max_positions": 16}
    design = Design(
        codec="density",
        objective="flow",
        network="unet",
        medium="design",
        codec_settings={"size": size},
        network_settings=small,
        conditions={"goals": {"name": "goals", "size": size}},
    )
    codec = cast(Codec, density.Codec(density.Config(size)))
    objective = build_objective(design, codec.space)
    torch.manual_seed(0)
    parts = build_networks(design, objective)
    with workspace.create_model("parts") as folder:
        save_model(Model("parts", codec, objective, parts, design), folder, design.to_tables(), {})


def test_words_become_designs_and_are_shown_first(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["generate", "parts", "--prompt", WORDS, "--count", "1", "--refine", "5", "--seed", "1"]) == 0
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert "Understood: bridge: 200 × 80 mm" in text
    assert "light: at most 25 % of the domain is solid" in text
    (output,) = gl.Workspace(workspace.root).outputs
    assert list_faults(output.value) == []
    assert output.value.volume == pytest.approx(0.25, abs=0.002)


def test_several_designs_of_a_model_differ_and_name_it(workspace: Workspace) -> None:
    goals, _ = read_goal(WORDS)
    events = list(iter_designs(gl.Workspace(workspace.root), goals, count=2, model="parts", seed=3))
    made = [event for event in events if isinstance(event, MadeDesign)]
    assert len(made) == 2
    assert all("parts/1" in each.origin and each.distance for each in made)


def test_rated_designs_are_answered_again_for_their_goals(workspace: Workspace) -> None:
    made = gl.Workspace(workspace.root).model("parts").generate(n=1, goal=WORDS, refine=2, seed=1)
    model = load_model(workspace, "parts")
    (eval_prompt,) = build_eval_prompts(workspace, model, [made[0].id], 4)
    assert eval_prompt.prompt.startswith("goals=")
    (answer,) = generate_answers(workspace, model, [eval_prompt], {})
    assert answer.goals == made[0].value.goals
    field = encode_requests(model, [eval_prompt.request])["goals"].values
    assert field.shape[2:] == (SIDE, SIDE), "rated designs are trained on in the size of the model"
    assert answer.volume == pytest.approx(0.25, abs=0.002)
