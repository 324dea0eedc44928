"""What a data set is first tried with: by its medium, its size, what is to be learned, and what is at hand."""

from pathlib import Path
from types import ModuleType

import pytest

from genloom import plugins
from genloom.media import image
from genloom.store import built_in
from genloom.store.workspace import Workspace
from genloom.train.planning.defaults import default_tables, find_default_recipe


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(built_in, "FOLDER", tmp_path / "builtin")
    return Workspace(tmp_path / "workspace")


def trained(workspace: Workspace, name: str) -> None:
    with workspace.create_model(name) as folder:
        (folder / "card.json").write_text("{}")


def test_every_name_is_that_of_a_part() -> None:
    for medium in plugins.part_names("medium"):
        for each in plugins.find_part("medium", medium).default_recipes:
            assert each.network in plugins.part_names("network")
            assert set(each.codecs) <= set(plugins.part_names("codec"))
            assert set(each.objectives) <= set(plugins.part_names("objective"))
            assert {each.prompts} - {""} <= set(plugins.part_names("text_encoder"))


@pytest.mark.parametrize(
    ("medium", "size", "objective", "network", "codec"),
    [
        ("text", 100_000, "", "ngram", "bytes"),
        ("text", 100_000, "masked", "transformer", "bytes"),
        ("text", 10**9, "autoregressive", "transformer", "bpe"),
        ("image", 10**6, "", "dit", "latent"),
        ("image", 10**6, "masked", "transformer", "fsq_tokens"),
        ("image", 10**6, "adversarial", "convolution", "pixels"),
    ],
)
def test_a_beginning_fits_the_data_and_what_is_to_be_learned(
    medium: str, size: int, objective: str, network: str, codec: str
) -> None:
    chosen = find_default_recipe(medium, size, objective)
    assert (chosen.network, chosen.codecs[0]) == (network, codec)


def test_a_medium_of_which_nothing_is_known_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(image, "default_recipes")
    with pytest.raises(ValueError, match="The medium 'image' does not say what a model of it is made of"):
        find_default_recipe("image", 10, "")


def test_a_codec_that_needs_a_trained_model_is_taken_where_that_is_here(
    worlds: ModuleType, workspace: Workspace
) -> None:
    data = worlds.pictures(workspace)
    assert default_tables(workspace, data, {})["codec"]["name"] == "pixels"
    trained(workspace, "icons")
    tables = default_tables(workspace, data, {})
    assert tables["codec"] == {"name": "latent", "model": "icons"}
    assert (tables["medium"], tables["objective"]["name"], tables["prompts"]) == ("image", "flow", {"name": "minilm"})
    assert "length" not in tables
    assert tables["plan"]["ema_decay"] > 0.9, "a flow is kept as the ema_decay of its weights"
    assert default_tables(workspace, data, {"codec.name": "pixels"})["codec"]["name"] == "pixels"
    assert default_tables(workspace, data, {"objective.name": "variational"})["network"]["name"] == "convolution"


def test_text_begins_as_it_did(worlds: ModuleType, workspace: Workspace) -> None:
    tables = default_tables(workspace, worlds.dataset(workspace), {})
    assert (tables["codec"]["name"], tables["network"]["name"], tables["batch_size"]) == ("bytes", "ngram", 8)
    assert (tables["context_length"], tables["plan"], "text_encoder" in tables) == (256, {}, False)
