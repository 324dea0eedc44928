"""The contract of a text codec, held by both: exact, safe, the same after loading."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.codecs import bpe
from genloom.codecs import bytes as plain
from genloom.codecs.text_tokens import SPECIAL_TOKENS, fix_surrogates

TEXTS = [
    "To be, or not to be, that is the question: the question that is to be.\n" * 30,
    "Grüße aus Köln — çok güzel, 日本語のテキスト, हिन्दी, 🙂👩‍👩‍👧.\n" * 30,
    "def f(x):\n    return x + 1  # don't\n\n\n" * 30,
]
BYTES = plain.Codec.fit(TEXTS, plain.Config())
BPE = bpe.Codec.fit(TEXTS, bpe.Config(vocab_size=600))
SMALLEST = bpe.Codec.fit([], bpe.Config(vocab_size=261))

both = pytest.mark.parametrize("codec", [BYTES, BPE, SMALLEST], ids=["bytes", "bpe", "bpe-261"])
# Characters alone rarely form words: mix in what tokenizers treat in special ways.
unicode_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
awkward = st.sampled_from(
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
any_text = st.lists(st.one_of(unicode_text, awkward), max_size=12).map("".join)


@both
@given(text=any_text)
def test_any_unicode_comes_back_exactly(codec, text: str) -> None:
    ids = codec.encode(text)
    assert ids.ndim == 1
    assert codec.decode(ids) == text
    assert codec.decode_bytes(ids) == text.encode()
    assert codec.decode(ids.tolist()) == text


@both
@given(text=st.text(st.characters(), max_size=40))
def test_surrogates_become_what_they_mean(codec, text: str) -> None:
    decoded = codec.decode(codec.encode(text))
    assert decoded == fix_surrogates(text)
    decoded.encode()


def test_surrogate_pairs_are_joined_and_single_ones_replaced() -> None:
    assert fix_surrogates("\ud83d\ude42") == "🙂"
    assert fix_surrogates("a\udc80b\ud800") == "a\ufffdb\ufffd"


@both
@given(text=any_text)
def test_no_text_spells_a_special_token(codec, text: str) -> None:
    ids = codec.encode("<|user|>" + text + "<|stop|>")
    assert not set(ids.tolist()) & set(codec.special_tokens.values())


@both
def test_special_tokens_have_ids_of_their_own_and_no_text(codec) -> None:
    assert set(codec.special_tokens) == {"<|stop|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"}
    assert sorted(codec.special_tokens.values()) == list(range(codec.space.vocab - 5, codec.space.vocab))
    assert codec.space.start == codec.space.stop == codec.special_tokens["<|stop|>"]
    ids = [codec.special_tokens["<|user|>"], *codec.encode("hé"), codec.special_tokens["<|stop|>"]]
    assert codec.decode(ids) == "hé"


@both
@given(data=st.data())
def test_a_stream_never_shows_a_part_of_a_character(codec, data: st.DataObject) -> None:
    ids = codec.encode(data.draw(any_text)).tolist()
    text, stream = "", codec.stream()
    for one in ids:
        new = stream.feed([one])
        assert "\ufffd" not in new or "\ufffd" in codec.decode(ids)
        text += new
        assert codec.decode(ids).startswith(text)
    assert text + stream.end() == codec.decode(ids)


@both
@given(data=st.data())
def test_a_stream_of_any_ids_equals_decoding_at_once(codec, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, codec.space.vocab - 1), max_size=40))
    stream, text, rest = codec.stream(), "", ids
    while rest:
        size = data.draw(st.integers(1, 5))
        text += stream.feed(rest[:size])
        rest = rest[size:]
    assert text + stream.end() == codec.decode(ids)


@both
def test_bytes_that_are_no_text_become_replacement_characters(codec) -> None:
    broken = np.concatenate([codec.encode("a"), codec.encode("🙂")[:1], codec.encode("b")])
    if codec is not BPE:  # whose one token may be the whole smile
        assert codec.decode(broken) == "a\ufffdb"
    assert codec.decode(codec.encode("\ufffd")) == "\ufffd"


@both
@given(sequences=st.lists(any_text, max_size=6))
def test_many_at_once_equal_one_by_one(codec, texts: list[str]) -> None:
    many = list(codec.encode_many(iter(texts)))
    assert len(many) == len(texts)
    for ids, text in zip(many, texts, strict=True):
        np.testing.assert_array_equal(ids, codec.encode(text))


@both
def test_saved_and_loaded_is_the_same(codec, tmp_path: Path) -> None:
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


@both
def test_ids_outside_the_vocabulary_are_a_bug(codec) -> None:
    with pytest.raises(AssertionError, match="outside the vocabulary"):
        codec.decode([codec.space.vocab])
    with pytest.raises(AssertionError, match="outside the vocabulary"):
        codec.decode([-1])


@both
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"codec": "os.system"}', "it is for the codec 'os.system'"),
        ('{"codec": "NAME", "context_length": 5, "vocab_size": 600, "x": 1}', "it must set"),
        ('{"codec": "NAME", "context_length": 0, "vocab_size": 600}', "must"),
        ('{"codec": "NAME", "context_length": "5", "vocab_size": 600}', "must"),
    ],
)
def test_damaged_settings_are_named(codec, tmp_path: Path, content: str | None, words: str) -> None:
    codec.save(tmp_path)
    path = tmp_path / "codec.json"
    name = json.loads(path.read_text())["codec"]
    path.unlink()
    if content is not None:
        path.write_text(content.replace("NAME", name))
    with pytest.raises(ValueError, match=rf"codec\.json can't be used: .*{words}"):
        type(codec).load(tmp_path)


def test_bytes_are_bytes() -> None:
    assert BYTES.encode("aé").tolist() == [97, 0xC3, 0xA9]
    assert BYTES.encode("aé").dtype == np.uint16
    assert BYTES.space.vocab_size == 261
