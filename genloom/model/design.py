"""The design of a model (codec, objective, network, conditions), and the parts built from it."""

import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, Literal

import torch
from torch import nn

from genloom import conditioners, plugins
from genloom.errors import GenloomError
from genloom.memory import measure_memory
from genloom.networks import lora
from genloom.networks.skip_init import SkipInit
from genloom.old_names import upgrade_job
from genloom.settings import parse_settings, parse_values, to_plain, to_table
from genloom.store.model_folder import ModelFolder
from genloom.types import Batch, Codec, Conditioner, Item, Objective, Space, TextEncoder, TokenSpace

# count_split is a position in a text and does not affect the size of the network.
SETTING_LIMITS = {"depth": 1024, "count_split": 1 << 40}
DEFAULT_SETTING_LIMIT = 1 << 20  # of any other integer of a network
GIVEN_FIELDS = ("space", "condition")  # of an objective: from the codec and the conditioners, not from a job
CONDITION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # a TOML key, a file name and an option


@dataclass(frozen=True)
class Design:
    """The codec, objective, network and conditions of a model, with the settings of each."""

    codec: str
    objective: str
    network: str
    context_length: int = 0  # the longest sequence that the network reads; 0: the codec gives values of one size
    medium: str = "text"
    codec_settings: Mapping[str, Any] = field(default_factory=dict)
    objective_settings: Mapping[str, Any] = field(default_factory=dict)
    network_settings: Mapping[str, Any] = field(default_factory=dict)
    text_encoder: str = ""  # of the condition "prompt"; "": the model does not use prompts
    text_encoder_settings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the others: `name` of the conditioner …

    @staticmethod
    def from_job(job: Mapping[str, Any]) -> "Design":
        """Build the design from a job: tables `codec`, `objective`, `network`, each with a `name`; `context_length`.

        A job of a model with prompts has a table `text_encoder`, one with other conditions a table `conditions.NAME`
        for each, with the `name` of its conditioner.
        """
        job = upgrade_job(job)
        settings: dict[str, dict[str, Any]] = {}
        for part in ("codec", "objective", "network", *(("text_encoder",) if "text_encoder" in job else ())):
            settings[part] = part_table(job, part)
        names = {part: values.pop("name") for part, values in settings.items()}
        return Design(
            names["codec"],
            names["objective"],
            names["network"],
            get_int_setting(job, "context_length", 2) if job.get("context_length") else 0,
            str(job.get("medium", "text")),
            settings["codec"],
            settings["objective"],
            settings["network"],
            names.get("text_encoder", ""),
            settings.get("text_encoder", {}),
            read_condition_tables(job),
        )

    @property
    def condition_tables(self) -> dict[str, Mapping[str, Any]]:
        """The table of each condition, with that of the prompt first."""
        prompt = {"name": "text", "encoder": self.text_encoder, "settings": self.text_encoder_settings}
        return {**({conditioners.PROMPT: prompt} if self.text_encoder else {}), **self.conditions}

    def to_tables(self) -> dict[str, Any]:
        return {
            "medium": self.medium,
            **({"context_length": self.context_length} if self.context_length else {}),
            "codec": {"name": self.codec, **self.codec_settings},
            "objective": {"name": self.objective, **self.objective_settings},
            "network": {"name": self.network, **self.network_settings},
            **(
                {"text_encoder": {"name": self.text_encoder, **self.text_encoder_settings}} if self.text_encoder else {}
            ),
            **(
                {"conditions": {name: dict(table) for name, table in self.conditions.items()}}
                if self.conditions
                else {}
            ),
        }


