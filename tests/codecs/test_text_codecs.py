"""The contract of both text codecs: exact, safe, the same after loading."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.codecs import bpe
from genloom.codecs import bytes as utf8
from genloom.codecs.text_tokens import SPECIAL_TOKENS
from genloom.errors import format_message
from genloom.text_format import fix_surrogates
from tests.errors import raises_code

TEXTS = [
    "To be, or not to be, that is the question: the question that is to be.\n" * 30,
    "Grüße aus Köln — çok güzel, 日本語のテキスト, हिन्दी, 🙂👩‍👩‍👧.\n" * 30,
    "def f(x):\n    return x + 1  # don't\n\n\n" * 30,
]
BYTES = utf8.Codec.fit(TEXTS, utf8.Config())
BPE = bpe.Codec.fit(TEXTS, bpe.Config(vocab_size=600))
SMALLEST = bpe.Codec.fit([], bpe.Config(vocab_size=261))

each_codec = pytest.mark.parametrize("codec", [BYTES, BPE, SMALLEST], ids=["bytes", "bpe", "bpe-261"])
# Random characters rarely form words: mix in strings that tokenizers treat specially.
unicode_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
special_cases = st.sampled_from(
    [
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "\x1c",
        "\x85",
        "\u3000",
        "'s",
        "don't",
        *SPECIAL_TOKENS,
        "To be",
        "é",
        "e\u0301",
        "\x00",
        "\ufeff",
    ]
)
any_text = st.lists(st.one_of(unicode_text, special_cases), max_size=12).map("".join)


@each_codec
@given(text=any_text)
def test_any_unicode_text_is_decoded_exactly(codec, text: str) -> None:
    ids = codec.encode(text)
    assert ids.ndim == 1
    assert codec.decode(ids) == text
    assert codec.decode_bytes(ids) == text.encode()
    assert codec.decode(ids.tolist()) == text


@each_codec
@given(text=st.text(st.characters(), max_size=40))
def test_surrogates_are_fixed(codec, text: str) -> None:
    decoded = codec.decode(codec.encode(text))
    assert decoded == fix_surrogates(text)
    decoded.encode()


def test_surrogate_pairs_are_joined_and_single_ones_replaced() -> None:
    assert fix_surrogates("\ud83d\ude42") == "🙂"
    assert fix_surrogates("a\udc80b\ud800") == "a\ufffdb\ufffd"


@each_codec
@given(text=any_text)
def test_no_text_encodes_to_a_special_token(codec, text: str) -> None:
    ids = codec.encode("<|user|>" + text + "<|stop|>")
    assert not set(ids.tolist()) & set(codec.special_tokens.values())


@each_codec
def test_special_tokens_have_ids_of_their_own_and_no_text(codec) -> None:
    assert set(codec.special_tokens) == {"<|stop|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"}
    assert sorted(codec.special_tokens.values()) == list(range(codec.space.vocab_size - 5, codec.space.vocab_size))
    assert codec.space.bos == codec.space.eos == codec.special_tokens["<|stop|>"]
    ids = [codec.special_tokens["<|user|>"], *codec.encode("hé"), codec.special_tokens["<|stop|>"]]
    assert codec.decode(ids) == "hé"


@each_codec
@given(data=st.data())
def test_a_stream_never_shows_a_part_of_a_character(codec, data: st.DataObject) -> None:
    ids = codec.encode(data.draw(any_text)).tolist()
    text, stream = "", codec.decode_stream()
    for token_id in ids:
        new = stream.feed([token_id])
        assert "\ufffd" not in new or "\ufffd" in codec.decode(ids)
        text += new
        assert codec.decode(ids).startswith(text)
    assert text + stream.finish() == codec.decode(ids)


@each_codec
@given(data=st.data())
def test_a_stream_of_any_ids_equals_decoding_in_one_go(codec, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, codec.space.vocab_size - 1), max_size=40))
    stream, text, rest = codec.decode_stream(), "", ids
    while rest:
        size = data.draw(st.integers(1, 5))
        text += stream.feed(rest[:size])
        rest = rest[size:]
    assert text + stream.finish() == codec.decode(ids)


@each_codec
def test_bytes_that_are_not_utf8_become_replacement_characters(codec) -> None:
    broken = np.concatenate([codec.encode("a"), codec.encode("🙂")[:1], codec.encode("b")])
    if codec is not BPE:  # one of its tokens may be the whole emoji
        assert codec.decode(broken) == "a\ufffdb"
    assert codec.decode(codec.encode("\ufffd")) == "\ufffd"


@each_codec
@given(texts=st.lists(any_text, max_size=6))
def test_encoding_a_batch_equals_encoding_one_by_one(codec, texts: list[str]) -> None:
    many = list(codec.encode_many(iter(texts)))
    assert len(many) == len(texts)
    for ids, text in zip(many, texts, strict=True):
        np.testing.assert_array_equal(ids, codec.encode(text))


@each_codec
def test_a_saved_codec_is_the_same_after_loading(codec, tmp_path: Path) -> None:
    codec.save(tmp_path / "codec")
    loaded = type(codec).load(tmp_path / "codec")
    assert loaded.space == codec.space
    assert loaded.config == codec.config
    for text in (*TEXTS, "", "\x00<|stop|>\U0010ffff"):
        np.testing.assert_array_equal(loaded.encode(text), codec.encode(text))
        assert loaded.encode(text).dtype == codec.encode(text).dtype
    loaded.save(tmp_path / "again")
    for file in (tmp_path / "codec").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


@each_codec
def test_ids_outside_the_vocabulary_are_a_bug(codec) -> None:
    with pytest.raises(AssertionError, match="outside the vocabulary"):
        codec.decode([codec.space.vocab_size])
    with pytest.raises(AssertionError, match="outside the vocabulary"):
        codec.decode([-1])


@each_codec
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("[]", format_message("codecs.not_json_object")),
        ('{"codec": "os.system"}', "CODEC"),
        ('{"codec": "NAME", "vocab_size": 600, "x": 1}', "KEYS"),
    ],
)
def test_a_damaged_codec_file_is_reported(codec, tmp_path: Path, content: str | None, reason: str) -> None:
    name = replace_codec_file(codec, tmp_path, content)
    if reason == "CODEC":
        reason = format_message("codecs.wrong_codec", actual="os.system", expected=name)
    if reason == "KEYS":
        reason = format_message("codecs.wrong_codec_keys", keys="codec" if name == "bytes" else "codec, vocab_size")
    with raises_code("codecs.damaged_file", path=tmp_path / "codec.json", reason=reason):
        type(codec).load(tmp_path)


@each_codec
def test_a_codec_file_that_is_not_json_is_reported(codec, tmp_path: Path) -> None:
    replace_codec_file(codec, tmp_path, "{")
    with raises_code("codecs.damaged_file", path=tmp_path / "codec.json"):
        type(codec).load(tmp_path)


@pytest.mark.parametrize("value", [0, "5"])
def test_a_damaged_number_in_a_codec_file_is_reported(tmp_path: Path, value: object) -> None:
    replace_codec_file(BPE, tmp_path, json.dumps({"codec": "bpe", "vocab_size": value}))
    reason = format_message("codecs.bad_codec_value", name="vocab_size", value=value)
    with raises_code("codecs.damaged_file", path=tmp_path / "codec.json", reason=reason):
        bpe.Codec.load(tmp_path)


@each_codec
@pytest.mark.parametrize("keys", [("vocab", "length"), ("vocab_size", "context_length")])
def test_codec_files_of_earlier_versions_are_read(codec, tmp_path: Path, keys: tuple[str, str]) -> None:
    sizes = {} if codec is BYTES else {keys[0]: codec.config.vocab_size}
    name = "bytes" if codec is BYTES else "bpe"
    replace_codec_file(codec, tmp_path, json.dumps({"codec": name, **sizes, keys[1]: 512}))
    assert type(codec).load(tmp_path).config == codec.config


def replace_codec_file(codec, folder: Path, content: str | None) -> str:
    """Save the codec, replace or remove its codec.json, and return its name."""
    codec.save(folder)
    path = folder / "codec.json"
    name = json.loads(path.read_text())["codec"]
    path.unlink()
    if content is not None:
        path.write_text(content.replace("NAME", name))
    return name


def test_bytes_are_bytes() -> None:
    assert BYTES.encode("aé").tolist() == [97, 0xC3, 0xA9]
    assert BYTES.encode("aé").dtype == np.uint16
    assert BYTES.space.vocab_size == 261


def test_a_budget_that_ends_inside_a_character_leaves_it_off() -> None:
    from genloom.generate.decode import IncrementalDetokenizer

    codec = utf8.Codec.fit([], utf8.Config())
    ids = codec.encode("Party: 🎉🐸")
    prompt = codec.encode("x")
    for cut in range(1, 5):
        detokenizer = IncrementalDetokenizer(codec, prompt, True)
        assert detokenizer(ids[: len(ids) - cut], True) == "Party: 🎉", cut
    assert IncrementalDetokenizer(codec, prompt, True)(ids, True) == "Party: 🎉🐸"
    replacement = codec.encode("a\ufffd")
    assert IncrementalDetokenizer(codec, prompt, True)(replacement, True) == "a\ufffd", "a character like another"
