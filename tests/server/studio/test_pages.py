"""Models, data sets, uploads, search and system, as pages read them."""

from collections.abc import Callable
from typing import Any

from genloom.studio import FOLDER
from tests import worlds

Open = Callable[..., Any]


def test_the_family_card_and_options_of_the_built_in_models(open_shared: Open) -> None:
    with open_shared() as (_, client):
        models = {model["ref"]: model for model in client.get("/api/models").json()["data"]}
        icons = models["icons/2"]
        assert (icons["kind"], icons["medium"], icons["is_active"], icons["parent"]) == (
            "built_in",
            "image",
            True,
            "icons/1",
        )
        assert "delete" not in icons["can"]
        assert icons["licences"]
        for ref in models:  # also of one that was tuned from another of its name
            assert client.get(f"/api/models/{ref}").json()["parent"] != ref
        detail = client.get("/api/models/icons/2").json()
        assert detail["card"]["digest"] == icons["digest"]
        assert {"source": "icons@5c57a1379b45", "target": "icons/2", "how": "trained on"} in detail["edges"]
        (option,) = client.get("/api/models/icons/2/options").json()["data"]
        assert (option["name"], option["default"], option["is_basic"]) == ("steps", 8, True)
        assert client.get("/api/models/icons/9").status_code == 404
        assert client.get("/api/models/icnos/1").json()["error"]["code"] == "store.unknown_name_near"
        assert client.delete("/api/models/icons").status_code == 409
        promoted = client.post("/api/models/icons/2/promote", json={"reason": "best"}).json()
        assert promoted == {"name": "icons", "active": "icons/2", "previous": None}
        assert client.post("/api/models/icons/rollback", json={}).status_code == 409


