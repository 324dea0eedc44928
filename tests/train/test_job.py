"""A job: read, written and overridden; wrong settings are errors that name them."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genloom.settings import apply_overrides
from genloom.store.workspace import Workspace
from genloom.train.job import Job, read_job
from tests.errors import raises_code

TABLES = {
    "name": "notes",
    "data": "Grüße",
    "digest": "0" * 64,
    "batch_size": 4,
    "context_length": 32,
    "codec": {"name": "bytes"},
    "objective": {"name": "autoregressive"},
    "network": {"name": "ngram", "base": {"width": 16, "heads": 2}},
    "plan": {"steps": 9, "optimizer": {"betas": [0.8, 0.95]}},
    "estimate": {"bits_per_byte": 1.5, "steps": 9},
}


def override(**changes: str) -> Job:
    return Job.from_tables(apply_overrides(TABLES, {key.replace("__", "."): value for key, value in changes.items()}))


def test_a_job_survives_a_round_trip_to_disk(tmp_path: Path) -> None:
    job = override(plan__ema_decay="0.99", plan__precision="bfloat16")
    job.save(tmp_path / "job.toml")
    assert read_job(tmp_path / "job.toml") == job
    assert job.plan.optimizer.betas == (0.8, 0.95)
    assert job.plan.ema_decay == 0.99


def test_a_bound_may_be_infinite_as_the_command_line_and_recipes_write_it() -> None:
    assert override(forgetting="inf").forgetting == math.inf
    assert override(forgetting="0.5").forgetting == 0.5


def test_overrides_change_only_what_they_name() -> None:
    job = override(
        network__base__width="384", plan__optimizer__lr_matrix="1e-3", plan__steps="7", network__base__depth="2"
    )
    assert job.design.network_settings == {"base": {"width": 384, "heads": 2, "depth": 2}}
    assert (job.plan.optimizer.lr_matrix, job.plan.optimizer.betas, job.plan.steps) == (0.001, (0.8, 0.95), 7)
    assert TABLES["network"] == {"name": "ngram", "base": {"width": 16, "heads": 2}}


def test_a_job_with_old_names_is_the_same_job() -> None:
    """Earlier versions wrote other names; mixed with present ones, they are unknown settings."""
    old_tables: dict[str, Any] = {
        key: value for key, value in TABLES.items() if key not in ("batch_size", "context_length", "estimate")
    }
    old_tables |= {"rows": 4, "length": 32, "contract": TABLES["estimate"]}
    old_tables["plan"] = {"steps": 9, "average": 0.5, "pieces": 2, "rates": {"betas": [0.8, 0.95], "matrix": 0.5}}
    old_tables["learning"] = {"method": "dpo", "anchor": 0.2}
    plan: dict[str, Any] = {"steps": 9, "ema_decay": 0.5, "grad_accum_steps": 2}
    plan["optimizer"] = {"betas": [0.8, 0.95], "lr_matrix": 0.5}
    job = Job.from_tables(old_tables)
    assert job == Job.from_tables({**TABLES, "plan": plan, "learning": {"method": "dpo", "rpo_alpha": 0.2}})
    with raises_code("train.unknown_setting", key="rows"):
        Job.from_tables({**TABLES, "rows": 4})


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"contxt_length": "3"}, "train.unknown_setting", {"hint": " Did you mean 'context_length'?"}),
        ({"name": "7"}, "train.missing_setting", {"key": "name"}),
        ({"plan": "fast"}, "train.not_a_table", {"key": "plan", "value": "fast"}),
        ({"plan__steps": "0"}, "train.bad_plan", {"name": "steps", "value": 0}),
        ({"plan__cooldown": "1.5"}, "train.bad_plan", {"name": "cooldown", "value": 1.5}),
        ({"plan__ema_decay": "1"}, "train.bad_plan", {"name": "ema_decay"}),
        ({"plan__optimizer__lr_matrix": "-1"}, "train.bad_plan", {"name": "optimizer.lr_matrix", "value": -1}),
        ({"plan__optimizer__lr_adapter": "-1e-9"}, "train.bad_plan", {"name": "optimizer.lr_adapter"}),
        ({"plan__optimizer__weight_decay": "-1"}, "train.bad_plan", {"name": "optimizer.weight_decay"}),
        ({"plan__optimizer__momentum": "1"}, "train.bad_plan", {"name": "optimizer.momentum"}),
        ({"plan__optimizer__betas": "[0.9, 1.5]"}, "train.bad_plan", {"name": "optimizer.betas"}),
        ({"plan__grad_accum_steps": "0"}, "train.bad_plan", {"name": "grad_accum_steps"}),
        ({"cond_dropout": "1"}, "train.bad_cond_dropout", {"value": 1}),
    ],
)
def test_a_wrong_setting_is_an_error(changes: dict[str, str], code: str, fields: dict[str, Any]) -> None:
    with raises_code(code, **fields):
        override(**changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"plan__cooldwon": "1"}, ["plan.cooldwon", "'cooldown'"]),
        ({"plan__optimizer__lr_matrx": "1"}, ["plan.optimizer.lr_matrx", "'lr_matrix'"]),
        ({"context_length": "abc"}, ["context_length", "'abc'"]),
        ({"context_length": "1"}, ["context_length", "2"]),
        ({"batch_size": "0"}, ["batch_size", "1"]),
        ({"batch_size__x": "0"}, ["batch_size.x"]),
        ({"network": "transformer"}, ['overrides={"network.name": "transformer"}']),
        ({"codec__name": "3"}, ["codec"]),
        ({"plan__steps": "many"}, ["plan.steps", "'many'"]),
        ({"plan__optimizer__betas": "[0.9]"}, ["plan.optimizer.betas"]),
    ],
)
def test_a_wrong_setting_of_a_part_is_named(changes: dict[str, str], names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        override(**changes)
    assert all(name in str(caught.value) for name in names), caught.value


@pytest.mark.parametrize("content", ["name = ", "\xff", 'name = "x"\nbatch_size = 4\n', "plan = 3\n"])
def test_an_unreadable_job_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.toml").write_bytes(content.encode("latin-1"))
    with raises_code("train.bad_job_file", path=tmp_path / "job.toml"):
        read_job(tmp_path / "job.toml")
    with raises_code("train.bad_job_file", path=tmp_path / "missing.toml"):
        read_job(tmp_path / "missing.toml")


def test_a_stored_job_names_every_setting(worlds: ModuleType, tmp_path: Path) -> None:
    """Defaults may change between versions, so a stored job repeats them."""
    from genloom.train.events import RunResult
    from genloom.train.run import TrainRequest, train_model

    workspace = Workspace(tmp_path)
    worlds.create_dataset(workspace)
    sizes = {f"network.base.{name}": value for name, value in {"width": "16", "depth": "1", "heads": "2"}.items()}
    overrides = {**sizes, "context_length": "32", "batch_size": "4", "plan.precision": "float32"}
    *_, last = train_model(workspace, TrainRequest("tales", steps=2, overrides=overrides))
    assert isinstance(last, RunResult)
    job = read_job(workspace.get_model(last.ref).folder / "job.toml")
    from genloom.networks.ngram import Config

    assert job.design.network == "ngram"
    assert job.design.network_settings.keys() == set(Config.__dataclass_fields__)
    assert job.design.network_settings["base"]["norm_eps"] == 1e-5
    assert job.design.objective_settings == {"z_loss": 0.0}
    assert job == read_job(workspace.get_run(last.run).folder / "job.toml")
