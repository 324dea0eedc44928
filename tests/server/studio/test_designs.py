"""Designs over HTTP: goals are read and drawn, wrong ones refused with the entry, and files belong to who asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genloom.api.workspace import Workspace
from genloom.errors import GenloomError
from genloom.server.design import list_design_files
from genloom.server.jobs.design import make_designs
from genloom.server.worker.design import list_design_examples, read_design_goals

Open = Callable[..., Any]
GOALS = """
title = "Small"
domain = {size = ["40 mm", "20 mm"], resolution = 16, thickness = "5 mm"}
material = {preset = "steel"}
goal = {volume = 0.5}
support = [{at = "left"}]
load = [{point = ["40 mm", "10 mm"], force = ["0 N", "-50 N"]}]
"""


class Reporter:
    """Keeps what a job reports."""

    def __init__(self) -> None:
        import threading

        self.cancelled, self.reports = threading.Event(), list[dict[str, Any]]()

    def progress(self, **values: Any) -> None:
        self.reports.append(values)

    def note(self, text: str) -> None:
        self.reports.append({"note": text})


def test_goals_come_from_a_document_words_or_an_example(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    examples = list_design_examples(workspace)
    assert {"name": "cantilever", "title": "Cantilever"} in examples
    for given in ({"document": GOALS}, {"words": "a light bridge held at both ends"}, {"example": "shelf"}):
        read = read_design_goals(workspace, **{"document": "", "words": "", "example": ""} | given)
        assert read["picture"].startswith("data:image/png;base64,")
        again = read_design_goals(workspace, document=read["document"], words="", example="")
        assert (again["size"], again["elements"]) == (read["size"], read["elements"])
        assert bool(read["understood"]) is ("words" in given)
    with pytest.raises(GenloomError) as caught:
        read_design_goals(workspace, document="", words="a light elephant", example="")
    assert caught.value.code.startswith("design.")


def test_a_job_writes_the_files_of_each_design(tmp_path: Path) -> None:
    workspace, reporter = Workspace(tmp_path), Reporter()
    params = {"goals": GOALS, "count": 2, "model": "none", "seed": 1, "refine": None, "guide": None}
    result = make_designs(workspace, {"id": "j1", "params": params}, reporter)  # ty: ignore[invalid-argument-type]
    assert (result["title"], [each["name"] for each in result["designs"]]) == ("Small", ["design-1", "design-2"])
    folder = tmp_path / "designs" / "j1"
    assert {path.name.removesuffix(".c2pa") for path in folder.iterdir()} == set(list_design_files(result))
    assert {"design-1.stl", "design-2.dxf", "report.html"} <= set(list_design_files(result))
    assert result["designs"][0]["facts"]["mass, g"] > 0
    assert any(each.get("share") for each in reporter.reports)


@pytest.mark.parametrize(
    ("goals", "code"),
    [
        ("", "design.empty_document"),
        ("title = ", "design.no_toml"),
        (GOALS.replace('"40 mm", "20 mm"', "40, 20"), "design."),
        (GOALS.replace("steel", "cheese"), "design."),
        (GOALS.replace("resolution = 16", "resolution = 100000"), "design."),
        ("a = " + "[" * 5000, "design.no_toml"),
    ],
)
def test_goals_that_cannot_be_read_are_refused_before_they_are_queued(open_shared: Open, goals: str, code: str) -> None:
    with open_shared() as (_, client):
        answer = client.post("/api/jobs", json={"kind": "design", "params": {"goals": goals}})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"].startswith(code)


def test_files_of_designs_belong_to_who_asked(open_studio: Open) -> None:
    with open_studio() as (studio, _):
        anna, ben = studio.sign_in("anna"), studio.sign_in("ben")
        lane: Any = "none"  # nothing runs it meanwhile
        store = studio.guard.app.state.jobs.store
        job = store.add("design", lane, "anna", "Design parts", {"goals": GOALS}).id
        folder = studio.workspace.folder / "designs" / job
        folder.mkdir(parents=True)
        for name in ("design-1.png", "report.html", "sheet.png", "secret.txt"):
            (folder / name).write_bytes(b"content")
        designs = [{"name": "design-1", "files": ["design-1.png"], "facts": {}, "faults": [], "distance": None}]
        store.end(job, "succeeded", result={"title": "Small", "designs": designs})
        address = f"/api/designs/{job}/files"
        assert anna.get(f"{address}/design-1.png").content == b"content"
        report = anna.get(f"{address}/report.html")
        assert report.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        for name in ("secret.txt", "..%2f..%2fjobs.sqlite", "design-2.png"):
            assert anna.get(f"{address}/{name}").status_code == 404
        assert ben.get(f"{address}/design-1.png").status_code == 404
        assert ben.delete(f"/api/designs/{job}").status_code == 404
        assert anna.delete(f"/api/designs/{job}").json()["result"]["designs"][0]["files"] == []
        assert not folder.exists()
        assert anna.get(f"{address}/design-1.png").status_code == 404
