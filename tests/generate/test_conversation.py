"""A conversation is shortened by whole turns and never loses its system prompt; its answer replays like any output."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from genloom.codecs import bpe
from genloom.codecs import bytes as utf8
from genloom.codecs.chat_template import ChatCodec, render
from genloom.generate.engine import generate, replay_output, run_request
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

BYTES = utf8.Codec(utf8.Config())
SYSTEM = Message("system", "Speak of kings.")
TURNS = [Message(("user", "assistant")[n % 2], f"message {n} ") for n in range(9)]


@pytest.fixture(scope="module")
def codecs(worlds: ModuleType) -> dict[str, ChatCodec]:
    return {"bytes": BYTES, "bpe": bpe.Codec.fit(worlds.tales(20), bpe.Config(vocab_size=400))}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    shutil.copytree(worlds.home(tmp_path_factory.getbasetemp() / "home").root / "models", tmp_path / "models")
    workspace = Workspace(tmp_path)
    worlds.build_training_data(workspace, "tales")
    return workspace


@pytest.fixture
def model(workspace: Workspace) -> Model:
    return load_model(workspace, "tales")


@pytest.mark.parametrize("system", [[], [SYSTEM]], ids=["", "system"])
@pytest.mark.parametrize("codec", ["bytes", "bpe"])
def test_whole_turns_are_dropped_oldest_first(codecs: dict[str, ChatCodec], codec: str, system: list[Message]) -> None:
    whole = len(render(codecs[codec], [*system, *TURNS], add_generation_prompt=True)[0])
    least = len(render(codecs[codec], [*system, TURNS[-1]], add_generation_prompt=True)[0])
    for length in range(least, whole + 1):
        given = truncate_conversation(codecs[codec], [*system, *TURNS], length)
        assert given.num_dropped % 2 == 0
        assert not given.is_cut
        kept = render(codecs[codec], [*system, *TURNS[given.num_dropped :]], add_generation_prompt=True)[0]
        assert given.prompt_ids.tolist() == kept.tolist()
        assert len(kept) <= length
        if given.num_dropped:
            longer = render(codecs[codec], [*system, *TURNS[given.num_dropped - 2 :]], add_generation_prompt=True)[0]
            assert len(longer) > length, "no more is dropped than has to be"


@pytest.mark.parametrize("codec", ["bytes", "bpe"])
def test_a_last_message_that_is_too_long_keeps_its_end(codecs: dict[str, ChatCodec], codec: str) -> None:
    long = Message("user", "😀 The café is open. " * 40 + "Which king?")
    bare = len(render(codecs[codec], [SYSTEM], add_generation_prompt=True)[0])
    for length in range(bare + 20, bare + 60):
        given = truncate_conversation(codecs[codec], [SYSTEM, *TURNS[:2], long], length)
        text = codecs[codec].decode_bytes(given.prompt_ids).decode()
        assert (given.num_dropped, given.is_cut) == (2, True)
        assert length - 8 <= len(given.prompt_ids) <= length
        assert text.startswith("Speak of kings.")
        assert text.endswith("Which king?")


def test_a_system_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match=r"The model reads 20 symbols .* Shorten the system prompt"):
        truncate_conversation(BYTES, [Message("system", "x" * 18), Message("user", "Why?")], 20)


def test_half_of_what_the_model_reads_is_the_conversations(model: Model) -> None:
    asked, given = build_chat_request(model, TURNS, 0, {"length": 10})
    assert model.design.context_length - 12 <= len(given.prompt_ids) <= model.design.context_length - 10
    asked, given = build_chat_request(model, TURNS, 0, {"length": 1000})
    assert asked.params["length"] == 1000
    assert len(given.prompt_ids) <= model.design.context_length // 2


def test_an_answer_is_an_output_that_replays(workspace: Workspace, model: Model) -> None:
    talk = Conversation(system="Be brief.").with_question("Who?")
    asked, given = build_chat_request(model, build_messages(talk), 7, {"length": 30, "temperature": 1.2})
    assert given.prompt_ids.tolist()[: len("Be brief.") + 2] != asked.prompts
    draft = run_request(model, asked)
    talk = store_reply(workspace, model, talk, asked, draft)
    path, item = replay_output(workspace, talk.outputs[-1])
    assert item == talk.messages[-1].content == draft.continuations[0]
    assert path.read_text(encoding="utf-8") == item
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["prompt"] == "Who?"
    assert record["conversation"][0] == {"role": "system", "content": "Be brief."}
    assert "<|" not in item


def test_an_answer_that_was_stopped_replays_too(workspace: Workspace, model: Model) -> None:
    talk = Conversation().with_question("Who?")
    asked, _ = build_chat_request(model, build_messages(talk), 3, {"length": 200, "temperature": 1.2})
    steps = iter([False] * 11 + [True])
    *_, draft = generate(model, asked, lambda: next(steps))
    assert draft.num_tokens == (12,)
    talk = store_reply(workspace, model, talk, asked, draft)
    assert replay_output(workspace, talk.outputs[-1])[1] == draft.continuations[0]


def test_an_answer_does_not_go_on_as_somebody_else(model: Model) -> None:
    space = model.codec.space
    assert isinstance(space, TokenSpace)
    asked, _ = build_chat_request(model, TURNS, 0, {"length": 400, "temperature": 3.0})
    drafts = list(generate(model, asked))
    assert all(now.continuations[0].startswith(before.continuations[0]) for before, now in pairwise(drafts))
    assert asked.eos_ids == (space.eos,)


def test_without_a_seed_every_answer_is_another(model: Model) -> None:
    nonces = {build_chat_request(model, TURNS, None, {})[0].nonces for _ in range(8)}
    assert len(nonces) > 4
    assert build_chat_request(model, TURNS, 5, {})[0] == build_chat_request(model, TURNS, 5, {})[0]


def test_a_model_that_learned_plain_text_only_cannot_chat(
    worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = load_model(worlds.home(tmp_path_factory.getbasetemp() / "home"), "tales")
    with pytest.raises(ValueError, match=r"tales/1 cannot chat: .*genloom train DATA --from tales/1"):
        get_chat_codec(plain)


def test_a_model_that_sees_all_at_once_cannot_chat(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.build_training_data(workspace, "masks")
    with pytest.raises(ValueError, match=r"masks/1 cannot chat: .*genloom import smollm2"):
        get_chat_codec(load_model(workspace, "masks"))
