"""Cards are filled from the lineage, and conflicts of licences are told."""

import ast
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import genloom as gl
from genloom.errors import GenloomError
from genloom.store.licences import describe_licence, find_conflicts, to_spdx

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ws(tmp_path: Path) -> gl.Workspace:
    return gl.Workspace(tmp_path / "home")


def store_data(ws: gl.Workspace, worlds: ModuleType, licences: list[str], name: str = "tales") -> gl.Workspace:
    count = len(licences)
    columns = {
        "id": [f"{n:064x}" for n in range(count)],
        "text": [str(n) for n in range(count)],
        "source": [f"tales/{n}.txt" for n in range(count)],
        "licence": licences,
        "split": ["train"] * count,
        "bytes": [1] * count,
    }
    worlds.store_columns(ws.store, name, columns)
    return ws


def store_model(ws: gl.Workspace, name: str, **card: Any) -> gl.Model:
    staged = ws.store.create_model(name)
    with staged as folder:
        (folder / "weights.safetensors").write_bytes(name.encode())
        (folder / "card.json").write_text(json.dumps(card))
    return ws.model(staged.result.ref)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("unknown", "NOASSERTION"),
        ("", "NOASSERTION"),
        ("my own", "LicenseRef-my-own"),
        ("public domain", "LicenseRef-public-domain"),
    ],
)
def test_licences_have_spdx_identifiers(licence: str, expected: str) -> None:
    assert to_spdx(licence) == expected
    assert to_spdx(to_spdx(licence)) == expected


@pytest.mark.parametrize(
    ("licences", "kinds"),
    [
        (["MIT", "Apache-2.0", "CC0-1.0"], []),
        (["CC-BY-SA-4.0"], []),
        (["CC-BY-SA-4.0", "CC0-1.0"], []),
        (["CC-BY-SA-4.0", "MIT"], ["share_alike"]),
        (["CC-BY-SA-4.0", "GPL-3.0"], ["share_alike"]),
        (["CC-BY-NC-4.0", "MIT"], ["non_commercial"]),
        (["CC-BY-NC-ND-4.0"], ["non_commercial", "no_derivatives"]),
        (["CC-BY-NC-SA-4.0", "CC-BY-SA-4.0"], ["share_alike", "non_commercial"]),
        (["unknown", "MIT"], ["unknown"]),
        (["CC-BY-SA-4.0", "unknown"], ["unknown"]),
    ],
)
def test_conflicts_of_licences_are_told(licences: list[str], kinds: list[str]) -> None:
    found = find_conflicts(licences)
    assert [conflict.kind for conflict in found] == kinds
    for conflict in found:
        assert all(name in str(conflict) for name in conflict.licences if name != "NOASSERTION")


def test_a_model_card_tells_the_licences_of_the_whole_line(ws: gl.Workspace, worlds: ModuleType) -> None:
    data = store_data(ws, worlds, ["CC-BY-SA-4.0", "MIT", "MIT"]).dataset("tales")
    source = {"name": "small", "licence": "apache-2.0", "format": "huggingface", "repository": "someone/small"}
    base = store_model(ws, "small", source=source)
    tuned = store_model(
        ws,
        "tales",
        data={"name": "tales", "digest": data.digest},
        parents=[{"ref": base.ref, "digest": base.digest}],
        fact={"held_out_loss": 1.25, "steps": 3},
    )
    card = ws.card(tuned)
    content = card.to_json()
    assert content["licences"] == {"MIT": 2, "CC-BY-SA-4.0": 1, "apache-2.0": 1}
    assert content["spdx"] == ["Apache-2.0", "CC-BY-SA-4.0", "MIT"]
    assert [conflict["kind"] for conflict in content["conflicts"]] == ["share_alike"]
    metadata = content["metadata"]
    assert (metadata["license"], metadata["license_name"]) == ("other", "Apache-2.0 AND CC-BY-SA-4.0 AND MIT")
    assert (metadata["base_model"], metadata["datasets"]) == ("someone/small", ["tales"])
    assert metadata["metrics"] == ["held_out_loss"]
    markdown = card.render("md")
    front_matter = dict(line.split(": ", 1) for line in markdown.split("---\n")[1].splitlines())
    assert {key: json.loads(value) for key, value in front_matter.items()} == metadata
    assert "CC-BY-SA-4.0" in card.render("html")
    assert json.loads(card.render("json"))["model"] == tuned.ref
    assert ws.card("tales").to_json()["model"] == tuned.ref
    assert "data" in ws.card("tales", kind="data").to_json()


