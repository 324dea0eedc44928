"""Models opened from the store, with the adapters that stand on them and in the precision asked for."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from genloom import plugins
from genloom.old_names import upgrade_tensors
from genloom.model.design import Design, Model, build_networks, build_objective, build_text_encoder, resolve_space
from genloom.model.save import find_tied_tensors
from genloom.networks import lora, peft
from genloom.networks import precision as precisions
from genloom.networks.skip_init import SkipInit
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Codec

MAX_ADAPTER_CHAIN = 8  # models tuned on tuned models


def best_device() -> torch.device:
    """Where networks compute: the first GPU, or where there is none, the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(workspace: Workspace, ref: str, adapters: Sequence[str] = (), precision: str = "float32") -> Model:
    """The model `name` (its newest version) or `name/n`, with the adapters of further tuned models added to its own.

    `precision` is one of networks.precision.PRECISIONS; below float32 the model is for reading only.

    Raises ValueError for an unknown name (naming the nearest), for damaged or mismatched weights, for a base that is
    gone or another, for adapters on another base, and for a precision that this model cannot have. Nothing in the
    folder is executed.
    """
    chain = resolve_lineage(workspace, workspace.get_model(ref))
    model, target = load_base_model(chain[0]), chain[-1]
    for adapter_ref in adapters:
        adapter_chain = resolve_lineage(workspace, workspace.get_model(adapter_ref))
        if len(adapter_chain) == 1 or adapter_chain[0].digest != chain[0].digest:
            raise ValueError(
                f"{adapter_chain[-1].ref} is no adapter on {chain[0].ref}. "
                f"Make one: genloom train NAME --from {chain[0].ref} --method lora"
            )
        chain += [adapter for adapter in adapter_chain[1:] if adapter.ref not in {folder.ref for folder in chain}]
    for adapter in chain[1:]:
        attach_adapter(model, adapter)
    model.parts.eval().requires_grad_(False)
    codec = load_codec(model.design, target) if target.is_adapter else model.codec
    model = replace(
        model, name=target.name, codec=codec, folder=target, adapters=tuple(adapter.ref for adapter in chain[1:])
    )
    return with_precision(model, precision)


def load_for_scoring(workspace: Workspace, ref: str) -> Model:
    """The model as it reads much at once fastest; for what only looks at what was written before."""
    model = load_model(workspace, ref)
    preferences = {precisions.choose_prefill_precision(part) for part in model.parts.values()}
    return with_precision(model, preferences.pop() if len(preferences) == 1 else "float32")


def with_precision(model: Model, precision: str) -> Model:
    """The model with parts that compute in this precision; adapters become part of weights that are rounded."""
    available = {precisions.resolve_precision(part, precision) for part in model.parts.values()}
    precision = available.pop() if len(available) == 1 else "float32"
    if precision in precisions.BITS and model.adapters:
        model = replace(merge_adapters(model), adapters=model.adapters)
    parts = {name: precisions.to_precision(part, precision) for name, part in model.parts.items()}
    return replace(model, parts=nn.ModuleDict(parts).eval(), precision=precision)


def resolve_lineage(workspace: Workspace, folder: ModelFolder) -> list[ModelFolder]:
    """The whole model that everything stands on, and the tuned ones on it, each on the one before, up to `folder`."""
    chain = [folder]
    while chain[0].is_adapter:
        ref, digest = read_base(chain[0])
        try:
            base = workspace.get_model(ref)
        except ValueError as error:
            raise ValueError(
                f"The model {chain[0].ref} was tuned on {ref}, which is not here: {error} "
                f"Import or restore {ref}; without it the adapter is of no use."
            ) from None
        if base.digest != digest:
            raise ValueError(
                f"{ref} is not the model that {chain[0].ref} was tuned on: its digest differs. "
                f"Restore that one, or tune again: genloom train {chain[0].name} --from {ref} --method lora"
            )
        if len(chain) == MAX_ADAPTER_CHAIN:
            raise ValueError(f"{folder.ref} is tuned {MAX_ADAPTER_CHAIN} times over, which is more than can be opened.")
        chain.insert(0, base)
    return chain


def is_chain_full(workspace: Workspace, folder: ModelFolder) -> bool:
    """Whether as many models stand on each other here as can be opened, so that none more can stand on this one."""
    return len(resolve_lineage(workspace, folder)) == MAX_ADAPTER_CHAIN


def read_base(folder: ModelFolder) -> tuple[str, str]:
    """The ref and digest of the model that a tuned one stands on."""
    path = folder.folder / "job.toml"
    try:
        base = tomllib.loads(path.read_text()).get("base")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}. Restore it from a backup, or tune again.") from None
    if not isinstance(base, Mapping) or not all(isinstance(base.get(key), str) for key in ("ref", "digest")):
        raise ValueError(f"{path} does not say which model {folder.ref} was tuned on. Tune again.")
    return base["ref"], base["digest"]


def attach_adapter(model: Model, adapter: ModelFolder) -> None:
    """Attach the adapter of a tuned model to the one network of `model`, in place."""
    adapter.verify()
    (network,) = model.parts.values()
    try:
        peft.load_peft_adapter(network, adapter.folder / "adapter", adapter.ref)
    except ValueError as error:
        raise ValueError(f"The model {adapter.ref} cannot be opened: {error}") from None


def load_codec(design: Design, folder: ModelFolder) -> Codec:
    return plugins.find_part("codec", design.codec).Codec.load(folder.folder / "codec")


def load_base_model(folder: ModelFolder) -> Model:
    """A whole model, one with weights of its own."""
    folder.verify()
    weights = folder.weights or [folder.folder / "weights.safetensors"]
    try:
        design = Design.from_job(tomllib.loads((folder.folder / "job.toml").read_text()))
        codec = load_codec(design, folder)
        objective = build_objective(design, resolve_space(design, codec))
        with SkipInit():
            parts = build_networks(design, objective)
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename}: the model {folder.ref} lacks this file. Train it again.") from None
    except ValueError as error:
        raise ValueError(f"The model {folder.ref} in {folder.folder} cannot be opened: {error}") from None
    try:
        tensors = {name: tensor for file in weights for name, tensor in load_file(file).items()}
        names = upgrade_tensors(design.network, tensors, parts.state_dict())
        tensors = {names[name]: tensor for name, tensor in tensors.items()}
        tied_tensors = {
            name: tensors[source] for name, source in find_tied_tensors(parts.state_dict()).items() if source in tensors
        }
        parts.load_state_dict({**tied_tensors, **tensors})  # which also makes float32 of weights stored in 16 bits
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(
            f"{weights[0]}: these weights do not fit the model's job.toml or are damaged ({reason}). Train it again."
        ) from None
    parts = parts.to(best_device()).eval().requires_grad_(False)
    return Model(folder.name, codec, objective, parts, design, folder, text_encoder=build_text_encoder(design))


def merge_adapters(model: Model) -> Model:
    """The model with the adapters that act folded into its weights, as a plain one; the parts are checked to be equal.

    Raises ValueError where the outputs of a fixed input differ by more than `lora.TOLERANCE` of the largest.
    """
    parts = nn.ModuleDict({name: lora.merge(part) for name, part in model.parts.items()})
    return replace(model, parts=parts.eval().requires_grad_(False), adapters=())
