"""Outputs: made as jobs, found by everything that is known of them, rated, arranged, removed and restored."""

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

Open = Callable[..., Any]


def list_ids(client: Any, query: str = "") -> list[str]:
    answer = client.get(f"/api/outputs?{query}")
    assert answer.status_code == 200, answer.text
    return [output["id"] for output in answer.json()["data"]]


def test_a_picture_is_made_shown_rated_arranged_and_removed(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        first, second = studio.run(client, "generate", model="icons", prompt="a red boat", n=2)["outputs"]
        (third,) = studio.run(client, "generate", model="icons", prompt="a green tree")["outputs"]
        assert list_ids(client) == [third, second, first]
        assert list_ids(client, "q=boa") == [second, first]
        assert list_ids(client, "medium=image&model=icons/2&q=green tree") == [third]
        assert list_ids(client, "medium=text") == []

        page = client.get("/api/outputs?limit=2").json()
        assert (page["total"], page["has_more"]) == (3, True)
        assert list_ids(client, f"limit=2&cursor={page['next']}") == [first]
        assert list_ids(client, "offset=1&limit=1") == [second]

        output = client.get(f"/api/outputs/{third}").json()
        assert (output["model"], output["prompt"], output["mime"]) == ("icons/2", "a green tree", "image/png")
        assert output["formats"][0] == ".png"
        assert output["again"]["prompt"] == "a green tree"
        assert output["again"]["seed"] is not None
        assert (output["previous"], output["next"]) == (second, None)
        assert list_ids(client, f"seed={output['seed']}") == [third]

        thumbnail = client.get(output["thumbnail"])
        assert thumbnail.headers["content-type"] == "image/webp"
        assert max(Image.open(io.BytesIO(thumbnail.content)).size) <= 320
        jpeg = client.get(f"{output['url']}?format=jpg")
        assert Image.open(io.BytesIO(jpeg.content)).format == "JPEG"
        assert "sandbox" in jpeg.headers["content-security-policy"]
        assert client.get(f"{output['url']}?format=exe").json()["error"]["code"] == "studio.no_such_format"

        assert client.post(f"/api/outputs/{third}/rating", json={"up": True}).json()["up"] is True
        assert client.post(f"/api/outputs/{first}/rating", json={"up": False}).json()["up"] is False
        assert client.post(f"/api/outputs/{first}/rating", json={"note": "dull"}).json()["note"] == "dull"
        assert list_ids(client, "rating=up") == [third]
        assert list_ids(client, "rating=down") == [first]
        assert list_ids(client, "rating=none") == [second]
        assert client.get(f"/api/outputs/{first}").json()["rating"]["up"] is False
        assert client.delete(f"/api/outputs/{first}/rating").json()["rating"] is None
        assert list_ids(client, "rating=none") == [second, first]
        assert len(studio.workspace.ratings("icons").preferences.unpaired) == 1

        changes = {"tags": ["sea", "sea", " "], "is_starred": True, "folder": "trip"}
        changed = client.patch(f"/api/outputs/{second}", json=changes).json()
        assert (changed["tags"], changed["is_starred"], changed["folder"]) == (["sea"], True, "trip")
        for query in ("tag=sea", "starred=true", "folder=trip"):
            assert list_ids(client, query) == [second]
        facets = client.get("/api/outputs/facets").json()
        assert facets == {"models": {"icons": 3}, "versions": {"icons/2": 3}, "media": {"image": 3}, "tags": {"sea": 1}}

        assert client.delete(f"/api/outputs/{third}").json()["kind"] == "outputs"
        assert list_ids(client) == [second, first]
        assert list_ids(client, "deleted=true") == [third]
        assert client.get(f"/api/outputs/{third}").json()["removed"] is not None
        assert client.get(f"/api/outputs/{third}/file").content.startswith(b"\x89PNG")
        assert client.post(f"/api/outputs/{third}/restore").json()["rating"]["up"] is True
        assert list_ids(client) == [third, second, first]
        entry = client.delete(f"/api/outputs/{third}").json()["id"]
        assert client.post(f"/api/bin/{entry}/restore").json()["name"] == third
        assert list_ids(client) == [third, second, first]
        removed = client.post("/api/outputs/remove", json={"ids": [first, second]}).json()["data"]
        assert [entry["name"] for entry in removed] == [first, second]
        client.post("/api/outputs/restore", json={"ids": [first]})
        assert list_ids(client) == [third, first]
        assert client.post("/api/bin/empty").json()["bytes"] > 0
        assert list_ids(client, "deleted=true") == []
        assert client.get(f"/api/outputs/{second}").status_code == 404


def test_outputs_of_the_command_line_appear_and_vanish(open_shared: Open) -> None:
    with open_shared() as (studio, _):
        client = studio.local
        record = {"model": "icons/2", "medium": "text", "prompt": "héllo wörld", "written": "x"}
        output = studio.workspace.store.save_output("x", ".txt", record)
        assert list_ids(client, "q=hello") == [output]  # accents do not matter
        studio.workspace.rate(output, stars=5)
        assert list_ids(client, "q=hello&rating=5") == [output]
        studio.workspace.remove("outputs", output, force=True)
        assert list_ids(client, "q=hello") == []
        assert list_ids(client, "q=hello&deleted=true") == [output]
        studio.workspace.restore(output)
        assert list_ids(client, "q=hello") == [output]


@pytest.mark.parametrize(
    "damage",
    [b"", pytest.param(b"this is not a database at all" * 100, marks=pytest.mark.slow)],
    ids=["missing", "damaged"],
)
def test_the_index_is_built_again_when_it_is_missing_or_damaged(open_studio: Open, damage: bytes) -> None:
    with open_studio() as (studio, client):
        (output,) = studio.run(client, "generate", model="icons", prompt="a boat")["outputs"]
        client.post(f"/api/outputs/{output}/rating", json={"stars": 4})
        (removed,) = studio.run(client, "generate", model="icons", prompt="a bin")["outputs"]
        client.delete(f"/api/outputs/{removed}")
    index = studio.workspace.folder / "index.sqlite"
    for file in studio.workspace.folder.glob("index.sqlite*"):
        file.unlink()
    if damage:
        index.write_bytes(damage)
    with open_studio() as (studio, client):
        assert list_ids(client, "rating=4&q=boat") == [output]
        assert list_ids(client, "deleted=true") == [removed]


def test_a_user_sees_only_what_is_theirs(open_shared: Open) -> None:
    with open_shared() as (studio, _):
        local, bea, cy = studio.local, studio.sign_in("bea"), studio.sign_in("cy")
        (output,) = studio.run(bea, "generate", model="icons", prompt="a boat")["outputs"]
        assert list_ids(bea) == [output]
        assert output in list_ids(local)
        bea.patch(f"/api/outputs/{output}", json={"tags": ["a secret of bea"]})
        tags = [client.get("/api/outputs/facets").json()["tags"] for client in (bea, cy)]
        assert tags == [{"a secret of bea": 1}, {}]
        assert list_ids(cy) == []
        bea.delete(f"/api/outputs/{output}")
        bea.post(f"/api/outputs/{output}/restore")
        for method, path, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("PATCH", "", {"tags": ["x"]}),
            ("POST", "/rating", {"up": True}),
            ("DELETE", "/rating", None),
            ("POST", "/restore", None),
            *(("GET", f"/{view}", None) for view in ("file", "shown", "thumbnail", "sound", "provenance", "trace")),
        ):
            answer = cy.request(method, f"/api/outputs/{output}{path}", json=body)
            assert answer.status_code == 404, (method, path)
            assert answer.json()["error"]["code"] == "server.unknown_id"
        assert cy.post("/api/outputs/remove", json={"ids": [output]}).status_code == 404
        # What a rating says is the rater's, whoever made the output.
        assert local.post(f"/api/outputs/{output}/rating", json={"up": True}).status_code == 200
        assert bea.get(f"/api/outputs/{output}").json()["rating"] is None