def test_a_base_that_is_gone_leaves_a_licence_unknown(ws: gl.Workspace) -> None:
    tuned = store_model(ws, "tuned", parents=[{"ref": "gone/1", "digest": "0" * 64}])
    assert [conflict["kind"] for conflict in ws.card(tuned).to_json()["conflicts"]] == ["unknown"]


def test_a_data_card_has_sources_splits_and_the_hubs_licence(ws: gl.Workspace, worlds: ModuleType) -> None:
    data = store_data(ws, worlds, ["MIT", "MIT"]).dataset("tales")
    content = ws.card(data).to_json()
    assert content["metadata"]["license"] == "mit"
    assert content["splits"] == {"train": 2, "val": 0, "test": 0}
    assert sum(source["documents"] for source in content["sources"]) == 2
    assert content["conflicts"] == []


def test_what_comes_from_outside_is_no_markup(ws: gl.Workspace, worlds: ModuleType) -> None:
    evil = "<script>x</script>|[a](http://b)"
    data = store_data(ws, worlds, [evil]).dataset("tales")
    card = ws.card(data)
    assert "<script" not in card.render("html")
    assert "\\<script\\>" in card.render("md").split("---\n", 2)[2]
    assert "[a](" not in card.render("md").split("---\n", 2)[2]


def test_croissant_names_every_part_with_its_digest(ws: gl.Workspace, worlds: ModuleType) -> None:
    data = store_data(ws, worlds, ["MIT", "my own"]).dataset("tales")
    content = ws.card(data).to_croissant()
    parts = {part["name"]: part["sha256"] for part in content["distribution"] if part["@type"] == "cr:FileObject"}
    assert parts == {name: entry["sha256"] for name, entry in data.stored.manifest["files"].items()}
    assert content["license"] == ["LicenseRef-my-own", "https://spdx.org/licenses/MIT"]
    fields = {field["name"]: field["dataType"] for field in content["recordSet"][0]["field"]}
    assert fields == {
        **dict.fromkeys(("id", "text", "source", "licence", "split"), "sc:Text"),
        "bytes": "sc:Integer",
    }
    model = store_model(ws, "other")
    with pytest.raises(GenloomError) as raised:
        ws.card(model).render("croissant")
    assert raised.value.code == "trust.croissant_of_model"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib and etils, which mlcroissant calls
def test_croissant_is_valid(ws: gl.Workspace, worlds: ModuleType, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant, which judges Croissant, is not installed")
    store_data(ws, worlds, ["MIT", "unknown"])
    path = ws.card("tales").save(tmp_path / "croissant.json", "croissant")
    dataset = mlcroissant.Dataset(jsonld=str(path))
    assert not dataset.metadata.ctx.issues.errors
    assert [record_set.id for record_set in dataset.metadata.record_sets] == ["documents"]


def test_each_control_in_the_documentation_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    named = re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", page)
    assert len(named) > 5
    for path, name in named:
        functions = {
            node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, f"{path}::{name}"


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["Apache-2.0"], {"license": "apache-2.0"}),
        (["GPL-3.0-only"], {"license": "gpl-3.0"}),
        (["LGPL-3.0-or-later"], {"license": "lgpl-3.0"}),
        (["ODbL-1.0"], {"license": "odbl"}),
        (["unknown"], {"license": "unknown"}),
        (["0BSD"], {"license": "other", "license_name": "0BSD"}),
        (["CC-BY-SA-2.0"], {"license": "other", "license_name": "CC-BY-SA-2.0"}),
        (["MIT", "Apache-2.0"], {"license": "other", "license_name": "Apache-2.0 AND MIT"}),
    ],
)
def test_front_matter_has_the_identifiers_of_the_hub(licences: list[str], expected: dict[str, str]) -> None:
    """The hub refuses a card with another identifier; for other licences it has `license_name`."""
    assert describe_licence(licences) == expected
