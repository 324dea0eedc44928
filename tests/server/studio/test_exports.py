"""Exported models: what waits for its download is listed, removed, and deleted when it is old."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from genloom.server import exports
from genloom.server.studio.system import _KINDS
from genloom.store.clock import get_now
from tests.studio.test_messages import read

Open = Callable[..., Any]


def add_export(studio: Any, owner: str = "local", name: str = "icons-1.gguf", state: str = "succeeded") -> str:
    """Put an export that has ended into the queue, with its file."""
    store = studio.guard.app.state.jobs.store
    lane: Any = "none"  # nothing runs it meanwhile
    job = store.add("export", lane, owner, "Export icons/1", {"model": "icons/1"})
    file = studio.workspace.folder / "exports" / job.id / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    result = {"file": name, "bytes": 7, "download": f"/api/jobs/{job.id}/download", "report": ""}
    store.end(job.id, state, result=result if state == "succeeded" else None)
    return job.id


def test_an_export_is_listed_downloaded_and_removed(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        id = add_export(studio)
        [found] = client.get("/api/system/storage").json()["exports"]
        assert (found["id"], found["model"], found["file"], found["bytes"]) == (id, "icons/1", "icons-1.gguf", 7)
        job = client.get(f"/api/jobs/{id}").json()
        assert job["result"]["download"] == found["url"]
        answer = client.get(found["url"])
        assert answer.content == b"weights"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert client.delete(found["url"]).json() == {"bytes": 7}
        assert client.get("/api/system/storage").json()["exports"] == []
        assert not (studio.workspace.folder / "exports" / id).exists()
        assert client.get(f"/api/jobs/{id}").json()["result"] == {"report": ""}
        for method in ("GET", "DELETE"):
            assert client.request(method, found["url"]).status_code == 404


def test_an_export_belongs_to_who_asked_for_it(open_studio: Open) -> None:
    with open_studio() as (studio, _):
        anna, ben = studio.sign_in("anna"), studio.sign_in("ben")
        id = add_export(studio, owner="anna")
        assert [each["id"] for each in anna.get("/api/system/storage").json()["exports"]] == [id]
        assert ben.get("/api/system/storage").json()["exports"] == []
        assert ben.delete(f"/api/jobs/{id}/download").status_code == 404
        assert studio.sign_in("anna", ["read"]).delete(f"/api/jobs/{id}/download").status_code == 403
        assert anna.get(f"/api/jobs/{id}/download").status_code == 200


def test_old_exports_and_what_failed_ones_left_go_at_the_start(open_studio: Open, tmp_path: Path) -> None:
    with open_studio() as (studio, _):
        new, old, failed = add_export(studio), add_export(studio), add_export(studio, state="failed")
        moment = (get_now() - timedelta(days=exports.KEPT_DAYS + 1)).isoformat()
        store = studio.guard.app.state.jobs.store
        store._database.write("UPDATE jobs SET finished = ? WHERE id = ?", (moment, old))
    stray = tmp_path / "ws" / "exports" / "stray"
    stray.mkdir()
    with open_studio() as (_, client):
        assert [each["id"] for each in client.get("/api/system/storage").json()["exports"]] == [new]
        assert sorted(path.name for path in stray.parent.iterdir()) == [new]
        assert client.get(f"/api/jobs/{old}").json()["state"] == "succeeded"
        assert client.get(f"/api/jobs/{failed}").json()["state"] == "failed"


def test_everything_that_takes_space_has_its_word_in_the_studio() -> None:
    words = read("en", "system.json")
    assert {f"kind_{kind}" for kind in (*_KINDS, "databases")} <= words.keys()
