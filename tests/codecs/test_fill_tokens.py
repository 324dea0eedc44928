"""The tokens for filling in the middle: found by family, never made of text, and texts in both orders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genloom.capabilities import get_fill_tokens
from genloom.codecs import bpe, tokenizer
from genloom.codecs import bytes as utf8
from genloom.codecs.fill_tokens import FAMILIES, FILL_TOKENS, encode_filled, encode_gap, find_fill_tokens
from genloom.codecs.text_tokens import SPECIAL_TOKENS
from genloom.testing import check_codec

TEXTS = ["def add(a, b):\n    return a + b\n" * 9, "naïve <|fim_prefix|> 狐\n"]
BYTES = utf8.Codec.fit((), utf8.Config(has_fill_tokens=True))
BPE = bpe.Codec.fit(TEXTS, bpe.Config(300, has_fill_tokens=True))
parts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def build_pretrained(names: tuple[str, ...], is_special: bool) -> tokenizer.Codec:
    """Return a byte-level tokenizer with further tokens."""
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>", *names], initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(TEXTS, trainer)
    content: dict[str, Any] = json.loads(library.to_str())
    for token in content["added_tokens"][1:]:
        token["special"] = is_special
    return tokenizer.Codec.from_json(json.dumps(content), tokenizer.Config())


@pytest.mark.parametrize("codec", [BYTES, BPE], ids=["bytes", "bpe"])
def test_our_codecs_have_the_tokens_only_if_told(codec: Any) -> None:
    tokens = get_fill_tokens(codec)
    assert tokens is not None
    assert [codec.special_tokens[name] for name in FILL_TOKENS] == list(tokens.ids)
    assert codec.space.vocab_size == max(codec.special_tokens.values()) + 1
    plain = utf8.Codec.fit((), utf8.Config())
    assert get_fill_tokens(plain) is None
    assert list(plain.special_tokens) == list(SPECIAL_TOKENS)
    check_codec(codec, TEXTS)


@pytest.mark.parametrize("codec", [BYTES, BPE], ids=["bytes", "bpe"])
def test_the_tokens_are_stored_and_a_codec_without_them_is_stored_as_before(codec: Any, tmp_path: Path) -> None:
    codec.save(tmp_path / "with")
    assert type(codec).load(tmp_path / "with").special_tokens == codec.special_tokens
    plain = utf8.Codec.fit((), utf8.Config())
    plain.save(tmp_path / "plain")
    assert json.loads((tmp_path / "plain" / "codec.json").read_text()) == {"codec": "bytes"}
    (tmp_path / "plain" / "codec.json").write_text('{"codec": "bytes", "has_fill_tokens": 1}')
    with pytest.raises(ValueError, match="has_fill_tokens"):
        utf8.Codec.load(tmp_path / "plain")


@pytest.mark.parametrize("names", FAMILIES)
def test_families_of_pretrained_vocabularies_are_found(names: tuple[str, ...]) -> None:
    found = find_fill_tokens({name: number for number, name in enumerate(names)} | {"▁<EOT>": 9})
    assert found is not None
    assert found.ids == (0, 1, 2)
    assert 9 in found.ends
    assert find_fill_tokens({name: number for number, name in enumerate(names[:2])}) is None


@pytest.mark.parametrize("is_special", [True, False])
def test_a_pretrained_tokenizer_uses_its_own_tokens(is_special: bool) -> None:
    codec = build_pretrained(FILL_TOKENS, is_special)
    tokens = codec.fill_tokens
    assert tokens is not None
    gap = encode_gap(codec, tokens, "a <|fim_middle|> b", "c <|fim_prefix|><|fim_prefix|>")
    assert np.isin(gap, tokens.ids).sum() == 3, "a text makes no sentinel"
    assert (
        codec.decode_bytes(gap[~np.isin(gap, tokens.ids)]).decode()
        == "a <|fim_middle|> bc <|fim_prefix|><|fim_prefix|>"
    )


def test_a_vocabulary_without_the_tokens_has_none() -> None:
    assert build_pretrained((), is_special=True).fill_tokens is None


@given(prefix=parts, middle=parts, suffix=parts, is_spm=st.booleans())
def test_the_parts_stand_after_their_tokens(prefix: str, middle: str, suffix: str, is_spm: bool) -> None:
    tokens = BYTES.fill_tokens
    assert tokens is not None
    ids = encode_filled(BYTES, tokens, prefix, middle, suffix, is_spm)
    before, after, last = tokens.ids
    head, rest = np.split(ids[1:], [int(np.flatnonzero(ids[1:] == after)[0])])
    second, third = np.split(rest[1:], [int(np.flatnonzero(rest[1:] == last)[0])])
    texts = [BYTES.decode(part) for part in (head, second, third[1:])]
    assert ids[0] == before
    assert texts == (["", suffix, prefix + middle] if is_spm else [prefix, suffix, middle])
