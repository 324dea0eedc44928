"""Conversations as symbols: the markers around each turn, what the assistant has to write, and no injection."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.codecs import bpe
from genloom.codecs import bytes as plain
from genloom.codecs.roles import PLAIN, Roles, load_roles, roles_of, save_roles, stop_ids, written
from genloom.codecs.symbols import SPECIALS
from genloom.types import Message

BYTES = plain.Codec.fit([], plain.Config())
BPE = bpe.Codec.fit(["What is it? It is a tree, a tall tree.\n" * 30], bpe.Config(vocab=300))

both = pytest.mark.parametrize("codec", [BYTES, BPE], ids=["bytes", "bpe"])
TALK = [
    Message("system", "Be short."),
    Message("user", "What is it?"),
    Message("assistant", "A tree."),
    Message("user", "Tall?"),
]
contents = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(SPECIALS)), max_size=4).map("".join)


@both
def test_a_conversation_reads_turn_after_turn_and_ends_where_the_assistant_begins(codec) -> None:
    ids, answered = written(codec, TALK, reply=True)
    s = codec.specials
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
    ids, answered = written(codec, messages, reply=False)
    special = np.isin(ids, list(codec.specials.values()))
    assert special.sum() == 5, "start, three roles and one stop"
    assert codec.decode(ids) == "".join(codec.decode(codec.encode(text)) for text in said)
    assert codec.decode(ids[answered]) == codec.decode(codec.encode(said[2]))


@both
def test_the_answer_ends_at_the_stop(codec) -> None:
    assert stop_ids(codec) == (codec.specials["<|stop|>"],)


def test_markers_and_contents_between_two_symbols_are_encoded_as_one() -> None:
    class Chatty:
        roles = Roles(
            {"user": "<|user|>user\n", "assistant": "<|assistant|>tree"},
            {"user": "<|stop|>\n", "assistant": "<|stop|>\n"},
            ("<|stop|>",),
        )
        specials, encode, bytes_of = BPE.specials, BPE.encode, BPE.bytes_of

    ids, answered = written(Chatty(), [Message("user", "What"), Message("assistant", " tall")], reply=False)
    s = BPE.specials
    assert ids.tolist() == [
        s["<|user|>"], *BPE.encode("user\nWhat"), s["<|stop|>"], *BPE.encode("\n"),
        s["<|assistant|>"], *BPE.encode("tree tall"), s["<|stop|>"], *BPE.encode("\n"),
    ]  # fmt: skip
    assert BPE.decode(ids[answered]) == " tall"
    assert ids[answered][-1] == s["<|stop|>"]


def test_a_default_system_turn_stands_only_where_there_is_none() -> None:
    class Kind:
        roles = Roles(PLAIN.before, PLAIN.after, PLAIN.stops, system="Be kind.")
        specials, encode, bytes_of = BYTES.specials, BYTES.encode, BYTES.bytes_of

    assert BYTES.decode(written(Kind(), TALK[1:2], reply=True)[0]) == "Be kind.What is it?"
    assert BYTES.decode(written(Kind(), TALK[:2], reply=True)[0]) == "Be short.What is it?"


def test_roles_come_back_from_their_file_and_damage_is_told(tmp_path: Path) -> None:
    assert load_roles(tmp_path, BYTES.specials) is None
    save_roles(PLAIN, tmp_path)
    assert load_roles(tmp_path, BYTES.specials) == PLAIN
    with pytest.raises(ValueError, match=r"chat\.json.*no special symbol '<\|stop\|>'"):
        load_roles(tmp_path, {})
    for damage in ('{"before": 3}', "[]", '{"befor": {}}', '{"before": {"king": ""}, "after": {}, "stops": ["x"]}'):
        (tmp_path / "chat.json").write_text(damage)
        with pytest.raises(ValueError, match=r"chat\.json"):
            load_roles(tmp_path, BYTES.specials)


def test_a_codec_without_roles_and_a_role_that_is_none_are_told() -> None:
    class Mute:
        roles = None
        specials, encode, bytes_of = BYTES.specials, BYTES.encode, BYTES.bytes_of

    with pytest.raises(ValueError, match="knows no roles"):
        roles_of(Mute())
    with pytest.raises(ValueError, match="no role 'king'"):
        written(BYTES, [Message("king", "Off!")], reply=True)
