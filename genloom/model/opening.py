"""Models opened from the store, with the adapters that stand on them and in the precision asked for."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from genloom import plugins
from genloom.model.design import Design, Model, objective_of, parts_of, prompts_of, space_of
from genloom.model.writing import shared
from genloom.networks import lora, peft
from genloom.networks import precision as precisions
from genloom.networks.unfilled import Unfilled
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Codec

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


def open_to_read(workspace: Workspace, ref: str) -> Model:
    """The model as it reads much at once fastest; for what only looks at what was written before."""
    model = open_model(workspace, ref)
    found = {precisions.for_reading(part) for part in model.parts.values()}
    return at_precision(model, found.pop() if len(found) == 1 else "float32")


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


def stacked_up(workspace: Workspace, folder: ModelFolder) -> bool:
    """Whether as many models stand on each other here as can be opened, so that none more can stand on this one."""
    return len(lineage(workspace, folder)) == LONGEST_CHAIN


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
    weights = folder.weights or [folder.folder / "weights.safetensors"]
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
        found = {name: tensor for file in weights for name, tensor in load_file(file).items()}
        tied = {name: found[first] for name, first in shared(parts.state_dict()).items() if first in found}
        parts.load_state_dict({**tied, **found})  # which also makes float32 of weights stored in 16 bits
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(
            f"{weights[0]}: these weights do not fit the model's job.toml or are damaged ({reason}). Train it again."
        ) from None
    parts = parts.to(best_device()).eval().requires_grad_(False)
    return Model(folder.name, codec, objective, parts, design, folder, prompts=prompts_of(design))


def merged_model(model: Model) -> Model:
    """The model with the adapters that act folded into its weights, as a plain one; the parts are checked to be equal.

    Raises ValueError where the outputs of a fixed input differ by more than `lora.TOLERANCE` of the largest.
    """
    parts = nn.ModuleDict({name: lora.merge(part) for name, part in model.parts.items()})
    return replace(model, parts=parts.eval().requires_grad_(False), adapters=())
