"""A model put together: codec, objective and networks, designed in a job, opened from the store and saved to it."""

import json
import platform
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genloom import plugins
from genloom.networks import lora, peft
from genloom.networks import precision as precisions
from genloom.networks.unfilled import Unfilled
from genloom.settings import as_toml, made, table
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
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


LONGEST_CHAIN = 8  # models tuned on tuned models


def best_device() -> torch.device:
    """Where networks compute: the first GPU, or where there is none, the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def open_model(workspace: Workspace, ref: str, adapters: Sequence[str] = (), precision: str = "float32") -> Model:
    """The model `name` (its newest version) or `name/n`, with the adapters of further tuned models added to its own.

    `precision` is one of networks.precision.PRECISIONS; below float32 the model is for reading only.

    Raises ValueError for an unknown name (naming the nearest), for damaged or mismatched weights, for a base that is
    gone or another, for adapters on another base, and for a precision that this model cannot have. Nothing in the
    folder is executed.
    """
    chain = lineage(workspace, workspace.model(ref))
    model, own = opened(chain[0]), chain[-1]
    for more in adapters:
        above = lineage(workspace, workspace.model(more))
        if len(above) == 1 or above[0].digest != chain[0].digest:
            raise ValueError(
                f"{above[-1].ref} is no adapter on {chain[0].ref}. "
                f"Make one: genloom train NAME --from {chain[0].ref} --method lora"
            )
        chain += [tuned for tuned in above[1:] if tuned.ref not in {known.ref for known in chain}]
    for tuned in chain[1:]:
        adapt(model, tuned)
    model.parts.eval().requires_grad_(False)
    codec = codec_of(model.design, own) if own.is_adapter else model.codec
    model = replace(model, name=own.name, codec=codec, folder=own, adapters=tuple(tuned.ref for tuned in chain[1:]))
    return at_precision(model, precision)


def at_precision(model: Model, precision: str) -> Model:
    """The model with parts that compute in this precision; adapters become part of weights that are rounded."""
    found = {precisions.chosen(part, precision) for part in model.parts.values()}
    precision = found.pop() if len(found) == 1 else "float32"
    if precision in precisions.BITS and model.adapters:
        model = replace(merged_model(model), adapters=model.adapters)
    parts = {name: precisions.at(part, precision) for name, part in model.parts.items()}
    return replace(model, parts=nn.ModuleDict(parts).eval(), precision=precision)


def lineage(workspace: Workspace, folder: ModelFolder) -> list[ModelFolder]:
    """The whole model that everything stands on, and the tuned ones on it, each on the one before, up to `folder`."""
    chain = [folder]
    while chain[0].is_adapter:
        ref, digest = base_of(chain[0])
        try:
            below = workspace.model(ref)
        except ValueError as error:
            raise ValueError(
                f"The model {chain[0].ref} was tuned on {ref}, which is not here: {error} "
                f"Import or restore {ref}; without it the adapter is of no use."
            ) from None
        if below.digest != digest:
            raise ValueError(
                f"{ref} is not the model that {chain[0].ref} was tuned on: its digest differs. "
                f"Restore that one, or tune again: genloom train {chain[0].name} --from {ref} --method lora"
            )
        if len(chain) == LONGEST_CHAIN:
            raise ValueError(f"{folder.ref} is tuned {LONGEST_CHAIN} times over, which is more than can be opened.")
        chain.insert(0, below)
    return chain


def base_of(folder: ModelFolder) -> tuple[str, str]:
    """The ref and digest of the model that a tuned one stands on."""
    path = folder.folder / "job.toml"
    try:
        base = tomllib.loads(path.read_text()).get("base")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}. Restore it from a backup, or tune again.") from None
    if not isinstance(base, Mapping) or not all(isinstance(base.get(key), str) for key in ("ref", "digest")):
        raise ValueError(f"{path} does not say which model {folder.ref} was tuned on. Tune again.")
    return base["ref"], base["digest"]


def adapt(model: Model, tuned: ModelFolder) -> None:
    """Attach the adapter of a tuned model to the one network of `model`, in place."""
    tuned.verify()
    (network,) = model.parts.values()
    try:
        peft.from_peft(network, tuned.folder / "adapter", tuned.ref)
    except ValueError as error:
        raise ValueError(f"The model {tuned.ref} cannot be opened: {error}") from None


def codec_of(design: Design, folder: ModelFolder) -> Codec:
    return plugins.find("codec", design.codec).Codec.load(folder.folder / "codec")


def opened(folder: ModelFolder) -> Model:
    """A whole model, one with weights of its own."""
    folder.verify()
    weights = folder.folder / "weights.safetensors"
    try:
        design = Design.of(tomllib.loads((folder.folder / "job.toml").read_text()))
        codec = codec_of(design, folder)
        objective = objective_of(design, space_of(design, codec))
        with Unfilled():
            parts = parts_of(design, objective)
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename}: the model {folder.ref} lacks this file. Train it again.") from None
    except ValueError as error:
        raise ValueError(f"The model {folder.ref} in {folder.folder} cannot be opened: {error}") from None
    try:
        found = load_file(weights)
        tied = {name: found[first] for name, first in shared(parts.state_dict()).items() if first in found}
        parts.load_state_dict({**tied, **found})
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(
            f"{weights}: these weights do not fit the model's job.toml or are damaged ({reason}). Train it again."
        ) from None
    return Model(folder.name, codec, objective, parts.to(best_device()).eval().requires_grad_(False), design, folder)


def merged_model(model: Model) -> Model:
    """The model with the adapters that act folded into its weights, as a plain one; the parts are checked to be equal.

    Raises ValueError where the outputs of a fixed input differ by more than `lora.TOLERANCE` of the largest.
    """
    parts = nn.ModuleDict({name: lora.merge(part) for name, part in model.parts.items()})
    return replace(model, parts=parts.eval().requires_grad_(False), adapters=())


def write_model(model: Model, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Fill a model folder: weights, codec, job and card; the caller's store makes it appear whole."""
    own = model.parts.state_dict()
    tied = shared(own)
    tensors, seen = {}, set()
    for name, tensor in own.items():
        if name not in tied:
            place = tensor.untyped_storage().data_ptr()
            tensors[name] = (tensor.clone() if place in seen else tensor).detach().cpu().contiguous()
            seen.add(place)
    save_file(tensors, folder / "weights.safetensors")
    describe(model, folder, job, card)


def shared(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tensors that are another one under a second name, as of a tied head, with the first name of each."""
    first: dict[tuple[int, torch.Size], str] = {}
    return {
        name: first[place]
        for name, tensor in tensors.items()
        if first.setdefault(place := (tensor.data_ptr(), tensor.shape), name) != name and tensor.numel()
    }


def write_adapter(
    model: Model, name: str, base: ModelFolder, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]
) -> None:
    """Fill the folder of a model that was tuned by the adapter `name`: the adapter, codec, job and card, and no more.

    The job is told the base and the adapter, so that `open_model` puts them together again; the card, its parent.
    """
    if len(model.parts) != 1:
        raise ValueError(f"A model of {len(model.parts)} networks cannot be tuned by an adapter: use --method full.")
    (network,) = model.parts.values()
    peft.to_peft(network, name, folder / "adapter", base.ref)
    config = next(adapter.config for _, _, adapter in lora.adapters(network) if adapter.name == name)
    parent = {"ref": base.ref, "digest": base.digest}
    tables = {**job, "base": parent, "adapter": {"method": "lora", **table(config)}}
    describe(model, folder, tables, {**card, "parents": [parent]})


def describe(model: Model, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]) -> None:
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
