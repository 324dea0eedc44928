"""A tokenizer.json from elsewhere, read as data: only byte pairs, only known parts, sizes bounded."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

LARGEST_FILE = 64 << 20
_LARGEST_VOCAB = 1 << 20
_MAX_PATTERN_CHARS = 2000
_MAX_STEPS = 20  # of a sequence

NORMALIZERS = ("NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace")
PRE_TOKENIZERS = ("ByteLevel", "Digits", "Metaspace", "Split")
DECODERS = ("ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip")
POST_PROCESSORS = ("ByteLevel", "TemplateProcessing")
SPACE_MARK = "▁"  # how vocabularies of SentencePiece write a blank
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")  # and how they write a byte


def parse_tokenizer_json(text: str | bytes) -> dict[str, Any]:
    """The content of a tokenizer.json with only what we know in it; ValueError says what is wrong or unknown."""
    if len(text) > LARGEST_FILE:
        raise ValueError(f"it holds more than {LARGEST_FILE >> 20} MB")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not valid JSON ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError("it describes no tokenizer")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _parse_added_tokens(content.get("added_tokens") or [], content["model"].get("vocab")),
        "normalizer": _parse_part(content, "normalizer", "normalizers", NORMALIZERS),
        "pre_tokenizer": _parse_part(content, "pre_tokenizer", "pretokenizers", PRE_TOKENIZERS),
        "post_processor": _parse_part(content, "post_processor", "processors", POST_PROCESSORS),
        "decoder": _parse_part(content, "decoder", "decoders", DECODERS),
        "model": _parse_model(content["model"]),
    }


def build_tokenizer(content: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that `parsed` content describes; no text it reads gives a special symbol."""
    try:
        tokenizer = Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ValueError(f"its parts do not fit together ({error})") from None
    tokenizer.encode_special_tokens = True
    for token in content["added_tokens"]:
        if tokenizer.token_to_id(token["content"]) != token["id"]:
            raise ValueError(f"the symbol {token['content']!r} cannot have the number {token['id']}")
    return tokenizer


def list_steps(content: Mapping[str, Any], part_name: str) -> list[dict[str, Any]]:
    """The steps of a part, in order: a sequence's, the single one, or none."""
    part = content.get(part_name)
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return next(value for key, value in part.items() if key != "type")


def _parse_model(model: Mapping[str, Any]) -> dict[str, Any]:
    if model.get("type", "BPE") != "BPE":
        raise ValueError(f"its model is {model['type']!r}, and only byte pairs (BPE) are read")
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        raise ValueError("its model lacks a vocabulary or merges")
    if not 0 < len(vocab) <= _LARGEST_VOCAB or len(merges) > 4 * _LARGEST_VOCAB:
        raise ValueError(f"a vocabulary of {len(vocab):,} symbols and {len(merges):,} merges is out of bounds")
    seen_ids = set()
    for token, token_id in vocab.items():
        if type(token_id) is not int or not 0 <= token_id < _LARGEST_VOCAB or token_id in seen_ids:
            raise ValueError(f"the number {token_id!r} of the symbol {token!r} is out of bounds or used twice")
        seen_ids.add(token_id)
    if model.get("dropout"):
        raise ValueError("it drops merges by chance, so that no text has one encoding")
    option_names = ("unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")
    options = {key: model.get(key) for key in (*option_names, "ignore_merges")}
    if options["continuing_subword_prefix"] or options["end_of_word_suffix"]:
        raise ValueError("it marks the ends of words, which is not read")
    flags = {key: bool(options[key]) for key in ("fuse_unk", "byte_fallback", "ignore_merges")}
    return {"type": "BPE", "dropout": None, **options, **flags, "vocab": vocab, "merges": merges}


def _parse_added_tokens(tokens: Any, vocab: Any) -> list[dict[str, Any]]:
    if not isinstance(tokens, list) or len(tokens) > _LARGEST_VOCAB or not all(isinstance(t, dict) for t in tokens):
        raise ValueError("its list of added symbols is damaged")
    token_of_id = {token_id: text for text, token_id in vocab.items()} if isinstance(vocab, dict) else {}
    parsed_tokens = []
    for token in tokens:
        content, token_id = token.get("content"), token.get("id")
        if (
            not isinstance(content, str)
            or not content
            or type(token_id) is not int
            or not 0 <= token_id < _LARGEST_VOCAB
        ):
            raise ValueError(f"its added symbol {content!r} with the number {token_id!r} is damaged")
        if token_of_id.setdefault(token_id, content) != content:
            raise ValueError(f"the number {token_id} is both {token_of_id[token_id]!r} and {content!r}")
        flags = {flag: bool(token.get(flag)) for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        parsed_tokens.append({"id": token_id, "content": content, **flags})
    return sorted(parsed_tokens, key=lambda token: token["id"])


def _parse_part(content: Mapping[str, Any], part_name: str, steps_key: str, known_types: tuple[str, ...]) -> Any:
    part = content.get(part_name)
    if part is None:
        return None
    if not isinstance(part, dict):
        raise ValueError(f"its {part_name} is damaged")
    steps = part.get(steps_key) if part.get("type") == "Sequence" else [part]
    if not isinstance(steps, list) or len(steps) > _MAX_STEPS:
        raise ValueError(f"its {part_name} is damaged")
    for step in steps:
        if not isinstance(step, dict) or step.get("type") not in known_types:
            kind = step.get("type") if isinstance(step, dict) else step
            raise ValueError(f"its {part_name} is {kind!r}, which is not known; there is {', '.join(known_types)}")
        if len(json.dumps(step.get("pattern"))) > _MAX_PATTERN_CHARS:
            raise ValueError(f"a pattern of its {part_name} is longer than {_MAX_PATTERN_CHARS} letters")
    return part
