"""Vocabularies as GGUF files and older Hugging Face folders hold them, made a tokenizer.json, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.codecs.tokenizer_json import BLANK

# Kinds of symbols in a GGUF file.
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)

_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_GPT2 = {**_BYTES, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PLAIN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"


def _split(*patterns: str) -> list[dict[str, Any]]:
    return [{"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False} for p in patterns]


# How text is cut before pairs are merged, by the name that llama.cpp gives it (src/llama-vocab.cpp there).
CUTS: dict[str, list[dict[str, Any]]] = {
    "gpt-2": [_GPT2],
    "smollm": [_DIGITS, _GPT2],
    "llama-bpe": [*_split(rf"{_CONTRACTIONS}|\p{{N}}{{1,3}}|{_SYMBOLS}"), _BYTES],
    "qwen2": [*_split(rf"{_CONTRACTIONS}|\p{{N}}|{_SYMBOLS}"), _BYTES],
    "default": [*_split(r"[\p{P}\$\+<=>\^~\|]+", _PLAIN, r"\p{N}+", "[0-9][0-9][0-9]"), _BYTES],
}
_NAMES = {"gpt2": "gpt-2", "llama3": "llama-bpe", "llama-v3": "llama-bpe", "deepseek-r1-qwen": "qwen2"}


def from_gguf(metadata: Mapping[str, Any]) -> str:
    """The tokenizer.json of a GGUF file's vocabulary; ValueError for a kind that is not known."""
    kind = metadata.get("tokenizer.ggml.model")
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(t, str) for t in tokens):
        raise ValueError("it holds no vocabulary (tokenizer.ggml.tokens)")
    kinds = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    if len(kinds) != len(tokens):
        raise ValueError(f"it holds {len(tokens):,} symbols and {len(kinds):,} kinds of them")
    added = [
        {"id": n, "content": token, "special": kinds[n] != USER, "normalized": False}
        for n, token in enumerate(tokens)
        if kinds[n] in (UNKNOWN, CONTROL, USER) and token
    ]
    vocab = {token: n for n, token in enumerate(tokens)}
    if kind == "gpt2":
        merges = metadata.get("tokenizer.ggml.merges")
        if not isinstance(merges, list) or not all(isinstance(m, str) for m in merges):
            raise ValueError("it holds no merges (tokenizer.ggml.merges)")
        name = str(metadata.get("tokenizer.ggml.pre", "default"))
        return byte_level(vocab, merges, added, name)
    if kind == "llama":
        scores = metadata.get("tokenizer.ggml.scores")
        if not isinstance(scores, list) or len(scores) != len(tokens):
            raise ValueError("it holds no scores of its symbols (tokenizer.ggml.scores)")
        prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
        return pieces(vocab, scores, [n for n, k in enumerate(kinds) if k in (NORMAL, USER)], added, prefix)
    raise ValueError(f"its vocabulary is of the kind {kind!r}, and only gpt2 and llama are read")


def byte_level(vocab: Mapping[str, int], merges: Sequence[str], added: list[dict[str, Any]], cut: str) -> str:
    """The tokenizer.json of byte pairs over bytes; `cut` names how words are found."""
    cut = _NAMES.get(cut, cut)
    if cut not in CUTS:
        raise ValueError(f"it cuts words in the way {cut!r}, and there is {', '.join(CUTS)}")
    content = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if cut == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": CUTS[cut]},
        "decoder": _BYTES,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": cut == "llama-bpe"},
    }
    return json.dumps(content)


def pieces(
    vocab: Mapping[str, int],
    scores: Sequence[float],
    mergeable: Sequence[int],
    added: list[dict[str, Any]],
    prefix: bool,
) -> str:
    """The tokenizer.json of SentencePiece byte pairs: merges follow from the scores of what they make."""
    symbols = {n: token for token, n in vocab.items()}
    merges = []
    for n in sorted(mergeable, key=lambda n: -scores[n]):
        token = symbols.get(n, "")
        halves = [(token[:i], token[i:]) for i in range(1, len(token))]
        known = [pair for pair in halves if pair[0] in vocab and pair[1] in vocab]
        merges += sorted(known, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    unknown = next((symbols[a["id"]] for a in added if a["content"] == "<unk>"), None)
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}
    begin = [{"type": "Prepend", "prepend": BLANK}] if prefix else []
    content = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [*begin, replace]},
        "pre_tokenizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": BLANK}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []),
            ],
        },
        "model": {
            "type": "BPE", "vocab": vocab, "merges": merges,
            "unk_token": unknown, "fuse_unk": True, "byte_fallback": True,
        },
    }  # fmt: skip
    return json.dumps(content)


def from_files(vocab: Mapping[str, int], merges: str, added: list[dict[str, Any]], cut: str) -> str:
    """The tokenizer.json of a vocab.json and a merges.txt."""
    pairs = [line for line in merges.split("\n") if line.strip() and not line.startswith("#version")]
    return byte_level(vocab, pairs, added, cut)