def read_condition_tables(job: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the tables of a job's conditions other than `text_encoder`; ValueError for one without a `name`."""
    tables = job.get("conditions", {})
    if not isinstance(tables, Mapping):
        raise GenloomError("model.conditions_not_table", value=tables)
    for name, table in tables.items():
        if not CONDITION_NAME.fullmatch(name):
            raise GenloomError("model.bad_condition_name", name=name)
        if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
            known_names = ", ".join(plugins.list_part_names("conditioner"))
            raise GenloomError("model.condition_without_name", condition=name, known=known_names)
        if name == conditioners.PROMPT and "text_encoder" in job and part_table(job, "text_encoder")["name"]:
            raise GenloomError("model.two_prompts")
    return {name: dict(table) for name, table in tables.items()}


def part_table(
    job: Mapping[str, Any], part: Literal["codec", "objective", "network", "text_encoder"]
) -> dict[str, Any]:
    """Return the table of a part, with its name; ValueError if there is none."""
    part_settings = job.get(part, {})
    if not isinstance(part_settings, Mapping):
        known_names = ", ".join(plugins.list_part_names(part))
        raise GenloomError("model.part_not_table", part=part, value=part_settings, known=known_names)
    if not isinstance(part_settings.get("name"), str):
        raise GenloomError("model.part_name_missing", part=part)
    return dict(part_settings)


def get_int_setting(job: Mapping[str, Any], key: str, minimum: int) -> int:
    """Return an integer of a job; ValueError if it is missing, too small or not an integer."""
    value = job.get(key)
    if type(value) is not int or not minimum <= value < 2**31:
        raise GenloomError("model.int_setting", key=key, minimum=minimum, value=value)
    return value


@dataclass(frozen=True)
class Model:
    """A model that generates and is evaluated. `load_model` returns its `parts` in evaluation mode."""

    name: str
    codec: Codec
    objective: Objective[Batch]
    parts: nn.ModuleDict
    design: Design
    folder: ModelFolder | None = None  # None during training
    adapters: tuple[str, ...] = ()  # refs of the tuned models whose adapters are active in the parts
    adapter_weights: Mapping[str, float] = field(default_factory=dict)  # of those adapters that are not added in full
    precision: str = "float32"  # in which the parts compute
    conditioners: Mapping[str, Conditioner] = field(default_factory=dict)  # by condition; {}: unconditional

    @property
    def ref(self) -> str:
        return self.name if self.folder is None else self.folder.ref

    @property
    def text_encoder(self) -> TextEncoder | None:
        """The encoder of prompts; None: the model does not use prompts."""
        return getattr(self.conditioners.get(conditioners.PROMPT), "encoder", None)

    @property
    def device(self) -> torch.device:
        return next(self.parts.parameters()).device

    def with_adapters(self, adapters: Sequence[str]) -> "Model":
        """Return the model with exactly these of its attached adapters active and summed; the weights are shared.

        Raise ValueError for an adapter that `load_model` did not attach.
        """
        parts = nn.ModuleDict({name: lora.copy_sharing_tensors(part) for name, part in self.parts.items()})
        for part in parts.values():
            lora.set_active_adapters(part, adapters)
        attached_refs = [ref for part in parts.values() for ref in lora.list_adapter_names(part)]
        return replace(self, parts=parts, adapters=tuple(ref for ref in attached_refs if ref in adapters))


def check_design(design: Design) -> None:
    """Raise ValueError for a part that does not exist or a setting that a part does not have, before any work."""
    parse_settings(plugins.find_part("codec", design.codec).Config, design.codec_settings, "codec")
    parse_settings(plugins.find_part("network", design.network).Config, design.network_settings, "network")
    parse_values(get_objective_class(design.objective), design.objective_settings, "objective", GIVEN_FIELDS)
    plugins.find_part("medium", design.medium)
    if design.text_encoder:
        parse_settings(
            plugins.find_part("text_encoder", design.text_encoder).Config, design.text_encoder_settings, "text_encoder"
        )
    for name in design.condition_tables:
        parse_condition(design, name)


def list_packages(design: Design) -> dict[str, str]:
    """Return the packages of the parts that are plug-ins, by part: {"network pointwise": "genloom-extras 1.0"}."""
    parts: list[tuple[plugins.PartKind, str]] = [
        ("codec", design.codec),
        ("network", design.network),
        ("objective", design.objective),
        ("medium", design.medium),
        ("text_encoder", design.text_encoder),
        *(("conditioner", str(table["name"])) for table in design.condition_tables.values()),
    ]
    return {
        f"{kind.replace('_', ' ')} {name}": package
        for kind, name in parts
        if (package := plugins.get_package(kind, name))
    }


def build_objective(design: Design, space: Space) -> Objective[Batch]:
    """Build the objective on the codec's space, with the design's conditions.

    Raise ValueError for an objective that cannot train on such data or does not use conditions.
    """
    cls = get_objective_class(design.objective)
    hints = typing.get_type_hints(cls)
    if "space" not in hints or not isinstance(space, hints["space"]):
        raise GenloomError("model.objective_unfit", objective=design.objective, codec=design.codec)
    settings = {**design.objective_settings, "space": space}
    if conditioners_by_name := build_conditioners(design):
        if "condition" not in hints:
            raise GenloomError("model.no_conditions", objective=design.objective)
        settings["condition"] = conditioners.merge_specs(conditioners_by_name)
    return parse_settings(cls, settings, "objective")


def build_conditioners(design: Design) -> dict[str, Conditioner]:
    """Return the conditioners of the design, by condition. They are never trained."""
    return {
        name: plugins.find_part("conditioner", str(table["name"])).build(parse_condition(design, name))
        for name, table in design.condition_tables.items()
    }


def parse_condition(design: Design, name: str) -> Any:
    """Return the configuration of a condition; its `column` is by default its name, its `medium` that of the model."""
    settings = dict(design.condition_tables[name])
    config_class = plugins.find_part("conditioner", str(settings.pop("name"))).Config
    config = parse_settings(config_class, settings, f"conditions.{name}")
    defaults = {"column": name, "medium": design.medium}
    return replace(config, **{key: value for key, value in defaults.items() if getattr(config, key, None) == ""})


def fit_conditions(design: Design, iter_items: Callable[[str], Iterable[Item]]) -> Design:
    """Return the design with the statistics of the training data that its conditioners need.

    `iter_items` gets the only column that a conditioner reads, or "" for one that reads whole items.
    """
    tables = dict(design.conditions)
    for name, table in tables.items():
        if fit := plugins.get_hook("conditioner", str(table["name"]), "fit"):
            config = parse_condition(design, name)
            items = iter_items(getattr(config, "column", ""))
            tables[name] = {"name": table["name"], **to_table(fit(items, config))}
    return replace(design, conditions=tables)


def build_networks(design: Design, objective: Objective[Batch]) -> nn.ModuleDict:
    """Build untrained networks, one for each network spec of the objective."""
    num_params, memory_bytes = count_network_parameters(design, objective), measure_memory().total
    if 4 * num_params > memory_bytes:
        gigabytes, memory = 4 * num_params / 1e9, memory_bytes / 1e9
        raise GenloomError("model.network_too_large", params=num_params, gigabytes=gigabytes, memory=memory)
    module = plugins.find_part("network", design.network)
    config = parse_settings(module.Config, design.network_settings, "network")
    return nn.ModuleDict({name: module.build(spec, config) for name, spec in objective.network_specs.items()})


def count_network_parameters(design: Design, objective: Objective[Batch]) -> int:
    """Count the parameters of the networks that `build_networks` would build, without their memory."""
    return sum(p.numel() for p in build_meta_networks(design, objective).parameters())


def build_meta_networks(design: Design, objective: Objective[Batch]) -> nn.ModuleDict:
    """Build the networks of `build_networks` on the meta device: their shapes, without memory for their weights."""
    module = plugins.find_part("network", design.network)
    config = parse_settings(module.Config, design.network_settings, "network")
    check_sizes(design.network_settings, "network")
    with torch.device("meta"), SkipInit():
        return nn.ModuleDict({name: module.build(spec, config) for name, spec in objective.network_specs.items()})


def check_sizes(settings: Mapping[str, Any], location: str) -> None:
    """Raise ValueError for a number that would make a network take too much time and memory to build."""
    for name, value in settings.items():
        limit = SETTING_LIMITS.get(name, DEFAULT_SETTING_LIMIT)
        if isinstance(value, Mapping):
            check_sizes(value, f"{location}.{name}")
        elif isinstance(value, int) and value > limit:
            raise GenloomError("model.setting_too_large", setting=f"{location}.{name}", limit=limit, value=value)


def with_defaults(design: Design) -> Design:
    """Return the design with every default written out, so that a Genloom with other defaults opens the same model."""
    cls = get_objective_class(design.objective)
    setting_names = {f.name for f in fields(cls) if f.init} - set(GIVEN_FIELDS)
    defaults = {f.name: f.default for f in fields(cls) if f.name in setting_names and f.default is not MISSING}
    settings = {
        part: to_table(parse_settings(plugins.find_part(part, name).Config, part_settings, part))
        for part, name, part_settings in (
            ("codec", design.codec, design.codec_settings),
            ("network", design.network, design.network_settings),
            ("text_encoder", design.text_encoder, design.text_encoder_settings),
        )
        if name
    }
    conditions = {
        name: {"name": table["name"], **to_table(parse_condition(design, name))}
        for name, table in design.conditions.items()
    }
    return replace(
        design,
        codec_settings=settings["codec"],
        network_settings=settings["network"],
        objective_settings={**to_plain(defaults), **design.objective_settings},
        text_encoder_settings=settings.get("text_encoder", {}),
        conditions=conditions,
    )


def get_objective_class(objective: str) -> Any:
    """Return the dataclass of an objective: `VaeGan` of `objectives/vae_gan.py`.

    Raise GenloomError for one that declares fields without being a dataclass itself: they would not be settings.
    """
    objective_class = getattr(plugins.find_part("objective", objective), plugins.get_objective_class_name(objective))
    for name, value in vars(objective_class).items():
        if isinstance(value, Field):
            raise GenloomError("model.objective_is_no_dataclass", name=objective_class.__name__, field=name)
    return objective_class


def resolve_space(design: Design, codec: Codec) -> Space:
    """Return the codec's space, with the design's context length if the codec does not determine the length."""
    space = codec.space
    if not isinstance(space, TokenSpace) or space.grid:
        return space
    if not design.context_length:
        raise GenloomError("model.context_length_missing")
    return replace(space, context_length=design.context_length)
