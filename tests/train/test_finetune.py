"""Fine-tuning by an adapter or by all weights, on text and conversations; a killed run ends in the same bits."""

import json
import shutil
import tomllib
from collections.abc import Generator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from genloom.cli import run
from genloom.model import load_model
from genloom.model.likelihood import compute_nll, to_bits_per_unit
from genloom.store.dataset import Dataset
from genloom.store.workspace import Workspace
from genloom.train import finetune, post_training
from genloom.train.data import documents
from genloom.train.events import Event, RunEstimate, RunResult, RunWarning, StepMetrics
from genloom.train.job import Job
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.train.planning.auto_config import Budget
from genloom.train.run import TrainRequest, train_model
from tests.errors import raises_code
from tests.train.test_resume import outcome, run_with_deaths

FEW = {"batch_size": "4", "pack_length": "48"}


@pytest.fixture
def workspace(trained_copy: Workspace) -> Workspace:
    return trained_copy


def create_conversations(workspace: Workspace, count: int = 60) -> Dataset:
    """Create a data set of short conversations with similar answers."""
    questions = [f"Who saw bell {n}?" for n in range(count)]
    turns = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": f"Nobody: {q[8:-1]}."}] for q in questions
    ]
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


def finetune_model(workspace: Workspace, data: str = "talks", base: str = "tales", **options: Any) -> list[Event]:
    options = {"steps": 30, "overrides": FEW, **options}
    return list(train_model(workspace, TrainRequest(data, "answers", base, **options)))


def result(events: list[Event]) -> RunResult:
    assert isinstance(events[-1], RunResult)
    return events[-1]


def initialize(workspace: Workspace, data: Dataset, job: Job) -> tuple[Any, Any, Any]:
    """Return the model, batches and state at the start of a run of the job."""
    stage = finetune.Finetuning(workspace, job.base["ref"], "lora", data)
    _, model, batches = get_result(stage.initialize(workspace.create_run("again"), job))
    return model, batches, TrainState.from_parts(model.parts, model.objective, job.plan)


def get_result(events: Generator[Any, None, Any]) -> Any:
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_learns_to_answer_and_reports_what_it_forgot(workspace: Workspace, method: str) -> None:
    create_conversations(workspace)
    rates = {
        "plan.optimizer.lr_adapter": "0.01",
        "plan.optimizer.lr_matrix": "0.003",
        "plan.optimizer.lr_embedding": "0.003",
    }
    events = finetune_model(workspace, method=method, overrides={**FEW, **rates})
    [estimate] = [event for event in events if isinstance(event, RunEstimate)]
    last = result(events)
    assert estimate.loss_before is not None
    assert last.actual["bits_per_byte"] < 0.8 * estimate.loss_before
    base, model = load_model(workspace, "tales"), load_model(workspace, last.ref)
    held_out = documents.load_held_out_documents(
        workspace.get_dataset("talks"), documents.PackedDocuments.final_eval_size
    )
    assert estimate.loss_before == pytest.approx(to_bits_per_unit(compute_nll(base, held_out)), rel=1e-5)
    assert last.actual["bits_per_byte"] == pytest.approx(to_bits_per_unit(compute_nll(model, held_out)), rel=1e-5)
    general = to_bits_per_unit(compute_nll(base, [finetune.read_general_text()]))
    assert estimate.general_loss_before == pytest.approx(general, rel=1e-5)
    assert last.actual["general_bits_per_byte"] != pytest.approx(general, rel=1e-4)
    card, total = workspace.get_model(last.ref).card, sum(p.numel() for p in base.parts.parameters())
    assert card["parents"] == [{"ref": "tales/1", "digest": workspace.get_model("tales").digest}]
    adapted = sum(p.numel() for p in model.parts.parameters()) - (total if method == "full" else 0)
    assert (estimate.num_trained, estimate.num_parameters) == (
        (adapted, total + adapted) if method == "lora" else (None, total)
    )
    assert card["parameters"] == estimate.num_parameters
    assert workspace.get_model(last.ref).is_adapter == (method == "lora")


