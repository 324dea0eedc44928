"""Read Hugging Face folders: config.json, one or several safetensors files, and the vocabulary."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genloom.codecs import tokenizer
from genloom.codecs.tokenizer_json import LARGEST_FILE, parse_tokenizer_json
from genloom.errors import GenloomError, format_message
from genloom.exchange.architectures import ArchitectureSpec, parse_hf_config
from genloom.exchange.provenance import find_notices, find_repository, parse_repository
from genloom.exchange.safetensors_file import list_tensors
from genloom.exchange.source_model import SourceModel, build_chat_codec, explain_import_errors
from genloom.exchange.vocabulary import from_files, has_bos_step
from genloom.exchange.weight_mapping import TensorLoader
from genloom.store.files import read_beginning
from genloom.text_format import remove_controls

_MAX_NAME = 200  # characters of a file's name
_SUFFIXES = (".json", ".safetensors", ".jinja", ".txt")  # of the files that are read
_PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_UNPREFIXED_NAMES = ("wte.", "wpe.", "h.", "ln_f.")  # of the original GPT-2


def read(folder: Path) -> SourceModel:
    """Return the model in a folder; raises GenloomError for unknown, missing or inconsistent content."""
    if broken := [path.name for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES and not path.exists()]:
        raise GenloomError("exchange.broken_links", path=folder, files=", ".join(map(remove_controls, broken[:5])))
    if not (folder / "config.json").is_file():
        raise GenloomError("exchange.no_config", path=folder)
    with explain_import_errors(folder):
        config = read_json(folder / "config.json")
        spec = parse_hf_config(config)
        paths = find_weight_files(folder)
        tensors = join_tensors(folder, paths)
        if spec.architecture == "GPT2LMHeadModel":
            tensors = {
                f"transformer.{n}" if n.startswith(_UNPREFIXED_NAMES) else n: load for n, load in tensors.items()
            }
        codec, notes = build_codec(folder, spec)
        if (folder / "adapter_config.json").exists():
            notes = (*notes, format_message("exchange.adapter_beside_model", path=folder))
        card, repository, notices = read_card(folder), find_repository(folder), find_notices(folder)
    return SourceModel(
        config,
        tensors,
        lambda name: tensors[name]() if name in tensors else None,
        is_gguf=False,
        codec=codec,
        paths=tuple(paths),
        name=repository or remove_controls(folder.resolve().name),
        licence=get_licence(card),
        repository=repository,
        base_model=parse_repository(card.get("base_model")),
        notices=notices,
        notes=notes,
    )


def find_weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of the folder."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = read_json(index).get("weight_map")
        if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
            raise GenloomError("exchange.damaged_file", file=index.name, reason="it has no table of weights")
        paths = [folder / name for name in sorted(set(table.values()))]
        if outside_paths := [path for path in paths if path.parent != folder or path.name in ("", ".", "..")]:
            raise GenloomError("exchange.file_outside_folder", file=outside_paths[0], index=index.name)
    else:
        paths = sorted(folder.glob("model.safetensors")) or sorted(folder.glob("*.safetensors"))
    if missing_paths := [path for path in paths if len(path.name) > _MAX_NAME or not path.is_file()]:
        raise GenloomError("exchange.missing_file", file=missing_paths[0].name[:_MAX_NAME])
    if not paths:
        if pickle_files := [path.name for pattern in _PICKLE_PATTERNS for path in folder.glob(pattern)]:
            raise GenloomError("exchange.pickled_weights", file=pickle_files[0])
        raise GenloomError("exchange.no_weights")
    return paths


def join_tensors(folder: Path, paths: list[Path]) -> dict[str, TensorLoader]:
    """Return the tensors of all files; if there is an index, it must agree with the files."""
    tensors: dict[str, TensorLoader] = {}
    file_of_tensor: dict[str, str] = {}
    for path in paths:
        for name, load in list_tensors(path).items():
            if name in tensors:
                raise GenloomError("exchange.tensor_twice", tensor=name, first=file_of_tensor[name], second=path.name)
            tensors[name], file_of_tensor[name] = load, path.name
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = read_json(index)["weight_map"]
        if misplaced := sorted(name for name in table if file_of_tensor.get(name) != table[name]):
            tensor = misplaced[0]
            raise GenloomError("exchange.wrong_index", tensor=tensor, file=table[tensor], index=index.name)
    return tensors


def build_codec(folder: Path, spec: ArchitectureSpec) -> tuple[tokenizer.Codec, tuple[str, ...]]:
    """Return the codec with its chat template, and notes for the user."""
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    content = read_vocabulary(folder, settings, spec)
    bos_token, eos_token = (read_token(settings.get(f"{which}_token")) for which in ("bos", "eos"))
    tokenizer_content = parse_tokenizer_json(content)
    is_bos_added = (
        has_bos_step(tokenizer_content) if tokenizer_content["post_processor"] else bool(settings.get("add_bos_token"))
    )
    return build_chat_codec(content, spec, (bos_token, eos_token, is_bos_added), read_chat_template(folder, settings))


def read_vocabulary(folder: Path, settings: dict[str, Any], spec: ArchitectureSpec) -> str:
    """Return the text of the tokenizer.json, or of one built from vocab.json and merges.txt."""
    if (folder / "tokenizer.json").is_file():
        return read_text(folder / "tokenizer.json")
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise GenloomError("exchange.missing_vocabulary")
    table = settings.get("added_tokens_decoder", {})
    if not isinstance(table, dict) or not all(n.isdecimal() and isinstance(t, dict) for n, t in table.items()):
        raise GenloomError(
            "exchange.damaged_file", file="tokenizer_config.json", reason="its table of added tokens is invalid"
        )
    added_tokens = [{**token, "id": int(number)} for number, token in table.items()]
    vocab = read_json(folder / "vocab.json")
    if not added_tokens and "<|endoftext|>" in vocab:  # the original GPT-2
        added_tokens = [{"id": vocab["<|endoftext|>"], "content": "<|endoftext|>", "special": True}]
    pre_tokenizer = (
        "gpt-2" if spec.architecture == "GPT2LMHeadModel" else "qwen2" if "Qwen" in spec.architecture else "smollm"
    )
    return from_files(vocab, read_text(folder / "merges.txt"), added_tokens, pre_tokenizer)


def read_chat_template(folder: Path, settings: dict[str, Any]) -> object:
    """Return the chat template; of several, the default one."""
    if (folder / "chat_template.jinja").is_file():
        return read_text(folder / "chat_template.jinja")
    template = settings.get("chat_template")
    if isinstance(template, list):
        templates = {str(t.get("name")): t.get("template") for t in template if isinstance(t, dict)}
        return templates.get("default", next(iter(templates.values()), None))
    return template


def read_card(folder: Path) -> dict[str, str]:
    """Return the texts among the metadata in the first lines of the model's card; of a list, the first entry."""
    path = folder / "README.md"
    if not path.is_file():
        return {}
    lines = remove_controls(read_beginning(path, 4096).decode("utf-8", "replace")).splitlines()
    metadata: dict[str, str] = {}
    for line, next_line in zip(lines, [*lines[1:], ""], strict=True):
        key, colon, value = line.partition(":")
        value = value.strip() or (next_line.strip().removeprefix("-") if next_line.strip().startswith("- ") else "")
        value = value.strip().partition(" #")[0]
        value = value.strip("[] ").partition(",")[0] if value.startswith("[") else value
        if colon and value.strip() not in ("", "null", "~"):
            metadata.setdefault(key.strip().lower(), value.strip().strip("\"'"))
    return metadata


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file of bounded size."""
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise GenloomError("exchange.damaged_file", file=path.name, reason=f"it is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise GenloomError("exchange.damaged_file", file=path.name, reason="it is not a JSON object")
    return content


def get_licence(card: Mapping[str, str]) -> str:
    """Return the licence in the metadata of a card."""
    return card.get("license_name" if card.get("license") == "other" else "license", "unknown")


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of a file; GenloomError if it is longer than `limit` bytes."""
    content = read_beginning(path, limit + 1)
    if len(content) > limit:
        raise GenloomError("exchange.damaged_file", file=path.name, reason=f"it is larger than {limit >> 20} MB")
    return content


def read_text(path: Path) -> str:
    try:
        return read_bounded(path, LARGEST_FILE).decode()
    except UnicodeDecodeError:
        raise GenloomError("exchange.damaged_file", file=path.name, reason="it is not UTF-8") from None


def read_token(token: object) -> str | None:
    """Return a token given by its text, or by a table with its content."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None
