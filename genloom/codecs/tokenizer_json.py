"""A tokenizer.json of another project, read as data: only byte pairs, only known parts, bounded sizes.

The errors are fragments of a sentence: the caller adds the name of the file.
"""

import json
import re
from collections.abc import Mapping
from math import prod
from threading import Thread
from typing import Any

from tokenizers import Tokenizer

from genloom.errors import GenloomError

LARGEST_FILE = 64 << 20
_LARGEST_VOCAB = 1 << 20
_MAX_PATTERN_CHARS = 2000
_MAX_STEPS = 20  # of a sequence
_ENCODE_SECONDS, _MIN_CHARS_PER_SECOND = 30.0, 10_000  # real vocabularies encode millions of characters in a second
_MAX_REPLACEMENT_CHARS = 16  # a longer one could grow a text without bounds, step by step

NORMALIZERS = ("NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace")
PRE_TOKENIZERS = ("ByteLevel", "Digits", "Metaspace", "Split")
DECODERS = ("ByteLevel", "ByteFallback", "Fuse", "Metaspace", "Replace", "Strip")
POST_PROCESSORS = ("ByteLevel", "TemplateProcessing")
SPACE_MARK = "▁"  # a blank in a SentencePiece vocabulary
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")  # a byte in a SentencePiece vocabulary


def parse_tokenizer_json(text: str | bytes) -> dict[str, Any]:
    """Return the known content of a tokenizer.json; ValueError says what is wrong or not supported."""
    if len(text) > LARGEST_FILE:
        raise GenloomError("codecs.file_too_large", limit_mb=LARGEST_FILE >> 20)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GenloomError("codecs.not_json", reason=str(error)[:200]) from None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise GenloomError("codecs.not_tokenizer")
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
    """Build the tokenizer of the content that `parse_tokenizer_json` returned; no text encodes to a special token."""
    try:
        tokenizer = Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise GenloomError("codecs.parts_do_not_fit", reason=error) from None
    tokenizer.encode_special_tokens = True
    for token in content["added_tokens"]:
        if tokenizer.token_to_id(token["content"]) != token["id"]:
            raise GenloomError("codecs.token_id_mismatch", token=token["content"], token_id=token["id"])
    return tokenizer


