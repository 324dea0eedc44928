"""The trace: the whole line of an output is found, and what is gone or changed is named as such."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import genloom as gl
from genloom.errors import GenloomError
from genloom.media import image
from genloom.store.dataset import Dataset


def store_model(ws: gl.Workspace, name: str, data: Dataset | None, weights: bytes = b"1", **card: Any) -> gl.Model:
    """Save a version of a model that nobody loads."""
    staged = ws.store.create_model(name)
    with staged as folder:
        (folder / "weights.safetensors").write_bytes(weights)
        entry = {} if data is None else {"data": {"name": data.name, "digest": data.digest, **LICENCES}}
        (folder / "card.json").write_text(json.dumps({**entry, **card}))
    return ws.model(staged.result.ref)


LICENCES = {"licences": {"CC0-1.0": 60}}


def store_text(ws: gl.Workspace, text: str, model: gl.Model, **more: Any) -> gl.Output:
    record = {"model": model.ref, "model_digest": model.digest, "medium": "text", "prompt": "Tell me", "written": text}
    return ws.output(ws.store.save_output(text, ".txt", {**record, **more}))


@pytest.fixture
def ws(tmp_path: Path, worlds: ModuleType) -> gl.Workspace:
    """A workspace with data, a model, a version that learned from ratings of its outputs, and an output of that."""
    ws = gl.Workspace(tmp_path / "home", rater="zoe")
    data = worlds.create_dataset(ws.store)
    first = store_model(ws, "tales", data, run="2026-01-01-abcdef", fact={"steps": 7, "seconds": 3.0}, parameters=10)
    rated = store_text(ws, "a", first).rate(up=True)
    second = store_model(ws, "tales", None, b"2", parents=[{"ref": first.ref, "digest": first.digest}])
    body = {"model": "tales", "champion": first.ref, "challenger": second.ref, "digest": "", "receipt": "", "run": ""}
    ws.ledger.append("round", {**body, "promote": True, "used": [rated.id]})
    store_text(ws, "b", second)
    return ws


def list_nodes(trace: Any, kind: str) -> list[dict[str, Any]]:
    return [node for node in trace.to_json()["nodes"] if node["kind"] == kind]


def test_the_line_of_an_output_leads_to_documents_with_licences(ws: gl.Workspace) -> None:
    trace = ws.trace("last")
    assert trace.is_intact
    assert list_nodes(trace, "prompt")[0]["facts"]["prompt"] == "Tell me"
    assert [node["name"] for node in list_nodes(trace, "model")] == ["tales/2", "tales/1"]
    (documents,) = list_nodes(trace, "documents")
    assert documents["facts"] == {"source": "tales", "licence": "CC0-1.0", "documents": 60}
    (run,) = list_nodes(trace, "run")
    assert (run["state"], run["facts"]["fact"]["steps"]) == ("missing", 7)
    (ratings,) = list_nodes(trace, "ratings")
    assert (ratings["facts"]["raters"], len(ratings["facts"]["outputs"])) == (["zoe"], 1)
    relations = {edge["relation"] for edge in trace.to_json()["edges"]}
    line = {"prompted_by", "generated_by", "fine_tuned_from", "learned_from", "trained_in", "trained_on", "made_of"}
    assert relations == line


def test_the_graph_is_connected_and_names_only_its_nodes(ws: gl.Workspace) -> None:
    for thing, forward in (("last", False), ("tales@", False), ("tales", True), ("tales@", True)):
        content = ws.trace(thing, forward=forward).to_json()
        ids, reached = {node["id"] for node in content["nodes"]}, {content["root"]}
        edges = [(edge["derived"], edge["origin"]) for edge in content["edges"]]
        assert {id for edge in edges for id in edge} <= ids
        for _ in ids:
            reached |= {(b if forward is False else a) for a, b in edges if (a if forward is False else b) in reached}
        assert reached == ids


def test_what_was_made_from_a_document_is_found_forward(ws: gl.Workspace, tmp_path: Path) -> None:
    document = next(ws.dataset("tales").documents())
    path = tmp_path / "found.txt"
    path.write_text(document.value)
    for thing in (document.meta["id"], document.meta["id"][:16], path):
        trace = ws.trace(thing, forward=True)
        assert {node["name"] for node in list_nodes(trace, "model")} == {"tales/1", "tales/2"}
        assert len(list_nodes(trace, "output")) == 2
        assert len(list_nodes(trace, "ratings")) == 1
    (node,) = list_nodes(ws.trace(path), "document")
    assert node["facts"]["source"] == document.source
    assert node["facts"]["licence"] == "CC0-1.0"


def test_a_file_is_found_among_outputs_by_its_content(ws: gl.Workspace, tmp_path: Path) -> None:
    path = tmp_path / "renamed.bin"
    path.write_bytes(ws.output("last").path.read_bytes())
    (output,) = list_nodes(ws.trace(path), "output")
    assert output["name"] == ws.output("last").id
    path.write_bytes(b"something else")
    with pytest.raises(GenloomError) as raised:
        ws.trace(path)
    assert raised.value.code == "trust.file_not_known"
    with pytest.raises(GenloomError) as raised:
        ws.trace("nothing")
    assert raised.value.code == "trust.nothing_to_trace"


def test_a_signed_file_leads_to_the_output_that_its_signature_names(ws: gl.Workspace, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    record = {"model": "tales/2", "medium": "image", "prompt": "a fox"}
    outputs = [ws.output(ws.store.save_output(image.encode(pixels + n), ".png", record)) for n in (0, 1)]
    path = outputs[0].save(tmp_path / "picture.png")
    for forward in (False, True):
        (node,) = list_nodes(ws.trace(path, forward=forward), "output")
        assert node["name"] == outputs[0].id
    sheet = gl.Outputs(outputs).save_sheet(tmp_path / "sheet.png")
    trace = ws.trace(sheet)
    assert {node["name"] for node in list_nodes(trace, "output")} == {output.id for output in outputs}
    assert {edge["relation"] for edge in trace.to_json()["edges"] if edge["derived"] == "file"} == {"made_of"}
    data = bytearray(path.read_bytes())
    data[-20] ^= 1  # in the content
    path.write_bytes(data)
    with pytest.raises(GenloomError) as raised:
        ws.trace(path)
    assert raised.value.code == "trust.file_not_known"


def test_an_edit_leads_to_its_source_and_back(ws: gl.Workspace) -> None:
    source = ws.output("last")
    digest = ws.store.save_original(source.path.read_bytes(), ".txt")
    edit = store_text(ws, "c", ws.model("tales/2"), request={"edit": {"source_file": digest}})
    names = [node["name"] for node in list_nodes(ws.trace(edit), "output")]
    assert names == [edit.id, source.id]
    assert edit.id in {node["name"] for node in list_nodes(ws.trace(source, forward=True), "output")}
    (path,) = (ws.folder / "outputs" / "originals").iterdir()
    path.write_bytes(b"changed")
    assert list_nodes(ws.trace(edit), "source")[0]["state"] == "changed"


def test_what_is_removed_or_missing_is_named(ws: gl.Workspace) -> None:
    ws.remove("data", "tales", force=True)
    trace = ws.trace("last")
    (data,) = list_nodes(trace, "data")
    assert data["state"] == "removed"
    assert "restore" in data["problem"]
    assert list_nodes(trace, "documents")[0]["facts"]["licence"] == "CC0-1.0", "the card still knows the licences"
    assert trace.is_intact
    ws.empty_bin()
    assert list_nodes(ws.trace("last"), "data")[0]["state"] == "missing"


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        ("models/tales/1/weights.safetensors", "model"),
        ("data/tales/*/part-00000.parquet", "data"),
        ("outputs/*/*.txt", "output"),
        ("outputs/*/20*.json", "output"),
    ],
)
def test_what_was_changed_is_marked(ws: gl.Workspace, pattern: str, kind: str) -> None:
    id = ws.output("last").id
    path = sorted(ws.folder.glob(pattern))[-1]
    data = path.read_bytes()
    if path.suffix == ".json":
        path.write_bytes(data.replace(b"Tell me", b"Tell it"))
    else:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    trace = ws.trace(id)
    assert not trace.is_intact
    changed = [node for node in trace.to_json()["nodes"] if node["state"] == "changed"]
    assert [node["kind"] for node in changed] == [kind]
    assert changed[0]["problem"]
    assert "CHANGED" in str(trace)


def test_a_replaced_model_is_not_taken_for_the_one_that_generated(ws: gl.Workspace) -> None:
    output = store_text(ws, "d", ws.model("tales/2"), model_digest="0" * 64)
    (model,) = list_nodes(ws.trace(output), "model")
    assert model["state"] == "changed"


def test_a_model_that_is_built_in_or_imported_ends_in_its_card(ws: gl.Workspace) -> None:
    source = {"name": "small", "licence": "apache-2.0", "format": "huggingface", "repository": "someone/small"}
    store_model(ws, "small", None, source=source)
    (origin,) = list_nodes(ws.trace("small"), "origin")
    assert (origin["name"], origin["facts"]["licence"]) == ("small", "apache-2.0")
    licences = {node["facts"]["licence"] for node in list_nodes(ws.trace("icons", quick=True), "documents")}
    assert licences == {"MIT", "Apache-2.0", "CC-BY-4.0"}


def test_many_sources_are_summarised(ws: gl.Workspace, worlds: ModuleType) -> None:
    count = 200
    worlds.store_columns(
        ws.store,
        "many",
        {
            "id": [f"{n:064x}" for n in range(count)],
            "text": [str(n) for n in range(count)],
            "source": [f"home/{n % 40}/{n}.txt" for n in range(count)],
            "licence": [("CC0-1.0", "MIT")[n % 2] for n in range(count)],
            "split": ["train"] * count,
            "bytes": [1] * count,
        },
    )
    trace = ws.trace("many")
    groups = [node["facts"] for node in list_nodes(trace, "documents")]
    assert sorted((g["source"], g["licence"], g["documents"]) for g in groups) == [
        ("home", "CC0-1.0", 100),
        ("home", "MIT", 100),
    ]


def test_the_page_is_whole_and_loads_nothing(ws: gl.Workspace, tmp_path: Path) -> None:
    output = store_text(ws, "e", ws.model("tales/2"), prompt='<script>alert("x")</script>')
    page = ws.trace(output).save(tmp_path / "trace.html").read_text()
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\(|@import""", page)
    anchors = set(re.findall(r'id="(n-[^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= anchors
    assert len(anchors) == len(ws.trace(output).graph.nodes)
    assert "iframe" in ws.trace(output)._repr_html_()
