"""Convert the vocabularies of GGUF files and older Hugging Face folders to a tokenizer.json, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.codecs import bpe, tokenizer
from genloom.codecs import bytes as plain
from genloom.codecs.tokenizer_json import BYTE_TOKEN, SPACE_MARK, list_steps
from genloom.errors import GenloomError, format_message
from genloom.types import Codec

# Types of tokens in a GGUF file.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

_MAX_SPLIT_CHARS = 1 << 26  # a token has as many splits as characters, and each is as long

_BYTE_LEVEL_STEP = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_GPT2_STEP = {**_BYTE_LEVEL_STEP, "use_regex": True}
_DIGITS_STEP = {"type": "Digits", "individual_digits": True}
_WORD_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_SYMBOL_PATTERN = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_DEFAULT_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"


def _split_steps(*patterns: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False} for p in patterns]


# Pre-tokenizers, by their names in llama.cpp (src/llama-vocab.cpp there).
PRE_TOKENIZER_STEPS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [_GPT2_STEP],
    "smollm": [_DIGITS_STEP, _GPT2_STEP],
    "llama-bpe": [*_split_steps(rf"{_WORD_PATTERN}|\p{{N}}{{1,3}}|{_SYMBOL_PATTERN}"), _BYTE_LEVEL_STEP],
    "qwen2": [*_split_steps(rf"{_WORD_PATTERN}|\p{{N}}|{_SYMBOL_PATTERN}"), _BYTE_LEVEL_STEP],
    "default": [
        *_split_steps(r"[\p{P}\$\+<=>\^~\|]+", _DEFAULT_PATTERN, r"\p{N}+", "[0-9][0-9][0-9]"),
        _BYTE_LEVEL_STEP,
    ],
}
_PRE_TOKENIZER_ALIASES = {"gpt2": "gpt-2", "llama3": "llama-bpe", "llama-v3": "llama-bpe", "deepseek-r1-qwen": "qwen2"}


def from_gguf(metadata: Mapping[str, Any]) -> str:
    """Return the tokenizer.json of a GGUF file's vocabulary; raises GenloomError for an unsupported type."""
    model_type = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(t, str) for t in tokens):
        raise GenloomError("exchange.missing_gguf_field", field="tokenizer.ggml.tokens", content="vocabulary")
    token_types = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if not isinstance(token_types, list) or not all(type(kind) is int for kind in token_types):
        raise GenloomError("exchange.missing_gguf_field", field="tokenizer.ggml.token_type", content="types of tokens")
    if len(token_types) != len(tokens):
        raise GenloomError("exchange.token_types_mismatch", count=len(token_types), expected=len(tokens))
    added_tokens = [
        {"id": n, "content": token, "special": token_types[n] != USER_DEFINED, "normalized": False}
        for n, token in enumerate(tokens)
        if token_types[n] in (UNKNOWN, CONTROL, USER_DEFINED) and token
    ]
    vocab = {
        token: n for n, token in enumerate(tokens) if token_types[n] != UNUSED or token != _format_padding(n)
    }  # rows of padding have no text
    if model_type == "gpt2":
        merges = metadata.get("tokenizer.ggml.merges")
        if not isinstance(merges, list) or not all(isinstance(m, str) for m in merges):
            raise GenloomError("exchange.missing_gguf_field", field="tokenizer.ggml.merges", content="merges")
        name = str(metadata.get("tokenizer.ggml.pre", "default"))
        return build_byte_level(vocab, [merge for merge in merges if merge], added_tokens, name)
    if model_type == "llama":
        scores = metadata.get("tokenizer.ggml.scores")
        is_scores = isinstance(scores, list) and all(isinstance(score, int | float) for score in scores)
        if not is_scores or len(scores) != len(tokens):
            raise GenloomError("exchange.missing_gguf_field", field="tokenizer.ggml.scores", content="scores of tokens")
        has_space_prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
        return build_sentencepiece(
            vocab,
            scores,
            [n for n, k in enumerate(token_types) if k in (NORMAL, USER_DEFINED)],
            added_tokens,
            has_space_prefix,
        )
    raise GenloomError("exchange.unsupported_vocabulary", kind=model_type)


