"""Conversations are truncated by whole turns and keep their system prompt; replies replay like any output."""

import json
from itertools import pairwise
from types import ModuleType

import pytest

from genloom.codecs import bpe
from genloom.codecs import bytes as utf8
from genloom.codecs.chat_template import ChatCodec, render_chat
from genloom.generate.engine import generate, run_request
from genloom.generate.output_records import replay_output
from genloom.generate.text.conversation import (
    build_chat_request,
    build_messages,
    get_chat_codec,
    store_reply,
    truncate_conversation,
)
from genloom.model import Model, load_model
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.types import Message, TokenSpace
from tests.errors import raises_code

BYTES = utf8.Codec(utf8.Config())
SYSTEM = Message("system", "Speak of kings.")
TURNS = [Message(("user", "assistant")[n % 2], f"message {n} ") for n in range(9)]


@pytest.fixture(scope="module")
def codecs(worlds: ModuleType) -> dict[str, ChatCodec]:
    return {"bytes": BYTES, "bpe": bpe.Codec.fit(worlds.make_tales(20), bpe.Config(vocab_size=400))}


@pytest.fixture
def workspace(worlds: ModuleType, trained_copy: Workspace) -> Workspace:
    workspace = trained_copy
    worlds.mark_chat_tuned(workspace, "tales")
    return workspace


@pytest.fixture
def model(workspace: Workspace) -> Model:
    return load_model(workspace, "tales")


@pytest.mark.parametrize("system", [[], [SYSTEM]], ids=["", "system"])
@pytest.mark.parametrize("codec", ["bytes", "bpe"])
def test_whole_turns_are_dropped_oldest_first(codecs: dict[str, ChatCodec], codec: str, system: list[Message]) -> None:
    full_length = len(render_chat(codecs[codec], [*system, *TURNS], add_generation_prompt=True)[0])
    min_length = len(render_chat(codecs[codec], [*system, TURNS[-1]], add_generation_prompt=True)[0])
    for length in range(min_length, full_length + 1):
        prompt = truncate_conversation(codecs[codec], [*system, *TURNS], length)
        assert prompt.num_dropped % 2 == 0
        assert not prompt.is_cut
        remaining = render_chat(codecs[codec], [*system, *TURNS[prompt.num_dropped :]], add_generation_prompt=True)[0]
        assert prompt.prompt_ids.tolist() == remaining.tolist()
        assert len(remaining) <= length
        if prompt.num_dropped:
            longer = render_chat(
                codecs[codec], [*system, *TURNS[prompt.num_dropped - 2 :]], add_generation_prompt=True
            )[0]
            assert len(longer) > length, "no more is dropped than necessary"


@pytest.mark.parametrize("codec", ["bytes", "bpe"])
def test_a_long_last_message_keeps_its_end(codecs: dict[str, ChatCodec], codec: str) -> None:
    long = Message("user", "😀 The café is open. " * 40 + "Which king?")
    min_length = len(render_chat(codecs[codec], [SYSTEM], add_generation_prompt=True)[0])
    for length in range(min_length + 20, min_length + 60):
        prompt = truncate_conversation(codecs[codec], [SYSTEM, *TURNS[:2], long], length)
        text = codecs[codec].decode_bytes(prompt.prompt_ids).decode()
        assert (prompt.num_dropped, prompt.is_cut) == (2, True)
        assert length - 8 <= len(prompt.prompt_ids) <= length
        assert text.startswith("Speak of kings.")
        assert text.endswith("Which king?")


def test_a_system_prompt_that_fills_the_context_is_refused() -> None:
    with raises_code("generate.system_prompt_too_long", max_length=20):
        truncate_conversation(BYTES, [Message("system", "x" * 18), Message("user", "Why?")], 20)


def test_at_least_half_of_the_context_is_the_conversation(model: Model) -> None:
    request, prompt = build_chat_request(model, TURNS, 0, {"max_tokens": 10})
    assert model.design.context_length - 12 <= len(prompt.prompt_ids) <= model.design.context_length - 10
    request, prompt = build_chat_request(model, TURNS, 0, {"max_tokens": 1000})
    assert request.params["max_tokens"] == 1000
    assert len(prompt.prompt_ids) <= model.design.context_length // 2


def test_a_reply_is_an_output_that_replays(workspace: Workspace, model: Model) -> None:
    conversation = Conversation(system="Be brief.").with_question("Who?")
    request, prompt = build_chat_request(model, build_messages(conversation), 7, {"max_tokens": 30, "temperature": 1.2})
    assert prompt.prompt_ids.tolist()[: len("Be brief.") + 2] != request.prompts
    draft = run_request(model, request)
    conversation = store_reply(workspace, model, conversation, request, draft, prompt)
    path, item = replay_output(workspace, conversation.outputs[-1])
    assert item == conversation.messages[-1].content == draft.continuations[0]
    assert path.read_text(encoding="utf-8") == item
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["prompt"] == "Who?"
    assert record["conversation"][0] == {"role": "system", "content": "Be brief."}
    assert "<|" not in item


def test_a_stopped_reply_replays_too(workspace: Workspace, model: Model) -> None:
    conversation = Conversation().with_question("Who?")
    params = {"max_tokens": 200, "temperature": 1.2}
    request, prompt = build_chat_request(model, build_messages(conversation), 3, params)
    steps = iter([False] * 11 + [True])
    *_, draft = generate(model, request, lambda: next(steps))
    assert draft.num_tokens == (12,)
    conversation = store_reply(workspace, model, conversation, request, draft, prompt)
    assert replay_output(workspace, conversation.outputs[-1])[1] == draft.continuations[0]


def test_a_reply_does_not_continue_with_another_role(model: Model) -> None:
    space = model.codec.space
    assert isinstance(space, TokenSpace)
    request, _ = build_chat_request(model, TURNS, 0, {"max_tokens": 400, "temperature": 3.0})
    drafts = list(generate(model, request))
    assert all(after.continuations[0].startswith(before.continuations[0]) for before, after in pairwise(drafts))
    assert request.eos_ids == (space.eos,)


def test_without_a_seed_every_reply_differs(model: Model) -> None:
    nonces = {build_chat_request(model, TURNS, None, {})[0].nonces for _ in range(8)}
    assert len(nonces) > 4
    assert build_chat_request(model, TURNS, 5, {})[0] == build_chat_request(model, TURNS, 5, {})[0]


def test_a_model_trained_on_plain_text_cannot_chat(trained_home: Workspace) -> None:
    plain = load_model(trained_home, "tales")
    with raises_code("generate.cannot_chat", model="tales/1"):
        get_chat_codec(plain)


def test_a_masked_model_cannot_chat(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.mark_chat_tuned(workspace, "masks")
    with raises_code("generate.cannot_chat_kind", model="masks/1"):
        get_chat_codec(load_model(workspace, "masks"))
