"""A job: read, written, overridden, and refused in words that help."""

from pathlib import Path
from types import ModuleType

import pytest

from genloom.settings import apply_overrides
from genloom.store.workspace import Workspace
from genloom.train.job import Job, read_job

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


def changed(**changes: str) -> Job:
    return Job.from_tables(apply_overrides(TABLES, {key.replace("__", "."): value for key, value in changes.items()}))


def test_a_job_comes_back_from_its_file(tmp_path: Path) -> None:
    job = changed(plan__average="0.99", plan__precision="bfloat16")
    job.save(tmp_path / "job.toml")
    assert read_job(tmp_path / "job.toml") == job
    assert job.plan.optimizer.betas == (0.8, 0.95)
    assert job.plan.ema_decay == 0.99


def test_settings_change_what_they_name_and_nothing_else() -> None:
    job = changed(network__base__width="384", plan__rates__matrix="1e-3", plan__steps="7", network__base__depth="2")
    assert job.design.network_settings == {"base": {"width": 384, "heads": 2, "depth": 2}}
    assert (job.plan.optimizer.lr_matrix, job.plan.optimizer.betas, job.plan.steps) == (0.001, (0.8, 0.95), 7)
    assert TABLES["network"] == {"name": "ngram", "base": {"width": 16, "heads": 2}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lenght": "3"}, "Unknown setting lenght. Did you mean 'length'? A job has: name, data,"),
        ({"plan__cooldwon": "1"}, "Unknown setting plan.decya. Did you mean 'decay'? plan has: steps,"),
        ({"plan__optimizer__lr_matrx": "1"}, "Unknown setting plan.rates.matrx. Did you mean 'matrix'?"),
        ({"context_length": "abc"}, "context_length must be a whole number from 2 on, got 'abc'."),
        ({"context_length": "1"}, "context_length must be a whole number from 2 on, got 1."),
        ({"batch_size": "0"}, "batch_size must be a whole number from 1 on, got 0."),
        ({"rows__x": "0"}, "rows.x cannot be set: rows is a value, 4, no table."),
        ({"network": "transformer"}, "'transformer' is none. Write --set network.name=transformer; there is conv"),
        ({"codec__name": "3"}, "A job must say which codec it takes"),
        ({"plan": "fast"}, "plan must be a table of settings, got 'fast'."),
        ({"name": "7"}, "A job must set name"),
        ({"plan__steps": "many"}, "plan.steps: Input should be a valid integer"),
        ({"plan__steps": "0"}, "plan.steps must be 1 or more, got 0."),
        ({"plan__decay": "1.5"}, "plan.cooldown must be a share from 0 to 1, got 1.5."),
        ({"plan__average": "1"}, "plan.ema_decay must be 0 (no averages) or more, below 1"),
        ({"plan__pieces": "0"}, "plan.grad_accum_steps must be 1 or more"),
        ({"plan__rates__betas": "[0.9]"}, "plan.optimizer.betas"),
    ],
)
def test_a_wrong_setting_is_refused_in_words_that_help(changes: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        changed(**changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("content", ["name = ", "\xff", 'name = "x"\nrows = 4\n', "plan = 3\n"])
def test_a_damaged_job_is_named_with_its_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.toml").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"job\.toml: this job cannot be used: "):
        read_job(tmp_path / "job.toml")
    with pytest.raises(ValueError, match=r"missing\.toml: this job cannot be used: "):
        read_job(tmp_path / "missing.toml")


def test_a_stored_job_names_every_setting(worlds: ModuleType, tmp_path: Path) -> None:
    """A later Genloom may have other defaults: what a model was trained with stands in its own job."""
    from genloom.train.events import RunResult
    from genloom.train.run import TrainRequest, train_model

    workspace = Workspace(tmp_path)
    worlds.dataset(workspace)
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