def build_byte_level(
    vocab: Mapping[str, int], merges: Sequence[str], added_tokens: list[dict[str, Any]], pre_tokenizer: str
) -> str:
    """Return the tokenizer.json of byte-level BPE; `pre_tokenizer` is a key of PRE_TOKENIZER_STEPS or an alias."""
    pre_tokenizer = _PRE_TOKENIZER_ALIASES.get(pre_tokenizer, pre_tokenizer)
    if pre_tokenizer not in PRE_TOKENIZER_STEPS:
        raise GenloomError(
            "exchange.unsupported_pre_tokenizer", name=pre_tokenizer, supported=", ".join(PRE_TOKENIZER_STEPS)
        )
    content = {
        "version": "1.0",
        "added_tokens": added_tokens,
        "normalizer": {"type": "NFC"} if pre_tokenizer == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE_TOKENIZER_STEPS[pre_tokenizer]},
        "decoder": _BYTE_LEVEL_STEP,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": pre_tokenizer == "llama-bpe"},
    }
    return json.dumps(content)


def build_sentencepiece(
    vocab: Mapping[str, int],
    scores: Sequence[float],
    mergeable: Sequence[int],
    added_tokens: list[dict[str, Any]],
    has_space_prefix: bool,
) -> str:
    """Return the tokenizer.json of SentencePiece BPE: the merges follow from the scores of their results."""
    token_of_id = {n: token for token, n in vocab.items()}
    num_split_chars = sum(len(token) ** 2 for token in vocab)
    if num_split_chars > _MAX_SPLIT_CHARS:
        raise GenloomError("exchange.tokens_too_long", length=num_split_chars, limit=_MAX_SPLIT_CHARS)
    merges = []
    for n in sorted(mergeable, key=lambda n: -scores[n]):
        token = token_of_id.get(n, "")
        splits = [(token[:i], token[i:]) for i in range(1, len(token))]
        known_splits = [pair for pair in splits if pair[0] in vocab and pair[1] in vocab]
        merges += sorted(known_splits, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    unk_token = next((token_of_id[a["id"]] for a in added_tokens if a["content"] == "<unk>"), None)
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
    prepend_steps = [{"type": "Prepend", "prepend": SPACE_MARK}] if has_space_prefix else []
    content = {
        "version": "1.0",
        "added_tokens": added_tokens,
        "normalizer": {"type": "Sequence", "normalizers": [*prepend_steps, replace]},
        "pre_tokenizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if has_space_prefix else []),
            ],
        },
        "model": {
            "type": "BPE", "vocab": vocab, "merges": merges,
            "unk_token": unk_token, "fuse_unk": True, "byte_fallback": True,
        },
    }  # fmt: skip
    return json.dumps(content)


def from_files(vocab: Mapping[str, int], merges: str, added_tokens: list[dict[str, Any]], pre_tokenizer: str) -> str:
    """Return the tokenizer.json of a vocab.json and a merges.txt."""
    pairs = [line for line in merges.split("\n") if line.strip() and not line.startswith("#version")]
    return build_byte_level(vocab, pairs, added_tokens, pre_tokenizer)


def to_tokenizer_json(codec: Codec) -> dict[str, Any]:
    """Return the tokenizer.json of a text codec; raises GenloomError for a codec that it cannot express."""
    if isinstance(codec, tokenizer.Codec):
        return codec.content
    if isinstance(codec, bpe.Codec):
        content = json.loads(codec.tokenizer.to_str())
    elif isinstance(codec, plain.Codec):
        char_of_byte = {byte: letter for letter, byte in bpe.ALPHABET.items()}
        vocab = {char_of_byte[bytes([n])]: n for n in range(256)}
        content = {"version": "1.0", "normalizer": None, "pre_tokenizer": _BYTE_LEVEL_STEP, "decoder": _BYTE_LEVEL_STEP}
        content["model"] = {"type": "BPE", "vocab": vocab, "merges": []}
    else:
        name, cure = type(codec).__module__.rpartition(".")[2], format_message("exchange.train_exportable")
        raise GenloomError("exchange.inexpressible_codec", codec=name, cure=cure)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added_tokens = [{"id": token_id, "content": name, **flags} for name, token_id in codec.special_tokens.items()]
    bos_token = next(name for name, token_id in codec.special_tokens.items() if token_id == codec.space.bos)
    return {
        **content,
        "added_tokens": added_tokens,
        "post_processor": {  # a text begins with the same token as every document in training
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos_token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos_token: {"id": bos_token, "ids": [codec.space.bos], "tokens": [bos_token]}},
        },
    }


