"""The prompt library over HTTP: writing from a prompt, versions that stay, tests, and no file of the server."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.server.worker.chat_questions import fill_prompt

Open = Callable[..., Any]
GIVEN = {"to": "a friend", "points": ["cake", "the garden"]}


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the worker was asked to fill in; it answers at once, without a model."""
    asked: list[dict[str, Any]] = []

    async def answer(self: Any, question: str, seconds: float = 30.0, **arguments: Any) -> Any:
        if question != "fill_prompt":
            return {"mime": "text/plain", "has_sound": False}
        asked.append(arguments)
        facts = {"template": {"name": "email", "version": 0, "given": arguments["given"]}}
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Write to a friend."}]
        return {"messages": messages, "params": {"temperature": 0.3}, "stop": ["PS"], "facts": facts}

    monkeypatch.setattr("genloom.server.worker.client.Worker.ask", answer)
    return asked


def test_a_text_is_written_from_a_prompt(open_studio: Open, fill: list[dict[str, Any]]) -> None:
    with open_studio() as (studio, client):
        found = {each["name"]: each for each in client.get("/api/prompts").json()["data"]}
        email = found["email"]
        assert (email["version"], email["versions"], email["takes_length"]) == (0, 1, True)
        assert [each["name"] for each in email["variables"] if each["is_required"]] == ["to"]
        template = {"name": "email", "given": GIVEN, "length": "short"}
        result = studio.run(client, "generate", model="icons", template=template, n=2)
        assert len(result["outputs"]) == 2
        [asked] = fill
        assert (asked["prompt"], asked["length"], asked["given"]) == ("email/0", "short", GIVEN)
        output = client.get(f"/api/outputs/{result['outputs'][0]}").json()
        assert output["messages"][0] == {"role": "system", "content": "Be kind."}
        assert output["again"]["template"] == {**template, "name": "email/0"}
        record = studio.workspace.output(output["id"]).record
        assert record["template"]["name"] == "email"
        assert record["request"]["params"] == {"temperature": 0.3}
        job = client.get("/api/jobs").json()["data"][0]
        assert job["params"]["prompt"].startswith("Write an e-mail to a friend.")


@pytest.mark.parametrize(
    ("template", "code"),
    [
        ({"name": "email", "given": {}}, "assistant.value_missing"),
        ({"name": "email", "given": {**GIVEN, "too": "x"}}, "assistant.unknown_value"),
        ({"name": "email", "given": GIVEN, "length": "endless"}, "assistant.bad_length"),
        ({"name": "emial", "given": GIVEN}, "store.unknown_name_near"),
        ({"name": "email/9", "given": GIVEN}, "assistant.no_such_prompt_version"),
        ({"name": "", "given": GIVEN}, "studio.bad_job_param"),
    ],
)
def test_what_a_prompt_does_not_take_is_refused_before_it_is_queued(
    open_shared: Open, template: dict[str, Any], code: str
) -> None:
    with open_shared() as (_, client):
        answer = client.post("/api/jobs", json={"kind": "generate", "params": {"model": "icons", "template": template}})
        assert (answer.status_code in (400, 404), answer.json()["error"]["code"]) == (True, code)


def test_no_prompt_is_a_file_of_the_server(open_shared: Open, tmp_path: Path) -> None:
    secret = tmp_path / "secret.toml"
    secret.write_text('prompt = "a secret"\n')
    with open_shared() as (_, client):
        for name in (str(secret), f"../../../../../..{secret}", "./secret.toml", "~/secret.toml", "secret.toml"):
            params = {"model": "icons", "template": {"name": name, "given": {}}}
            for kind, each in (("generate", params), ("test_prompt", {"model": "icons", "prompt": name})):
                answer = client.post("/api/jobs", json={"kind": kind, "params": each})
                assert answer.status_code in (400, 404)
                assert "a secret" not in answer.text
            for method in ("GET", "PUT", "DELETE"):
                answer = client.request(
                    method,
                    f"/api/prompts/{name.replace('/', '%2F')}",
                    json={"prompt": "x"} if method == "PUT" else None,
                )
                assert answer.status_code in (400, 404, 405), (method, name)
                assert "a secret" not in answer.text


def test_versions_stay_and_the_bin_gives_them_back(open_studio: Open) -> None:
    with open_studio() as (_, client):
        made = client.put("/api/prompts/toast", json={"prompt": "A toast to {who}[[ about {what}]]."}).json()
        assert (made["ref"], [each["is_required"] for each in made["variables"]]) == ("toast/1", [True, False])
        second = client.put("/api/prompts/toast", json={"system": "You are at a wedding.", "note": "kinder"}).json()
        assert (second["ref"], second["prompt"]) == ("toast/2", made["prompt"])
        assert (second["history"][0]["version"], second["history"][0]["note"]) == (2, "kinder")
        first = client.get("/api/prompts/toast?version=1").json()
        assert (first["system"], first["ref"]) == ("", "toast/1")
        own = client.put("/api/prompts/email", json={"system": "You write for a bakery."}).json()
        assert (own["ref"], own["versions"], own["examples"]) == ("email/1", 2, 6)
        entry = client.delete("/api/prompts/email").json()
        assert client.get("/api/prompts/email").json()["ref"] == "email/0"
        assert client.post(f"/api/bin/{entry['id']}/restore").status_code == 200
        assert client.get("/api/prompts/email").json()["ref"] == "email/1"
        for wrong in ({"prompt": "[[{who}"}, {"prompt": ""}, {"promt": "x"}):
            assert client.put("/api/prompts/toast", json=wrong).status_code == 400
        assert client.get("/api/prompts/toast").json()["version"] == 2


def test_only_who_may_train_changes_the_prompts_of_all(open_studio: Open) -> None:
    with open_studio() as (studio, _):
        reader = studio.sign_in("ben", ["read", "generate"])
        assert reader.get("/api/prompts/email").status_code == 200
        assert reader.put("/api/prompts/email", json={"system": "x"}).status_code == 403
        assert reader.delete("/api/prompts/email").status_code == 403


def test_the_worker_fills_a_prompt_without_the_weights(serving_home: Path, tmp_path: Path) -> None:
    """A model with the chat template reads the system message, as many examples as fit, and the question."""
    workspace = Workspace(shutil.copytree(serving_home, tmp_path / "home"))
    workspace.prompts.new("toast", "A toast to {who}.", system="Be kind.")
    filled = fill_prompt(workspace, "tales", "toast/1", {"who": "all"}, "", {"temperature": 0.5, "top_p": None})
    assert filled["messages"][-1]["content"] == "A toast to all."
    assert filled["params"] == {"temperature": 0.5}
    assert filled["facts"]["template"]["given"] == {"who": "all"}