def test_unknown_ids_are_404(open_shared: Open) -> None:
    ids = ("..%2f..%2fetc%2fpasswd", "2026-01-01-000000", "x" * 5000, "%00", "C:", "‮abc")
    with open_shared() as (_, client):
        for id, path in itertools.product(ids, ("", "/file", "/thumbnail", "/provenance", "/trace")):
            assert client.get(f"/api/outputs/{id}{path}").status_code in (400, 404, 414), (id, path)


def test_bad_queries_are_refused_with_their_field(open_shared: Open) -> None:
    with open_shared() as (_, client):
        for query in ("limit=0", "limit=501", "rating=6", "seed=-1", "seed=99999999999999999999", "offset=-1"):
            answer = client.get(f"/api/outputs?{query}")
            assert answer.status_code == 400, query
            assert answer.json()["error"]["param"].endswith(query.partition("=")[0])
        assert client.get("/api/outputs?format=x").status_code == 200  # what the route does not have is ignored


def test_no_words_break_the_search(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        (output,) = studio.run(client, "generate", model="icons", prompt='ein "Schiff" im 海 % _ NEAR( OR')["outputs"]
        for q in ('"Schiff"', "schiff", "海", "im 海", "NEAR(", "OR", '"', "*", "% _", "a:b", "-x", "^"):
            answer = client.get("/api/outputs", params={"q": q})
            assert answer.status_code == 200, (q, answer.text)
        assert list_ids(client, "q=Schi") == [output]
        assert list_ids(client, "q=海") == [output]


def test_an_output_is_preferred_to_that_of_another_model(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        ids = [
            studio.run(client, "generate", model=model, prompt="a boat")["outputs"][0] for model in ("icons", "icons/2")
        ]
        assert client.post(f"/api/outputs/{ids[1]}/prefer", json={"over": ids[0]}).status_code == 200
        *_, entry = studio.workspace.ledger.iter_entries(["choice"])
        assert (entry.body["a"], entry.body["b"], entry.body["winner"]) == (ids[1], ids[0], "a")
        cy = studio.sign_in("cy")
        own = studio.run(cy, "generate", model="icons", prompt="a boat")["outputs"][0]
        assert cy.post(f"/api/outputs/{own}/prefer", json={"over": ids[0]}).status_code == 404


def test_models_count_the_outputs_that_a_user_sees(open_shared: Open) -> None:
    with open_shared() as (studio, _):
        local, bea = studio.local, studio.sign_in("bea")
        before = local.get("/api/models/icons/2").json()["outputs"]
        studio.run(bea, "generate", model="icons", prompt="a boat", n=2)
        studio.run(local, "generate", model="icons", prompt="a tree")
        counts = []
        for client in (local, bea):
            listed = {row["ref"]: row["outputs"] for row in client.get("/api/models").json()["data"]}
            family = client.get("/api/models/icons/2").json()
            counts.append((listed["icons/2"], family["outputs"]))
        assert counts == [(before + 3, before + 3), (2, 2)]


def test_prompts_that_are_suggested_are_a_users_own(open_shared: Open) -> None:
    with open_shared() as (studio, _):
        bea, cy = studio.sign_in("bea"), studio.sign_in("cy")
        studio.run(bea, "generate", model="icons", prompt="a letter to somebody")
        for client, is_known in ((bea, True), (studio.local, True), (cy, False)):
            client.get("/api/outputs")  # the index knows it now
            for path, field in (("models/icons/2", "prompts"), ("arena/icons", "suggested_prompts")):
                assert ("a letter to somebody" in client.get(f"/api/{path}").json()[field]) is is_known, path
