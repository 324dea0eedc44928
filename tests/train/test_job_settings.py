"""The settings that `--set` takes are listed with their defaults, and are those that jobs have."""

import json

import pytest

from genloom import plugins
from genloom.cli import run
from genloom.model import Design, check_design
from genloom.settings import check_keys
from genloom.train.job_settings import PREFIXES, list_settings
from genloom.train.loop import TrainConfig
from tests.errors import raises_code


def test_every_part_and_the_plan_are_listed() -> None:
    groups = list_settings()
    assert groups["plan"]["plan.optimizer.lr_adapter"] == 5e-4
    assert groups["network transformer"]["network.width"] > 0
    for path in groups["plan"]:
        check_keys(TrainConfig, {path.split(".")[1]: 0}, "plan")  # raises for a path that no job has
    for kind, prefix in {**PREFIXES, "objective": "objective"}.items():
        for name in plugins.list_part_names(kind):
            assert all(path.startswith(f"{prefix}.") for path in groups[f"{kind.replace('_', ' ')} {name}"])
    assert groups["objective variational"]["objective.beta"] == 1
    assert not {"objective.space", "objective.condition"} & groups["objective variational"].keys()
    assert groups["conditioner columns"]["conditions.NAME.column"] == ""


@pytest.mark.parametrize("name", ["space", "condition"])
def test_what_an_objective_is_given_is_no_setting(name: str) -> None:
    with raises_code("core.unknown_setting", key=name) as error:
        check_design(Design("bytes", "autoregressive", "dense", objective_settings={name: 1}))
    assert "space" not in error.value.fields["known"]


def test_a_user_finds_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    assert "parts --settings" in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert run(["parts", "--settings", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["job"]["forgetting"] == "inf"
    assert run(["parts", "--settings"]) == 0
    assert "plan.warmup" in capsys.readouterr().out
