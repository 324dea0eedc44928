"""What networks and codecs answer the dial: settings that suit a text, sizes, dropout; what a person has set stays."""

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest

from genloom import plugins
from genloom.model.design import check_sizes
from genloom.settings import parse
from genloom.train.planning.auto_config import MODEL_SIZES
from genloom.types import NetworkSpec, SignalSpace, TokenSpace

SYMBOLS = NetworkSpec(
    TokenSpace(vocab_size=16, context_length=8), TokenSpace(vocab_size=16, context_length=8), is_causal=True
)
VECTORS = NetworkSpec(SignalSpace(2), SignalSpace(2))
PICTURES = NetworkSpec(SignalSpace(2, (8, 8)), SignalSpace(2, (8, 8)))
NETWORKS = plugins.part_names("network")
DROPPING = [name for name in NETWORKS if hasattr(plugins.find_part("network", name), "with_dropout")]


def built(name: str, settings: dict[str, Any]) -> Any:
    """A network of these settings, on the first of the roles that it can fill."""
    module = plugins.find_part("network", name)
    config = parse(module.Config, settings, "network")
    for role in (SYMBOLS, VECTORS):
        try:
            return module.build(role, config)
        except ValueError:
            continue
    return module.build(PICTURES, config)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_size_of_the_ladder_can_be_built_and_is_larger_than_the_one_before(name: str) -> None:
    module = plugins.find_part("network", name)
    counts = [
        sum(p.numel() for p in built(name, module.resize_config({}, *shape)).parameters()) for shape in MODEL_SIZES[:6]
    ]
    assert all(small < large for small, large in pairwise(counts)), counts
    if hasattr(module, "activation_bytes"):
        kept = [
            module.activation_bytes(parse(module.Config, module.resize_config({}, *shape), "network"), 64)
            for shape in MODEL_SIZES
        ]
        assert kept == sorted(kept)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [1_000, 1_000_000, 5_000_000, 10**9])
def test_what_suits_a_text_are_settings_of_the_network(name: str, size: int) -> None:
    module = plugins.find_part("network", name)
    if hasattr(module, "default_config"):
        settings = module.resize_config(module.suited(size), *MODEL_SIZES[0])
        built(name, settings)
        check_sizes(settings, "network")


def leaves(settings: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in settings.items():
        found |= leaves(value, (*above, key)) if isinstance(value, dict) else {(*above, key): value}
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_person_has_set_stays(name: str) -> None:
    module = plugins.find_part("network", name)
    mine = leaves(asdict(module.Config()))
    kept = leaves(module.resize_config(asdict(module.Config()), *MODEL_SIZES[-1]))
    assert kept == mine
    if name in DROPPING:
        assert leaves(module.with_dropout(asdict(module.Config()), 0.3)) == mine


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_is_added_to_what_is_there(name: str) -> None:
    module = plugins.find_part("network", name)
    settings = module.resize_config({}, *MODEL_SIZES[0])
    added = leaves(module.with_dropout(settings, 0.25)).items() - leaves(settings).items()
    assert [(path[-1], value) for path, value in added] == [("dropout", 0.25)]
    built(name, module.with_dropout(settings, 0.25))


@pytest.mark.parametrize(
    "mine", [{"width": 384}, {"width": 100}, {"width": 90, "key_heads": 3}, {"key_heads": 4}], ids=str
)
def test_heads_fit_a_width_that_a_person_has_set(mine: dict[str, int]) -> None:
    module = plugins.find_part("network", "transformer")
    for shape in MODEL_SIZES[:5]:
        built("transformer", module.resize_config(mine, *shape))
