"""Vocabularies of GGUF files: every pre-tokenizer and SentencePiece round-trip to the same ids."""

import json
from typing import Any

import pytest

from genloom.codecs import bpe, tokenizer
from genloom.codecs import bytes as plain
from genloom.exchange.vocabulary import (
    PRE_TOKENIZER_STEPS,
    build_byte_level,
    from_files,
    from_gguf,
    to_gguf,
    to_tokenizer_json,
)
from tests.errors import raises_code

TEXT = "The capital of France's 1234 pages, don't!\n\n  it is (x = 12)…  Grüße, 世界 🙂\t\r\n end"
LEARNED = bpe.Codec.fit([TEXT * 20], bpe.Config(vocab_size=400))
MODEL = json.loads(LEARNED.tokenizer.to_str())["model"]
ADDED = [{"id": len(MODEL["vocab"]), "content": "<|end|>", "special": True}]


def codec_of(content: str) -> tokenizer.Codec:
    return tokenizer.Codec.from_json(content, tokenizer.Config())


def merges() -> list[str]:
    return [" ".join(pair) for pair in MODEL["merges"]]


@pytest.mark.parametrize("cut", PRE_TOKENIZER_STEPS)
def test_every_pre_tokenizer_round_trips(cut: str) -> None:
    codec = codec_of(build_byte_level(MODEL["vocab"], merges(), ADDED, cut))
    fields = to_gguf(codec.content, len(MODEL["vocab"]) + 4)
    assert fields["tokenizer.ggml.pre"] == cut
    assert fields["tokenizer.ggml.token_type"][-4:] == [3, 5, 5, 5]
    back = codec_of(from_gguf(fields))
    assert back.encode(TEXT).tolist() == codec.encode(TEXT).tolist()
    assert back.special_tokens == codec.special_tokens
    assert back.decode(back.encode(TEXT)) == TEXT


def test_pre_tokenizers_differ_in_digits() -> None:
    pieces = {
        cut: len(codec_of(build_byte_level(MODEL["vocab"], merges(), [], cut)).encode("1234 1234"))
        for cut in PRE_TOKENIZER_STEPS
    }
    assert pieces["smollm"] == pieces["qwen2"] >= pieces["llama-bpe"] >= pieces["gpt-2"]


def sentencepiece() -> dict[str, Any]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "t", "o", "e", "▁t", "to", "▁to"]
    scores = [0.0] * (len(tokens) - 7) + [-9.0, -8.0, -8.0, -8.0, -2.0, -1.0, -3.0]
    kinds = [2, 3, 3, *[6] * 256, *[1] * 7]
    return {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
    }  # fmt: skip


def test_sentencepiece_merges_by_scores() -> None:
    codec = codec_of(from_gguf(sentencepiece()))
    tokens = sentencepiece()["tokenizer.ggml.tokens"]
    assert [tokens[i] for i in codec.encode("to t é")] == ["▁to", "▁t", "▁", "<0xC3>", "<0xA9>"]
    assert codec.decode(codec.encode("to t é\n")) == "to t é\n"
    fields = to_gguf(codec.content, len(tokens))
    assert fields["tokenizer.ggml.token_type"] == sentencepiece()["tokenizer.ggml.token_type"]
    back = codec_of(from_gguf(fields))
    for text in ("to t é", "ttoo  otto", "", "<s>to"):
        assert back.encode(text).tolist() == codec.encode(text).tolist()


def test_rows_of_padding_have_no_text() -> None:
    size = len(MODEL["vocab"])
    fields = to_gguf(codec_of(build_byte_level(MODEL["vocab"], merges(), ADDED, "gpt-2")).content, size + 4)
    assert fields["tokenizer.ggml.tokens"][-1] == f"[PAD{size + 3}]"
    back = tokenizer.Codec.from_json(from_gguf(fields), tokenizer.Config(vocab_size=size + 4))
    assert back.space.vocab_size == size + 4
    assert back.decode([*back.encode("to"), size + 1, size + 3]) == "to"
    assert to_gguf(back.content, size + 4) == fields
    padded = sentencepiece()
    padded["tokenizer.ggml.tokens"] += [f"[PAD{263 + 3}]", "<unused0>"]
    padded["tokenizer.ggml.scores"] += [0.0, 0.0]
    padded["tokenizer.ggml.token_type"] += [5, 5]
    spelled = codec_of(from_gguf(padded))
    assert "PAD" not in spelled.decode([266])
    assert spelled.decode([267]).strip() == "<unused0>", "a token with a text of its own"


def test_codecs_of_genloom_keep_their_ids() -> None:
    for codec in (LEARNED, plain.Codec.fit([], plain.Config())):
        content = to_tokenizer_json(codec)
        there = codec_of(json.dumps(content))
        assert there.encode(TEXT).tolist() == codec.encode(TEXT).tolist()
        assert there.special_tokens == codec.special_tokens
        back = codec_of(from_gguf(to_gguf(content, codec.space.vocab_size)))
        assert back.encode(TEXT).tolist() == codec.encode(TEXT).tolist()


def test_the_merges_file_of_gpt2() -> None:
    codec = codec_of(from_files(MODEL["vocab"], "\n".join(["#version: 0.2", *merges(), ""]), [], "gpt-2"))
    assert codec.encode(TEXT).tolist() == LEARNED.encode(TEXT).tolist()


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"tokenizer.ggml.model": "bert"}, "unsupported_vocabulary", {"kind": "bert"}),
        ({"tokenizer.ggml.tokens": None}, "missing_gguf_field", {"field": "tokenizer.ggml.tokens"}),
        ({"tokenizer.ggml.tokens": [1, 2]}, "missing_gguf_field", {"field": "tokenizer.ggml.tokens"}),
        ({"tokenizer.ggml.token_type": [1]}, "token_types_mismatch", {"count": 1}),
        ({"tokenizer.ggml.scores": [1.0]}, "missing_gguf_field", {"field": "tokenizer.ggml.scores"}),
        ({"tokenizer.ggml.model": "gpt2"}, "missing_gguf_field", {"field": "tokenizer.ggml.merges"}),
        (
            {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": [], "tokenizer.ggml.pre": "tekken"},
            "unsupported_pre_tokenizer",
            {"name": "tekken"},
        ),
    ],
    ids=str,
)
def test_inconsistent_or_unknown_fields_are_errors(changes: dict[str, Any], code: str, fields: dict[str, Any]) -> None:
    with raises_code(f"exchange.{code}", **fields):
        from_gguf({**sentencepiece(), **changes})


@pytest.mark.parametrize("lengths", [[10_000], [1000] * 100], ids=["one token", "many tokens"])
def test_tokens_that_would_take_minutes_to_split_are_refused(lengths: list[int]) -> None:
    fields = sentencepiece()
    for number, length in enumerate(lengths):
        fields["tokenizer.ggml.tokens"].append(f"{number:04}" + "a" * (length - 4))
        fields["tokenizer.ggml.scores"].append(0.0)
        fields["tokenizer.ggml.token_type"].append(1)
    with raises_code("exchange.tokens_too_long"):
        from_gguf(fields)


def test_a_pre_tokenizer_that_llama_cpp_lacks_is_an_error() -> None:
    content = json.loads(build_byte_level(MODEL["vocab"], merges(), [], "gpt-2"))
    content["pre_tokenizer"]["pretokenizers"][0]["add_prefix_space"] = True
    with raises_code("exchange.inexpressible_pre_tokenizer"):
        to_gguf(codec_of(json.dumps(content)).content, 500)
