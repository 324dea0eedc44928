"""Saving of models to the store, complete or as an adapter for a base model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from genloom.errors import GenloomError
from genloom.model.design import Model, list_packages
from genloom.networks import lora, peft
from genloom.settings import to_table, to_toml
from genloom.store.model_folder import ModelFolder

MAX_FILE_BYTES = 15 << 20  # below the recommended file size of code hosts


def save_model(model: Model, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Fill a model folder: weights, codec, job and card. The caller commits the folder to the store."""
    save_file(collect_tensors(model), folder / "weights.safetensors")
    write_metadata(model, folder, job, card)


def save_compact(model: Model, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Fill a model folder with 16-bit matrices in files of at most MAX_FILE_BYTES, for distribution in a package."""
    files: list[dict[str, Tensor]] = [{}]
    for name, tensor in collect_tensors(model).items():
        compact_tensor = tensor.to(torch.bfloat16) if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        if files[-1] and sum(t.nbytes for t in (*files[-1].values(), compact_tensor)) > MAX_FILE_BYTES:
            files.append({})
        files[-1][name] = compact_tensor
    for number, tensors in enumerate(files, 1):
        save_file(tensors, folder / ("weights.safetensors" if len(files) == 1 else f"weights-{number}.safetensors"))
    write_metadata(model, folder, job, card)


def collect_tensors(model: Model) -> dict[str, Tensor]:
    """Return the weights by name, each once."""
    state = model.parts.state_dict()
    tied_names = find_tied_tensors(state)
    tensors: dict[str, Tensor] = {}
    seen_storages = set()
    for name, tensor in state.items():
        if name not in tied_names:
            storage = tensor.untyped_storage().data_ptr()
            tensors[name] = (tensor.clone() if storage in seen_storages else tensor).detach().cpu().contiguous()
            seen_storages.add(storage)
    return tensors


def find_tied_tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Map the names of tensors that share storage with an earlier one, e.g. a tied head, to the earlier name."""
    first_names: dict[tuple[int, torch.Size], str] = {}
    return {
        name: first_names[storage_key]
        for name, tensor in tensors.items()
        if first_names.setdefault(storage_key := (tensor.data_ptr(), tensor.shape), name) != name and tensor.numel()
    }


def save_adapter(
    model: Model, name: str, base: ModelFolder, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]
) -> None:
    """Fill the folder of a model that was tuned with the adapter `name`: the adapter, codec, job and card.

    The job names the base and the adapter, from which `load_model` rebuilds the model; the card names the parent.
    """
    if len(model.parts) != 1:
        raise GenloomError("model.lora_needs_one_network", count=len(model.parts))
    (network,) = model.parts.values()
    peft.save_peft_adapter(network, name, folder / "adapter")
    config = next(adapter.config for _, _, adapter in lora.iter_adapters(network) if adapter.name == name)
    parent = {"ref": base.ref, "digest": base.digest}
    tables = {**job, "base": parent, "adapter": {"method": "lora", **to_table(config)}}
    write_metadata(model, folder, tables, {**card, "parents": [parent]})


def write_metadata(model: Model, folder: Path, job: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    (folder / "codec").mkdir()
    model.codec.save(folder / "codec")
    (folder / "job.toml").write_text(to_toml(job))
    if packages := list_packages(model.design):
        card = {**card, "packages": packages}
    (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False))
