"""The words that a model of pictures knows, and what is said of others."""

from itertools import product
from pathlib import Path
from types import ModuleType

import pytest

from genloom.caption_words import find_unknown_words, list_caption_words
from genloom.generate.engine import Request
from genloom.generate.prompt_notes import list_unknown_words
from genloom.model import load_model
from genloom.store.workspace import Workspace

CAPTIONS = ["A red fox, riding 2 bicycles", "Blue houses at night"]


def test_the_words_of_captions_are_listed_once() -> None:
    words = list_caption_words([*CAPTIONS, "a RED night"])
    assert words == ["bicycles", "blue", "fox", "houses", "night", "red", "riding"]
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert list_caption_words("".join(each) for each in product(letters, letters, letters, "ab")) == []


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a fox rides a bicycle by a house, at night", []),
        ("ein roter Fuchs", ["ein", "roter", "fuchs"]),
        ("a (flamingo:1.3) at night, flamingo", ["flamingo"]),
        ("", []),
    ],
)
def test_words_in_other_forms_are_known(prompt: str, unknown: list[str]) -> None:
    assert find_unknown_words(prompt, list_caption_words(CAPTIONS)) == unknown
    assert find_unknown_words(prompt, []) == [], "of a model that does not list its words nothing is said"


def test_a_trained_model_lists_its_words(worlds: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    ref = worlds.finish_run(workspace, worlds.build_image_job(worlds.create_image_dataset(workspace), 1)).ref
    assert "tile" in workspace.get_model(ref).card["caption_words"]
    model = load_model(workspace, ref)
    request = Request(prompts=("a red tile", "ein roter tile"), nonces=(1, 2))
    assert list_unknown_words(model, request) == [[], ["ein", "roter"]]
