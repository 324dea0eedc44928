"""A tokenizer.json from elsewhere, read as data: only byte pairs, only known parts, sizes bounded."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

LARGEST_FILE = 64 << 20
_LARGEST_VOCAB = 1 << 20
_LONGEST_PATTERN = 2000
_MOST_PARTS = 20  # of a sequence

NORMALIZERS = ("NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace")
PRE_TOKENIZERS = ("ByteLevel", "Digits", "Metaspace", "Split")
DECODERS = ("ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip")
POST_PROCESSORS = ("ByteLevel", "TemplateProcessing")
BLANK = "▁"  # how vocabularies of SentencePiece write a blank
BYTE_SYMBOL = re.compile(r"<0x([0-9A-F]{2})>")  # and how they write a byte


def parsed(text: str | bytes) -> dict[str, Any]:
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
        "added_tokens": _added(content.get("added_tokens") or [], content["model"].get("vocab")),
        "normalizer": _part(content, "normalizer", "normalizers", NORMALIZERS),
        "pre_tokenizer": _part(content, "pre_tokenizer", "pretokenizers", PRE_TOKENIZERS),
        "post_processor": _part(content, "post_processor", "processors", POST_PROCESSORS),
        "decoder": _part(content, "decoder", "decoders", DECODERS),
        "model": _model(content["model"]),
    }


def built(content: Mapping[str, Any]) -> Tokenizer:
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


def parts(content: Mapping[str, Any], which: str) -> list[dict[str, Any]]:
    """The steps of a part, in order: a sequence's, the single one, or none."""
    part = content.get(which)
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return next(value for key, value in part.items() if key != "type")


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    if model.get("type", "BPE") != "BPE":
        raise ValueError(f"its model is {model['type']!r}, and only byte pairs (BPE) are read")
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        raise ValueError("its model lacks a vocabulary or merges")
    if not 0 < len(vocab) <= _LARGEST_VOCAB or len(merges) > 4 * _LARGEST_VOCAB:
        raise ValueError(f"a vocabulary of {len(vocab):,} symbols and {len(merges):,} merges is out of bounds")
    numbers = set()
    for symbol, number in vocab.items():
        if type(number) is not int or not 0 <= number < _LARGEST_VOCAB or number in numbers:
            raise ValueError(f"the number {number!r} of the symbol {symbol!r} is out of bounds or used twice")
        numbers.add(number)
    if model.get("dropout"):
        raise ValueError("it drops merges by chance, so that no text has one encoding")
    known = ("unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")
    kept = {key: model.get(key) for key in (*known, "ignore_merges")}
    if kept["continuing_subword_prefix"] or kept["end_of_word_suffix"]:
        raise ValueError("it marks the ends of words, which is not read")
    flags = {key: bool(kept[key]) for key in ("fuse_unk", "byte_fallback", "ignore_merges")}
    return {"type": "BPE", "dropout": None, **kept, **flags, "vocab": vocab, "merges": merges}


def _added(tokens: Any, vocab: Any) -> list[dict[str, Any]]:
    if not isinstance(tokens, list) or len(tokens) > _LARGEST_VOCAB or not all(isinstance(t, dict) for t in tokens):
        raise ValueError("its list of added symbols is damaged")
    taken = {number: symbol for symbol, number in vocab.items()} if isinstance(vocab, dict) else {}
    read = []
    for token in tokens:
        name, number = token.get("content"), token.get("id")
        if not isinstance(name, str) or not name or type(number) is not int or not 0 <= number < _LARGEST_VOCAB:
            raise ValueError(f"its added symbol {name!r} with the number {number!r} is damaged")
        if taken.setdefault(number, name) != name:
            raise ValueError(f"the number {number} is both {taken[number]!r} and {name!r}")
        flags = {flag: bool(token.get(flag)) for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        read.append({"id": number, "content": name, **flags})
    return sorted(read, key=lambda token: token["id"])


def _part(content: Mapping[str, Any], which: str, inside: str, known: tuple[str, ...]) -> Any:
    part = content.get(which)
    if part is None:
        return None
    if not isinstance(part, dict):
        raise ValueError(f"its {which} is damaged")
    steps = part.get(inside) if part.get("type") == "Sequence" else [part]
    if not isinstance(steps, list) or len(steps) > _MOST_PARTS:
        raise ValueError(f"its {which} is damaged")
    for step in steps:
        if not isinstance(step, dict) or step.get("type") not in known:
            kind = step.get("type") if isinstance(step, dict) else step
            raise ValueError(f"its {which} is {kind!r}, which is not known; there is {', '.join(known)}")
        if len(json.dumps(step.get("pattern"))) > _LONGEST_PATTERN:
            raise ValueError(f"a pattern of its {which} is longer than {_LONGEST_PATTERN} letters")
    return part
