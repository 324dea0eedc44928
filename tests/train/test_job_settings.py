"""The settings that `--set` takes are listed with their defaults, and are those that jobs have."""

import json

import pytest

from genloom import plugins
from genloom.cli import run
from genloom.settings import check_keys
from genloom.train.job_settings import KINDS, list_settings
from genloom.train.loop import TrainConfig


def test_every_part_and_the_plan_are_listed() -> None:
    groups = list_settings()
    assert groups["plan"]["plan.optimizer.lr_adapter"] == 5e-4
    assert groups["network transformer"]["network.width"] > 0
    for path in groups["plan"]:
        check_keys(TrainConfig, {path.split(".")[1]: 0}, "plan")  # raises for a path that no job has
    for kind in KINDS:
        for name in plugins.part_names(kind):
            if hasattr(plugins.find_part(kind, name), "Config"):
                assert all(path.startswith(f"{kind}.") for path in groups[f"{kind} {name}"])


def test_a_user_finds_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    assert "parts --settings" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert run(["parts", "--settings", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["job"]["forgetting"] == "inf"
    assert run(["parts", "--settings"]) == 0
    assert "plan.warmup" in capsys.readouterr().out
