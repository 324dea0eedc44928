"""Documents in the studio: sent, read by a job, answered from with their sources, kept from others, removed."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.server.studio.conftest import QuickEngine
from tests.server.studio.test_conversations import ask

Open = Callable[..., Any]
HANDBOOK = """# Handbook of the harbour

## Lighthouse

The lighthouse of Norden was built in 1874 and is 42 metres tall. Its lamp turns once in nine seconds.

## Ferry

The ferry to the island leaves at seven in the morning and costs four crowns. Dogs travel free of charge.
"""


def send(client: Any, **files: str) -> str:
    """Send texts as an upload and return its id."""
    form = [("files", (f"{name}.md", text.encode(), "text/markdown")) for name, text in files.items()]
    answer = client.post("/api/uploads", files=form)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def list_names(client: Any) -> list[str]:
    return [row["name"] for row in client.get("/api/knowledge").json()["data"]]


class Speaker(QuickEngine):
    """Answers every question with a sentence that the handbook supports and one that it does not."""

    def write(self, prompt: str) -> str:
        return "The lighthouse of Norden was built in 1874. It is made of cheese from Holland."


@pytest.fixture(scope="module")
def speaking_home(worlds: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a model that has a chat template and reads 3,000 bytes."""
    folder = tmp_path_factory.mktemp("speaking")
    workspace = worlds.Workspace(folder)
    data = worlds.create_dataset(workspace)
    worlds.finish_run(workspace, worlds.build_job(data, 2, context_length="3000", batch_size="1"))
    worlds.mark_chat_tuned(workspace, "tales")
    return folder


