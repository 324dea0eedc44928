"""Private training: each document's gradient is bounded, epsilon is that of the accountant, and the noise is seeded."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genloom.model import load_model
from genloom.noise import build_training_noise
from genloom.store.workspace import Workspace
from genloom.train.data.private_batches import PoissonBatches
from genloom.train.events import RunResult, StepMetrics
from genloom.train.finetune import Finetuning
from genloom.train.job import Job
from genloom.train.loop import TrainState, accumulate_private_gradients, train
from genloom.train.planning.auto_config import Budget
from genloom.train.privacy import (
    NoiseKey,
    PrivacyConfig,
    add_clipped,
    add_noise,
    choose_noise,
    compute_epsilon,
    load_noise_key,
)
from genloom.train.run import TrainRequest, train_model
from genloom.types import Batch
from tests.errors import raises_code
from tests.train.test_finetune import create_conversations, get_result

FEW = {"batch_size": "6", "pack_length": "48", "plan.private.epsilon": "20"}


@pytest.fixture
def workspace(trained_copy: Workspace) -> Workspace:
    create_conversations(trained_copy)
    return trained_copy


def tune(workspace: Workspace, steps: int = 3, **overrides: Any) -> RunResult:
    request = TrainRequest("talks", "answers", "tales", steps=steps, overrides=FEW | overrides)
    *_, result = train_model(workspace, request)
    assert isinstance(result, RunResult)
    return result


def plan_run(workspace: Workspace, **overrides: str) -> tuple[Job, Any, PoissonBatches]:
    """Return the job, the model and the batches of a private run of three steps."""
    data = workspace.get_dataset("talks")
    stage = Finetuning(workspace, "tales/1", "lora", data)
    folder = workspace.create_run("again")
    job = get_result(stage.plan(folder, "again", Budget(steps=3), FEW | overrides))
    _, model, batches = get_result(stage.initialize(folder, job))
    with torch.no_grad():  # both factors of the adapter get gradients
        for param in model.parts.parameters():
            param.add_(0.05)
    return job, model, batches


def sum_gradients(model: Any, batch: Batch, job: Job, max_norm: float) -> Tensor:
    """Return the sum of the clipped gradients of all rows, as one vector."""
    plan = replace(job.plan, private=replace(job.plan.private, max_sample_norm=max_norm))
    phase = model.objective.phases[0]
    rows = slice(0, len(batch)), len(batch)
    accumulate_private_gradients(model.objective, dict(model.parts.items()), model.parts, batch, *rows, phase, plan, 0)
    return torch.cat([param.grad.flatten() for param in model.parts.parameters()]).clone()


def test_a_gradient_is_clipped_as_a_whole() -> None:
    grads: list[Tensor | None] = [torch.full((3,), 4.0), None, torch.full((2, 2), 3.0)]
    sums = [torch.zeros(3), torch.zeros(1), torch.zeros(2, 2)]
    norm = add_clipped(sums, grads, 0.5)
    assert norm == pytest.approx(math.sqrt(3 * 16 + 4 * 9))
    assert float(torch.cat([total.flatten() for total in sums]).norm()) == pytest.approx(0.5)
    small = [torch.zeros(3), torch.zeros(1), torch.zeros(2, 2)]
    add_clipped(small, [torch.full((3,), 1e-3), None, torch.zeros(2, 2)], 0.5)
    assert torch.equal(small[0], torch.full((3,), 1e-3))


def test_a_gradient_that_is_not_finite_adds_nothing() -> None:
    sums = [torch.zeros(2)]
    assert not math.isfinite(add_clipped(sums, [torch.tensor([1.0, math.nan])], 1.0))
    assert torch.equal(sums[0], torch.zeros(2))


@pytest.mark.parametrize("max_norm", [0.01, 0.3])
def test_the_influence_of_each_document_is_bounded(workspace: Workspace, max_norm: float) -> None:
    job, model, batches = plan_run(workspace)
    batch = batches.build_rows(np.arange(5), 0)
    total = sum_gradients(model, batch, job, max_norm)
    for row in range(len(batch)):
        others = batch.select_rows(torch.tensor([n for n in range(len(batch)) if n != row]))
        alone = sum_gradients(model, batch.select_rows(slice(row, row + 1)), job, max_norm)
        assert float(alone.norm()) <= max_norm * 1.0001
        influence = float((total - sum_gradients(model, others, job, max_norm)).norm())
        assert influence <= max_norm * 1.01, row  # without dropout a row does not depend on its number


def test_unclipped_gradients_are_those_of_single_rows(workspace: Workspace) -> None:
    job, model, batches = plan_run(workspace)
    batch = batches.build_rows(np.arange(3), 0)
    total = sum_gradients(model, batch, job, 1e9)
    phase, parts = model.objective.phases[0], dict(model.parts.items())
    expected = torch.zeros_like(total)
    for row in range(3):
        model.parts.zero_grad()
        loss = model.objective.loss(
            parts, batch.select_rows(slice(row, row + 1)), phase, build_training_noise(0, 0, 0, 1)
        )
        (loss.per_sample.sum() / loss.num_terms.sum()).backward()
        expected += torch.cat([param.grad.flatten() for param in model.parts.parameters()])
    assert torch.allclose(total, expected, atol=1e-5, rtol=1e-3)


def test_epsilon_is_that_of_the_accountant() -> None:
    rdp = pytest.importorskip("opacus.accountants.rdp")
    config = PrivacyConfig(8.0, 1e-5, noise_multiplier=1.0, documents=1000, rows=10)
    accountant = rdp.RDPAccountant()
    accountant.history = [(1.0, 0.01, 500)]
    assert compute_epsilon(config, 500) <= accountant.get_epsilon(1e-5) + 1e-9
    assert compute_epsilon(config, 500) == pytest.approx(accountant.get_epsilon(1e-5), rel=0.02)
    assert compute_epsilon(config, 0) == 0
    assert compute_epsilon(replace(config, noise_multiplier=0.0), 1) == math.inf


def test_one_step_of_all_documents_agrees_with_the_gaussian_mechanism() -> None:
    pytest.importorskip("opacus")
    config = PrivacyConfig(1.0, 1e-5, noise_multiplier=4.0, documents=10, rows=10)
    # Rényi divergence of the Gaussian mechanism is order / (2 s^2); the conversion is that of Balle et al. 2020.
    bound = min(
        order / 32 + math.log1p(-1 / order) - (math.log(1e-5) + math.log(order)) / (order - 1)
        for order in (1 + n / 10 for n in range(1, 600))
    )
    assert compute_epsilon(config, 1) == pytest.approx(bound, rel=0.01)


@pytest.mark.parametrize(("epsilon", "rows", "steps"), [(1.0, 4, 100), (8.0, 20, 50), (8.0, 200, 3)])
def test_the_noise_is_the_least_that_keeps_the_promise(epsilon: float, rows: int, steps: int) -> None:
    pytest.importorskip("opacus")
    config = choose_noise(PrivacyConfig(epsilon), 100, rows, steps)
    assert config.rows == min(rows, 100)
    assert compute_epsilon(config, steps) <= epsilon
    assert compute_epsilon(replace(config, noise_multiplier=0.97 * config.noise_multiplier), steps) > epsilon


def test_less_noise_than_the_promise_needs_is_refused() -> None:
    pytest.importorskip("opacus")
    with raises_code("train.privacy_unreachable"):
        choose_noise(PrivacyConfig(1.0, noise_multiplier=0.3), 100, 10, 100)


def test_the_noise_is_seeded_and_has_its_deviation() -> None:
    config = PrivacyConfig(8.0, max_sample_norm=0.5, noise_multiplier=3.0)
    sums = [[torch.zeros(200, 100), torch.zeros(7)] for _ in range(4)]
    keys = [
        NoiseKey(1, 2).draw_noise(5),
        NoiseKey(1, 2).draw_noise(5),
        NoiseKey(1, 2).draw_noise(6),
        NoiseKey(3, 2).draw_noise(5),
    ]
    for totals, noise in zip(sums, keys, strict=True):
        add_noise(totals, config, noise)
    assert torch.equal(sums[0][0], sums[1][0])
    assert not torch.equal(sums[0][0], sums[2][0])
    assert not torch.equal(sums[0][0], sums[3][0])
    assert float(sums[0][0].std()) == pytest.approx(1.5, rel=0.02)
    assert not torch.equal(sums[0][0].flatten()[:7], sums[0][1])


def test_documents_are_drawn_apart_from_each_other() -> None:
    batches = PoissonBatches(lambda numbers, step: Batch(torch.from_numpy(numbers)), 50, 10, NoiseKey(4, 9))
    drawn = [batches.draw_documents(step) for step in range(400)]
    assert np.mean([len(numbers) for numbers in drawn]) == pytest.approx(10, abs=0.6)
    assert np.var([len(numbers) for numbers in drawn]) == pytest.approx(50 * 0.2 * 0.8, rel=0.25)
    counts = np.bincount(np.concatenate(drawn), minlength=50)
    assert counts.min() > 40
    assert all(np.array_equal(batches(step).x, drawn[step]) for step in (0, 7))
    assert not np.array_equal(batches.with_key(NoiseKey(5, 9)).draw_documents(0), drawn[0])


def test_a_step_can_be_empty() -> None:
    batches = PoissonBatches(lambda numbers, step: Batch(torch.from_numpy(numbers)), 1000, 1, NoiseKey(4, 9))
    assert any(len(batches(step)) == 0 for step in range(20))


def test_the_card_states_epsilon_and_the_model_holds_no_key(workspace: Workspace) -> None:
    pytest.importorskip("opacus")
    result = tune(workspace)
    folder = workspace.get_model(result.ref)
    private = folder.card["private"]
    assert 0 < private["epsilon"] <= 20
    assert private["delta"] == 1e-5
    assert private["steps"] == 3
    assert result.actual["epsilon"] == private["epsilon"]
    [run] = [run for run in workspace.list_runs() if run.id == result.run]
    key = load_noise_key(run.folder)
    secret = (run.folder / "noise.key").read_text()
    assert (run.folder / "noise.key").stat().st_mode & 0o077 == 0
    assert load_noise_key(run.folder) == key
    for path in folder.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_killed_run_ends_in_the_same_bits(workspace: Workspace) -> None:
    pytest.importorskip("opacus")
    job, model, batches = plan_run(workspace)
    start = {name: tensor.clone() for name, tensor in model.parts.state_dict().items()}
    results = []
    for is_interrupted in (False, True):
        model.parts.load_state_dict(start)
        state = TrainState.from_parts(model.parts, model.objective, job.plan)
        state.noise_key = NoiseKey(11, 12)
        keyed = batches.with_key(state.noise_key)
        if is_interrupted:
            list(itertools.islice(train(model.objective, keyed, job.plan, state), 2))
            tensors = {name: tensor.clone() for name, tensor in state.to_tensors().items()}
            model.parts.load_state_dict(start)
            state = TrainState.from_parts(model.parts, model.objective, job.plan)
            state.load_tensors(tensors, 2, 0)
            state.noise_key = NoiseKey(11, 12)
        list(train(model.objective, keyed, job.plan, state))
        results.append({name: tensor.clone() for name, tensor in model.parts.state_dict().items()})
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_tuning_with_little_noise_learns(workspace: Workspace) -> None:
    pytest.importorskip("opacus")
    request = TrainRequest(
        "talks", "answers", "tales", steps=40, overrides=FEW | {"plan.private.epsilon": "1000", "batch_size": "20"}
    )
    losses = [sum(event.losses.values()) for event in train_model(workspace, request) if isinstance(event, StepMetrics)]
    assert np.mean(losses[-8:]) < np.mean(losses[:8]) - 0.1


def test_more_steps_than_promised_are_refused(workspace: Workspace) -> None:
    pytest.importorskip("opacus")
    result = tune(workspace)
    request = TrainRequest(result.run, should_resume=True, steps=9)
    with raises_code("train.private_extension"):
        list(train_model(workspace, request))


def test_only_the_tuning_of_a_model_is_private(workspace: Workspace) -> None:
    request = TrainRequest("talks", "answers", steps=2, overrides={"plan.private.epsilon": "8"})
    with raises_code("train.private_stage"):
        list(train_model(workspace, request))


@pytest.mark.parametrize(
    ("name", "value"), [("epsilon", "-1"), ("delta", "0"), ("delta", "1"), ("max_sample_norm", "0")]
)
def test_numbers_out_of_range_are_refused(workspace: Workspace, name: str, value: str) -> None:
    with raises_code("train.bad_privacy"):
        tune(workspace, 3, **{f"plan.private.{name}": value})


def test_rows_without_conditions_are_whole_documents(workspace: Workspace) -> None:
    job, _, batches = plan_run(workspace)
    assert (
        batches.num_documents == job.plan.private.documents == workspace.get_dataset("talks").count_documents("train")
    )
    batch = batches.build_rows(np.array([3, 0, 3]), 0)
    assert torch.equal(batch.x[0], batch.x[2])
    assert not torch.equal(batch.x[0], batch.x[1])


def test_the_base_is_not_changed_by_planning(workspace: Workspace) -> None:
    before = load_model(workspace, "tales").parts.state_dict()
    plan_run(workspace)
    after = load_model(workspace, "tales").parts.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
