"""A model put together: codec, objective and networks, designed in a job, opened from the store and saved to it."""

import json
import platform
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from genloom import plugins
from genloom.settings import as_toml, made, table
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Batch, Codec, Objective, Space, Tokens


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

    @property
    def ref(self) -> str:
        return self.name if self.folder is None else self.folder.ref

    @property
    def device(self) -> torch.device:
        return next(self.parts.parameters()).device


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
    return nn.ModuleDict({name: module.build(role, config) for name, role in objective.roles.items()})


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


def best_device() -> torch.device:
    """Where networks compute: the first GPU, or where there is none, the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def open_model(workspace: Workspace, ref: str) -> Model:
    """The model `name` (its newest version) or `name/n`.

    Raises ValueError for an unknown name (naming the nearest) and for damaged or mismatched weights. Nothing in the
    folder is executed.
    """
    folder = workspace.model(ref)
    folder.verify()
    weights = folder.folder / "weights.safetensors"
    try:
        design = Design.of(tomllib.loads((folder.folder / "job.toml").read_text()))
        codec = plugins.find("codec", design.codec).Codec.load(folder.folder / "codec")
        objective = objective_of(design, space_of(design, codec))
        parts = parts_of(design, objective)
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename}: the model {folder.ref} lacks this file. Train it again.") from None
    except ValueError as error:
        raise ValueError(f"The model {folder.ref} in {folder.folder} cannot be opened: {error}") from None
    try:
        parts.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(
            f"{weights}: these weights do not fit the model's job.toml or are damaged ({reason}). Train it again."
        ) from None
    return Model(folder.name, codec, objective, parts.to(best_device()).eval().requires_grad_(False), design, folder)


def write_model(model: Model, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Fill a model folder: weights, codec, job and card; the caller's store makes it appear whole."""
    tensors, seen = {}, set()
    for name, tensor in model.parts.state_dict().items():
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = (tensor.clone() if place in seen else tensor).detach().cpu().contiguous()
        seen.add(place)
    save_file(tensors, folder / "weights.safetensors")
    (folder / "codec").mkdir()
    model.codec.save(folder / "codec")
    (folder / "job.toml").write_text(as_toml(job))
    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False))


def machine() -> dict[str, str | int]:
    """What the last bits of a sum depend on."""
    return {
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
