"""The settings of a job by their paths, as `--set` takes them, with their defaults."""

import dataclasses
from collections.abc import Container, Iterator, Mapping
from math import inf
from typing import Any, get_type_hints

from genloom import plugins
from genloom.model.design import GIVEN_FIELDS, get_objective_class
from genloom.networks import lora
from genloom.settings import to_plain
from genloom.train.job import Job
from genloom.train.loop import TrainConfig
from genloom.train.parallel.config import ParallelConfig
from genloom.train.preference.config import PreferenceConfig

CHOSEN = ("context_length", "batch_size", "codec.name", "network.name", "objective.name")  # by the data and the time
# Of the parts with a `Config`; the settings of an objective are the fields of its class.
PREFIXES: dict[plugins.PartKind, str] = {
    "network": "network",
    "codec": "codec",
    "text_encoder": "text_encoder",
    "conditioner": "conditions.NAME",
}
SHARED = ("pack_length", "cond_dropout", "rehearsal", "forgetting", "fim_rate", "fim_spm")


def list_settings() -> dict[str, dict[str, Any]]:
    """Return the paths and defaults by group: of every job, of its plan, of learning, and of each part."""
    defaults = {f.name: f.default for f in dataclasses.fields(Job)}
    groups: dict[str, dict[str, Any]] = {
        "job": {
            **dict.fromkeys(CHOSEN, "chosen"),
            **{name: to_shown(defaults[name]) for name in SHARED},
            "mixture.SOURCE": 1.0,
        },
        "plan": dict(iter_paths(TrainConfig, "plan")),
        "parallel": dict(iter_paths(ParallelConfig, "parallel")),
        "adapter": dict(iter_paths(lora.Config, "adapter")),
        "learning": dict(iter_paths(PreferenceConfig, "learning")),
    }
    for name in plugins.list_part_names("objective"):
        paths = iter_paths(get_objective_class(name), "objective", excluded=GIVEN_FIELDS)
        groups[f"objective {name}"] = dict(paths)
    for kind, prefix in PREFIXES.items():
        for name in plugins.list_part_names(kind):
            groups[f"{kind.replace('_', ' ')} {name}"] = dict(iter_paths(plugins.find_part(kind, name).Config, prefix))
    return groups


def iter_paths(config_class: Any, prefix: str, excluded: Container[str] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the path and the default of each field, those of nested tables included; "-" where one must be given."""
    types = get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        if field.name in excluded:
            continue
        path, default = f"{prefix}.{field.name}", field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if dataclasses.is_dataclass(types[field.name]):
            yield from iter_paths(types[field.name], path)
        elif isinstance(default, Mapping) and not default:
            yield path, {}
        else:
            yield path, "-" if default is dataclasses.MISSING else to_shown(default)


def to_shown(default: Any) -> Any:
    """Return a default as a value of JSON, which has no infinity."""
    return "inf" if default == inf else to_plain(default)
