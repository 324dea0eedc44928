"""A conversation is shortened by whole turns and never loses its system prompt; its answer replays like any output."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from genloom.codecs import bpe
from genloom.codecs import bytes as utf8
from genloom.codecs.roles import Speaking, written
from genloom.generate.conversation import fitted, keep, messages_of, question, speaking
from genloom.generate.engine import finished, generate, replay
from genloom.model import Model, open_model
from genloom.store.conversation import Conversation
from genloom.store.workspace import Workspace
from genloom.types import Message, Tokens

BYTES = utf8.Codec(utf8.Config())
SYSTEM = Message("system", "Speak of kings.")
TURNS = [Message(("user", "assistant")[n % 2], f"message {n} ") for n in range(9)]


@pytest.fixture(scope="module")
def codecs(worlds: ModuleType) -> dict[str, Speaking]:
    return {"bytes": BYTES, "bpe": bpe.Codec.fit(worlds.tales(20), bpe.Config(vocab=400))}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    shutil.copytree(worlds.home(tmp_path_factory.getbasetemp() / "home").root / "models", tmp_path / "models")
    workspace = Workspace(tmp_path)
    worlds.taught(workspace, "tales")
    return workspace


@pytest.fixture
def model(workspace: Workspace) -> Model:
    return open_model(workspace, "tales")


@pytest.mark.parametrize("system", [[], [SYSTEM]], ids=["", "system"])
@pytest.mark.parametrize("codec", ["bytes", "bpe"])
def test_whole_turns_are_dropped_oldest_first(codecs: dict[str, Speaking], codec: str, system: list[Message]) -> None:
    whole = len(written(codecs[codec], [*system, *TURNS], reply=True)[0])
    least = len(written(codecs[codec], [*system, TURNS[-1]], reply=True)[0])
    for length in range(least, whole + 1):
        given = fitted(codecs[codec], [*system, *TURNS], length)
        assert given.dropped % 2 == 0
        assert not given.cut
        kept = written(codecs[codec], [*system, *TURNS[given.dropped :]], reply=True)[0]
        assert given.ids.tolist() == kept.tolist()
        assert len(kept) <= length
        if given.dropped:
            longer = written(codecs[codec], [*system, *TURNS[given.dropped - 2 :]], reply=True)[0]
            assert len(longer) > length, "no more is dropped than has to be"


@pytest.mark.parametrize("codec", ["bytes", "bpe"])
def test_a_last_message_that_is_too_long_keeps_its_end(codecs: dict[str, Speaking], codec: str) -> None:
    long = Message("user", "😀 The café is open. " * 40 + "Which king?")
    bare = len(written(codecs[codec], [SYSTEM], reply=True)[0])
    for length in range(bare + 20, bare + 60):
        given = fitted(codecs[codec], [SYSTEM, *TURNS[:2], long], length)
        text = codecs[codec].bytes_of(given.ids).decode()
        assert (given.dropped, given.cut) == (2, True)
        assert length - 8 <= len(given.ids) <= length
        assert text.startswith("Speak of kings.")
        assert text.endswith("Which king?")


def test_a_system_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match=r"The model reads 20 symbols .* Shorten the system prompt"):
        fitted(BYTES, [Message("system", "x" * 18), Message("user", "Why?")], 20)


def test_half_of_what_the_model_reads_is_the_conversations(model: Model) -> None:
    asked, given = question(model, TURNS, 0, {"length": 10})
    assert model.design.length - 12 <= len(given.ids) <= model.design.length - 10
    asked, given = question(model, TURNS, 0, {"length": 1000})
    assert asked.controls["length"] == 1000
    assert len(given.ids) <= model.design.length // 2


def test_an_answer_is_an_output_that_replays(workspace: Workspace, model: Model) -> None:
    talk = Conversation(system="Be brief.").asked("Who?")
    asked, given = question(model, messages_of(talk), 7, {"length": 30, "temperature": 1.2})
    assert given.ids.tolist()[: len("Be brief.") + 2] != asked.prompts
    draft = finished(model, asked)
    talk = keep(workspace, model, talk, asked, draft)
    path, item = replay(workspace, talk.outputs[-1])
    assert item == talk.messages[-1].content == draft.written[0]
    assert path.read_text(encoding="utf-8") == item
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["prompt"] == "Who?"
    assert record["conversation"][0] == {"role": "system", "content": "Be brief."}
    assert "<|" not in item


def test_an_answer_that_was_stopped_replays_too(workspace: Workspace, model: Model) -> None:
    talk = Conversation().asked("Who?")
    asked, _ = question(model, messages_of(talk), 3, {"length": 200, "temperature": 1.2})
    steps = iter([False] * 11 + [True])
    *_, draft = generate(model, asked, lambda: next(steps))
    assert draft.symbols == (12,)
    talk = keep(workspace, model, talk, asked, draft)
    assert replay(workspace, talk.outputs[-1])[1] == draft.written[0]


def test_an_answer_does_not_go_on_as_somebody_else(model: Model) -> None:
    space = model.codec.space
    assert isinstance(space, Tokens)
    asked, _ = question(model, TURNS, 0, {"length": 400, "temperature": 3.0})
    drafts = list(generate(model, asked))
    assert all(now.written[0].startswith(before.written[0]) for before, now in pairwise(drafts))
    assert asked.ends == (space.stop,)


def test_without_a_seed_every_answer_is_another(model: Model) -> None:
    nonces = {question(model, TURNS, None, {})[0].nonces for _ in range(8)}
    assert len(nonces) > 4
    assert question(model, TURNS, 5, {})[0] == question(model, TURNS, 5, {})[0]


def test_a_model_that_learned_plain_text_only_cannot_chat(
    worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = open_model(worlds.home(tmp_path_factory.getbasetemp() / "home"), "tales")
    with pytest.raises(ValueError, match=r"tales/1 cannot chat: .*genloom train DATA --from tales/1"):
        speaking(plain)


def test_a_model_that_sees_all_at_once_cannot_chat(worlds: ModuleType, workspace: Workspace) -> None:
    worlds.taught(workspace, "masks")
    with pytest.raises(ValueError, match=r"masks/1 cannot chat: .*genloom import smollm2"):
        speaking(open_model(workspace, "masks"))
