"""Conversations: trees whose branches stay, answered by jobs, found, arranged, imported and exported."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from genloom.store.conversation import Conversation
from genloom.types import Message

Open = Callable[..., Any]


def ask(studio: Any, client: Any, conversation: str, content: str | None, parent: str | None = None) -> dict[str, Any]:
    """Ask, wait for the answer, and return it as a turn."""
    body = {"parent": parent, "content": content}
    sent = client.post(f"/api/conversations/{conversation}/turns", json=body)
    assert sent.status_code == 202, sent.text
    job = studio.wait(client, sent.json()["job"]["id"])
    assert job["state"] == "succeeded", job["error"]
    tree = client.get(f"/api/conversations/{conversation}").json()["tree"]
    return next(turn for turn in tree if turn["id"] == job["result"]["turn"])


def list_contents(client: Any, conversation: str) -> dict[str, list[str]]:
    """Return the contents of all turns by the content of the turn before them."""
    tree = client.get(f"/api/conversations/{conversation}").json()["tree"]
    by_id = {turn["id"]: turn["content"] for turn in tree}
    children: dict[str, list[str]] = {}
    for turn in tree:
        children.setdefault(by_id.get(turn["parent"], ""), []).append(turn["content"])
    return children


def test_edited_questions_and_other_answers_are_siblings_and_nothing_is_lost(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        body = {"model": "icons", "system": "Be kind."}
        id = client.post("/api/conversations", json=body).json()["id"]
        first = ask(studio, client, id, "abc")
        assert (first["content"], first["model"]) == ("cba", "icons/2")
        again = ask(studio, client, id, None, first["parent"])
        ask(studio, client, id, "def", first["id"])
        edited = ask(studio, client, id, "ghi")  # in place of the first question
        assert list_contents(client, id) == {
            "": ["abc", "ghi"],
            "abc": ["cba", "cba"],
            "cba": ["def"],
            "def": ["fed"],
            "ghi": ["ihg"],
        }
        detail = client.get(f"/api/conversations/{id}").json()
        assert (detail["leaf"], detail["title"], detail["turns"]) == (edited["id"], "abc", 7)
        output = client.get(f"/api/outputs/{first['output']}").json()
        assert output["conversation"] == id
        assert client.get("/api/outputs?conversation=none").json()["data"] == []
        assert client.get("/api/outputs").json()["data"][-1]["conversation"] == id
        assert [message["role"] for message in output["messages"]] == ["system", "user"]

        before = len(studio.workspace.ratings("icons"))
        chosen = client.post(f"/api/conversations/{id}/turns/{again['id']}/prefer").json()
        assert chosen["leaf"] == again["id"]
        assert len(studio.workspace.ratings("icons")) == before + 1
        client.post(f"/api/outputs/{again['output']}/rating", json={"up": True})
        tree = client.get(f"/api/conversations/{id}").json()["tree"]
        assert next(turn for turn in tree if turn["id"] == again["id"])["rating"]["up"] is True
        for parent, content in ((first["id"], None), (None, None), (None, "  "), (first["parent"], "two in a row")):
            refused = client.post(f"/api/conversations/{id}/turns", json={"parent": parent, "content": content})
            assert refused.status_code == 400, (parent, content)


def test_a_stopped_answer_keeps_what_was_written(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        id = client.post("/api/conversations", json={"model": "icons"}).json()["id"]
        sent = client.post(f"/api/conversations/{id}/turns", json={"content": "wait"}).json()
        for _ in range(500):
            if client.get(f"/api/jobs/{sent['job']['id']}").json()["progress"].get("text"):
                break
        tree = client.get(f"/api/conversations/{id}").json()["tree"]
        assert tree[0]["job"] == sent["job"]["id"]  # a page that opens late can watch it
        client.post(f"/api/jobs/{sent['job']['id']}/cancel")
        assert studio.wait(client, sent["job"]["id"])["state"] == "cancelled"
        assert [turn["content"] for turn in client.get(f"/api/conversations/{id}").json()["tree"]] == ["wait", "tiaw"]


def test_the_command_line_continues_a_conversation_and_the_studio_sees_it(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        store = studio.workspace.store
        id = client.post("/api/conversations", json={"model": "icons", "title": "Boats"}).json()["id"]
        answer = ask(studio, client, id, "abc")
        saved = store.get_conversation("Boats")
        assert [message.content for message in saved.messages] == ["abc", "cba"]
        assert saved.outputs == ("", answer["output"])
        store.save_conversation(saved.with_question("more").with_answer("text", "icons/2", answer["output"]))
        assert list_contents(client, id) == {"": ["abc"], "abc": ["cba"], "cba": ["more"], "more": ["text"]}
        # A branch that the command line cut off stays here.
        store.save_conversation(saved.with_edited_question(1, "other"))
        assert list_contents(client, id)[""] == ["abc", "other"]
        new = store.save_conversation(Conversation(messages=(Message("user", "new"),), outputs=("",)))
        assert [c["id"] for c in client.get("/api/conversations").json()["data"]] == [new.id, id]
        studio.workspace.remove("conversations", new.id)
        assert [c["id"] for c in client.get("/api/conversations?deleted=true").json()["data"]] == [new.id]
        studio.workspace.restore(new.id)
        assert len(client.get("/api/conversations").json()["data"]) == 2


def test_turns_that_the_command_line_wrote_meanwhile_are_kept_beside_those_of_the_studio(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        store = studio.workspace.store
        id = client.post("/api/conversations", json={"model": "icons"}).json()["id"]
        answer = ask(studio, client, id, "abc")
        saved = store.get_conversation(id)
        sent = client.post(f"/api/conversations/{id}/turns", json={"parent": answer["id"], "content": "def"})
        store.save_conversation(saved.with_question("more").with_answer("text", "icons/2", answer["output"]))
        assert studio.wait(client, sent.json()["job"]["id"])["state"] == "succeeded"
        children = list_contents(client, id)
        assert sorted(children["cba"]) == ["def", "more"]
        assert (children["def"], children["more"]) == (["fed"], ["text"])


def test_conversations_are_found_arranged_removed_and_restored(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        ids = [client.post("/api/conversations", json={"model": "icons"}).json()["id"] for _ in range(3)]
        for id, text in zip(ids, ("the old lighthouse", "a garden", "nothing"), strict=True):
            ask(studio, client, id, text)
        changes = {"title": "Sea", "tags": ["b", "a"], "folder": "trip", "is_starred": True}
        assert client.patch(f"/api/conversations/{ids[1]}", json=changes).json()["tags"] == ["a", "b"]

        def find(query: str) -> list[str]:
            return [c["id"] for c in client.get(f"/api/conversations?{query}").json()["data"]]

        assert find("q=lightho") == [ids[0]]  # in a question
        assert find("q=gniht") == [ids[2]]  # in an answer
        assert find("q=sea") == [ids[1]]  # in a title
        assert find("tag=a") == find("folder=trip") == find("starred=true") == [ids[1]]
        excerpt = client.get("/api/conversations?q=lighthouse").json()["data"][0]["excerpt"]
        assert "lighthouse" in excerpt
        assert client.get("/api/conversations/names").json() == {"folders": {"trip": 1}, "tags": {"a": 1, "b": 1}}
        page = client.get("/api/conversations?limit=2").json()
        assert len(page["data"]) == 2
        assert len(find(f"limit=2&cursor={page['next'].replace('+', '%2B')}")) == 1

        assert client.delete(f"/api/conversations/{ids[0]}").status_code == 204
        assert ids[0] not in find("")
        assert find("deleted=true") == [ids[0]]
        assert client.post(f"/api/conversations/{ids[0]}/restore").json()["turns"] == 2
        client.delete(f"/api/conversations/{ids[0]}")
        client.post("/api/bin/empty")
        assert client.get(f"/api/conversations/{ids[0]}").status_code == 404
        assert find("q=lighthouse") == []


def test_another_user_cannot_see_or_change_a_conversation(open_shared: Open) -> None:
    with open_shared() as (studio, _):
        local, bea, cy = studio.local, studio.sign_in("bea"), studio.sign_in("cy")
        id = bea.post("/api/conversations", json={"model": "icons"}).json()["id"]
        turn = ask(studio, bea, id, "abc")
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"title": "x"}),
            ("DELETE", "", None),
            ("POST", "/restore", None),
            ("POST", "/turns", {"content": "x"}),
            ("POST", f"/turns/{turn['id']}/prefer", None),
            ("GET", "/export", None),
        ):
            answer = cy.request(method, f"/api/conversations/{id}{path}", json=body)
            assert answer.status_code == 404, (method, path, answer.text)
        assert cy.get("/api/conversations").json()["data"] == []
        assert cy.get("/api/search?q=abc").json()["data"] == []
        assert local.get(f"/api/conversations/{id}").status_code == 200
        assert local.get(f"/api/outputs/{turn['output']}").json()["owner"].startswith("bea")


CHATGPT = {
    "title": "Boats",
    "current_node": "e",
    "mapping": {
        "r": {"message": None, "parent": None},
        "a": {"parent": "r", "message": {"author": {"role": "user"}, "content": {"parts": ["What floats?"]}}},
        "b": {"parent": "a", "message": {"author": {"role": "assistant"}, "content": {"parts": ["Wood."]}}},
        "c": {"parent": "a", "message": {"author": {"role": "assistant"}, "content": {"parts": ["Boats."]}}},
        "d": {"parent": "c", "message": {"author": {"role": "user"}, "content": {"parts": ["<script>"]}}},
        "e": {"parent": "d", "message": {"author": {"role": "assistant"}, "content": {"parts": ["No."]}}},
    },
}
OPEN_WEBUI = {
    "title": "Trees",
    "chat": {
        "history": {
            "currentId": "2",
            "messages": {
                "1": {"id": "1", "parentId": None, "role": "user", "content": "Which trees?"},
                "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "Oaks."},
            },
        }
    },
}


def test_exports_of_other_programs_and_of_ours_are_imported_with_all_branches(open_shared: Open) -> None:
    with open_shared() as (_, client):

        def read(name: str, data: bytes) -> Any:
            return client.post("/api/conversations/import", files={"file": (name, data)})

        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("conversations.json", json.dumps([CHATGPT, {"no": "conversation"}]))
        answer = read("export.zip", archive.getvalue())
        assert answer.status_code == 201, answer.text
        assert answer.json()["skipped"] == [{"reason": "not a conversation", "count": 1}]
        (boats,) = answer.json()["conversations"]
        contents = list_contents(client, boats)
        assert contents["What floats?"] == ["Wood.", "Boats."]
        (trees,) = read("chats.json", json.dumps([OPEN_WEBUI]).encode()).json()["conversations"]
        assert client.get(f"/api/conversations/{trees}").json()["title"] == "Trees"

        ours = client.get(f"/api/conversations/{boats}/export").content
        (copy,) = read("ours.json", ours).json()["conversations"]
        assert list_contents(client, copy) == contents
        text = client.get(f"/api/conversations/{boats}/export?format=markdown").text
        assert "Boats." in text
        assert "Wood." not in text  # another branch
        for data in (b"", b"{}", b"[1, 2]", b"\xff\xfe", b"[" * 100_000, b"PK\x03\x04"):
            refused = read("bad.json", data)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "studio.no_conversations")


def test_the_branch_of_a_tree_with_loops_and_gaps_is_read(open_shared: Open) -> None:
    nodes = {
        "1": {"id": "1", "parentId": "2", "role": "user", "content": "a loop"},
        "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "of two"},
        "3": {"id": "3", "parentId": "gone", "role": "assistant", "content": "an answer without a question"},
        "4": {"id": "4", "parentId": "3", "role": "user", "content": "first"},
        "5": {"id": "5", "parentId": "4", "role": "user", "content": "second"},
        "6": {"id": "6", "parentId": "5", "role": "assistant", "content": "third"},
    }
    chat = {"title": "x" * 500, "chat": {"history": {"messages": nodes, "currentId": "6"}}}
    with open_shared() as (_, client):
        answer = client.post("/api/conversations/import", files={"file": ("x.json", json.dumps(chat).encode())})
        (id,) = answer.json()["conversations"]
        assert list_contents(client, id) == {"": ["first\n\nsecond"], "first\n\nsecond": ["third"]}
        assert len(client.get(f"/api/conversations/{id}").json()["title"]) == 60
