"""Loading of models from the store, with adapters and in a given precision."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from genloom import plugins
from genloom.errors import GenloomError
from genloom.model.design import Design, Model, build_conditioners, build_networks, build_objective, resolve_space
from genloom.model.save import find_tied_tensors
from genloom.networks import lora, peft
from genloom.networks import precision as precisions
from genloom.networks.skip_init import SkipInit
from genloom.old_names import upgrade_tensors
from genloom.store import mirror
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.types import Codec
from genloom.waiting import watch_processors

MAX_ADAPTER_CHAIN = 8  # models tuned from tuned models
MAX_ADAPTER_WEIGHT = 4


def find_best_device() -> torch.device:
    """Return the first GPU, or the CPU if there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(workspace: Workspace, ref: str, adapters: Sequence[str] = (), precision: str = "float32") -> Model:
    """Load the model `name` (its active version) or `name/n`, and add the adapters of further tuned models to its own.

    An adapter is a ref, or "ref=0.5" to add half of it.

    `precision` is one of networks.precision.PRECISIONS; below float32 the model is for inference only.

    Raise ValueError for an unknown name (naming the nearest), damaged or mismatched weights, a missing or changed base,
    adapters of another base, and a precision that the model does not support. Nothing in the folder is executed.
    """
    watch_processors()
    chain = resolve_lineage(workspace, workspace.get_model(ref))
    model, target = load_base_model(chain[0]), chain[-1]
    weights: dict[str, float] = {}
    for adapter in adapters:
        adapter_ref, weight = parse_adapter(adapter)
        adapter_chain = resolve_lineage(workspace, workspace.get_model(adapter_ref))
        if len(adapter_chain) == 1 or adapter_chain[0].digest != chain[0].digest:
            raise GenloomError("model.incompatible_adapter", ref=adapter_chain[-1].ref, base=chain[0].ref)
        added = [folder for folder in adapter_chain[1:] if folder.ref not in {known.ref for known in chain}]
        weights |= {folder.ref: weight for folder in added or adapter_chain[-1:]}
        chain += added
    weights = {ref: weight for ref, weight in weights.items() if weight != 1}
    for folder in chain[1:]:
        attach_adapter(model, folder)
        for part in model.parts.values() if folder.ref in weights else ():
            lora.set_strength(part, folder.ref, weights[folder.ref])
    model.parts.eval().requires_grad_(False)
    codec = load_codec(model.design, target) if target.is_adapter else model.codec
    model = replace(
        model,
        name=target.name,
        codec=codec,
        folder=target,
        adapters=tuple(folder.ref for folder in chain[1:]),
        adapter_weights=weights,
    )
    return with_precision(model, precision)


def parse_adapter(text: str) -> tuple[str, float]:
    """Return the ref and the weight of "ref" or "ref=0.5"; raise ValueError for a weight that is not a number."""
    ref, equals, number = text.partition("=")
    try:
        weight = float(number) if equals else 1.0
    except ValueError:
        weight = inf
    if not -MAX_ADAPTER_WEIGHT <= weight <= MAX_ADAPTER_WEIGHT:
        raise GenloomError("model.bad_adapter_weight", ref=ref, weight=number, limit=MAX_ADAPTER_WEIGHT)
    return ref, weight


def load_for_scoring(workspace: Workspace, ref: str) -> Model:
    """Load the model in the precision that is fastest for long inputs; for scoring existing text."""
    model = load_model(workspace, ref)
    preferences = {precisions.choose_prefill_precision(part) for part in model.parts.values()}
    return with_precision(model, preferences.pop() if len(preferences) == 1 else "float32")


def with_precision(model: Model, precision: str) -> Model:
    """Return the model with parts in this precision; quantised weights include the adapters."""
    available = {precisions.resolve_precision(part, precision) for part in model.parts.values()}
    precision = available.pop() if len(available) == 1 else "float32"
    if precision in precisions.BITS and model.adapters:
        model = replace(merge_adapters(model), adapters=model.adapters)
    parts = {name: precisions.to_precision(part, precision) for name, part in model.parts.items()}
    return replace(model, parts=nn.ModuleDict(parts).eval(), precision=precision)


def resolve_lineage(workspace: Workspace, folder: ModelFolder) -> list[ModelFolder]:
    """Return the base model with weights of its own and the models tuned from it, in order, up to `folder`.

    Raise GenloomError for a model that is not made of networks: a library of its own runs it.
    """
    if folder.runtime:
        raise GenloomError("model.has_runtime", ref=folder.ref, verb=folder.card["runtime"].get("verb", "import"))
    chain = [folder]
    while chain[0].is_adapter:
        ref, digest = read_base(chain[0])
        try:
            base = workspace.get_model(ref)
        except ValueError as error:
            raise GenloomError("model.base_missing", ref=chain[0].ref, base=ref, reason=error) from None
        if base.digest != digest:
            raise GenloomError("model.base_changed", ref=chain[0].ref, base=ref, name=chain[0].name)
        if len(chain) == MAX_ADAPTER_CHAIN:
            raise GenloomError("model.chain_too_long", ref=folder.ref, limit=MAX_ADAPTER_CHAIN)
        chain.insert(0, base)
    return chain


