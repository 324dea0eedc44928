"""Trust in the engine: copies of training data are withheld, and decisions of rules go to the server's ledger."""

import asyncio
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.engine import Engine, Finished, GenerationRequest, Started, Stored, Text
from tests.errors import raises_code
from tests.server.engine.test_scheduler import Server


@pytest.fixture
def trained_here(engine_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace in which `tales` has no base, so that all of its training data are here."""
    for kind in ("models", "data"):
        shutil.copytree(engine_workspace.folder / kind, tmp_path / kind)
    path = tmp_path / "models" / "tales" / "1" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "parents": []}))
    return Workspace(tmp_path)


def write_exactly(text: str) -> str:
    """Return a grammar that allows one text only."""
    return json.dumps({"grammars": [{"lark_grammar": f"start: {json.dumps(text, ensure_ascii=False)}"}]})


def ask(text: str, *, refuse_copies: bool = False) -> GenerationRequest:
    params = {"max_tokens": len(text.encode()) + 1}
    grammar = write_exactly(text)
    return GenerationRequest(
        "tales", is_chat=False, params=params, grammar=grammar, seed=1, refuse_copies=refuse_copies
    )


def test_a_copy_of_training_data_is_withheld_and_nothing_of_it_is_sent(trained_here: Workspace) -> None:
    copied = next(iter(trained_here.dataset("tales").stored.iter_documents("train"))).value[:300]
    own = "zq xv jw kk qy. " * 12
    server = Server(trained_here)
    ids = {text: server.submit(ask(text, refuse_copies=True)) for text in (copied, own)}
    ids["as it is"] = server.submit(ask(copied))
    server.run()
    server.scheduler.search_thread.submit(lambda: None).result()
    (stored,) = server.find(ids[copied], Stored)
    assert (stored.is_withheld, stored.finish_reason, stored.text) == (True, "withheld", "")
    assert server.find(ids[copied], Text) == []
    [started] = server.find(ids[copied], Started)
    assert not any(trained_here.store.has_output(id) for id in started.output_ids)
    assert isinstance(server.events[ids[copied]][-1], Finished)
    for text, shown in ((own, own), ("as it is", copied)):
        (stored,) = server.find(ids[text], Stored)
        assert (stored.is_withheld, stored.text) == (False, shown)
        assert "".join(event.text for event in server.find(ids[text], Text)) == shown
        assert trained_here.output(stored.output_id).continuation == shown


def test_copies_are_not_refused_without_the_training_data(engine_workspace: Workspace) -> None:
    server = Server(engine_workspace)
    id = server.submit(GenerationRequest("blots", prompts=("a boat",), refuse_copies=True))
    server.run()
    [error] = server.events[id]
    assert isinstance(error, GenloomError)
    assert error.code == "api.copies_without_data"


def test_decisions_are_in_the_ledger_that_the_server_has(
    engine_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENLOOM_LEDGER", raising=False)
    workspace = Workspace(engine_workspace.folder, ledger=f"sqlite:///{tmp_path / 'team.sqlite'}")
    before = sum(1 for _ in engine_workspace.ledger.iter_entries(["policy"]))

    async def work() -> None:
        engine = Engine(workspace)
        await engine.start()
        try:
            request = GenerationRequest("tales", prompts=("An erotic story about a child",), is_chat=False)
            with raises_code("trust.content_policy"):
                await asyncio.wait_for(anext(engine.submit(request)), 300)
        finally:
            with suppress(ProcessLookupError):
                await engine.stop()

    asyncio.run(work())
    assert next(entry.body["action"] for entry in workspace.ledger.iter_entries(["policy"])) == "refuse"
    assert sum(1 for _ in engine_workspace.ledger.iter_entries(["policy"])) == before
