"""Hugging Face folders in: config.json, safetensors whole or in parts, and the vocabulary beside them."""

import json
from pathlib import Path
from typing import Any

from genloom.codecs import tokenizer
from genloom.codecs.tokenizer_json import LARGEST_FILE, parse_tokenizer_json
from genloom.exchange.architectures import ArchitectureSpec, parse_hf_config
from genloom.exchange.safetensors_file import list_tensors
from genloom.exchange.source_model import SourceModel, build_chat_codec
from genloom.exchange.vocabulary import from_files, has_bos_step
from genloom.exchange.weight_mapping import TensorLoader

_PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_UNPREFIXED_NAMES = ("wte.", "wpe.", "h.", "ln_f.")  # GPT-2 as it was first published


def read(folder: Path) -> SourceModel:
    """The model in a folder; ValueError says what in it is unknown, missing or a lie."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no config.json: name a folder with a Hugging Face model, or a .gguf file.")
    try:
        config = read_json(folder / "config.json")
        spec = parse_hf_config(config)
        paths = find_weight_files(folder)
        tensors = join_tensors(folder, paths)
        if spec.architecture == "GPT2LMHeadModel":
            tensors = {
                f"transformer.{n}" if n.startswith(_UNPREFIXED_NAMES) else n: load for n, load in tensors.items()
            }
        codec, notes = build_codec(folder, spec)
    except ValueError as error:
        raise ValueError(f"{folder} cannot be imported: {str(error).rstrip('.')}.") from None
    return SourceModel(
        config,
        tensors,
        lambda name: tensors[name]() if name in tensors else None,
        is_gguf=False,
        codec=codec,
        paths=tuple(paths),
        name=folder.resolve().name,
        licence=read_licence(folder),
        notes=notes,
    )


def find_weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the folder."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = read_json(index).get("weight_map")
        if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
            raise ValueError(f"{index.name} has no table of weights")
        paths = [folder / name for name in sorted(set(table.values()))]
        if outside_paths := [path for path in paths if path.parent_ref != folder or path.name in ("", ".", "..")]:
            raise ValueError(f"{index.name} points to {outside_paths[0]}, which lies outside of the folder")
    else:
        paths = sorted(folder.glob("model.safetensors")) or sorted(folder.glob("*.safetensors"))
    if missing_paths := [path for path in paths if not path.is_file()]:
        raise ValueError(f"the file {missing_paths[0].name} is missing")
    if not paths:
        if pickle_files := [path.name for pattern in _PICKLE_PATTERNS for path in folder.glob(pattern)]:
            raise ValueError(
                f"its weights are pickled ({pickle_files[0]}), and opening them could run code. Take the safetensors "
                "version of the model, or convert it where you trust it: model.save_pretrained(FOLDER)"
            )
        raise ValueError("there are no weights (*.safetensors) in it")
    return paths


def join_tensors(folder: Path, paths: list[Path]) -> dict[str, TensorLoader]:
    """The tensors of all files; where there is an index, it and the files have to agree."""
    tensors: dict[str, TensorLoader] = {}
    file_of_tensor: dict[str, str] = {}
    for path in paths:
        for name, load in list_tensors(path).items():
            if name in tensors:
                raise ValueError(f"the tensor {name!r} stands in {file_of_tensor[name]} and in {path.name}")
            tensors[name], file_of_tensor[name] = load, path.name
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = read_json(index)["weight_map"]
        if misplaced := sorted(name for name in table if file_of_tensor.get(name) != table[name]):
            raise ValueError(f"{index.name} says that {misplaced[0]!r} lies in {table[misplaced[0]]}, and it does not")
    return tensors


def build_codec(folder: Path, spec: ArchitectureSpec) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """The vocabulary with its roles, and what the user should know of it."""
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    content = read_vocabulary(folder, settings, spec)
    bos_token, eos_token = (_token_text(settings.get(f"{which}_token")) for which in ("bos", "eos"))
    tokenizer_content = parse_tokenizer_json(content)
    is_bos_added = (
        has_bos_step(tokenizer_content) if tokenizer_content["post_processor"] else bool(settings.get("add_bos_token"))
    )
    return build_chat_codec(content, spec, (bos_token, eos_token, is_bos_added), read_chat_template(folder, settings))


def read_vocabulary(folder: Path, settings: dict[str, Any], spec: ArchitectureSpec) -> str:
    """The text of a tokenizer.json, as it lies there or made of vocab.json and merges.txt."""
    if (folder / "tokenizer.json").is_file():
        return _read_text(folder / "tokenizer.json")
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise ValueError(
            "its vocabulary is missing: a tokenizer.json, or vocab.json and merges.txt. "
            "Save it where the model came from: AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER)"
        )
    table = settings.get("added_tokens_decoder", {})
    if not isinstance(table, dict) or not all(n.isdecimal() and isinstance(t, dict) for n, t in table.items()):
        raise ValueError("the table of added symbols in tokenizer_config.json is damaged")
    added_tokens = [{**token, "id": int(number)} for number, token in table.items()]
    vocab = read_json(folder / "vocab.json")
    if not added_tokens and "<|endoftext|>" in vocab:  # GPT-2 as it was first published
        added_tokens = [{"id": vocab["<|endoftext|>"], "content": "<|endoftext|>", "special": True}]
    pre_tokenizer = (
        "gpt-2" if spec.architecture == "GPT2LMHeadModel" else "qwen2" if "Qwen" in spec.architecture else "smollm"
    )
    return from_files(vocab, _read_text(folder / "merges.txt"), added_tokens, pre_tokenizer)


def read_chat_template(folder: Path, settings: dict[str, Any]) -> object:
    """The chat template; of several, the default one."""
    if (folder / "chat_template.jinja").is_file():
        return _read_text(folder / "chat_template.jinja")
    template = settings.get("chat_template")
    if isinstance(template, list):
        templates = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
        return templates.get("default", next(iter(templates.values()), None))
    return template


def read_licence(folder: Path) -> str:
    """The licence that the model's card names in its first lines."""
    card = folder / "README.md"
    first_lines = card.read_bytes()[:4096].decode("utf-8", "replace").splitlines() if card.is_file() else []
    lines = [line.partition(":")[2].strip() for line in first_lines if line.lower().startswith("license:")]
    return lines[0] if lines and lines[0] else "unknown"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size."""
    try:
        content = json.loads(_read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is no table")
    return content


def _read_text(path: Path) -> str:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path.name} holds more than {LARGEST_FILE >> 20} MB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is no UTF-8 text") from None


def _token_text(token: object) -> str | None:
    """A symbol named by a text, or by a table with its content."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None
