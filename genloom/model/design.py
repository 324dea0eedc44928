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
from genloom.networks.unfilled import Unfilled
from genloom.settings import made, plain, table
from genloom.store.model_folder import ModelFolder
from genloom.types import Batch, Codec, Cond, Objective, Space, TextEncoder, Tokens

LARGEST = {"depth": 1024, "apart": 1 << 40}  # the latter says where a text is cut, and makes nothing larger
LARGEST_SETTING = 1 << 20  # of any other whole number of a network


@dataclass(frozen=True)
class Design:
    """Which codec, objective and network a model has, and what reads its prompts, with the settings of each."""

    codec: str
    objective: str
    network: str
    length: int = 0  # the longest sequence the network reads; 0: what the codec gives has one size
    medium: str = "text"
    codec_settings: Mapping[str, Any] = field(default_factory=dict)
    objective_settings: Mapping[str, Any] = field(default_factory=dict)
    network_settings: Mapping[str, Any] = field(default_factory=dict)
    prompts: str = ""  # the text encoder; "": the model is given no prompts
    prompts_settings: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(job: Mapping[str, Any]) -> "Design":
        """The design a job describes: tables `codec`, `objective`, `network`, each with a `name`, and `length`.

        A table `prompts` with the name of a text encoder is there where the model is given prompts.
        """
        settings: dict[str, dict[str, Any]] = {}
        for part in ("codec", "objective", "network", *(("prompts",) if "prompts" in job else ())):
            settings[part] = named(job, part)
        names = {part: values.pop("name") for part, values in settings.items()}
        return Design(
            names["codec"],
            names["objective"],
            names["network"],
            whole(job, "length", 2) if job.get("length") else 0,
            str(job.get("medium", "text")),
            settings["codec"],
            settings["objective"],
            settings["network"],
            names.get("prompts", ""),
            settings.get("prompts", {}),
        )

    def tables(self) -> dict[str, Any]:
        return {
            "medium": self.medium,
            **({"length": self.length} if self.length else {}),
            "codec": {"name": self.codec, **self.codec_settings},
            "objective": {"name": self.objective, **self.objective_settings},
            "network": {"name": self.network, **self.network_settings},
            **({"prompts": {"name": self.prompts, **self.prompts_settings}} if self.prompts else {}),
        }


def named(job: Mapping[str, Any], part: Literal["codec", "objective", "network", "prompts"]) -> dict[str, Any]:
    """The table of a part, with its name; ValueError where there is no such table."""
    given = job.get(part, {})
    if not isinstance(given, Mapping):
        known = ", ".join(plugins.names("text_encoder" if part == "prompts" else part))
        raise ValueError(
            f"{part} is a table of settings, and {given!r} is none. Write --set {part}.name={given}; there is {known}."
        )
    if not isinstance(given.get("name"), str):
        raise ValueError(f"A job must say which {part} it takes, as {part}.name, and this one does not.")
    return dict(given)


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
    prompts: TextEncoder | None = None  # what reads prompts, where the model is given them

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
    if design.prompts:
        made(plugins.find("text_encoder", design.prompts).Config, design.prompts_settings, "prompts")


def objective_of(design: Design, space: Space) -> Objective[Batch]:
    """The objective on what the codec gives, conditioned on prompts where the design has them.

    Raises ValueError for an objective that does not learn such data or is given no prompts.
    """
    module = plugins.find("objective", design.objective)
    kind = getattr(module, class_of(design.objective))
    hints = typing.get_type_hints(kind)
    if "space" not in hints or not isinstance(space, hints["space"]):
        raise ValueError(
            f"The objective {design.objective!r} does not learn what the codec {design.codec!r} makes of the data. "
            "For text choose objective.name = autoregressive or masked."
        )
    settings = {**design.objective_settings, "space": space}
    if (prompts := prompts_of(design)) is not None:
        if "cond" not in hints:
            raise ValueError(
                f"The objective {design.objective!r} is given no prompts. Leave them away: --set prompts.name=''"
            )
        settings["cond"] = Cond(tokens=prompts.width)
    return made(kind, settings, "objective")


def prompts_of(design: Design) -> TextEncoder | None:
    """What reads the prompts of such models; they share it, for it never learns."""
    if not design.prompts:
        return None
    module = plugins.find("text_encoder", design.prompts)
    return _encoder(design.prompts, made(module.Config, design.prompts_settings, "prompts"))


@lru_cache(maxsize=2)
def _encoder(name: str, config: Any) -> TextEncoder:
    return plugins.find("text_encoder", name).build(config)


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
            ("text_encoder", design.prompts, design.prompts_settings),
        )
        if name
    }
    return replace(
        design,
        codec_settings=settings["codec"],
        network_settings=settings["network"],
        objective_settings={**plain(defaults), **design.objective_settings},
        prompts_settings=settings.get("text_encoder", {}),
    )


def class_of(objective: str) -> str:
    return "".join(word.capitalize() for word in objective.split("_"))


def space_of(design: Design, codec: Codec) -> Space:
    """The codec's space, with the length that the network reads where that is not the codec's to say."""
    space = codec.space
    if not isinstance(space, Tokens) or space.grid:
        return space
    if not design.length:
        raise ValueError("length must be a whole number from 2 on: how many symbols the network reads at once.")
    return replace(space, length=design.length)
