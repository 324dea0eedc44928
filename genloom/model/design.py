"""What a model is made of: codec, objective, networks and prompts, as a job describes them, and put together."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Literal

import psutil
import torch
from torch import nn

from genloom import plugins
from genloom.networks import lora
from genloom.networks.skip_init import SkipInit
from genloom.old_names import upgrade_job
from genloom.settings import parse, to_plain, to_table
from genloom.store.model_folder import ModelFolder
from genloom.types import Batch, Codec, ConditionSpec, Objective, Space, TextEncoder, TokenSpace

SETTING_LIMITS = {
    "depth": 1024,
    "count_split": 1 << 40,
}  # the latter says where a text is cut, and makes nothing larger
DEFAULT_SETTING_LIMIT = 1 << 20  # of any other whole number of a network


@dataclass(frozen=True)
class Design:
    """Which codec, objective and network a model has, and what reads its prompts, with the settings of each."""

    codec: str
    objective: str
    network: str
    context_length: int = 0  # the longest sequence the network reads; 0: what the codec gives has one size
    medium: str = "text"
    codec_settings: Mapping[str, Any] = field(default_factory=dict)
    objective_settings: Mapping[str, Any] = field(default_factory=dict)
    network_settings: Mapping[str, Any] = field(default_factory=dict)
    text_encoder: str = ""  # the text encoder; "": the model is given no prompts
    text_encoder_settings: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def from_job(job: Mapping[str, Any]) -> "Design":
        """The design a job describes: tables `codec`, `objective`, `network`, each with a `name`, and `length`.

        A table `prompts` with the name of a text encoder is there where the model is given prompts.
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
            int_setting(job, "context_length", 2) if job.get("context_length") else 0,
            str(job.get("medium", "text")),
            settings["codec"],
            settings["objective"],
            settings["network"],
            names.get("text_encoder", ""),
            settings.get("text_encoder", {}),
        )

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
        }


def part_table(
    job: Mapping[str, Any], part: Literal["codec", "objective", "network", "text_encoder"]
) -> dict[str, Any]:
    """The table of a part, with its name; ValueError where there is no such table."""
    part_settings = job.get(part, {})
    if not isinstance(part_settings, Mapping):
        known_names = ", ".join(plugins.part_names(part))
        raise ValueError(
            f"{part} is a table of settings, and {part_settings!r} is none. Write --set {part}.name={part_settings}; there is {known_names}."
        )
    if not isinstance(part_settings.get("name"), str):
        raise ValueError(f"A job must say which {part} it takes, as {part}.name, and this one does not.")
    return dict(part_settings)


def int_setting(job: Mapping[str, Any], key: str, minimum: int) -> int:
    """A number of a job; ValueError where it is none or too small."""
    value = job.get(key)
    if type(value) is not int or not minimum <= value < 2**31:
        raise ValueError(f"{key} must be a whole number from {minimum} on, got {value!r}.")
    return value


@dataclass(frozen=True)
class Model:
    """What generates and is evaluated. `parts` are in evaluation mode when it comes from `open_model`."""

    name: str
    codec: Codec
    objective: Objective[Batch]
    parts: nn.ModuleDict
    design: Design
    folder: ModelFolder | None = None  # None while it is being trained
    adapters: tuple[str, ...] = ()  # the tuned models, as refs, whose adapters act in the parts
    precision: str = "float32"  # in which the parts compute
    text_encoder: TextEncoder | None = None  # what reads prompts, where the model is given them

    @property
    def ref(self) -> str:
        return self.name if self.folder is None else self.folder.ref

    @property
    def device(self) -> torch.device:
        return next(self.parts.parameters()).device

    def with_adapters(self, adapters: Sequence[str]) -> "Model":
        """The same model with these of its attached adapters acting, summed, and no others; the weights are shared.

        Raises ValueError for an adapter that `open_model` did not attach.
        """
        parts = nn.ModuleDict({name: lora.copy_sharing_tensors(part) for name, part in self.parts.items()})
        for part in parts.values():
            lora.set_active_adapters(part, adapters)
        attached_refs = [ref for part in parts.values() for ref in lora.list_adapter_names(part)]
        return replace(self, parts=parts, adapters=tuple(ref for ref in attached_refs if ref in adapters))


def check_design(design: Design) -> None:
    """Raises ValueError for a part that does not exist and for a setting that a part does not have, before any work."""
    parse(plugins.find_part("codec", design.codec).Config, design.codec_settings, "codec")
    parse(plugins.find_part("network", design.network).Config, design.network_settings, "network")
    plugins.find_part("objective", design.objective)
    plugins.find_part("medium", design.medium)
    if design.text_encoder:
        parse(
            plugins.find_part("text_encoder", design.text_encoder).Config, design.text_encoder_settings, "text_encoder"
        )


