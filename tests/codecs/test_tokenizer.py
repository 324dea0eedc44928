"""A pretrained tokenizer.json as a codec: exact, never a special symbol from a text, and only what is known in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genloom.codecs.chat_template import ChatTemplate, render
from genloom.codecs.tokenizer import Codec, Config
from genloom.testing import check_codec
from genloom.types import Message

TEXTS = ["To be, or not to be, that is the question.\n" * 20, "Grüße — 日本語 1234 🙂, don't <|stop|>!\n" * 20]
SPECIALS = ["<|end|>", "<|user|>", "<|bot|>"]
ROLES = ChatTemplate({"user": "<|user|>\n", "assistant": "<|bot|>\n"}, {"assistant": "<|end|>"}, ("<|end|>",))
any_text = st.lists(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.sampled_from([*SPECIALS, "12", " be"]))
).map("".join)


def trained() -> Tokenizer:
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


JSON: dict[str, Any] = json.loads(trained().to_str())
CODEC = Codec.from_json(json.dumps(JSON), Config(vocab_size=340, context_length=64), ROLES)


def blanks() -> dict[str, Any]:
    """A vocabulary as SentencePiece has them: blanks are written ▁, unknown characters as bytes."""
    letters = ["<unk>", "<s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "t", "o", "▁t", "▁to"]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    model = {"type": "BPE", "vocab": {s: n for n, s in enumerate(letters)}, "merges": ["▁ t", "▁t o"]}
    added = [{"id": n, "content": letters[n], "special": True} for n in range(2)]
    return {
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]},
        "model": {**model, "unk_token": "<unk>", "byte_fallback": True},
    }


BLANKS = Codec.from_json(json.dumps(blanks()), Config())


def test_the_contract() -> None:
    check_codec(CODEC, [*TEXTS, "", " ", "\r\n\t", "\x00<|user|>", "a" * 300])
    check_codec(BLANKS, ["to to", "", " to", "日本\n"])


@given(text=any_text)
def test_any_text_comes_back_and_writes_no_special_symbol(text: str) -> None:
    for codec in (CODEC, BLANKS):
        ids = codec.encode(text)
        assert codec.decode(ids) == text
        assert not set(ids.tolist()) & set(codec.special_tokens.values())


def test_ids_are_those_of_the_tokenizers_library() -> None:
    for text in ("To be 1234", " question\n\n", "🙂"):
        assert CODEC.encode(text).tolist() == trained().encode(text).ids


def test_a_long_text_is_cut_without_changing_its_ids() -> None:
    text = TEXTS[0] * 200
    assert CODEC.encode(text).tolist() == trained().encode(text).ids
    assert len(text) > 1 << 17


def test_rows_beyond_the_symbols_are_part_of_the_space_and_write_nothing() -> None:
    assert CODEC.space.vocab_size == 340
    assert CODEC.decode([339]) == ""
    with pytest.raises(ValueError, match="its model knows 3"):
        Codec.from_json(json.dumps(JSON), Config(vocab_size=3))


def test_a_blank_stands_before_a_text_but_not_where_one_goes_on() -> None:
    ids = BLANKS.encode("to")
    assert len(ids) == 1
    assert BLANKS.decode(ids) == "to"
    assert BLANKS.decode_bytes(ids) == b" to"
    assert BLANKS.decode_continuation(ids) == " to"


def test_roles_mark_what_the_assistant_writes_whatever_blanks_are_added() -> None:
    roles = ChatTemplate({"user": "<s>U ", "assistant": " to"}, {"assistant": " <s>"}, ("<s>",))
    codec = Codec(BLANKS.config, BLANKS.tokenizer, roles)
    ids, answered = render(codec, [Message("user", "to"), Message("assistant", " to<s>")], add_generation_prompt=False)
    assert codec.decode_bytes(ids) == b" U to to to<s> "
    assert codec.decode_bytes(ids[answered]) == b" to<s> "


def test_what_text_merges_into_is_no_special_symbol_either() -> None:
    content = {**JSON, "added_tokens": [*JSON["added_tokens"]]}
    word = next(symbol for symbol in JSON["model"]["vocab"] if len(symbol) > 3)
    content["added_tokens"].append({"id": JSON["model"]["vocab"][word], "content": word, "special": True})
    codec = Codec.from_json(json.dumps(content), Config())
    text = word.replace("Ġ", " ")
    assert codec.decode(codec.encode(text)) == text
    assert codec.special_tokens[word] not in codec.encode(text)


def test_a_saved_codec_has_its_roles(tmp_path: Path) -> None:
    CODEC.save(tmp_path / "codec")
    assert Codec.load(tmp_path / "codec").chat_template == ROLES
    (tmp_path / "codec" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json can't be used: it describes no tokenizer"):
        Codec.load(tmp_path / "codec")


def test_it_is_not_learned() -> None:
    with pytest.raises(ValueError, match=r"codec\.name = bpe"):
        Codec.fit(TEXTS, Config())


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "unigram": ({"model": {"type": "Unigram", "vocab": []}}, "Unigram"),
    "unknown part": ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
    "unknown step": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Exec"}]}}, "Exec"),
    "long pattern": ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a" * 9999}}}, "longer"),
    "negative number": ({"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}, "-1"),
    "vast number": ({"model": {"type": "BPE", "vocab": {"a": 1 << 40}, "merges": []}}, "out of bounds"),
    "one number twice": ({"model": {"type": "BPE", "vocab": {"a": 1, "b": 1}, "merges": []}}, "used twice"),
    "merge of nothing": ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a q"]}}, "fit together"),
    "dropout": ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}, "chance"),
    "a symbol's number taken": ({"added_tokens": [{"id": 5, "content": "<|new|>"}]}, "is both"),
    "a symbol's number far": ({"added_tokens": [{"id": 9999, "content": "<|new|>"}]}, "cannot have the number"),
    "no symbol": ({"added_tokens": [{"id": 400, "content": ""}]}, "damaged"),
    "added text": ({"added_tokens": "abc"}, "damaged"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_unknown_or_contradictory_is_refused(lie: str) -> None:
    changes, words = LIES[lie]
    with pytest.raises(ValueError, match=words):
        Codec.from_json(json.dumps({**JSON, "added_tokens": [], **changes}), Config())


@given(data=st.data())
def test_damaged_json_is_a_value_error(data: st.DataObject) -> None:
    text = bytearray(json.dumps(blanks()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(32, 126))
    try:
        codec = Codec.from_json(bytes(text), Config())
    except ValueError:
        return
    codec.encode("to and fro")