def is_chain_full(workspace: Workspace, folder: ModelFolder) -> bool:
    """Return whether the chain of tuned models has the maximum length, so that none can be tuned from this one."""
    return len(resolve_lineage(workspace, folder)) == MAX_ADAPTER_CHAIN


def read_base(folder: ModelFolder) -> tuple[str, str]:
    """Return the ref and digest of the base of a tuned model."""
    path = folder.folder / "job.toml"
    try:
        base = tomllib.loads(path.read_text()).get("base")
    except (OSError, ValueError) as error:
        raise GenloomError("model.unreadable_job", path=path, reason=error) from None
    if not isinstance(base, Mapping) or not all(isinstance(base.get(key), str) for key in ("ref", "digest")):
        raise GenloomError("model.bad_base", path=path, ref=folder.ref)
    return base["ref"], base["digest"]


def attach_adapter(model: Model, adapter: ModelFolder) -> None:
    """Attach the adapter of a tuned model to the one network of `model`, in place."""
    adapter.verify()
    (network,) = model.parts.values()
    try:
        peft.load_peft_adapter(network, adapter.folder / "adapter", adapter.ref)
    except ValueError as error:
        raise GenloomError("model.adapter_unreadable", ref=adapter.ref, reason=error) from None


def load_codec(design: Design, folder: ModelFolder) -> Codec:
    mirror.fetch_files(folder.folder / "codec")
    return plugins.find_part("codec", design.codec).Codec.load(folder.folder / "codec")


def read_codec(workspace: Workspace, folder: ModelFolder) -> tuple[Design, Codec]:
    """Return the design and the codec of a model without loading its weights; the errors are those of `load_model`."""
    base = resolve_lineage(workspace, folder)[0]
    try:
        design = Design.from_job(tomllib.loads((base.folder / "job.toml").read_text()))
        return design, load_codec(design, folder)
    except FileNotFoundError as error:
        raise GenloomError("model.missing_file", path=error.filename, ref=folder.ref) from None
    except ValueError as error:
        raise GenloomError("model.unopenable", ref=folder.ref, folder=folder.folder, reason=error) from None


def load_base_model(folder: ModelFolder) -> Model:
    """Load a model that has weights of its own."""
    folder.verify()
    weights = folder.weights or [folder.folder / "weights.safetensors"]
    try:
        design = Design.from_job(tomllib.loads((folder.folder / "job.toml").read_text()))
        codec = load_codec(design, folder)
        objective = build_objective(design, resolve_space(design, codec))
        with SkipInit():
            parts = build_networks(design, objective)
    except FileNotFoundError as error:
        raise GenloomError("model.missing_file", path=error.filename, ref=folder.ref) from None
    except ValueError as error:
        fields = error.fields if isinstance(error, GenloomError) and error.code == "core.unknown_part" else {}
        part = f"{fields.get('kind')} {fields.get('name')}"
        if package := folder.card.get("packages", {}).get(part):
            name, _, version = str(package).partition(" ")
            raise GenloomError(
                "model.package_missing", ref=folder.ref, part=part, package=name, version=version
            ) from None
        raise GenloomError("model.unopenable", ref=folder.ref, folder=folder.folder, reason=error) from None
    try:
        tensors = {name: tensor for file in weights for name, tensor in load_file(file).items()}
        names = upgrade_tensors(design.network, tensors, parts.state_dict())
        tensors = {names[name]: tensor for name, tensor in tensors.items()}
        tied_tensors = {
            name: tensors[source] for name, source in find_tied_tensors(parts.state_dict()).items() if source in tensors
        }
        parts.load_state_dict({**tied_tensors, **tensors})  # converts weights stored in 16 bits to float32
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise GenloomError("model.bad_weights", path=weights[0], reason=reason) from None
    parts = parts.to(find_best_device()).eval().requires_grad_(False)
    return Model(folder.name, codec, objective, parts, design, folder, conditioners=build_conditioners(design))


def merge_adapters(model: Model) -> Model:
    """Return a plain model with the active adapters merged into its weights, and check that its outputs are equal.

    Raise ValueError if the outputs for a fixed input differ by more than `lora.TOLERANCE` of the largest.
    """
    parts = nn.ModuleDict({name: lora.merge_adapters(part) for name, part in model.parts.items()})
    return replace(model, parts=parts.eval().requires_grad_(False), adapters=())
