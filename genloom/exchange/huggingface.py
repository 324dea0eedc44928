"""Hugging Face folders in: config.json, safetensors whole or in parts, and the vocabulary beside them."""

import json
from pathlib import Path
from typing import Any

from genloom.codecs import tokenizer
from genloom.codecs.tokenizer_json import LARGEST_FILE, parsed
from genloom.exchange.architectures import Shape, shape_of
from genloom.exchange.safetensors_file import tensors_of
from genloom.exchange.source import Source, speaking
from genloom.exchange.vocabulary import begins, from_files
from genloom.exchange.weights import Load

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_UNPREFIXED = ("wte.", "wpe.", "h.", "ln_f.")  # GPT-2 as it was first published


def read(folder: Path) -> Source:
    """The model in a folder; ValueError says what in it is unknown, missing or a lie."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no config.json: name a folder with a Hugging Face model, or a .gguf file.")
    try:
        config = json_of(folder / "config.json")
        shape = shape_of(config)
        paths = weights_of(folder)
        tensors = joined(folder, paths)
        if shape.architecture == "GPT2LMHeadModel":
            tensors = {f"transformer.{n}" if n.startswith(_UNPREFIXED) else n: load for n, load in tensors.items()}
        codec, notes = codec_of(folder, shape)
    except ValueError as error:
        raise ValueError(f"{folder} cannot be imported: {str(error).rstrip('.')}.") from None
    return Source(
        config,
        tensors,
        lambda name: tensors[name]() if name in tensors else None,
        gguf=False,
        codec=codec,
        paths=tuple(paths),
        name=folder.resolve().name,
        licence=licence_of(folder),
        notes=notes,
    )


def weights_of(folder: Path) -> list[Path]:
    """The safetensors files of the folder."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = json_of(index).get("weight_map")
        if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
            raise ValueError(f"{index.name} has no table of weights")
        paths = [folder / name for name in sorted(set(table.values()))]
        if outside := [path for path in paths if path.parent != folder or path.name in ("", ".", "..")]:
            raise ValueError(f"{index.name} points to {outside[0]}, which lies outside of the folder")
    else:
        paths = sorted(folder.glob("model.safetensors")) or sorted(folder.glob("*.safetensors"))
    if missing := [path for path in paths if not path.is_file()]:
        raise ValueError(f"the file {missing[0].name} is missing")
    if not paths:
        if pickled := [path.name for pattern in _PICKLED for path in folder.glob(pattern)]:
            raise ValueError(
                f"its weights are pickled ({pickled[0]}), and opening them could run code. Take the safetensors "
                "version of the model, or convert it where you trust it: model.save_pretrained(FOLDER)"
            )
        raise ValueError("there are no weights (*.safetensors) in it")
    return paths


def joined(folder: Path, paths: list[Path]) -> dict[str, Load]:
    """The tensors of all files; where there is an index, it and the files have to agree."""
    tensors: dict[str, Load] = {}
    places: dict[str, str] = {}
    for path in paths:
        for name, load in tensors_of(path).items():
            if name in tensors:
                raise ValueError(f"the tensor {name!r} stands in {places[name]} and in {path.name}")
            tensors[name], places[name] = load, path.name
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = json_of(index)["weight_map"]
        if wrong := sorted(name for name in table if places.get(name) != table[name]):
            raise ValueError(f"{index.name} says that {wrong[0]!r} lies in {table[wrong[0]]}, and it does not")
    return tensors


def codec_of(folder: Path, shape: Shape) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """The vocabulary with its roles, and what the user should know of it."""
    settings = json_of(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    content = vocabulary_of(folder, settings, shape)
    first, last = (_symbol(settings.get(f"{which}_token")) for which in ("bos", "eos"))
    whole = parsed(content)
    written = begins(whole) if whole["post_processor"] else bool(settings.get("add_bos_token"))
    return speaking(content, shape, (first, last, written), template_of(folder, settings))


def vocabulary_of(folder: Path, settings: dict[str, Any], shape: Shape) -> str:
    """The text of a tokenizer.json, as it lies there or made of vocab.json and merges.txt."""
    if (folder / "tokenizer.json").is_file():
        return _text(folder / "tokenizer.json")
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise ValueError(
            "its vocabulary is missing: a tokenizer.json, or vocab.json and merges.txt. "
            "Save it where the model came from: AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)"
        )
    table = settings.get("added_tokens_decoder", {})
    if not isinstance(table, dict) or not all(n.isdecimal() and isinstance(t, dict) for n, t in table.items()):
        raise ValueError("the table of added symbols in tokenizer_config.json is damaged")
    added = [{**token, "id": int(number)} for number, token in table.items()]
    vocab = json_of(folder / "vocab.json")
    if not added and "<|endoftext|>" in vocab:  # GPT-2 as it was first published
        added = [{"id": vocab["<|endoftext|>"], "content": "<|endoftext|>", "special": True}]
    cut = "gpt-2" if shape.architecture == "GPT2LMHeadModel" else "qwen2" if "Qwen" in shape.architecture else "smollm"
    return from_files(vocab, _text(folder / "merges.txt"), added, cut)


def template_of(folder: Path, settings: dict[str, Any]) -> object:
    """The chat template; of several, the default one."""
    if (folder / "chat_template.jinja").is_file():
        return _text(folder / "chat_template.jinja")
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        return named.get("default", next(iter(named.values()), None))
    return template


def licence_of(folder: Path) -> str:
    """The licence that the model's card names in its first lines."""
    card = folder / "README.md"
    head = card.read_bytes()[:4096].decode("utf-8", "replace").splitlines() if card.is_file() else []
    lines = [line.partition(":")[2].strip() for line in head if line.lower().startswith("license:")]
    return lines[0] if lines and lines[0] else "unknown"


def json_of(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size."""
    try:
        content = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is no table")
    return content


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} holds more than {LARGEST_FILE >> 20} MB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is no UTF-8 text") from None


def _symbol(token: object) -> str | None:
    """A symbol named by a text, or by a table with its content."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None