def test_documents_are_read_grow_and_stay_their_owners(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        name = f"harbour-{studio.test}"
        result = studio.run(client, "knowledge", upload=send(client, handbook=HANDBOOK), name=name)
        assert (result["knowledge"], result["files"]) == (name, 1)
        (row,) = client.get("/api/knowledge").json()["data"]
        assert row["name"] == name
        assert row["can_grow"]
        assert row["passages"] == result["passages"] > 0
        assert str(studio.workspace.folder) not in client.get("/api/knowledge").text
        grown = studio.run(client, "knowledge", upload=send(client, more="Cats pay one crown on the ferry."), name=name)
        assert grown["files"] == 2

        other = studio.sign_in("eve")
        assert list_names(other) == []
        taken = other.post(
            "/api/jobs", json={"kind": "knowledge", "params": {"upload": send(other, a="b"), "name": name}}
        )
        assert (taken.status_code, taken.json()["error"]["code"]) == (409, "studio.knowledge_taken")
        for method, path in (("DELETE", f"/api/knowledge/{name}"), ("POST", f"/api/knowledge/{name}/restore")):
            assert other.request(method, path, json={}).status_code == 404, path
        body = {"model": "icons", "knowledge": name}
        assert other.post("/api/conversations", json=body).status_code == 404
        own = other.post("/api/conversations", json={"model": "icons"}).json()["id"]
        assert other.patch(f"/api/conversations/{own}", json={"knowledge": name}).status_code == 404

        assert client.delete(f"/api/knowledge/{name}").status_code == 200
        assert list_names(client) == []
        assert name in [entry["name"] for entry in client.get("/api/bin").json()["data"]]
        assert name not in [entry["name"] for entry in other.get("/api/bin").json()["data"]]
        assert client.post(f"/api/knowledge/{name}/restore", json={}).status_code == 200
        assert list_names(client) == [name]


def test_names_that_are_no_names_and_texts_that_are_no_texts_are_refused(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        for name in ("../harbour", "a/b", "", ".hidden"):
            body = {"kind": "knowledge", "params": {"upload": send(client, a="b"), "name": name}}
            assert client.post("/api/jobs", json=body).status_code == 400, name
        picture = client.post("/api/uploads", files=[("files", ("a.txt", b"\x00\x01\x02", "text/plain"))]).json()["id"]
        body = {"kind": "knowledge", "params": {"upload": picture, "name": f"nothing-{studio.test}"}}
        job = studio.wait(client, client.post("/api/jobs", json=body).json()["id"])
        assert job["state"] == "failed"
        assert job["error"]["code"] == "knowledge.nothing_readable"
        assert str(studio.workspace.folder) not in job["error"]["message"]
        assert list_names(client) == []


def test_an_answer_says_which_passage_supports_each_sentence(open_studio: Open, speaking_home: Path) -> None:
    with open_studio(Speaker, speaking_home) as (studio, client):
        studio.run(client, "knowledge", upload=send(client, handbook=HANDBOOK), name="harbour")
        body = {"model": "tales", "knowledge": "harbour", "params": {"max_tokens": 100}}
        id = client.post("/api/conversations", json=body).json()["id"]
        turn = ask(studio, client, id, "When was the lighthouse of Norden built?")
        knowledge = turn["context"]["knowledge"]
        assert (knowledge["name"], knowledge["is_supported"], knowledge["warnings"]) == ("harbour", True, [])
        first, second = knowledge["sentences"]
        source = next(each for each in knowledge["sources"] if each["number"] == first["source"])
        assert source["is_read"]
        assert source["title"].startswith("harbour/handbook.md, line")
        assert "1874" in first["quote"]
        assert first["quote"] in source["text"]
        assert (second["source"], second["text"]) == (None, "It is made of cheese from Holland.")
        assert second["reason"]
        assert str(studio.workspace.folder) not in client.get(f"/api/conversations/{id}").text
        record = studio.workspace.output(turn["output"]).record
        assert record["knowledge"]["name"] == "harbour"
        assert "1874" in record["conversation"][-1]["content"]  # what the model read
        shown = client.get(f"/api/outputs/{turn['output']}").json()
        assert shown["prompt"] == "When was the lighthouse of Norden built?"
        assert client.get(f"/api/conversations/{id}").json()["tree"][0]["content"].startswith("When was")

        # A question that the documents do not answer is answered by the model alone, which the turn says.
        other = ask(studio, client, id, "Who composed the Brandenburg concertos for violin?", turn["id"])
        assert other["context"]["knowledge"]["is_supported"] is False
        assert other["context"]["knowledge"]["sentences"] is None
        assert "knowledge" not in studio.workspace.output(other["output"]).record

        # Without the documents the question is as any other.
        assert client.patch(f"/api/conversations/{id}", json={"knowledge": ""}).json()["knowledge"] == ""
        assert ask(studio, client, id, "When was it built?", other["id"])["context"] is None


def test_attached_files_are_read_with_each_question_of_their_branch(open_studio: Open, speaking_home: Path) -> None:
    with open_studio(Speaker, speaking_home) as (studio, client):
        id = client.post("/api/conversations", json={"model": "tales"}).json()["id"]
        question = {"content": "What does the ferry cost?", "attachments": [send(client, handbook=HANDBOOK)]}
        sent = client.post(f"/api/conversations/{id}/turns", json=question).json()
        turn = studio.wait(client, sent["job"]["id"])["result"]
        following = ask(studio, client, id, "And a dog?", turn["turn"])
        for output in (turn["output"], following["output"]):
            messages = studio.workspace.output(output).record["conversation"]
            assert "Text of handbook.md:" in messages[-1]["content"]
            assert "four crowns" in messages[-1]["content"]
        (excerpt,) = following["context"]["attachments"]
        assert excerpt["name"] == "handbook.md"
        assert 0 < excerpt["tokens"] <= excerpt["of"]


def test_a_conversation_whose_documents_are_gone_says_so(open_studio: Open, speaking_home: Path) -> None:
    with open_studio(Speaker, speaking_home) as (studio, client):
        studio.run(client, "knowledge", upload=send(client, a=HANDBOOK), name="gone")
        id = client.post("/api/conversations", json={"model": "tales", "knowledge": "gone"}).json()["id"]
        client.delete("/api/knowledge/gone")
        sent = client.post(f"/api/conversations/{id}/turns", json={"content": "What does the ferry cost?"}).json()
        job = studio.wait(client, sent["job"]["id"])
        assert (job["state"], job["error"]["code"]) == ("failed", "server.unknown_id")
