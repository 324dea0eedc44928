"""Which networks each objective can train on which data, found by building them without memory."""

import typing
from dataclasses import dataclass

import torch

from genloom import plugins
from genloom.model.design import Design, build_objective
from genloom.networks.skip_init import SkipInit
from genloom.types import SignalSpace, Space, TokenSpace

EXAMPLES: dict[str, Space] = {
    "tokens": TokenSpace(300, 32),
    "grids of tokens": TokenSpace(300, 17, grid=(4, 4)),
    "vectors": SignalSpace(8),
    "series": SignalSpace(2, (32,)),
    "images": SignalSpace(3, (32, 32)),
    "volumes": SignalSpace(1, (16, 16, 16)),
}


@dataclass(frozen=True)
class Fit:
    """An objective, the data that it trains on, and the networks for both; all with their default settings."""

    objective: str
    data: str
    networks: str


def list_fits() -> list[Fit]:
    """List which networks fit each objective; kinds of data with the same networks are one row."""
    fits: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for objective in plugins.list_part_names("objective"):
        for data, space in EXAMPLES.items():
            if networks := _find_networks(objective, space):
                fits.setdefault((objective, networks), []).append(data)
    return [Fit(objective, ", ".join(data), ", ".join(networks)) for (objective, networks), data in fits.items()]


def describe_codecs() -> dict[str, str]:
    """Return what each codec turns values into: "tokens", "signals", or both, by the type of its space."""
    words = {TokenSpace: "tokens", SignalSpace: "signals"}
    descriptions = {}
    for name in plugins.list_part_names("codec"):
        space = plugins.find_part("codec", name).Codec.space
        getter = getattr(space, "fget", None) or getattr(space, "func", None)  # of a property, or a cached one
        hint = typing.get_type_hints(getter).get("return") if getter else None
        kinds = [words[kind] for kind in typing.get_args(hint) or (hint,) if kind in words]
        descriptions[name] = " or ".join(kinds or words.values())
    return descriptions


def _find_networks(objective: str, space: Space) -> tuple[str, ...]:
    networks = []
    for name in plugins.list_part_names("network"):
        module = plugins.find_part("network", name)
        try:
            specs = build_objective(Design("", objective, name), space).network_specs.values()
            with torch.device("meta"), SkipInit():
                for spec in specs:
                    module.build(spec, module.Config())
        except Exception:  # what a part refuses it may refuse in its own way
            continue
        networks.append(name)
    return tuple(networks)
