"""`genloom card`: cards for people, hubs and catalogues."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from genloom.cli import run
from genloom.store.workspace import Workspace


def test_a_card_is_printed_or_written(
    tmp_path: Path, worlds: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENLOOM_HOME", str(tmp_path / "home"))
    worlds.create_dataset(Workspace(tmp_path / "home"))
    assert run(["card", "tales"]) == 0
    assert capsys.readouterr().out.startswith('---\nlicense: "cc0-1.0"\n')
    assert run(["card", "tales", "--to", "croissant", "--out", str(tmp_path / "c.json")]) == 0
    assert json.loads((tmp_path / "c.json").read_text())["@type"] == "sc:Dataset"
    assert run(["card", "icons", "--to", "html", "--out", str(tmp_path / "c.html")]) == 0
    assert "CC-BY-4.0" in (tmp_path / "c.html").read_text()
    capsys.readouterr()
    assert run(["card", "icons", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spdx"] == ["Apache-2.0", "CC-BY-4.0", "MIT", "NOASSERTION"]
    assert run(["card", "nothing-of-this-name"]) == 2
