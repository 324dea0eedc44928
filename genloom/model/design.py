"""What a model is made of: codec, objective and networks, as a job describes them, and put together."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import psutil
import torch
from torch import nn

from genloom import plugins
from genloom.networks import lora
from genloom.networks.unfilled import Unfilled
from genloom.settings import made, table
from genloom.store.model_folder import ModelFolder
from genloom.types import Batch, Codec, Objective, Space, Tokens

LARGEST = {"depth": 1024}
LARGEST_SETTING = 1 << 20  # of any other whole number of a network


@dataclass(frozen=True)
class Design:
    """Which codec, objective and network a model has, with the settings of each."""

    codec: str
    objective: str
    network: str
    length: int  # the longest sequence the network reads
    medium: str = "text"
    codec_settings: Mapping[str, Any] = field(default_factory=dict)
    objective_settings: Mapping[str, Any] = field(default_factory=dict)
    network_settings: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(job: Mapping[str, Any]) -> "Design":
        """The design a job describes: tables `codec`, `objective`, `network`, each with a `name`, and `length`."""
        settings: dict[str, dict[str, Any]] = {}
        for part in ("codec", "objective", "network"):
            if not isinstance(job.get(part), Mapping) or not isinstance(job[part].get("name"), str):
                raise ValueError(f"A job must say which {part} it takes, as {part}.name, and this one does not.")
            settings[part] = dict(job[part])
        codec, objective, network = (values.pop("name") for values in settings.values())
        return Design(
            codec,
            objective,
            network,
            whole(job, "length", 2),
            str(job.get("medium", "text")),
            settings["codec"],
            settings["objective"],
            settings["network"],
        )

    def tables(self) -> dict[str, Any]:
        return {
            "medium": self.medium,
            "length": self.length,
            "codec": {"name": self.codec, **self.codec_settings},
            "objective": {"name": self.objective, **self.objective_settings},
            "network": {"name": self.network, **self.network_settings},
        }


def whole(job: Mapping[str, Any], key: str, least: int) -> int:
    """A number of a job; ValueError where it is none or too small."""
    value = job.get(key)
    if type(value) is not int or not least <= value < 2**31:
        raise ValueError(f"{key} must be a whole number from {least} on, got {value!r}.")
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

    @property
    def ref(self) -> str:
        return self.name if self.folder is None else self.folder.ref

    @property
    def device(self) -> torch.device:
        return next(self.parts.parameters()).device

    def switched(self, adapters: Sequence[str]) -> "Model":
        """The same model with these of its attached adapters acting, summed, and no others; the weights are shared.

        Raises ValueError for an adapter that `open_model` did not attach.
        """
        parts = nn.ModuleDict({name: lora.sharing(part) for name, part in self.parts.items()})
        for part in parts.values():
            lora.switch(part, adapters)
        attached = [ref for part in parts.values() for ref in lora.names(part)]
        return replace(self, parts=parts, adapters=tuple(ref for ref in attached if ref in adapters))


def check(design: Design) -> None:
    """Raises ValueError for a part that does not exist and for a setting that a part does not have, before any work."""
    made(plugins.find("codec", design.codec).Config, design.codec_settings, "codec")
    made(plugins.find("network", design.network).Config, design.network_settings, "network")
    plugins.find("objective", design.objective)
    plugins.find("medium", design.medium)


def objective_of(design: Design, space: Space) -> Objective[Batch]:
    module = plugins.find("objective", design.objective)
    kind = getattr(module, class_of(design.objective))
    takes = typing.get_type_hints(kind).get("space")
    if takes is None or not isinstance(space, takes):
        raise ValueError(
            f"The objective {design.objective!r} does not learn what the codec {design.codec!r} makes of the data. "
            "For text choose objective.name = autoregressive or masked."
        )
    return made(kind, {**design.objective_settings, "space": space}, "objective")


def parts_of(design: Design, objective: Objective[Batch]) -> nn.ModuleDict:
    """Fresh networks, one for each role of the objective."""
    module = plugins.find("network", design.network)
    config = made(module.Config, design.network_settings, "network")
    check_sizes(design.network_settings, "network")
    with torch.device("meta"), Unfilled():  # which counts and fills nothing
        drafts = [module.build(role, config) for role in objective.roles.values()]
    weights, room = sum(p.numel() for d in drafts for p in d.parameters()), psutil.virtual_memory().total
    if 4 * weights > room:
        raise ValueError(
            f"A network of these settings has {weights:,} parameters, which is {4 * weights / 1e9:,.0f} GB, "
            f"and this machine has {room / 1e9:,.0f} GB of memory. Choose a smaller network.width or network.depth."
        )
    return nn.ModuleDict({name: module.build(role, config) for name, role in objective.roles.items()})


def check_sizes(settings: Mapping[str, Any], where: str) -> None:
    """Raises ValueError for a number that no network here can have: what is built takes time and memory by it."""
    for name, value in settings.items():
        largest = LARGEST.get(name, LARGEST_SETTING)
        if isinstance(value, Mapping):
            check_sizes(value, f"{where}.{name}")
        elif isinstance(value, int) and value > largest:
            raise ValueError(f"{where}.{name} is {value:,}; it can be at most {largest:,}.")


def complete(design: Design) -> Design:
    """The design with every setting written out: a later Genloom may have other defaults, and still open the model."""
    objective = plugins.find("objective", design.objective)
    kind = getattr(objective, class_of(design.objective))
    learned = {f.name for f in fields(kind) if f.init} - {"space", "cond"}
    defaults = {f.name: f.default for f in fields(kind) if f.name in learned and f.default is not MISSING}
    settings = {
        part: table(made(plugins.find(part, name).Config, given, part))
        for part, name, given in (
            ("codec", design.codec, design.codec_settings),
            ("network", design.network, design.network_settings),
        )
    }
    return replace(
        design,
        codec_settings=settings["codec"],
        network_settings=settings["network"],
        objective_settings={**defaults, **design.objective_settings},
    )


def class_of(objective: str) -> str:
    return "".join(word.capitalize() for word in objective.split("_"))


def space_of(design: Design, codec: Codec) -> Space:
    """The codec's space, with the length that the network reads."""
    space = codec.space
    return replace(space, length=design.length) if isinstance(space, Tokens) else space
