"""A model of the workspace written for other programs, read back and compared before it is kept."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genloom.exchange import gguf_file, huggingface
from genloom.exchange.architectures import Shape, architecture_of
from genloom.exchange.parity import TEXT, Parity, apart, compared, judged, logits_of, text_of
from genloom.exchange.safetensors_file import header
from genloom.exchange.writing import DTYPES, Leaving, as_written, write_folder, write_gguf
from genloom.model import Model, base_of, merged_model, open_model
from genloom.networks import peft, transformer
from genloom.settings import made
from genloom.store.files import folder_aside, replaced
from genloom.store.workspace import Workspace
from genloom.types import Tokens

FORMATS = {"hf": tuple(DTYPES), "gguf": ("float16", "q8_0", "float32"), "peft": ("float32",)}

Say = Callable[[float, str], None]


@dataclass(frozen=True)
class Exported:
    """What was written, and how close it computes to the model."""

    path: Path
    precision: str
    parity: Parity  # of the file and the model with its weights rounded as in the file
    moved: float  # how far that rounding itself moves the logits, as a relative error


def send(workspace: Workspace, ref: str, to: str, out: Path, precision: str | None, say: Say) -> Exported:
    """Write the model `ref` to `out` in the format `to`, a key of FORMATS.

    Raises ValueError, and leaves nothing behind, where the format cannot express the model or the parity check fails.
    """
    if to not in FORMATS:
        raise ValueError(f"There is no format {to!r} to export to. There is {', '.join(FORMATS)}.")
    if precision is not None and precision not in FORMATS[to]:
        raise ValueError(f"The format {to} is not written in {precision!r}. There is {', '.join(FORMATS[to])}.")
    say(0.0, "Opening the model")
    model = open_model(workspace, ref)
    if to == "peft":
        return adapter(workspace, model, out, say)
    leaving = leaving_of(merged_model(model) if model.adapters else model)
    precision = precision or (stored(model) if to == "hf" else FORMATS[to][0])
    with fresh(out, f"{model.name}.gguf" if to == "gguf" else "") as (draft, final):
        say(0.3, "Writing")
        write_gguf(leaving, draft, precision) if to == "gguf" else write_folder(leaving, draft, precision)
        say(0.6, "Reading it back and comparing")
        parity, moved = read_back(leaving, draft, precision)
    say(1.0, "")
    return Exported(final, precision, parity, moved)


@contextmanager
def fresh(out: Path, file: str) -> Generator[tuple[Path, Path]]:
    """What to write to, and what it becomes if the block ends well: a new folder, or with `file` a file (in one)."""
    if out.exists():
        raise ValueError(f"{out} exists already. Choose another name or move it away.")
    if file and out.suffix == ".gguf":
        with replaced(out) as draft:
            yield draft, out
    else:
        with folder_aside(out) as draft:
            yield draft / file, out / file


def leaving_of(model: Model) -> Leaving:
    """The model with its shape elsewhere; ValueError says what no other program can express."""
    design = model.design
    if design.network != "transformer" or design.objective != "autoregressive":
        raise ValueError(
            f"{model.ref} is a {design.objective} {design.network}, and exported can be autoregressive transformers: "
            "train one with --set network.name=transformer."
        )
    config = made(transformer.Config, design.network_settings, "network")
    space = model.codec.space
    assert isinstance(space, Tokens), "an autoregressive model has symbols"
    card = model.folder.card if model.folder is not None else {}
    licences = sorted(card.get("data", {}).get("licences", {}))
    licence = card.get("source", {}).get("licence") or (licences[0] if len(licences) == 1 else "other")
    return Leaving(model, Shape(architecture_of(config), config, design.length, space.vocab), licence)


def stored(model: Model) -> str:
    """The precision in which the model's own weights lie in the workspace."""
    path = model.folder.folder / "weights.safetensors" if model.folder is not None else None
    kinds = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    if path is None or not path.is_file():
        return "float32"
    return kinds.get(header(path)["model.enter.embed.weight"]["dtype"], "float32")


def read_back(leaving: Leaving, path: Path, precision: str) -> tuple[Parity, float]:
    """The logits of what was written, by its own tensors and vocabulary, beside the model's, and what rounding cost."""
    model = leaving.model
    source = huggingface.read(path) if path.is_dir() else gguf_file.read(path)
    ids = text_of(model.codec, model.design.length)
    if source.codec.encode(TEXT).tolist() != model.codec.encode(TEXT).tolist():
        raise ValueError("The vocabulary that was written encodes text in another way, so nothing was kept.")
    network = model.parts["model"]
    rounded = network if precision == "float32" else as_written(network, precision, source.gguf)
    moved = apart(logits_of(rounded, ids), logits_of(network, ids))
    return compared(rounded, source.config, source.own, source.gguf, ids), moved


def adapter(workspace: Workspace, model: Model, out: Path, say: Say) -> Exported:
    """Write a tuned model's adapter in PEFT's format, read it back onto its base and compare."""
    if model.folder is None or not model.folder.is_adapter:
        raise ValueError(
            f"{model.ref} has no adapter: its weights are its own. Export it with --to hf or --to gguf, "
            f"or tune an adapter: genloom train NAME --from {model.ref} --method lora"
        )
    peft.check_named(model.parts["model"])
    base, _ = base_of(model.folder)
    ids = text_of(model.codec, model.design.length)
    with fresh(out, "") as (draft, final):
        say(0.3, "Writing")
        peft.to_peft(model.parts["model"], model.folder.ref, draft, base)
        say(0.6, "Reading it back and comparing")
        again = open_model(workspace, base).parts["model"]
        peft.from_peft(again, draft, "read back")
        parity = judged(logits_of(again.eval(), ids), logits_of(model.parts["model"], ids))
    say(1.0, "")
    return Exported(final, "float32", parity, 0.0)