def encode_batch(tokenizer: Tokenizer, texts: list[str]) -> list[Any]:
    """Return the encodings of the texts, without special tokens; GenloomError if a pattern takes too long for them.

    Regular expressions run in native code that cannot be interrupted: at one place they give up with a panic, at many
    places they may take hours. The thread is left behind then.
    """
    outcome: list[Any] = []

    def encode() -> None:
        try:
            outcome.append(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        except BaseException as error:  # a panic is not an Exception
            outcome.append(error)

    thread = Thread(target=encode, daemon=True)
    thread.start()
    thread.join(_ENCODE_SECONDS + sum(map(len, texts)) / _MIN_CHARS_PER_SECOND)
    if not outcome or type(outcome[0]).__name__ == "PanicException":
        raise GenloomError("codecs.pattern_too_slow")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def list_steps(content: Mapping[str, Any], part_name: str) -> list[dict[str, Any]]:
    """Return the steps of a part, in order: those of a sequence, or the part itself if there is one."""
    part = content.get(part_name)
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return next(value for key, value in part.items() if key != "type")


def _parse_model(model: Mapping[str, Any]) -> dict[str, Any]:
    if model.get("type", "BPE") != "BPE":
        raise GenloomError("codecs.unsupported_model_type", type=model["type"])
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        raise GenloomError("codecs.vocab_missing")
    if not 0 < len(vocab) <= _LARGEST_VOCAB or len(merges) > 4 * _LARGEST_VOCAB:
        raise GenloomError("codecs.vocab_out_of_bounds", num_tokens=len(vocab), num_merges=len(merges))
    seen_ids = set()
    for token, token_id in vocab.items():
        if type(token_id) is not int or not 0 <= token_id < _LARGEST_VOCAB or token_id in seen_ids:
            raise GenloomError("codecs.token_id_damaged", token=token, token_id=token_id)
        seen_ids.add(token_id)
    if model.get("dropout"):
        raise GenloomError("codecs.merges_with_dropout")
    option_names = ("unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")
    options = {key: model.get(key) for key in (*option_names, "ignore_merges")}
    if options["continuing_subword_prefix"] or options["end_of_word_suffix"]:
        raise GenloomError("codecs.word_end_markers")
    if options["unk_token"] is not None and options["unk_token"] not in list(vocab):
        raise GenloomError("codecs.unk_token_missing", token=options["unk_token"])
    flags = {key: bool(options[key]) for key in ("fuse_unk", "byte_fallback", "ignore_merges")}
    return {"type": "BPE", "dropout": None, **options, **flags, "vocab": vocab, "merges": merges}


def _parse_added_tokens(tokens: Any, vocab: Any) -> list[dict[str, Any]]:
    if not isinstance(tokens, list) or len(tokens) > _LARGEST_VOCAB or not all(isinstance(t, dict) for t in tokens):
        raise GenloomError("codecs.added_tokens_damaged")
    known = vocab.items() if isinstance(vocab, dict) else ()
    token_of_id = {token_id: text for text, token_id in known if type(token_id) is int}
    parsed_tokens = []
    for token in tokens:
        content, token_id = token.get("content"), token.get("id")
        is_valid_id = type(token_id) is int and 0 <= token_id < _LARGEST_VOCAB
        if not isinstance(content, str) or not content or not is_valid_id:
            raise GenloomError("codecs.added_token_damaged", token=content, token_id=token_id)
        if token_of_id.setdefault(token_id, content) != content:
            raise GenloomError(
                "codecs.conflicting_token_id", token_id=token_id, first=token_of_id[token_id], second=content
            )
        flags = {flag: bool(token.get(flag)) for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}
        parsed_tokens.append({"id": token_id, "content": content, **flags})
    return sorted(parsed_tokens, key=lambda token: token["id"])


def _parse_part(content: Mapping[str, Any], part_name: str, steps_key: str, known_types: tuple[str, ...]) -> Any:
    part = content.get(part_name)
    if part is None:
        return None
    if not isinstance(part, dict):
        raise GenloomError("codecs.part_damaged", part=part_name)
    steps = part.get(steps_key) if part.get("type") == "Sequence" else [part]
    if not isinstance(steps, list) or len(steps) > _MAX_STEPS:
        raise GenloomError("codecs.part_damaged", part=part_name)
    for step in steps:
        if not isinstance(step, dict) or step.get("type") not in known_types:
            kind = step.get("type") if isinstance(step, dict) else step
            raise GenloomError("codecs.unknown_part", part=part_name, type=kind, known=", ".join(known_types))
        if len(json.dumps(step.get("pattern"))) > _MAX_PATTERN_CHARS:
            raise GenloomError("codecs.pattern_too_long", part=part_name, limit=_MAX_PATTERN_CHARS)
        if not _is_bounded_step(step):
            raise GenloomError("codecs.part_damaged", part=part_name)
        if repeats_group(step.get("pattern")):
            raise GenloomError("codecs.pattern_repeats_group", part=part_name)
    if prod(map(_find_growth, steps)) > _MAX_REPLACEMENT_CHARS:
        raise GenloomError("codecs.part_damaged", part=part_name)
    return part


def repeats_group(pattern: object) -> bool:
    """Return whether a regular expression repeats a group, as (a+)+ does, which can take exponential time."""
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    if not isinstance(regex, str):
        return False
    regex = re.sub(r"\\.", "x", regex, flags=re.DOTALL)
    while "[" in regex and (shorter := re.sub(r"\[\^?\]?[^\[\]]*\]", "x", regex)) != regex:  # classes may be nested
        regex = shorter
    return re.search(r"\)\??[*+{]", regex) is not None


def _find_growth(step: Mapping[str, Any]) -> float:
    """Return how many times longer a step can make a text."""
    if step["type"] != "Replace":
        return 1.0
    [(kind, text)] = step["pattern"].items()
    return max(1.0, len(step["content"]) / (len(text) if kind == "String" else 1))


def _is_bounded_step(step: Mapping[str, Any]) -> bool:
    """Return whether a step's values are of the right kinds, and it can lengthen no text beyond bounds."""
    if step["type"] == "Replace":
        pattern, content = step.get("pattern"), step.get("content")
        if not isinstance(pattern, dict) or len(pattern) != 1 or not isinstance(content, str):
            return False
        text = next(iter(pattern.values()))
        return isinstance(text, str) and bool(text) and len(content) <= _MAX_REPLACEMENT_CHARS
    if step["type"] == "Prepend":
        return isinstance(step.get("prepend"), str) and len(step["prepend"]) <= _MAX_REPLACEMENT_CHARS
    if step["type"] == "TemplateProcessing":
        return all(_is_template(step.get(name)) for name in ("single", "pair"))
    return True


def _is_template(pieces: Any) -> bool:
    if pieces is None:
        return True
    return isinstance(pieces, list) and all(
        isinstance(piece, dict) and all(isinstance(value, dict) for value in piece.values()) for piece in pieces
    )
