"""Vocabularies as GGUF files and older Hugging Face folders hold them, made a tokenizer.json, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genloom.codecs import bpe, tokenizer
from genloom.codecs import bytes as plain
from genloom.codecs.tokenizer_json import BLANK, BYTE_SYMBOL, parts
from genloom.types import Codec

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
        return byte_level(vocab, [merge for merge in merges if merge], added, name)
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


def content_of(codec: Codec) -> dict[str, Any]:
    """The tokenizer.json of any text codec; ValueError for a codec that no tokenizer.json can express."""
    if isinstance(codec, tokenizer.Codec):
        return codec.content
    if isinstance(codec, bpe.Codec):
        content = json.loads(codec.tokenizer.to_str())
    elif isinstance(codec, plain.Codec):
        letters = {byte: letter for letter, byte in bpe.ALPHABET.items()}
        vocab = {letters[bytes([n])]: n for n in range(256)}
        content = {"version": "1.0", "normalizer": None, "pre_tokenizer": _BYTES, "decoder": _BYTES}
        content["model"] = {"type": "BPE", "vocab": vocab, "merges": []}
    else:
        raise ValueError(
            f"The codec {type(codec).__module__.rpartition('.')[2]!r} cannot be written as a tokenizer.json. "
            "Exported can be models of text with the codec bytes, bpe or tokenizer."
        )
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": number, "content": name, **flags} for name, number in codec.specials.items()]
    start = next(name for name, number in codec.specials.items() if number == codec.space.start)
    return {
        **content,
        "added_tokens": added,
        "post_processor": {  # a text begins with the symbol that began every document in training
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": start, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {start: {"id": start, "ids": [codec.space.start], "tokens": [start]}},
        },
    }


def begins(content: Mapping[str, Any]) -> bool:
    """Whether the tokenizer writes a symbol before every text."""
    steps = [step for step in parts(content, "post_processor") if step["type"] == "TemplateProcessing"]
    return any(step.get("single") and "SpecialToken" in step["single"][0] for step in steps)


def to_gguf(content: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The fields `tokenizer.ggml.…` of a tokenizer.json, padded to the model's rows.

    Raises ValueError for a way to cut words that llama.cpp does not have.
    """
    model = content["model"]
    symbols = {number: symbol for symbol, number in model["vocab"].items()}
    added = {token["id"]: token for token in content["added_tokens"]}
    symbols |= {number: token["content"] for number, token in added.items()}
    merges = [tuple(m.split(" ", 1)) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    fields = {
        "tokenizer.ggml.tokens": [symbols.get(n, f"[PAD{n}]") for n in range(rows)],
        "tokenizer.ggml.token_type": [_kind(n, symbols, added, model) for n in range(rows)],
        "tokenizer.ggml.add_bos_token": begins(content),
    }
    if model.get("byte_fallback"):
        rank = {"".join(pair): -float(n) for n, pair in reversed(list(enumerate(merges)))}
        prefix = any(step["type"] == "Prepend" for step in parts(content, "normalizer")) or any(
            step.get("prepend_scheme") in ("always", "first") for step in parts(content, "pre_tokenizer")
        )
        lowest = -float(len(merges)) - 1
        scores = [rank.get(symbols.get(n, ""), lowest) for n in range(rows)]
        return {
            **fields, "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default",
            "tokenizer.ggml.scores": scores, "tokenizer.ggml.add_space_prefix": prefix,
        }  # fmt: skip
    return {
        **fields, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": _cut_of(content),
        # An empty list would not be written at all, and llama.cpp wants one.
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges] or [""],
    }  # fmt: skip


def _kind(number: int, symbols: Mapping[int, str], added: Mapping[int, Any], model: Mapping[str, Any]) -> int:
    if number not in symbols:
        return UNUSED
    if symbols[number] == model.get("unk_token") and model.get("byte_fallback"):
        return UNKNOWN
    if number in added:
        return CONTROL if added[number]["special"] else USER
    return BYTE if model.get("byte_fallback") and BYTE_SYMBOL.fullmatch(symbols[number]) else NORMAL


def _cut_of(content: Mapping[str, Any]) -> str:
    """The name that llama.cpp gives to a way of cutting words."""
    steps = [_essence(step) for step in parts(content, "pre_tokenizer")]
    if not content["model"]["merges"]:  # single bytes: nothing is merged, however words are cut
        return "gpt-2"
    for name, known in CUTS.items():
        if steps == [_essence(step) for step in known]:
            return name
    raise ValueError(
        "This model's vocabulary cuts words in a way that llama.cpp has no name for. Export it with --to hf instead."
    )


def _essence(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step without what changes no ids."""
    return {key: value for key, value in step.items() if key != "trim_offsets"}