def test_a_data_set_its_samples_and_the_bin(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        created = worlds.create_dataset(studio.workspace.store, documents=30)
        (row,) = client.get("/api/datasets").json()["data"]
        assert (row["name"], row["documents"], row["medium"]) == ("tales", 30, "text")
        detail = client.get("/api/datasets/tales").json()
        assert sum(split["documents"] for split in detail["splits"].values()) == 30
        assert [version["digest"] for version in detail["versions"]] == [created.digest]
        page = client.get("/api/datasets/tales/samples?limit=10").json()
        assert (len(page["data"]), page["has_more"]) == (10, True)
        rest = client.get(f"/api/datasets/tales/samples?limit=50&cursor={page['next']}").json()
        assert (len(rest["data"]), rest["has_more"]) == (20, False)
        sample = page["data"][0]
        assert sample["text"]
        assert client.get("/api/datasets/tales/samples", params={"q": sample["text"][:40]}).json()["data"]
        assert client.get("/api/datasets/tales/samples?q=zzzzzz").json()["data"] == []
        refused = client.patch(f"/api/datasets/tales/samples/{sample['id']}", json={"caption": "x"})
        assert refused.json()["error"]["code"] == "studio.no_captions"
        assert client.delete("/api/datasets/tales").json()["kind"] == "data"
        assert client.get("/api/datasets").json()["data"] == []
        assert [entry["name"] for entry in client.get("/api/bin").json()["data"]] == ["tales"]
        assert client.post("/api/datasets/tales/restore").json()["documents"] == 30
        entry = client.delete("/api/datasets/tales").json()["id"]
        assert client.post(f"/api/bin/{entry}/restore").json()["name"] == "tales"
        assert [row["name"] for row in client.get("/api/datasets").json()["data"]] == ["tales"]
        assert client.post(f"/api/bin/{entry}/restore").status_code == 404


def test_captions_are_edited_and_a_new_version_has_them(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        created = worlds.create_image_dataset(studio.workspace.store, count=12)
        assert client.get(f"/api/datasets/{created.name}").json()["can_edit_captions"] is True
        first, second, *_ = client.get(f"/api/datasets/{created.name}/samples").json()["data"]
        assert first["shown_mime"] == "image/png"
        assert client.get(first["thumbnail"]).headers["content-type"] == "image/webp"
        path = f"/api/datasets/{created.name}/samples"
        assert client.patch(f"{path}/{first['id']}", json={"caption": "a <b>new</b> one"}).status_code == 204
        assert client.patch(f"{path}/unknown", json={"caption": "x"}).status_code == 404
        shown = client.get(path).json()["data"]
        assert (shown[0]["caption"], shown[0]["is_edited"]) == ("a <b>new</b> one", True)
        changed = client.post(f"/api/datasets/{created.name}/captions").json()
        assert changed["digest"] != created.digest
        captions = [sample["caption"] for sample in client.get(path).json()["data"]]
        assert captions[:2] == ["a <b>new</b> one", second["caption"]]
        old = client.get(f"{path}?digest={created.digest}").json()["data"]
        assert old[0]["caption"] == first["caption"]
        again = client.post(f"/api/datasets/{created.name}/captions").json()  # nothing to apply
        assert again["digest"] == changed["digest"]


def test_uploads_keep_their_files_together_and_names_never_leave_their_folder(open_shared: Open) -> None:
    with open_shared() as (studio, client):
        names = ["a/b.txt", "../../etc/passwd", "/abs.txt", "C:\\x\\y.txt", "nul\0.txt", ".hidden", "x" * 500, "…"]
        files = [("files", (name, name.encode("utf-8", "replace"))) for name in names]
        upload = client.post("/api/uploads", files=files)
        assert upload.status_code == 201, upload.text
        id = upload.json()["id"]
        assert upload.json()["files"] == len(names)
        more = client.post(f"/api/uploads/{id}", files=[("files", ("a/b.txt", b"other"))]).json()
        assert more["files"] == len(names) + 1
        folder = studio.workspace.folder / "uploads" / id / "files"
        paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        assert {"a/b.txt", "a/b-2.txt", "etc/passwd", "abs.txt"} <= set(paths)
        assert len(paths) == len(names) + 1
        assert not any(part.startswith(".") for path in paths for part in path.split("/"))
        outside = [path for path in studio.workspace.folder.parent.rglob("passwd*") if folder not in path.parents]
        assert outside == []
        forecast = client.post("/api/forecast", json={"kind": "collect", "params": {"upload": id}}).json()
        assert forecast["medium"] == "text"
        cy = studio.sign_in("cy")
        assert cy.get(f"/api/uploads/{id}").status_code == 404
        assert cy.post("/api/jobs", json={"kind": "collect", "params": {"upload": id}}).status_code == 404
        assert client.post("/api/uploads", data={"x": "y"}, files={}).status_code in (400, 415)
        whole = b'--x\r\nContent-Disposition: form-data; name="files"; filename="big.txt"\r\n\r\n' + b"y" * 100_000
        for content, kind in (
            (whole, "multipart/form-data; boundary=x"),  # breaks off
            (whole + b"\r\n--x--\r\n", "multipart/form-data"),
            (b"no form", "multipart/form-data; boundary=x"),
            (b"--x\r\n" + b"A: " + b"b" * 100_000, "multipart/form-data; boundary=x"),
        ):
            broken = client.post(f"/api/uploads/{id}", content=content, headers={"content-type": kind})
            assert (broken.status_code, broken.json()["error"]["code"]) == (400, "studio.bad_form"), kind
        assert not list(folder.rglob("big*"))
        assert client.delete(f"/api/uploads/{id}").status_code == 204
        assert client.get(f"/api/uploads/{id}").status_code == 404


def test_search_finds_everything_and_system_says_how_it_is(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        session = client.get("/api/session").json()
        assert (session["user"], session["is_empty"]) == ({"name": "ada", "is_local": True}, True)
        assert "127.0.0.1:7860/v1" in session["snippets"][0]["text"]
        worlds.create_dataset(studio.workspace.store, name="lighthouses")
        studio.run(client, "generate", model="icons", prompt="a lighthouse")
        client.post("/api/conversations", json={"model": "icons", "title": "On a lighthouse"})
        hits = client.get("/api/search?q=lighthouse").json()["data"]
        assert {hit["kind"] for hit in hits} == {"output", "conversation", "dataset", "job"}
        assert {hit["kind"] for hit in client.get("/api/search?q=icons").json()["data"]} >= {"model", "job"}
        system = client.get("/api/system").json()
        assert system["memory"]["available"] > 0
        assert {"server"} <= {process["name"] for process in system["memory"]["processes"]}
        kinds = {item["kind"]: item for item in client.get("/api/system/storage").json()["items"]}
        assert (kinds["outputs"]["count"], kinds["datasets"]["count"]) == (1, 1)
        assert all(row["ok"] for row in client.get("/api/system/health").json()["data"])


def test_the_bin_shows_a_user_only_what_is_theirs(open_shared: Open) -> None:
    with open_shared() as (studio, _):
        bea, cy = studio.sign_in("bea"), studio.sign_in("cy")
        (output,) = studio.run(bea, "generate", model="icons", prompt="a boat")["outputs"]
        bea.delete(f"/api/outputs/{output}")
        for client, is_seen in ((bea, True), (studio.local, True), (cy, False)):
            listed = [entry["name"] for entry in client.get("/api/bin").json()["data"]]
            stored = [entry["name"] for entry in client.get("/api/system/storage").json()["bin"]]
            assert (output in listed, output in stored) == (is_seen, is_seen)


def test_problems_of_the_workspace_come_with_their_code_and_values(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        worlds.create_dataset(studio.workspace.store)
        part = next(studio.workspace.folder.glob("data/tales/*/part-*.parquet"))
        part.write_bytes(part.read_bytes()[:-9])
        (found,) = [row for row in client.get("/api/system/health").json()["data"] if not row["ok"]]
        assert (found["name"], found["code"]) == ("workspace", "store.damaged")
        assert found["values"]["path"] in found["detail"]
        messages = (FOLDER / "messages/de/system.json").read_text(encoding="utf-8")
        assert "health_store_damaged" in messages
