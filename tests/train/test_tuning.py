"""A stored model goes on learning, by an adapter or whole, from text and conversations; killed, to the same bits."""

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from genloom.cli import run
from genloom.model import load_model
from genloom.model.likelihood import bits_per_byte, compute_nll
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train import finetune
from genloom.train.data import documents
from genloom.train.events import Event, RunEstimate, RunResult, RunWarning, StepMetrics
from genloom.train.job import Job
from genloom.train.loop import TrainConfig
from genloom.train.planning.auto_config import Budget
from genloom.train.run import TrainRequest, train_model
from tests.train.test_resume import killed, outcome

FEW = {"batch_size": "4", "pack_length": "48"}


@pytest.fixture
def workspace(worlds: ModuleType, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = worlds.home(tmp_path_factory.getbasetemp() / "home")
    for kind in ("models", "data"):
        shutil.copytree(home.root / kind, tmp_path / kind)
    return Workspace(tmp_path)


def talks(workspace: Workspace, count: int = 60) -> Dataset:
    """Short conversations, all answered alike."""
    asked = [f"Who saw bell {n}?" for n in range(count)]
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": f"Nobody: {q[8:-1]}."}] for q in asked]
    texts = [f"user: {t[0]['content']}\n\nassistant: {t[1]['content']}" for t in turns]
    columns = {
        "id": [f"{n:064x}" for n in range(count)],
        "text": texts,
        "source": [f"talks.jsonl:{n}" for n in range(count)],
        "licence": ["CC0-1.0"] * count,
        "split": [{0: "val", 1: "test"}.get(n % 6, "train") for n in range(count)],
        "language": ["en"] * count,
        "quality": [1.0] * count,
        "bytes": [len(text.encode()) for text in texts],
        "turns": [json.dumps(t) for t in turns],
    }
    making = workspace.create_dataset("talks")
    with making as folder:
        pq.write_table(pa.table(columns), folder / "part-00000.parquet")
        (folder / "manifest.json").write_text(json.dumps({"licences": {"CC0-1.0": count}}))
    return making.result


def tuned(workspace: Workspace, data: str = "talks", base: str = "tales", **more: Any) -> list[Event]:
    more = {"steps": 30, "overrides": FEW, **more}
    return list(train_model(workspace, TrainRequest(data, "answers", base, **more)))


def result(events: list[Event]) -> RunResult:
    assert isinstance(events[-1], RunResult)
    return events[-1]


def assembled(workspace: Workspace, data: Dataset, job: Job) -> tuple[Any, Any, Any]:
    """What a run of the job begins with."""
    base = finetune.load_finetuning_base(workspace, job)
    material = documents.PackedDocuments(
        base.codec, documents.encode_documents(workspace.create_run("again"), data, base), data
    )
    return finetune.initialize_finetuning(material, base, job)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_learns_to_answer_and_says_what_it_forgot(workspace: Workspace, method: str) -> None:
    talks(workspace)
    rates = {
        "plan.optimizer.lr_adapter": "0.01",
        "plan.optimizer.lr_matrix": "0.003",
        "plan.optimizer.lr_embedding": "0.003",
    }
    events = tuned(workspace, method=method, overrides={**FEW, **rates})
    [contract] = [event for event in events if isinstance(event, RunEstimate)]
    last = result(events)
    assert contract.loss_before is not None
    assert last.actual["bits_per_byte"] < 0.8 * contract.loss_before
    base, model = load_model(workspace, "tales"), load_model(workspace, last.ref)
    held = documents.load_held_out_documents(workspace.get_dataset("talks"), documents.PackedDocuments.final_eval_size)
    assert contract.loss_before == pytest.approx(bits_per_byte(compute_nll(base, held)), rel=1e-5)
    assert last.actual["bits_per_byte"] == pytest.approx(bits_per_byte(compute_nll(model, held)), rel=1e-5)
    general = bits_per_byte(compute_nll(base, [finetune.read_general_text()]))
    assert contract.general_loss_before == pytest.approx(general, rel=1e-5)
    assert last.actual["general_bits_per_byte"] != pytest.approx(general, rel=1e-4)
    card, total = workspace.get_model(last.ref).card, sum(p.numel() for p in base.parts.parameters())
    assert card["parents"] == [{"ref": "tales/1", "digest": workspace.get_model("tales").digest}]
    adapted = sum(p.numel() for p in model.parts.parameters()) - (total if method == "full" else 0)
    assert (contract.num_trained, contract.num_parameters) == (
        (adapted, total + adapted) if method == "lora" else (None, total)
    )
    assert card["parameters"] == contract.num_parameters
    assert workspace.get_model(last.ref).is_adapter == (method == "lora")


def test_of_conversations_the_answers_are_evaluated(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    talks(workspace)
    here = ["--workspace", str(workspace.root)]
    few = [word for name, value in FEW.items() for word in ("--set", f"{name}={value}")]
    assert run(["train", "talks", "--from", "tales", "--name", "answers", "--steps", "3", *few, *here]) == 0
    assert "Next: genloom chat answers" in capsys.readouterr().out
    assert run(["evaluate", "answers", "--samples", "1", "--max-tokens", "8", "--json", *here]) == 0
    report = json.loads(capsys.readouterr().out)
    held = documents.load_held_out_documents(workspace.get_dataset("talks"), documents.PackedDocuments.final_eval_size)
    answers = bits_per_byte(compute_nll(load_model(workspace, "answers"), held))
    assert report["bits_per_byte"]["mean"] == pytest.approx(answers, rel=1e-5)
    assert report["floor"] is None


def test_the_job_holds_base_and_adapter(workspace: Workspace) -> None:
    talks(workspace)
    ref = result(tuned(workspace, steps=2, overrides={**FEW, "adapter.rank": "3", "adapter.targets": "['q', 'v']"})).ref
    job = tomllib.loads((workspace.get_model(ref).folder / "job.toml").read_text())
    assert job["base"]["ref"] == "tales/1"
    assert (job["adapter"]["method"], job["adapter"]["rank"], job["adapter"]["targets"]) == ("lora", 3, ["q", "v"])
    assert (job["batch_size"], job["pack_length"], job["context_length"]) == (
        4,
        48,
        load_model(workspace, "tales").design.context_length,
    )
    assert job["estimate"]["before"] > 0


@pytest.mark.parametrize(("asked", "steps"), [({}, 1), ({"plan.warmup": "7"}, 7)])
def test_a_warm_up_that_was_set_stays(asked: dict[str, str], steps: int) -> None:
    assert finetune.with_schedule(TrainConfig(warmup=7), 20, asked) == TrainConfig(steps=20, warmup=steps)


def test_measuring_leaves_the_model_as_it_was(workspace: Workspace) -> None:
    """The run measures steps before it begins; a run of the same job that measures nothing ends in the same bits."""
    data = talks(workspace)
    ref = result(tuned(workspace, steps=4)).ref
    job = Job.from_tables(tomllib.loads((workspace.get_model(ref).folder / "job.toml").read_text()))
    model, batches, state = assembled(workspace, data, job)
    for _ in finetune.train(model.objective, batches, job.plan, state):
        pass
    stored = load_model(workspace, ref).parts.state_dict()
    assert stored.keys() == state.parts.state_dict().keys() or len(stored) == len(state.parts.state_dict())
    for mine, theirs in zip(state.parts.state_dict().values(), stored.values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_run_ends_in_the_same_bits(worlds: ModuleType, workspace: Workspace, method: str) -> None:
    data = talks(workspace)
    ref = result(tuned(workspace, steps=8, method=method)).ref
    job = Job.from_tables(tomllib.loads((workspace.get_model(ref).folder / "job.toml").read_text()))
    job = replace(job, name="tales-tuned", data=data.name)
    whole, torn = worlds.started(workspace, job), worlds.started(workspace, job)
    assert killed(workspace, whole, [], 2) == [0]
    assert killed(workspace, torn, [{"call": 1}, {"call": 9}, {"call": 17}], 2) == [-9, -9, -9, 0]
    assert outcome(worlds, workspace, torn) == outcome(worlds, workspace, whole)


def test_a_tuned_model_is_tuned_further(workspace: Workspace) -> None:
    talks(workspace)
    first = result(tuned(workspace, steps=2)).ref
    assert result(tuned(workspace, base=first, steps=2)).ref == "answers/2"
    assert load_model(workspace, "answers/2").adapters == ("answers/1", "answers/2")
    whole = result(tuned(workspace, base="answers/2", steps=2, method="full")).ref
    assert load_model(workspace, whole).adapters == ()


def test_plain_text_and_a_model_that_fills_gaps(workspace: Workspace) -> None:
    """A network that reads both ways cannot take packed rows: it gets a document a row."""
    events = tuned(workspace, data="tales", base="masks", steps=3, method="full")
    assert any(isinstance(event, RunWarning) and "are cut" in event.text for event in events)
    assert len([event for event in events if isinstance(event, StepMetrics)]) == 3
    assert result(events).actual["bits_per_byte"] > 0


def test_little_text_is_not_read_more_than_a_few_times(workspace: Workspace) -> None:
    data = talks(workspace, 12)
    events = tuned(workspace, steps=0, budget=Budget(minutes=5))
    assert any(isinstance(event, RunWarning) and "4 times over" in event.text for event in events)
    job = Job.from_tables(tomllib.loads((workspace.get_model("answers").folder / "job.toml").read_text()))
    batches: Any = assembled(workspace, data, job)[1]
    assert job.plan.steps == -(-4 * len(batches.packs) // 4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"base": "tails"}, r"no model 'tails'. Did you mean 'tales'"),
        ({"method": "lroa"}, r"Unknown method 'lroa'. Did you mean 'lora'"),
        ({"overrides": {"network.width": "8"}}, r"network.width is the base's"),
        ({"overrides": {"adapter.rank": "8"}, "method": "full"}, r"adapter.rank is a setting of an adapter"),
        ({"overrides": {"adapter.rnk": "8"}}, r"adapter.rnk. Did you mean 'rank'"),
        ({"overrides": {"pack_length": "4096"}}, r"tales/1 reads 48 symbols at once"),
        ({"wishes": Budget(params=1000)}, r"leave --params away"),
        ({"wishes": Budget(minutes=1)}, r"Choose one of --minutes, --tokens and --steps"),
    ],
)
def test_what_tuning_cannot_do_is_one_clear_error(workspace: Workspace, more: dict[str, Any], message: str) -> None:
    talks(workspace)
    with pytest.raises(ValueError, match=message):
        tuned(workspace, **more)
    assert not workspace.list_runs()


def test_without_its_base_a_run_is_not_resumed(worlds: ModuleType, workspace: Workspace) -> None:
    talks(workspace)
    job = Job.from_tables(
        tomllib.loads((workspace.get_model(result(tuned(workspace, steps=2)).ref).folder / "job.toml").read_text())
    )
    run = worlds.started(workspace, replace(job, base={**job.base, "digest": "0" * 64}))
    with pytest.raises(ValueError, match="the tales/1 that is here is another model"):
        list(worlds.carried_on(workspace, run))
    run = worlds.started(workspace, job)
    shutil.rmtree(workspace.root / "models" / "tales")
    with pytest.raises(ValueError, match=r"This run tunes tales/1, which cannot be opened: There is no model 'tales'"):
        list(worlds.carried_on(workspace, run))
