"""A pretrained tokenizer.json as a codec: exact, no special token from a text, and only known parts."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genloom.codecs.chat_template import ChatTemplate, render_chat
from genloom.codecs.tokenizer import Codec, Config
from genloom.errors import format_message
from genloom.testing import check_codec
from genloom.types import Message
from tests.errors import raises_code

TEXTS = ["To be, or not to be, that is the question.\n" * 20, "Grüße — 日本語 1234 🙂, don't <|stop|>!\n" * 20]
SPECIALS = ["<|end|>", "<|user|>", "<|bot|>"]
TEMPLATE = ChatTemplate({"user": "<|user|>\n", "assistant": "<|bot|>\n"}, {"assistant": "<|end|>"}, ("<|end|>",))
any_text = st.lists(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.sampled_from([*SPECIALS, "12", " be"]))
).map("".join)


def train_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False),
    )
    return tokenizer


JSON: dict[str, Any] = json.loads(train_tokenizer().to_str())
CODEC = Codec.from_json(json.dumps(JSON), Config(vocab_size=340, context_length=64), TEMPLATE)


def sentencepiece_json() -> dict[str, Any]:
    """A SentencePiece vocabulary: blanks are written ▁, unknown characters as bytes."""
    tokens = ["<unk>", "<s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "t", "o", "▁t", "▁to"]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    model = {"type": "BPE", "vocab": {token: n for n, token in enumerate(tokens)}, "merges": ["▁ t", "▁t o"]}
    added_tokens = [{"id": n, "content": tokens[n], "special": True} for n in range(2)]
    return {
        "added_tokens": added_tokens,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]},
        "model": {**model, "unk_token": "<unk>", "byte_fallback": True},
    }


WITH_BLANKS = Codec.from_json(json.dumps(sentencepiece_json()), Config())


def test_the_contract() -> None:
    check_codec(CODEC, [*TEXTS, "", " ", "\r\n\t", "\x00<|user|>", "a" * 300])
    check_codec(WITH_BLANKS, ["to to", "", " to", "日本\n"])


@given(text=any_text)
def test_any_text_is_decoded_exactly_and_encodes_to_no_special_token(text: str) -> None:
    for codec in (CODEC, WITH_BLANKS):
        ids = codec.encode(text)
        assert codec.decode(ids) == text
        assert not set(ids.tolist()) & set(codec.special_tokens.values())


def test_ids_are_those_of_the_tokenizers_library() -> None:
    for text in ("To be 1234", " question\n\n", "🙂"):
        assert CODEC.encode(text).tolist() == train_tokenizer().encode(text).ids


def test_a_long_text_is_cut_without_changing_its_ids() -> None:
    text = TEXTS[0] * 200
    assert CODEC.encode(text).tolist() == train_tokenizer().encode(text).ids
    assert len(text) > 1 << 17


def test_padding_rows_of_the_embedding_are_in_the_space_and_decode_to_nothing() -> None:
    assert CODEC.space.vocab_size == 340
    assert CODEC.decode([339]) == ""
    with raises_code("codecs.vocab_too_large", vocab_size=3):
        Codec.from_json(json.dumps(JSON), Config(vocab_size=3))


def test_a_blank_is_added_before_a_text_but_not_before_a_continuation() -> None:
    ids = WITH_BLANKS.encode("to")
    assert len(ids) == 1
    assert WITH_BLANKS.decode(ids) == "to"
    assert WITH_BLANKS.decode_bytes(ids) == b" to"
    assert WITH_BLANKS.decode_continuation(ids) == " to"


def test_the_tokens_of_the_assistant_are_marked_despite_added_blanks() -> None:
    template = ChatTemplate({"user": "<s>U ", "assistant": " to"}, {"assistant": " <s>"}, ("<s>",))
    codec = Codec(WITH_BLANKS.config, WITH_BLANKS.tokenizer, template)
    ids, is_answer = render_chat(
        codec, [Message("user", "to"), Message("assistant", " to<s>")], add_generation_prompt=False
    )
    assert codec.decode_bytes(ids) == b" U to to to<s> "
    assert codec.decode_bytes(ids[is_answer]) == b" to<s> "


def test_text_does_not_merge_into_a_special_token() -> None:
    content = {**JSON, "added_tokens": [*JSON["added_tokens"]]}
    word = next(token for token in JSON["model"]["vocab"] if len(token) > 3)
    content["added_tokens"].append({"id": JSON["model"]["vocab"][word], "content": word, "special": True})
    codec = Codec.from_json(json.dumps(content), Config())
    text = word.replace("Ġ", " ")
    assert codec.decode(codec.encode(text)) == text
    assert codec.special_tokens[word] not in codec.encode(text)


def test_a_saved_codec_has_its_chat_template(tmp_path: Path) -> None:
    CODEC.save(tmp_path / "codec")
    assert Codec.load(tmp_path / "codec").chat_template == TEMPLATE
    (tmp_path / "codec" / "tokenizer.json").write_text("{}")
    path, reason = tmp_path / "codec" / "tokenizer.json", format_message("codecs.not_tokenizer")
    with raises_code("codecs.damaged_tokenizer", path=path, reason=reason):
        Codec.load(tmp_path / "codec")


def test_it_cannot_be_fitted() -> None:
    with raises_code("codecs.tokenizer_is_pretrained"):
        Codec.fit(TEXTS, Config())


DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "unigram": ({"model": {"type": "Unigram", "vocab": []}}, "unsupported_model_type"),
    "unknown part": ({"normalizer": {"type": "Lowercase"}}, "unknown_part"),
    "unknown step": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Exec"}]}}, "unknown_part"),
    "long pattern": ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a" * 9999}}}, "pattern_too_long"),
    "negative id": ({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}, "token_id_damaged"),
    "large id": ({"model": {"type": "BPE", "vocab": {"a": 1 << 40}, "merges": []}}, "token_id_damaged"),
    "one id twice": ({"model": {"type": "BPE", "vocab": {"a": 1, "b": 1}, "merges": []}}, "token_id_damaged"),
    "a merge of unknown tokens": ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a q"]}}, "parts_do_not_fit"),
    "dropout": ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}, "merges_with_dropout"),
    "an id that is taken": ({"added_tokens": [{"id": 5, "content": "<|new|>"}]}, "conflicting_token_id"),
    "an id beyond the vocabulary": ({"added_tokens": [{"id": 9999, "content": "<|new|>"}]}, "token_id_mismatch"),
    "an empty token": ({"added_tokens": [{"id": 400, "content": ""}]}, "added_token_damaged"),
    "added tokens as text": ({"added_tokens": "abc"}, "added_tokens_damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_unknown_or_contradictory_content_is_refused(damage: str) -> None:
    changes, key = DAMAGES[damage]
    with raises_code(f"codecs.{key}"):
        Codec.from_json(json.dumps({**JSON, "added_tokens": [], **changes}), Config())


@given(data=st.data())
def test_damaged_json_is_a_value_error(data: st.DataObject) -> None:
    text = bytearray(json.dumps(sentencepiece_json()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(32, 126))
    try:
        codec = Codec.from_json(bytes(text), Config())
    except ValueError:
        return
    codec.encode("to and fro")
