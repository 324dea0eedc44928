"""The backup of a workspace is a workspace again, without secrets; ratings leave as a data set; both for one person."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.server.studio.test_conversations import ask

Open = Callable[..., Any]


def test_a_backup_is_a_workspace_again(open_studio: Open, tmp_path: Path) -> None:
    with open_studio() as (studio, client):
        (output,) = studio.run(client, "generate", model="icons", prompt="a boat")["outputs"]
        client.post(f"/api/outputs/{output}/rating", json={"up": True})
        conversation = client.post("/api/conversations", json={"model": "icons", "title": "Boats"}).json()["id"]
        ask(studio, client, conversation, "abc")
        client.get(f"/api/outputs/{output}/thumbnail")  # which is signed
        (studio.workspace.folder / "outputs" / "link").symlink_to("/etc/passwd")
        answer = client.get("/api/backup")
        assert answer.headers["content-type"] == "application/zip"
        assert "attachment" in answer.headers["content-disposition"]
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        assert archive.testzip() is None
        folders = {name.partition("/")[0] for name in archive.namelist()}
        assert {"outputs", "conversations", "ledger.sqlite", "studio.sqlite"} <= folders
        assert not {"server", "keys", "cache", "uploads", "index.sqlite"} & folders
        assert "outputs/link" not in archive.namelist()
        archive.extractall(tmp_path / "copy")
    with open_studio(folder=tmp_path / "copy") as (_, client):
        found = client.get("/api/outputs").json()["data"]
        assert [row["id"] for row in found if row["prompt"] == "a boat"] == [output]
        assert client.get(f"/api/outputs/{output}").json()["rating"]["up"] is True
        assert client.get(f"/api/conversations/{conversation}").json()["title"] == "Boats"


def test_ratings_leave_as_pairs_and_single_outputs(open_studio: Open) -> None:
    with open_studio() as (studio, client):
        outputs = studio.run(client, "generate", model="icons", prompt="a boat", n=2)["outputs"]
        client.post(f"/api/outputs/{outputs[0]}/prefer", json={"over": outputs[1]})
        pairs = [json.loads(line) for line in client.get("/api/teach/icons/ratings").text.splitlines()]
        assert [pair["prompt"] for pair in pairs] == ["a boat"]
        single = [json.loads(line) for line in client.get("/api/teach/icons/ratings?format=kto").text.splitlines()]
        assert sorted(row["label"] for row in single) == [False, True]


def test_nobody_else_gets_what_belongs_to_all(open_studio: Open) -> None:
    with open_studio() as (studio, _):
        for path in ("/api/backup", "/api/teach/icons/ratings"):
            refused = studio.sign_in("bea").get(path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "studio.local_only")
