"""What networks and codecs answer the dial: settings that suit a text, sizes, dropout; what a person has set stays."""

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest

from genloom import plugins
from genloom.model.design import check_sizes
from genloom.settings import made
from genloom.train.dial import SHAPES
from genloom.types import Role, Signal, Tokens

SYMBOLS = Role(Tokens(vocab=16, length=8), Tokens(vocab=16, length=8), causal=True)
VECTORS = Role(Signal(2), Signal(2))
PICTURES = Role(Signal(2, (8, 8)), Signal(2, (8, 8)))
NETWORKS = plugins.names("network")
DROPPING = [name for name in NETWORKS if hasattr(plugins.find("network", name), "regularised")]


def built(name: str, settings: dict[str, Any]) -> Any:
    """A network of these settings, on the first of the roles that it can fill."""
    module = plugins.find("network", name)
    config = made(module.Config, settings, "network")
    for role in (SYMBOLS, VECTORS):
        try:
            return module.build(role, config)
        except ValueError:
            continue
    return module.build(PICTURES, config)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_size_of_the_ladder_can_be_built_and_is_larger_than_the_one_before(name: str) -> None:
    module = plugins.find("network", name)
    counts = [sum(p.numel() for p in built(name, module.sized({}, *shape)).parameters()) for shape in SHAPES[:6]]
    assert all(small < large for small, large in pairwise(counts)), counts
    if hasattr(module, "kept"):
        kept = [module.kept(made(module.Config, module.sized({}, *shape), "network"), 64) for shape in SHAPES]
        assert kept == sorted(kept)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [1_000, 1_000_000, 5_000_000, 10**9])
def test_what_suits_a_text_are_settings_of_the_network(name: str, size: int) -> None:
    module = plugins.find("network", name)
    if hasattr(module, "suited"):
        settings = module.sized(module.suited(size), *SHAPES[0])
        built(name, settings)
        check_sizes(settings, "network")


def leaves(settings: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in settings.items():
        found |= leaves(value, (*above, key)) if isinstance(value, dict) else {(*above, key): value}
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_person_has_set_stays(name: str) -> None:
    module = plugins.find("network", name)
    mine = leaves(asdict(module.Config()))
    kept = leaves(module.sized(asdict(module.Config()), *SHAPES[-1]))
    assert kept == mine
    if name in DROPPING:
        assert leaves(module.regularised(asdict(module.Config()), 0.3)) == mine


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_is_added_to_what_is_there(name: str) -> None:
    module = plugins.find("network", name)
    settings = module.sized({}, *SHAPES[0])
    added = leaves(module.regularised(settings, 0.25)).items() - leaves(settings).items()
    assert [(path[-1], value) for path, value in added] == [("dropout", 0.25)]
    built(name, module.regularised(settings, 0.25))


@pytest.mark.parametrize(
    "mine", [{"width": 384}, {"width": 100}, {"width": 90, "key_heads": 3}, {"key_heads": 4}], ids=str
)
def test_heads_fit_a_width_that_a_person_has_set(mine: dict[str, int]) -> None:
    module = plugins.find("network", "transformer")
    for shape in SHAPES[:5]:
        built("transformer", module.sized(mine, *shape))
