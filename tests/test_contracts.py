"""Every part of a kind, built in or found as a plugin, meets the contract of its kind (genloom/testing/).

A new part is checked without a line here, unless it needs other values or settings than those below.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genloom import plugins
from genloom.errors import GenloomError
from genloom.media.abilities import get_ability
from genloom.media.design.examples import build_example
from genloom.media.design.structure import Structure, build_empty
from genloom.media.molecule.molecule import parse_smiles
from genloom.media.music.score import Key, Meter, Note, Part, Score
from genloom.testing import (
    check_check,
    check_conditioner,
    check_features,
    check_medium,
    check_network,
    check_preparation,
    check_text_encoder,
)
from genloom.types import ConditionSpec, Item, NetworkSpec, SignalSpace, TokenSpace
from tests.sounds import make_noise, make_tone, make_tune
from tests.speech.recordings import TEXTS as TEXTS_SPOKEN
from tests.speech.recordings import make_recording

TEXTS = ["To be, or not to be", "naïve café — 東京 🎭", "One line.\nAnother line, which is longer.\n", "{}"]
rng = np.random.default_rng(0)
IMAGES = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in ((16, 16), (24, 40), (33, 17))]
NOTES = tuple(Note(24 * i, 24, 60 + step) for i, step in enumerate((0, 2, 4, 5, 7, 5, 4, 2)))
SCORES = [
    Score((Part(73, NOTES),)),
    Score(
        (Part(40, NOTES, "Violin"), Part(42, (Note(0, 96, 48), Note(96, 96, 43)))),
        (Meter(0, 3, 4),),
        key=Key(0, "major"),
    ),
    Score((Part(0, (Note(0, 48, 60, 100), Note(0, 48, 64), Note(6, 20, 76), Note(100, 3, 30))),), style="étude"),
]
MOLECULES = [
    parse_smiles(smiles) for smiles in ("CC(=O)Oc1ccccc1C(=O)O", "C[C@@H](C(=O)O)N", "c1ccc2[nH]ccc2c1", "ClCCl")
]
STRUCTURES = [
    Structure.from_density(rng.random((48, 96)) ** 2, build_example("cantilever")),
    Structure((255 * (rng.random((9, 16)) > 0.4)).astype(np.uint8)),
    Structure((255 * (rng.random((6, 5, 8)) > 0.4)).astype(np.uint8)),
]
SOUNDS = [make_tone(440, rate=44_100), make_noise(1, 1.3, channels=2), make_tune(1)]
VALUES: dict[str, list[Any]] = {
    "audio": SOUNDS,
    "text": TEXTS,
    "design": STRUCTURES,
    "image": IMAGES,
    "molecule": MOLECULES,
    "music": SCORES,
}  # of every medium


def test_every_medium_has_values_here() -> None:
    assert set(VALUES) == set(plugins.list_part_names("medium"))


@pytest.mark.parametrize("name", plugins.list_part_names("medium"))
def test_media(name: str) -> None:
    check_medium(plugins.find_part("medium", name), VALUES[name])


@pytest.mark.parametrize("name", plugins.list_part_names("preparation"))
def test_preparations(name: str, tmp_path: Path) -> None:
    medium = plugins.find_part("medium", name)
    paths = [tmp_path / f"{number}{medium.suffixes[0]}" for number in range(len(VALUES[name]))]
    for path, value in zip(paths, VALUES[name], strict=True):
        medium.save(Item(value), path)
    check_preparation(name, paths)


@pytest.mark.parametrize("name", plugins.list_part_names("features"))
def test_features(name: str) -> None:
    media = [plugins.find_part("medium", medium) for medium in VALUES]
    values = next(VALUES[medium.kind] for medium in media if get_ability(medium, "feature_extractor") == name)
    check_features(plugins.find_part("features", name), values)


@pytest.mark.parametrize("name", plugins.list_part_names("text_encoder"))
def test_text_encoders(name: str) -> None:
    module = plugins.find_part("text_encoder", name)
    check_text_encoder(module.build(module.Config()))


def make_field(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(2, 3, 4)).astype(np.float32)


def with_meta(name: str, values: list[Any]) -> list[Item]:
    return [Item("", meta={} if value is None else {name: value}) for value in values]


CANTILEVER = build_example("cantilever")
DESIGNS = [
    Item(build_empty(goals) if goals else Structure(np.zeros((48, 96), np.uint8)))
    for goals in (CANTILEVER, None, CANTILEVER.with_limits(volume=0.3))
]
RECORDINGS = [Item(make_recording(text, 0)[0], meta={"caption": text}) for text in TEXTS_SPOKEN]
CONDITIONS: dict[str, tuple[dict[str, Any], list[Item], list[str]]] = {  # settings, items, texts that people write
    "text": ({"encoder": "words"}, with_meta("caption", ["a red fox", "two (fat:1.3) cats", None]), ["a fox"]),
    "columns": ({"column": "logp"}, with_meta("logp", [1.5, -2, None, 7]), ["2.5", "1e-3"]),
    "field": ({"column": "loads"}, with_meta("loads", [make_field(1), None, make_field(2)]), ["{folder}/x.npy"]),
    "item": ({"medium": "image"}, [Item(image) for image in IMAGES], ["{folder}/x.png"]),
    "goals": ({}, DESIGNS, ["{folder}/x.toml"]),
    "speech": ({"frames": 200}, RECORDINGS, ["Good morning.", "It is half past seven."]),
}


@pytest.mark.parametrize("name", plugins.list_part_names("conditioner"))
def test_conditioners(name: str, tmp_path: Path) -> None:
    module, (settings, items, texts) = plugins.find_part("conditioner", name), CONDITIONS[name]
    np.save(tmp_path / "x.npy", make_field(3))
    plugins.find_part("medium", "image").save(Item(IMAGES[0][::-1]), tmp_path / "x.png")
    plugins.find_part("medium", "design").save(DESIGNS[0], tmp_path / "x.toml")
    config = module.Config(**settings)
    if fit := getattr(module, "fit", None):
        config = fit(items, config)
        assert fit(items[:1], config) == config, "what is fitted stays"
    check_conditioner(module.build(config), items, [text.format(folder=tmp_path) for text in texts])


SETTINGS: dict[str, dict[str, Any]] = {
    "regex": {"pattern": r"\d"},
    "similarity": {"source": "To be, or not to be", "min_share": 0.5},
    "code": {"tests": "assert True"},
}  # of the checks that need some


@pytest.mark.parametrize("name", plugins.list_part_names("check"))
def test_checks(name: str) -> None:
    module = plugins.find_part("check", name)
    check_check(module, [value for medium in module.media for value in VALUES[medium]], SETTINGS.get(name))


TOKENS, GRID = TokenSpace(11, 9), TokenSpace(11, 9, grid=(2, 4))
VECTOR, SERIES, PICTURE, CLIP = (SignalSpace(2, size) for size in ((), (8,), (8, 8), (4, 8, 8)))
CONDITION_SPECS = [ConditionSpec(), ConditionSpec(tokens=5), ConditionSpec(vector=3), ConditionSpec(field=2)]
SPECS = [
    NetworkSpec(space, space, is_causal, has_time, condition)
    for space in (TOKENS, GRID, VECTOR, SERIES, PICTURE, CLIP)
    for is_causal, has_time in ((False, False), (True, False), (False, True))
    for condition in CONDITION_SPECS
]


@pytest.mark.parametrize("name", plugins.list_part_names("network"))
def test_networks(name: str, toys: Any) -> None:
    """A network may refuse a spec with a code; what it builds must meet the contract."""
    module, settings = plugins.find_part("network", name), dict(toys.SIZES.get(name, {}))
    num_built = 0
    for spec in SPECS:
        try:
            network = module.build(spec, module.Config(**settings))
        except GenloomError:
            continue
        if fit := getattr(network, "fit", None):
            fit(np.random.default_rng(0).integers(0, 11, 400))
        check_network(network, spec)
        num_built += 1
    assert num_built, f"{name} is built for none of the specs"