def test_evaluation_of_conversations_is_of_the_answers(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    create_conversations(workspace)
    here = ["--workspace", str(workspace.root)]
    few = [word for name, value in FEW.items() for word in ("--set", f"{name}={value}")]
    assert run(["train", "talks", "--from", "tales", "--name", "answers", "--steps", "3", *few, *here]) == 0
    assert f"genloom chat --workspace {workspace.root} answers" in capsys.readouterr().out
    assert run(["evaluate", "answers", "--samples", "1", "--max-tokens", "8", "--json", *here]) == 0
    report = json.loads(capsys.readouterr().out)
    held_out = documents.load_held_out_documents(
        workspace.get_dataset("talks"), documents.PackedDocuments.final_eval_size
    )
    answers = to_bits_per_unit(compute_nll(load_model(workspace, "answers"), held_out))
    assert report["bits_per_byte"]["mean"] == pytest.approx(answers, rel=1e-5)
    assert report["ngram_baseline"] is None


def test_the_job_holds_base_and_adapter(workspace: Workspace) -> None:
    create_conversations(workspace)
    ref = result(
        finetune_model(workspace, steps=2, overrides={**FEW, "adapter.rank": "3", "adapter.targets": "['q', 'v']"})
    ).ref
    job = tomllib.loads((workspace.get_model(ref).folder / "job.toml").read_text())
    assert job["base"]["ref"] == "tales/1"
    assert (job["adapter"]["method"], job["adapter"]["rank"], job["adapter"]["targets"]) == ("lora", 3, ["q", "v"])
    assert (job["batch_size"], job["pack_length"], job["context_length"]) == (
        4,
        48,
        load_model(workspace, "tales").design.context_length,
    )
    assert job["estimate"]["before"] > 0


@pytest.mark.parametrize(("overrides", "warmup"), [({}, 1), ({"plan.warmup": "7"}, 7)])
def test_a_warmup_that_was_set_stays(overrides: dict[str, str], warmup: int) -> None:
    assert post_training.with_schedule(TrainConfig(warmup=7), 20, overrides) == TrainConfig(steps=20, warmup=warmup)


def test_measuring_leaves_the_model_as_it_was(workspace: Workspace) -> None:
    """A run measures steps before it starts; a run of the same job without measurements ends in the same bits."""
    data = create_conversations(workspace)
    ref = result(finetune_model(workspace, steps=4)).ref
    job = Job.from_tables(tomllib.loads((workspace.get_model(ref).folder / "job.toml").read_text()))
    model, batches, state = initialize(workspace, data, job)
    for _ in train(model.objective, batches, job.plan, state):
        pass
    stored = load_model(workspace, ref).parts.state_dict()
    assert stored.keys() == state.parts.state_dict().keys() or len(stored) == len(state.parts.state_dict())
    for mine, theirs in zip(state.parts.state_dict().values(), stored.values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_run_ends_in_the_same_bits(worlds: ModuleType, workspace: Workspace, method: str) -> None:
    data = create_conversations(workspace)
    ref = result(finetune_model(workspace, steps=8, method=method)).ref
    job = Job.from_tables(tomllib.loads((workspace.get_model(ref).folder / "job.toml").read_text()))
    job = replace(job, name="tales-tuned", data=data.name)
    uninterrupted, killed = worlds.start_run(workspace, job), worlds.start_run(workspace, job)
    assert run_with_deaths(workspace, uninterrupted, [], 2) == [0]
    assert run_with_deaths(workspace, killed, [{"call": 1}, {"call": 9}, {"call": 17}], 2) == [-9, -9, -9, 0]
    assert outcome(worlds, workspace, killed) == outcome(worlds, workspace, uninterrupted)


def test_a_fine_tuned_model_is_fine_tuned_further(workspace: Workspace) -> None:
    create_conversations(workspace)
    first = result(finetune_model(workspace, steps=2)).ref
    assert result(finetune_model(workspace, base=first, steps=2)).ref == "answers/2"
    assert load_model(workspace, "answers/2").adapters == ("answers/1", "answers/2")
    uninterrupted = result(finetune_model(workspace, base="answers/2", steps=2, method="full")).ref
    assert load_model(workspace, uninterrupted).adapters == ()


def test_all_weights_can_be_tuned_with_another_dropout(workspace: Workspace) -> None:
    create_conversations(workspace)
    overrides = {**FEW, "network.dropout": "0.25"}
    ref = result(finetune_model(workspace, steps=2, method="full", overrides=overrides)).ref
    assert load_model(workspace, ref).design.network_settings["dropout"] == 0.25


def test_plain_text_and_a_masked_model(workspace: Workspace) -> None:
    """A bidirectional network without segment masks gets one document per row."""
    events = finetune_model(workspace, data="tales", base="masks", steps=3, method="full")
    warnings = [event.text for event in events if isinstance(event, RunWarning)]
    assert any("longer than a row of 48 tokens" in text for text in warnings)
    assert not any("pack_length" in text for text in warnings), "a row is as long as the context already"
    assert len([event for event in events if isinstance(event, StepMetrics)]) == 3
    assert result(events).actual["bits_per_byte"] > 0


def test_little_text_is_read_for_a_few_epochs(workspace: Workspace) -> None:
    data = create_conversations(workspace, 12)
    events = finetune_model(workspace, steps=0, budget=Budget(minutes=5))
    assert any(isinstance(event, RunWarning) and "16 epochs" in event.text for event in events)
    job = Job.from_tables(tomllib.loads((workspace.get_model("answers").folder / "job.toml").read_text()))
    batches: Any = initialize(workspace, data, job)[1]
    assert job.plan.steps == -(-16 * len(batches.documents.packs) // 4)


@pytest.mark.parametrize(
    ("options", "code", "fields"),
    [
        ({"base": "tails"}, "store.unknown_name_near", {"name": "tails", "nearest": "tales"}),
        ({"method": "lroa"}, "train.unknown_method", {"value": "lroa", "hint": " Did you mean 'lora'?"}),
        ({"overrides": {"network.width": "8"}}, "train.setting_of_base", {"path": "network.width"}),
        ({"overrides": {"adapter.rank": "8"}, "method": "full"}, "train.adapter_setting", {"path": "adapter.rank"}),
        ({"overrides": {"adapter.rnk": "8"}}, "core.unknown_setting", {"location": "adapter", "key": "rnk"}),
        ({"overrides": {"pack_length": "4096"}}, "train.long_pack", {"base": "tales/1", "context_length": 48}),
        ({"budget": Budget(params=1000)}, "train.params_of_base", {}),
        ({"budget": Budget(minutes=1)}, "train.several_lengths", {}),
    ],
)
def test_an_unsupported_request_is_an_error(
    workspace: Workspace, options: dict[str, Any], code: str, fields: dict[str, Any]
) -> None:
    create_conversations(workspace)
    with raises_code(code, **fields):
        finetune_model(workspace, **options)
    assert not workspace.list_runs()


def test_a_batch_beyond_memory_is_an_error_before_anything_is_measured(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_conversations(workspace)
    monkeypatch.setattr(post_training, "measure_held_out", lambda *_: pytest.fail("the model was measured"))
    with raises_code("train.out_of_memory_finetuning"):
        finetune_model(workspace, overrides={**FEW, "batch_size": "1000000000"})


def test_a_run_is_not_resumed_without_its_base(worlds: ModuleType, workspace: Workspace) -> None:
    create_conversations(workspace)
    job = Job.from_tables(
        tomllib.loads(
            (workspace.get_model(result(finetune_model(workspace, steps=2)).ref).folder / "job.toml").read_text()
        )
    )
    run = worlds.start_run(workspace, replace(job, base={**job.base, "digest": "0" * 64}))
    with raises_code("train.changed_base", base="tales/1"):
        list(worlds.resume_run(workspace, run))
    run = worlds.start_run(workspace, job)
    shutil.rmtree(workspace.root / "models" / "tales")
    with raises_code("train.unreadable_base", base="tales/1"):
        list(worlds.resume_run(workspace, run))