def build_objective(design: Design, space: Space) -> Objective[Batch]:
    """The objective on what the codec gives, conditioned on prompts where the design has them.

    Raises ValueError for an objective that does not learn such data or is given no prompts.
    """
    module = plugins.find_part("objective", design.objective)
    cls = getattr(module, objective_class_name(design.objective))
    hints = typing.get_type_hints(cls)
    if "space" not in hints or not isinstance(space, hints["space"]):
        raise ValueError(
            f"The objective {design.objective!r} does not learn what the codec {design.codec!r} makes of the data. "
            "For text choose objective.name = autoregressive or masked."
        )
    settings = {**design.objective_settings, "space": space}
    if (text_encoder := build_text_encoder(design)) is not None:
        if "condition" not in hints:
            raise ValueError(
                f"The objective {design.objective!r} is given no prompts. Leave them away: --set text_encoder.name=''"
            )
        settings["condition"] = ConditionSpec(tokens=text_encoder.width)
    return parse(cls, settings, "objective")


def build_text_encoder(design: Design) -> TextEncoder | None:
    """What reads the prompts of such models; they share it, for it never learns."""
    if not design.text_encoder:
        return None
    module = plugins.find_part("text_encoder", design.text_encoder)
    return _load_text_encoder(design.text_encoder, parse(module.Config, design.text_encoder_settings, "text_encoder"))


@lru_cache(maxsize=2)
def _load_text_encoder(name: str, config: Any) -> TextEncoder:
    return plugins.find_part("text_encoder", name).build(config)


def build_networks(design: Design, objective: Objective[Batch]) -> nn.ModuleDict:
    """Fresh networks, one for each role of the objective."""
    module = plugins.find_part("network", design.network)
    config = parse(module.Config, design.network_settings, "network")
    check_sizes(design.network_settings, "network")
    with torch.device("meta"), SkipInit():  # which counts and fills nothing
        meta_networks = [module.build(spec, config) for spec in objective.network_specs.values()]
    num_params, memory_bytes = (
        sum(p.numel() for d in meta_networks for p in d.parameters()),
        psutil.virtual_memory().total,
    )
    if 4 * num_params > memory_bytes:
        raise ValueError(
            f"A network of these settings has {num_params:,} parameters, which is {4 * num_params / 1e9:,.0f} GB, "
            f"and this machine has {memory_bytes / 1e9:,.0f} GB of memory. Choose a smaller network.width or network.depth."
        )
    return nn.ModuleDict({name: module.build(spec, config) for name, spec in objective.network_specs.items()})


def check_sizes(settings: Mapping[str, Any], location: str) -> None:
    """Raises ValueError for a number that no network here can have: what is built takes time and memory by it."""
    for name, value in settings.items():
        limit = SETTING_LIMITS.get(name, DEFAULT_SETTING_LIMIT)
        if isinstance(value, Mapping):
            check_sizes(value, f"{location}.{name}")
        elif isinstance(value, int) and value > limit:
            raise ValueError(f"{location}.{name} is {value:,}; it can be at most {limit:,}.")


def with_defaults(design: Design) -> Design:
    """The design with every setting written out: a later Genloom may have other defaults, and still open the model."""
    objective = plugins.find_part("objective", design.objective)
    cls = getattr(objective, objective_class_name(design.objective))
    setting_names = {f.name for f in fields(cls) if f.init} - {"space", "condition"}
    defaults = {f.name: f.default for f in fields(cls) if f.name in setting_names and f.default is not MISSING}
    settings = {
        part: to_table(parse(plugins.find_part(part, name).Config, part_settings, part))
        for part, name, part_settings in (
            ("codec", design.codec, design.codec_settings),
            ("network", design.network, design.network_settings),
            ("text_encoder", design.text_encoder, design.text_encoder_settings),
        )
        if name
    }
    return replace(
        design,
        codec_settings=settings["codec"],
        network_settings=settings["network"],
        objective_settings={**to_plain(defaults), **design.objective_settings},
        text_encoder_settings=settings.get("text_encoder", {}),
    )


def objective_class_name(objective: str) -> str:
    return "".join(word.capitalize() for word in objective.split("_"))


def resolve_space(design: Design, codec: Codec) -> Space:
    """The codec's space, with the length that the network reads where that is not the codec's to say."""
    space = codec.space
    if not isinstance(space, TokenSpace) or space.grid:
        return space
    if not design.context_length:
        raise ValueError("context_length must be a whole number from 2 on: how many symbols the network reads at once.")
    return replace(space, context_length=design.context_length)
