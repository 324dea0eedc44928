"""`genloom parts` lists what models can be made of, without importing it."""

import json
import subprocess
import sys
from typing import get_args

import pytest

from genloom import plugins
from genloom.cli import run
from tests.errors import raises_code


def test_every_part_has_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["parts", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert set(parts) == set(get_args(plugins.PartKind))
    for kind, descriptions in parts.items():
        assert list(descriptions) == plugins.list_part_names(kind)
        assert all(descriptions.values()), f"a {kind} without a docstring"
    assert run(["parts", "editing"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "editing"
    assert len(lines) == 1 + len(parts["editing"])


def test_what_fits_together_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["parts", "--fits", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    networks = {(row["objective"], row["data"]): row["networks"].split(", ") for row in listed["fits"]}
    assert networks["masked", "tokens"] == ["bert", "transformer"]
    assert networks["masked", "grids of tokens"] == ["transformer"]
    assert "unet" in networks["flow", "images, volumes"]
    assert not {"flow", "variational"} & {objective for objective, data in networks if "tokens" in data}
    assert {"bpe": "tokens", "pixels": "signals"}.items() <= listed["codecs"].items()


def test_an_unknown_kind_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["parts", "netwrok"]) == 2
    assert "network" in capsys.readouterr().err


def test_listing_parts_imports_none_of_them() -> None:
    code = "import sys; from genloom.cli import run; run(['parts']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_a_medium_without_its_own_part_has_the_default() -> None:
    assert plugins.find_medium_part("editing", "image") is plugins.find_part("editing", "image")
    assert plugins.find_medium_part("editing", "video") is plugins.find_part("editing", "default")
    assert plugins.find_medium_part("safeguards", "video") is plugins.find_part("safeguards", "default")
    with raises_code("core.unknown_part", name="video"):
        plugins.find_part("editing", "video")
