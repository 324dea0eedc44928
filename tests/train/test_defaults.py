"""Default parts of a model, by medium, data size, objective and available models."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from genloom import plugins
from genloom.media import image
from genloom.store import built_in
from genloom.store.workspace import Workspace
from genloom.train.events import RunStart, RunWarning
from genloom.train.planning.defaults import default_tables, find_default_recipe
from genloom.train.request import TrainRequest
from genloom.train.run import train_model
from tests.errors import raises_code


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(built_in, "FOLDER", tmp_path / "builtin")
    return Workspace(tmp_path / "workspace")


def create_model(workspace: Workspace, name: str) -> None:
    with workspace.create_model(name) as folder:
        (folder / "card.json").write_text("{}")


def test_every_recipe_names_existing_parts() -> None:
    for medium in plugins.list_part_names("medium"):
        for recipe in plugins.find_part("medium", medium).default_recipes:
            assert recipe.network in plugins.list_part_names("network")
            assert set(recipe.codecs) <= set(plugins.list_part_names("codec"))
            assert set(recipe.objectives) <= set(plugins.list_part_names("objective"))
            assert {recipe.text_encoder} - {""} <= set(plugins.list_part_names("text_encoder"))


@pytest.mark.parametrize(
    ("medium", "size", "objective", "network", "codec"),
    [
        ("text", 100_000, "", "ngram", "bytes"),
        ("text", 100_000, "masked", "transformer", "bytes"),
        ("text", 10**9, "autoregressive", "transformer", "bpe"),
        ("text", 10**5, "of_a_plugin", "transformer", "bpe"),
        ("image", 10**6, "", "dit", "latent"),
        ("image", 10**6, "masked", "transformer", "fsq_tokens"),
        ("image", 10**6, "adversarial", "convolution", "pixels"),
    ],
)
def test_the_recipe_fits_the_data_and_the_objective(
    medium: str, size: int, objective: str, network: str, codec: str
) -> None:
    recipe = find_default_recipe(medium, size, objective)
    assert (recipe.network, recipe.codecs[0]) == (network, codec)


@pytest.mark.parametrize("medium", plugins.list_part_names("medium"))
@pytest.mark.parametrize("size", [10, 10**6, 10**9])
def test_a_model_is_trained_without_a_choice_of_the_objective(medium: str, size: int) -> None:
    assert find_default_recipe(medium, size, "").objectives
    assert find_default_recipe(medium, size, "another")


def test_data_with_a_voice_have_a_recipe_of_their_own() -> None:
    assert find_default_recipe("audio", 10**6, "", ("voice",)).codecs == ("latent", "mel")
    assert find_default_recipe("audio", 10**6, "").persons == ""
    assert find_default_recipe("audio", 10**6, "variational", ("voice",)).network == "spectral"


def test_a_medium_without_recipes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(image, "default_recipes")
    with raises_code("train.no_recipe", medium="image"):
        find_default_recipe("image", 10, "")


def test_a_codec_that_needs_a_trained_model_is_used_if_the_model_exists(
    worlds: ModuleType, workspace: Workspace
) -> None:
    data = worlds.create_image_dataset(workspace)
    assert default_tables(workspace, data, {})["codec"]["name"] == "pixels"
    create_model(workspace, "icons")
    tables = default_tables(workspace, data, {})
    assert tables["codec"] == {"name": "latent", "model": "icons"}
    assert (tables["medium"], tables["objective"]["name"], tables["text_encoder"]) == (
        "image",
        "flow",
        {"name": "minilm"},
    )
    assert "context_length" not in tables
    assert tables["plan"]["ema_decay"] > 0.9, "a flow averages its weights"
    assert default_tables(workspace, data, {"codec.name": "pixels"})["codec"]["name"] == "pixels"
    assert default_tables(workspace, data, {"objective.name": "variational"})["network"]["name"] == "convolution"


def test_the_default_tables_of_text(worlds: ModuleType, workspace: Workspace) -> None:
    tables = default_tables(workspace, worlds.create_dataset(workspace), {})
    assert (tables["codec"]["name"], tables["network"]["name"], tables["batch_size"]) == ("bytes", "ngram", 8)
    assert (tables["context_length"], tables["plan"], "text_encoder" in tables) == (256, {}, False)


def test_a_recipe_has_settings_of_its_parts(
    workspace: Workspace, beeps: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "network": {"depth": 3},
        "objective": {"z_loss": 0.1},
        "plan": {"seed": 5},
        "conditions": {"tempo": {"name": "columns"}},
    }
    recipe = replace(beeps.default_recipes[0], settings=settings)
    monkeypatch.setattr(beeps, "default_recipes", (recipe,))
    dataset: Any = SimpleNamespace(medium="beeps", manifest={}, count_bytes=lambda split: 1000)
    tables = default_tables(workspace, dataset, {})
    assert (tables["network"]["depth"], tables["objective"]["z_loss"], tables["plan"]["seed"]) == (3, 0.1, 5)
    assert tables["conditions"] == {"tempo": {"name": "columns"}}
    others = default_tables(workspace, dataset, {"network.name": "recurrent", "objective.name": "masked"})
    assert others["network"] == {"name": "recurrent"}
    assert others["objective"] == {"name": "masked"}


@pytest.mark.parametrize(("name", "is_warned"), [("tales", False), ("icons", True)])
def test_a_model_that_takes_the_place_of_a_built_in_one_is_told(
    name: str, is_warned: bool, worlds: ModuleType, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    worlds.create_dataset(workspace, name)
    events = train_model(workspace, TrainRequest(name, steps=1))
    assert isinstance(next(events), RunStart)
    assert isinstance(next(events), RunWarning) == is_warned
    events.close()
    assert workspace.list_runs() == []