def has_bos_step(content: Mapping[str, Any]) -> bool:
    """Tell whether the tokenizer adds a token before every text."""
    steps = [step for step in list_steps(content, "post_processor") if step["type"] == "TemplateProcessing"]
    return any(step.get("single") and "SpecialToken" in step["single"][0] for step in steps)


def to_gguf(content: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
    """Return the fields `tokenizer.ggml.…` of a tokenizer.json, padded to `vocab_size`.

    Raises GenloomError for a pre-tokenizer that llama.cpp does not have.
    """
    model = content["model"]
    token_of_id = {token_id: text for text, token_id in model["vocab"].items()}
    added_tokens = {token["id"]: token for token in content["added_tokens"]}
    token_of_id |= {token_id: token["content"] for token_id, token in added_tokens.items()}
    merges = [tuple(m.split(" ", 1)) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    fields = {
        "tokenizer.ggml.tokens": [token_of_id.get(n, _format_padding(n)) for n in range(vocab_size)],
        "tokenizer.ggml.token_type": [_get_token_type(n, token_of_id, added_tokens, model) for n in range(vocab_size)],
        "tokenizer.ggml.add_bos_token": has_bos_step(content),
    }
    if model.get("byte_fallback"):
        rank = {"".join(pair): -float(n) for n, pair in reversed(list(enumerate(merges)))}
        has_space_prefix = any(step["type"] == "Prepend" for step in list_steps(content, "normalizer")) or any(
            step.get("prepend_scheme") in ("always", "first") for step in list_steps(content, "pre_tokenizer")
        )
        lowest = -float(len(merges)) - 1
        scores = [rank.get(token_of_id.get(n, ""), lowest) for n in range(vocab_size)]
        return {
            **fields, "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.scores": scores, "tokenizer.ggml.add_space_prefix": has_space_prefix,
        }  # fmt: skip
    return {
        **fields, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": find_pre_tokenizer(content),
        # An empty list would not be written at all, and llama.cpp requires one.
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges] or [""],
    }  # fmt: skip


def _format_padding(token_id: int) -> str:
    """Return the text that llama.cpp's converter gives to a row of the embedding without a token."""
    return f"[PAD{token_id}]"


def _get_token_type(
    token_id: int, token_of_id: Mapping[int, str], added_tokens: Mapping[int, Any], model: Mapping[str, Any]
) -> int:
    if token_id not in token_of_id:
        return UNUSED
    if token_of_id[token_id] == model.get("unk_token") and model.get("byte_fallback"):
        return UNKNOWN
    if token_id in added_tokens:
        return CONTROL if added_tokens[token_id]["special"] else USER_DEFINED
    return BYTE if model.get("byte_fallback") and BYTE_TOKEN.fullmatch(token_of_id[token_id]) else NORMAL


def find_pre_tokenizer(content: Mapping[str, Any]) -> str:
    """Return llama.cpp's name of the pre-tokenizer."""
    steps = [_without_offsets(step) for step in list_steps(content, "pre_tokenizer")]
    if not content["model"]["merges"]:  # single bytes: without merges the pre-tokenizer has no effect
        return "gpt-2"
    for name, known_steps in PRE_TOKENIZER_STEPS.items():
        if steps == [_without_offsets(step) for step in known_steps]:
            return name
    raise GenloomError("exchange.inexpressible_pre_tokenizer")


def _without_offsets(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step without the setting that does not change ids."""
    return {key: value for key, value in step.items() if key != "trim_offsets"}
