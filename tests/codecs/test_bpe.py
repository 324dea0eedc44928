"""Byte-pair encoding: a vocabulary that is learned, bounded and safe to load."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.codecs import bpe
from tests.errors import raises_code

WORDS = [
    a + b + c for a in ("qu", "t", "st") for b in ("ee", "a", "io") for c in ("n", "ther", "ck", "ll", "mbling", "ord")
]
TEXTS = [
    " ".join(WORDS) * 3,
    "To be, or not to be, that is the question: the question that is to be.\n" * 30,
    "naïve café 日本 日本\n" * 30,
]
CODEC = bpe.Codec.fit(TEXTS, bpe.Config(vocab_size=380))


def test_the_vocabulary_has_the_requested_size_and_compresses() -> None:
    assert CODEC.space.vocab_size == 380
    assert len(CODEC.encode(TEXTS[1])) < len(TEXTS[1]) / 3
    assert CODEC.encode("the").dtype == np.uint16


def test_little_text_gives_a_smaller_vocabulary() -> None:
    codec = bpe.Codec.fit(["aa aa"], bpe.Config(vocab_size=1000))
    assert 261 < codec.space.vocab_size < 300
    assert codec.decode(codec.encode("aa b")) == "aa b"


def test_fitting_is_deterministic() -> None:
    assert bpe.Codec.fit(iter(TEXTS), bpe.Config(vocab_size=380)).tokenizer.to_str() == CODEC.tokenizer.to_str()


def test_too_small_a_vocabulary_is_refused() -> None:
    with raises_code("codecs.vocab_too_small", minimum=261, value=260):
        bpe.Codec.fit([], bpe.Config(vocab_size=260))


blanks = st.sampled_from(
    [" ", "  ", "\n", "\r\n", "\t\t ", "\x1c", "\x85", "\u3000", "\xa0", "\u200b", "\u2028", "\u180e"]
)
words = st.one_of(st.sampled_from(["question", "don't", "to", "!", "!?", "日本", "'s", "7", "é"]), st.text(max_size=4))


@given(st.lists(st.one_of(blanks, words), max_size=30).map("".join))
def test_a_text_encoded_in_chunks_has_the_ids_of_the_whole(text: str) -> None:
    whole = CODEC.encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "_CHUNK_CHARS", 5)
        assert len(list(bpe._split_text(text))) > 1 or len(text) <= 5 or not re.search(r"\S[ \n\t\r]", text[4:])
        np.testing.assert_array_equal(CODEC.encode(text), whole)


def test_a_line_without_a_blank_is_cut_and_still_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "_CHUNK_CHARS", 50)
    monkeypatch.setattr(bpe, "_LONGEST_WORD", 100)
    text = "日本x" * 1000
    assert max(map(len, bpe._split_text(text))) == 100
    assert CODEC.decode(CODEC.encode(text)) == text


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        lambda file: file.write_text("{"),
        lambda file: file.write_text(file.read_text().replace('"BPE"', '"Unigram"')),
        lambda file: file.write_text(remove_token(file, "a")),
    ],
)
def test_a_damaged_vocabulary_is_reported(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    CODEC.save(tmp_path)
    damage(tmp_path / "tokenizer.json")
    with raises_code("codecs.damaged_file", path=tmp_path / "tokenizer.json"):
        bpe.Codec.load(tmp_path)


def remove_token(file: Path, token: str) -> str:
    content = json.loads(file.read_text())
    del content["model"]["vocab"][token]
    content["model"]["merges"] = []
    return json.dumps(content)


def test_a_foreign_file_cannot_change_how_text_is_encoded(tmp_path: Path) -> None:
    CODEC.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = {"type": "Lowercase"}
    content["truncation"] = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content["added_tokens"] = [{"id": 0, "content": "!", **flags}]
    path.write_text(json.dumps(content))
    loaded = bpe.Codec.load(tmp_path)
    text = "To BE, or NOT! <|user|>"
    np.testing.assert_array_equal(loaded.encode(text), CODEC.encode(text))
    assert loaded.decode(loaded.encode(text)) == text
