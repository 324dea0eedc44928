"""Conversations as tokens: the markers around each message, the tokens the assistant writes, and no injection."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genloom.codecs import bpe
from genloom.codecs import bytes as utf8
from genloom.codecs.chat_template import (
    DEFAULT_CHAT_TEMPLATE,
    ChatTemplate,
    get_eos_ids,
    load_chat_template,
    render_chat,
    require_chat_template,
    save_chat_template,
)
from genloom.codecs.text_tokens import SPECIAL_TOKENS
from genloom.errors import format_message
from genloom.types import Message
from tests.errors import raises_code

BYTES = utf8.Codec.fit([], utf8.Config())
BPE = bpe.Codec.fit(["What is it? It is a tree, a tall tree.\n" * 30], bpe.Config(vocab_size=300))

each_codec = pytest.mark.parametrize("codec", [BYTES, BPE], ids=["bytes", "bpe"])
CONVERSATION = [
    Message("system", "Be short."),
    Message("user", "What is it?"),
    Message("assistant", "A tree."),
    Message("user", "Tall?"),
]
contents = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(SPECIAL_TOKENS)), max_size=4).map("".join)


@each_codec
def test_a_conversation_is_rendered_message_by_message_and_ends_where_the_assistant_begins(codec) -> None:
    ids, is_answer = render_chat(codec, CONVERSATION, add_generation_prompt=True)
    special = codec.special_tokens
    expected = [
        special["<|stop|>"],
        special["<|system|>"],
        *codec.encode("Be short."),
        special["<|user|>"],
        *codec.encode("What is it?"),
    ]
    expected += [special["<|assistant|>"], *codec.encode("A tree."), special["<|stop|>"]]
    expected += [special["<|user|>"], *codec.encode("Tall?"), special["<|assistant|>"]]
    assert ids.tolist() == expected
    assert ids.dtype == np.int64
    assert ids[is_answer].tolist() == [*codec.encode("A tree."), special["<|stop|>"]]


@each_codec
@given(texts=st.lists(contents, min_size=3, max_size=3))
def test_no_content_encodes_to_a_special_token(codec, texts: list[str]) -> None:
    messages = [Message(role, text) for role, text in zip(("system", "user", "assistant"), texts, strict=True)]
    ids, is_answer = render_chat(codec, messages, add_generation_prompt=False)
    special = np.isin(ids, list(codec.special_tokens.values()))
    assert special.sum() == 5, "BOS, three roles and one EOS"
    assert codec.decode(ids) == "".join(codec.decode(codec.encode(text)) for text in texts)
    assert codec.decode(ids[is_answer]) == codec.decode(codec.encode(texts[2]))


@each_codec
def test_the_answer_ends_at_the_eos_token(codec) -> None:
    assert get_eos_ids(codec) == (codec.special_tokens["<|stop|>"],)


def test_text_between_two_special_tokens_is_encoded_as_one_string() -> None:
    class CodecWithNewlines:
        chat_template = ChatTemplate(
            {"user": "<|user|>user\n", "assistant": "<|assistant|>tree"},
            {"user": "<|stop|>\n", "assistant": "<|stop|>\n"},
            ("<|stop|>",),
        )
        special_tokens, encode, decode_bytes = BPE.special_tokens, BPE.encode, BPE.decode_bytes

    ids, is_answer = render_chat(
        CodecWithNewlines(), [Message("user", "What"), Message("assistant", " tall")], add_generation_prompt=False
    )
    special = BPE.special_tokens
    assert ids.tolist() == [
        special["<|user|>"], *BPE.encode("user\nWhat"), special["<|stop|>"], *BPE.encode("\n"),
        special["<|assistant|>"], *BPE.encode("tree tall"), special["<|stop|>"], *BPE.encode("\n"),
    ]  # fmt: skip
    assert BPE.decode(ids[is_answer]) == " tall"
    assert ids[is_answer][-1] == special["<|stop|>"]


def test_the_default_system_message_is_used_only_if_there_is_none() -> None:
    class CodecWithDefaultSystem:
        chat_template = ChatTemplate(
            DEFAULT_CHAT_TEMPLATE.prefixes,
            DEFAULT_CHAT_TEMPLATE.suffixes,
            DEFAULT_CHAT_TEMPLATE.eos_tokens,
            default_system="Be kind.",
        )
        special_tokens, encode, decode_bytes = BYTES.special_tokens, BYTES.encode, BYTES.decode_bytes

    codec = CodecWithDefaultSystem()
    assert BYTES.decode(render_chat(codec, CONVERSATION[1:2], add_generation_prompt=True)[0]) == "Be kind.What is it?"
    assert BYTES.decode(render_chat(codec, CONVERSATION[:2], add_generation_prompt=True)[0]) == "Be short.What is it?"


def test_a_saved_template_is_loaded_and_damage_is_reported(tmp_path: Path) -> None:
    assert load_chat_template(tmp_path, BYTES.special_tokens) is None
    save_chat_template(DEFAULT_CHAT_TEMPLATE, tmp_path)
    assert load_chat_template(tmp_path, BYTES.special_tokens) == DEFAULT_CHAT_TEMPLATE
    reason = format_message("codecs.chat_template_token_missing", token="<|stop|>")
    with raises_code("codecs.damaged_chat_template", path=tmp_path / "chat.json", reason=reason):
        load_chat_template(tmp_path, {})
    for damage in (
        '{"prefixes": 3}',
        "[]",
        '{"befor": {}}',
        '{"prefixes": {"king": ""}, "suffixes": {}, "eos_tokens": ["x"]}',
    ):
        (tmp_path / "chat.json").write_text(damage)
        with raises_code("codecs.damaged_chat_template", path=tmp_path / "chat.json"):
            load_chat_template(tmp_path, BYTES.special_tokens)


def test_a_missing_template_and_an_unknown_role_are_reported() -> None:
    class CodecWithoutTemplate:
        chat_template = None
        special_tokens, encode, decode_bytes = BYTES.special_tokens, BYTES.encode, BYTES.decode_bytes

    with raises_code("codecs.no_chat_template"):
        require_chat_template(CodecWithoutTemplate())
    with raises_code("codecs.role_not_in_template", role="king", known="system, user, assistant"):
        render_chat(BYTES, [Message("king", "Off!")], add_generation_prompt=True)
