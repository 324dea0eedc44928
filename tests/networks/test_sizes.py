"""The hooks of networks for the planner: default settings, model sizes, dropout; explicit settings win."""

from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import pytest

from genloom import plugins
from genloom.model.design import check_sizes
from genloom.settings import parse_settings
from genloom.train.planning.auto_config import MODEL_SIZES
from genloom.types import NetworkSpec, SignalSpace, TokenSpace

TOKEN_SPEC = NetworkSpec(
    TokenSpace(vocab_size=16, context_length=8), TokenSpace(vocab_size=16, context_length=8), is_causal=True
)
BOTH_WAYS_SPEC = replace(TOKEN_SPEC, is_causal=False)
VECTOR_SPEC = NetworkSpec(SignalSpace(2), SignalSpace(2))
WAVE_SPEC = NetworkSpec(SignalSpace(2, (64,)), SignalSpace(2, (16,)))
IMAGE_SPEC = NetworkSpec(SignalSpace(2, (8, 8)), SignalSpace(2, (8, 8)))
NETWORKS = plugins.list_part_names("network")
NETWORKS_WITH_DROPOUT = [name for name in NETWORKS if hasattr(plugins.find_part("network", name), "with_dropout")]


def build_network(name: str, settings: dict[str, Any]) -> Any:
    """Return a network with these settings, for the first spec that it supports."""
    module = plugins.find_part("network", name)
    config = parse_settings(module.Config, settings, "network")
    for spec in (TOKEN_SPEC, BOTH_WAYS_SPEC, VECTOR_SPEC, WAVE_SPEC):
        try:
            return module.build(spec, config)
        except ValueError:
            continue
    return module.build(IMAGE_SPEC, config)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_model_size_builds_and_is_larger_than_the_one_before(name: str) -> None:
    module = plugins.find_part("network", name)
    counts = [
        sum(p.numel() for p in build_network(name, module.resize_config({}, *size)).parameters())
        for size in MODEL_SIZES[:6]
    ]
    assert all(small < large for small, large in pairwise(counts)), counts
    if hasattr(module, "activations_per_token"):
        activations = [
            module.activations_per_token(parse_settings(module.Config, module.resize_config({}, *size), "network"), 64)
            for size in MODEL_SIZES
        ]
        assert activations == sorted(activations)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [1_000, 1_000_000, 5_000_000, 10**9])
def test_default_settings_are_valid_settings_of_the_network(name: str, size: int) -> None:
    module = plugins.find_part("network", name)
    if hasattr(module, "default_config"):
        settings = module.resize_config(module.default_config(size), *MODEL_SIZES[0])
        build_network(name, settings)
        check_sizes(settings, "network")


def flatten_settings(settings: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in settings.items():
        flat |= flatten_settings(value, (*above, key)) if isinstance(value, dict) else {(*above, key): value}
    return flat


@pytest.mark.parametrize("name", NETWORKS)
def test_explicit_settings_win(name: str) -> None:
    module = plugins.find_part("network", name)
    explicit = flatten_settings(asdict(module.Config()))
    resized = flatten_settings(module.resize_config(asdict(module.Config()), *MODEL_SIZES[-1]))
    assert resized == explicit
    if name in NETWORKS_WITH_DROPOUT:
        assert flatten_settings(module.with_dropout(asdict(module.Config()), 0.3)) == explicit


@pytest.mark.parametrize("name", NETWORKS_WITH_DROPOUT)
def test_with_dropout_adds_only_dropout(name: str) -> None:
    module = plugins.find_part("network", name)
    settings = module.resize_config({}, *MODEL_SIZES[0])
    added = flatten_settings(module.with_dropout(settings, 0.25)).items() - flatten_settings(settings).items()
    assert [(path[-1], value) for path, value in added] == [("dropout", 0.25)]
    build_network(name, module.with_dropout(settings, 0.25))


@pytest.mark.parametrize(
    "explicit", [{"width": 384}, {"width": 100}, {"width": 90, "key_heads": 3}, {"key_heads": 4}], ids=str
)
def test_heads_fit_an_explicit_width(explicit: dict[str, int]) -> None:
    module = plugins.find_part("network", "transformer")
    for size in MODEL_SIZES[:5]:
        build_network("transformer", module.resize_config(explicit, *size))
