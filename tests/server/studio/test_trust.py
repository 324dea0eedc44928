"""Trust over HTTP: the line of an output, verification and copies as jobs, cards, keys and content rules."""

import io
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

Open = Callable[..., Any]
RULES = '[rules.crow]\naction = "log"\nreason = "crows"\nall = ["crow"]\n'


def make(studio: Any, client: Any, **params: Any) -> str:
    (id,) = studio.run(client, "generate", **{"model": "icons", "prompt": "a red boat", **params})["outputs"]
    return id


def upload(client: Any, *files: tuple[str, bytes]) -> str:
    answer = client.post("/api/uploads", files=[("files", (name, io.BytesIO(data))) for name, data in files])
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def verify(studio: Any, client: Any, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
    return studio.run(client, "verify", upload=upload(client, *files), marks="none")["files"]


def read_keys(studio: Any) -> list[bytes]:
    return [path.read_bytes() for path in sorted((studio.workspace.folder / "keys").rglob("*")) if path.is_file()]


def test_the_line_of_an_output_leads_to_licences(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        id = make(studio, client)
        found = client.get(f"/api/outputs/{id}/provenance").json()
        nodes = {node["id"]: node for node in found["nodes"]}
        assert nodes[found["root"]]["name"] == id
        assert {"output", "prompt", "model"} <= {node["kind"] for node in nodes.values()}
        assert any(node["facts"].get("licences") for node in nodes.values())
        assert {edge["relation"] for edge in found["edges"]} >= {"prompted_by", "generated_by"}
        assert all(edge["source"] in nodes and edge["target"] in nodes for edge in found["edges"])
        assert (found["signature"]["state"], found["signature"]["is_embedded"]) == ("signed", True)
        assert found["mark"] == {"is_marked": False, "key": None}  # the engine of these tests marks nothing
        page = client.get(f"/api/outputs/{id}/trace")
        assert page.headers["content-disposition"].startswith("attachment")
        assert id in page.text
        assert client.get(f"/api/outputs/{id}/trace?format=json").json()["root"] == found["root"]


def test_the_line_tells_nothing_of_others(open_studio: Open) -> None:
    with open_studio() as (studio, local):
        bea, cy = studio.sign_in("bea"), studio.sign_in("cy")
        first = make(studio, bea, prompt="a secret of bea")
        source = studio.workspace.store.save_original(studio.workspace.output(first).path.read_bytes(), ".png")
        request = {"edit": {"image": source}}
        record = {"medium": "image", "model": "icons/2", "prompt": "mine", "request": request, "owner": "cy"}
        data = studio.workspace.output(make(studio, cy, prompt="mine")).path.read_bytes()
        second = studio.workspace.store.save_output(data, ".png", record)
        local.get("/api/outputs")
        assert first in local.get(f"/api/outputs/{second}/provenance").text
        for path in ("provenance", "trace", "trace?format=json"):
            answer = cy.get(f"/api/outputs/{second}/{path}")
            assert (answer.status_code, first in answer.text, "secret" in answer.text) == (200, False, False)


def test_files_are_verified_as_a_job_and_a_changed_one_is_seen(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        id = make(studio, client)
        data = client.get(f"/api/outputs/{id}/file").content
        changed = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
        plain = studio.workspace.output(make(studio, client, prompt="another")).path.read_bytes()
        files = verify(studio, client, ("own.png", data), ("changed.png", changed), ("plain.png", plain))
        found = {each["file"]: each for each in files}
        assert (found["own.png"]["signature"], found["own.png"]["fine"], found["own.png"]["output"]) == (
            *("unchanged", True),
            id,
        )
        assert found["own.png"]["facts"]["model"] == "icons/2"
        assert found["changed.png"]["fine"] is False
        assert (found["plain.png"]["signature"], found["plain.png"]["stored"]) == ("none", True)


def test_an_output_is_verified_as_it_leaves(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        for model in ("icons", "tunes"):  # a picture holds its signature, and a text has it beside it
            id = make(studio, client, model=model)
            (found,) = studio.run(client, "verify", output=id, marks="none")["files"]
            assert (found["signature"], found["fine"], found["output"]) == ("unchanged", True, id)


def test_the_verification_of_another_users_output_tells_only_its_origin(open_shared: Open) -> None:
    with open_shared() as (studio, _):
        bea, cy = studio.sign_in("bea"), studio.sign_in("cy")
        id = make(studio, bea, prompt="a secret of bea")
        data = bea.get(f"/api/outputs/{id}/file").content
        (found,) = verify(studio, cy, ("found.png", data))
        assert (found["signature"], found["is_workspace"], found["output"], found["facts"]) == (
            *("unchanged", True, None),
            {},
        )
        assert "secret" not in str(found)
        (found,) = verify(studio, bea, ("found.png", data))
        assert found["output"] == id
        assert cy.post("/api/jobs", json={"kind": "verify", "params": {"output": id}}).status_code == 404
        assert cy.post("/api/jobs", json={"kind": "copies", "params": {"output": id}}).status_code == 404


def test_copies_are_found_in_a_file(open_studio: Open, worlds: ModuleType) -> None:
    with open_studio() as (studio, client):
        worlds.create_dataset(studio.workspace.store)
        copied = next(iter(studio.workspace.dataset("tales").stored.iter_documents("train"))).value
        report = studio.run(client, "copies", upload=upload(client, ("tale.txt", copied.encode())), data="tales")
        assert report["copies"]["beyond_chance"] is True
        assert report["copies"]["matches"][0]["licence"] == "CC0-1.0"
        assert copied[:40] in report["copies"]["matches"][0]["excerpt"]
        for params in ({"upload": "x"}, {"output": "x", "upload": "y"}, {}):
            answer = client.post("/api/jobs", json={"kind": "copies", "params": params})
            assert answer.status_code == 400


def test_copies_that_are_refused_are_counted(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        params = {"model": "icons", "prompts": ["a boat", "copy"], "refuse_copies": True}
        result = studio.run(client, "generate", **params)
        assert (len(result["outputs"]), result["withheld"]) == (1, 1)
        again = client.get(f"/api/outputs/{result['outputs'][0]}").json()["again"]
        assert again["refuse_copies"] is True


def test_trust_does_not_wait_for_a_training(open_studio: Open, worlds: ModuleType) -> None:
    with open_studio() as (studio, client):
        worlds.create_dataset(studio.workspace.store)
        id = make(studio, client)
        body = {"kind": "train", "params": {"data": "tales", "minutes": 60}}
        training = client.post("/api/jobs", json=body).json()["id"]
        assert studio.run(client, "verify", output=id, marks="none")["files"]
        assert client.get(f"/api/jobs/{training}").json()["state"] in ("queued", "running")
        client.post("/api/queue", json={"paused": True})  # a paused queue is for what takes hours
        assert studio.run(client, "verify", output=id, marks="none")["files"]
        client.post(f"/api/jobs/{training}/cancel")
        assert studio.wait(client, training)["state"] == "cancelled"


def test_cards_are_sent_in_every_format(open_studio: Open, worlds: ModuleType) -> None:
    with open_studio() as (studio, client):
        worlds.create_dataset(studio.workspace.store)
        text = client.get("/api/models/icons/2/card").text
        assert text.startswith("---\n")
        assert "# " in text
        assert client.get("/api/models/icons/2/card?format=json").json()["metadata"]
        page = client.get("/api/models/icons/2/card?format=html")
        assert "sandbox" in page.headers["content-security-policy"]
        assert page.headers["content-disposition"].startswith("inline")
        card = client.get("/api/datasets/tales/card?format=croissant&download=true")
        assert "croissant" in card.json()["conformsTo"]
        assert "tales-card.croissant.json" in card.headers["content-disposition"]
        assert client.get("/api/models/icons/2/card?format=croissant").status_code == 400
        assert client.get("/api/models/none/1/card").status_code == 404


def test_keys_are_shown_without_secrets_rotated_and_exported(open_studio: Open, tmp_path: Any) -> None:
    import genloom as gl

    with open_studio() as (studio, client):
        make(studio, client)
        client.get("/api/outputs")
        studio.workspace.keys.create_key("marking")
        named = client.post("/api/trust/keys", json={"kind": "signing", "name": "Mia's studio"}).json()
        assert (named["name"], named["is_active"]) == ("Mia's studio", True)
        before = read_keys(studio)
        rotated = client.post("/api/trust/keys", json={"kind": "signing"}).json()
        assert (rotated["name"], rotated["id"]) == ("Mia's studio", named["id"])  # the same authority, with a new key
        assert read_keys(studio) != before
        marking = client.post("/api/trust/keys", json={"kind": "marking"}).json()
        listed = client.get("/api/trust/keys").json()
        assert [key["id"] for key in listed["keys"] if key["is_active"]] == [marking["id"], rotated["id"]]
        lines = [line.decode() for data in read_keys(studio) for line in data.split(b"\n") if len(line) > 30]
        assert lines
        assert not any(line in str(listed) for line in lines)
        certificate = client.get("/api/trust/certificate")
        assert certificate.text.startswith("-----BEGIN CERTIFICATE")
        assert "PRIVATE" not in certificate.text
        other = gl.Workspace(tmp_path / "other")
        (trusted,) = client.post(
            "/api/trust/certificates", json={"pem": other.keys.export_key(tmp_path / "x.pem").read_text()}
        ).json()["data"]
        assert trusted["kind"] == "trusted"
        assert client.post("/api/trust/certificates", json={"pem": "nonsense"}).status_code == 400


def test_content_rules_are_edited_and_their_decisions_listed(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        shown = client.get("/api/trust/policy").json()
        assert shown["text"] == ""
        assert {rule["name"] for rule in shown["rules"] if rule["is_fixed"]} >= {"sexual-minors"}
        assert not any(rule["is_own"] for rule in shown["rules"])
        changed = client.put("/api/trust/policy", json={"text": RULES}).json()
        assert [rule["name"] for rule in changed["rules"] if rule["is_own"]] == ["crow"]
        for wrong in ("[rules", '[rules.sexual-minors]\naction = "log"\nall = ["x"]\n', "x = 1"):
            answer = client.put("/api/trust/policy", json={"text": wrong})
            assert answer.status_code == 400
            assert str(studio.workspace.folder) not in answer.text
            assert "policy.toml" in answer.text
        assert client.get("/api/trust/policy").json()["text"] == RULES
        assert client.put("/api/trust/policy", json={"text": shown["example"]}).status_code == 200
        client.put("/api/trust/policy", json={"text": RULES})
        (match,) = client.post("/api/trust/policy/check", json={"text": "a crow"}).json()["data"]
        assert (match["rule"], match["words"]) == ("crow", ["crow"])
        assert client.get("/api/trust/decisions").json()["data"] == []
        for number in range(3):
            from genloom.api.policy import apply_policy

            apply_policy(studio.workspace, [f"crow {number}"], "icons/2")
        page = client.get("/api/trust/decisions?limit=2").json()
        rest = client.get(f"/api/trust/decisions?limit=2&cursor={page['next']}").json()
        assert (len(page["data"]), len(rest["data"]), rest["has_more"]) == (2, 1, False)
        assert page["data"][0]["at"] >= page["data"][1]["at"] >= rest["data"][0]["at"]
        assert client.get("/api/trust/decisions?cursor=x").status_code == 400
        assert client.put("/api/trust/policy", json={"text": " "}).json()["text"] == ""
        assert not (studio.workspace.folder / "policy.toml").exists()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_trust_settings_are_for_admins(open_shared: Open, method: str) -> None:
    with open_shared() as (studio, _):
        client = studio.sign_in("bea", ("generate", "read", "rate", "train"))
        paths = {
            "GET": ("keys", "certificate", "policy", "decisions"),
            "POST": ("keys", "certificates", "policy/check"),
        }[method]
        for path in paths:
            assert client.request(method, f"/api/trust/{path}", json={}).status_code == 403


@pytest.mark.slow
def test_reports_on_bias_and_privacy_are_jobs_and_stand_with_the_model(
    open_studio: Open, trained_copy: Any, tmp_path: Any
) -> None:
    with open_studio(folder=tmp_path) as (studio, client):
        bias = studio.run(client, "bias", model="tales", continuations=0)
        privacy = studio.run(client, "privacy", model="tales", documents=10)
        shown = client.get("/api/models/tales/1").json()
        assert shown["bias"] == bias["report"]
        assert shown["privacy"] == privacy["report"]
        gap = bias["report"]["likelihood"]["gender"]["gap"]
        assert gap["low"] <= gap["mean"] <= gap["high"]
        assert set(privacy["report"]["membership"]["auc"]) >= {"mean", "low", "high"}


CONSENT = b"""[consents.anna]
who = "Anna Berger"
of = ["words"]
purposes = ["training"]
signed = 2026-11-01
signature = "on paper"
until = 2999-12-31
"""


def test_a_consent_comes_with_the_files_and_is_withdrawn(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        letters = upload(
            client, ("letters.txt", b"The sea was calm, and the boats lay still in the old harbour. " * 40)
        )
        consent = upload(client, ("consent.toml", CONSENT))
        studio.run(client, "collect", upload=letters, consent=consent, persons=["words"], name="letters")
        shown = client.get("/api/datasets/letters").json()
        assert shown["persons"] == ["words"]
        (row,) = shown["consents"]
        assert (row["who"], row["of"], row["until"], row["state"]) == (
            *("Anna Berger", ["words"], "2999-12-31"),
            "valid",
        )
        path = "/api/datasets/letters/withdrawals"
        assert client.post(path, json={"who": "Ben"}).json()["error"]["code"] == "trust.no_consent"
        (row,) = client.post(path, json={"who": "Anna Berger"}).json()["data"]
        assert row["state"] == "withdrawn"
        assert client.get("/api/datasets/letters").json()["consents"] == [row]
        reader = studio.sign_in("cy", ("read",))
        assert reader.post(path, json={"who": "Anna Berger"}).status_code == 403
        assert reader.get("/api/datasets/letters").json()["consents"] == [row]
