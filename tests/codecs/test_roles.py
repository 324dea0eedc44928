"""Conversations as symbols: the markers around each turn, what the assistant has to write, and no injection."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.codecs import bpe
from genloom.codecs import bytes as plain
from genloom.codecs.chat_template import (
    DEFAULT_CHAT_TEMPLATE,
    ChatTemplate,
    get_eos_ids,
    load_chat_template,
    render,
    require_chat_template,
    save_chat_template,
)
from genloom.codecs.text_tokens import SPECIAL_TOKENS
from genloom.types import Message

BYTES = plain.Codec.fit([], plain.Config())
BPE = bpe.Codec.fit(["What is it? It is a tree, a tall tree.\n" * 30], bpe.Config(vocab_size=300))

both = pytest.mark.parametrize("codec", [BYTES, BPE], ids=["bytes", "bpe"])
TALK = [
    Message("system", "Be short."),
    Message("user", "What is it?"),
    Message("assistant", "A tree."),
    Message("user", "Tall?"),
]
contents = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(SPECIAL_TOKENS)), max_size=4).map("".join)


@both
def test_a_conversation_reads_turn_after_turn_and_ends_where_the_assistant_begins(codec) -> None:
    ids, answered = render(codec, TALK, add_generation_prompt=True)
    s = codec.special_tokens
    expected = [s["<|stop|>"], s["<|system|>"], *codec.encode("Be short."), s["<|user|>"], *codec.encode("What is it?")]
    expected += [s["<|assistant|>"], *codec.encode("A tree."), s["<|stop|>"]]
    expected += [s["<|user|>"], *codec.encode("Tall?"), s["<|assistant|>"]]
    assert ids.tolist() == expected
    assert ids.dtype == np.int64
    assert ids[answered].tolist() == [*codec.encode("A tree."), s["<|stop|>"]]


@both
@given(said=st.lists(contents, min_size=3, max_size=3))
def test_no_content_writes_a_special_symbol(codec, said: list[str]) -> None:
    messages = [Message(role, text) for role, text in zip(("system", "user", "assistant"), said, strict=True)]
    ids, answered = render(codec, messages, add_generation_prompt=False)
    special = np.isin(ids, list(codec.special_tokens.values()))
    assert special.sum() == 5, "start, three roles and one stop"
    assert codec.decode(ids) == "".join(codec.decode(codec.encode(text)) for text in said)
    assert codec.decode(ids[answered]) == codec.decode(codec.encode(said[2]))


@both
def test_the_answer_ends_at_the_stop(codec) -> None:
    assert get_eos_ids(codec) == (codec.special_tokens["<|stop|>"],)


def test_markers_and_contents_between_two_symbols_are_encoded_as_one() -> None:
    class Chatty:
        roles = ChatTemplate(
            {"user": "<|user|>user\n", "assistant": "<|assistant|>tree"},
            {"user": "<|stop|>\n", "assistant": "<|stop|>\n"},
            ("<|stop|>",),
        )
        specials, encode, bytes_of = BPE.special_tokens, BPE.encode, BPE.decode_bytes

    ids, answered = render(
        Chatty(), [Message("user", "What"), Message("assistant", " tall")], add_generation_prompt=False
    )
    s = BPE.special_tokens
    assert ids.tolist() == [
        s["<|user|>"], *BPE.encode("user\nWhat"), s["<|stop|>"], *BPE.encode("\n"),
        s["<|assistant|>"], *BPE.encode("tree tall"), s["<|stop|>"], *BPE.encode("\n"),
    ]  # fmt: skip
    assert BPE.decode(ids[answered]) == " tall"
    assert ids[answered][-1] == s["<|stop|>"]


def test_a_default_system_turn_stands_only_where_there_is_none() -> None:
    class Kind:
        roles = ChatTemplate(
            DEFAULT_CHAT_TEMPLATE.prefixes,
            DEFAULT_CHAT_TEMPLATE.suffixes,
            DEFAULT_CHAT_TEMPLATE.eos_tokens,
            default_system="Be kind.",
        )
        specials, encode, bytes_of = BYTES.special_tokens, BYTES.encode, BYTES.decode_bytes

    assert BYTES.decode(render(Kind(), TALK[1:2], add_generation_prompt=True)[0]) == "Be kind.What is it?"
    assert BYTES.decode(render(Kind(), TALK[:2], add_generation_prompt=True)[0]) == "Be short.What is it?"


def test_roles_come_back_from_their_file_and_damage_is_told(tmp_path: Path) -> None:
    assert load_chat_template(tmp_path, BYTES.special_tokens) is None
    save_chat_template(DEFAULT_CHAT_TEMPLATE, tmp_path)
    assert load_chat_template(tmp_path, BYTES.special_tokens) == DEFAULT_CHAT_TEMPLATE
    with pytest.raises(ValueError, match=r"chat\.json.*no special symbol '<\|stop\|>'"):
        load_chat_template(tmp_path, {})
    for damage in (
        '{"prefixes": 3}',
        "[]",
        '{"befor": {}}',
        '{"prefixes": {"king": ""}, "suffixes": {}, "eos_tokens": ["x"]}',
    ):
        (tmp_path / "chat.json").write_text(damage)
        with pytest.raises(ValueError, match=r"chat\.json"):
            load_chat_template(tmp_path, BYTES.special_tokens)


def test_a_codec_without_roles_and_a_role_that_is_none_are_told() -> None:
    class Mute:
        roles = None
        specials, encode, bytes_of = BYTES.special_tokens, BYTES.encode, BYTES.decode_bytes

    with pytest.raises(ValueError, match="knows no roles"):
        require_chat_template(Mute())
    with pytest.raises(ValueError, match="no role 'king'"):
        render(BYTES, [Message("king", "Off!")], add_generation_prompt=True)
