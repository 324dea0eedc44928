"""The loop: micro-batches give the full gradient, a bad step changes nothing, and a resumed run continues exactly."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from genloom.objectives.dpo import DPO
from genloom.testing import perturb_weights
from genloom.train.loop import MAX_CONSECUTIVE_SKIPS, TrainConfig, TrainState, train
from genloom.train.optimizers import OptimizerConfig
from genloom.types import Batch, Objective, PreferencePairs
from tests.errors import raises_code


def ragged_batches(toys, toy, rows: int = 7):
    """Return batches with row weights, and with lengths and masks if the objective supports them."""

    def batch_fn(step: int) -> Batch:
        batch = toys.build_batches(toy, rows)(step)
        batch = replace(batch, weight=0.5 + torch.arange(rows) / rows)
        if toy.space == toys.TOKENS:
            mask = torch.arange(7) != 2 + step % 3
            return replace(batch, lengths=1 + (torch.arange(rows) + step) % 7, mask=mask.expand(rows, 7))
        return batch

    return batch_fn


def run_training(toys, toy, plan: TrainConfig, batch_fn, objective=None, seed: int = 0) -> tuple[TrainState, list]:
    state = TrainState.from_parts(toys.build_networks(toy, seed), objective or toy.objective, plan)
    return state, list(train(objective or toy.objective, batch_fn, plan, state))


def test_micro_batches_give_the_gradient_of_the_full_batch(toys, plain_toy, monkeypatch):
    monkeypatch.setattr("genloom.train.loop.TRIM_TO_MULTIPLE_OF", 1)  # each micro-batch is as long as its longest row
    toy = toys.TOYS[plain_toy]
    plan = TrainConfig(
        steps=2,
        warmup=1,
        optimizer=OptimizerConfig(lr_matrix=1e-3, lr_embedding=1e-3, lr_vector=1e-3),
        max_grad_norm=0.0,
    )
    # Adam's first steps are the sign of the gradient, whose rounding near zero would be seen: compare the gradients.
    full, results = run_training(toys, toy, replace(plan, steps=1), ragged_batches(toys, toy))
    for num_micro_batches in (2, 3, 7, 20):
        split, again = run_training(
            toys, toy, replace(plan, steps=1, grad_accum_steps=num_micro_batches), ragged_batches(toys, toy)
        )
        last = toy.objective.phases[-1]
        for name_, p in full.optimizers[last.name].params.items():
            q = split.optimizers[last.name].params[name_]
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None and q.grad is not None:
                assert torch.allclose(p.grad, q.grad, atol=1e-6, rtol=1e-4), (
                    f"{num_micro_batches} micro-batches, {name_}"
                )
        for phase, loss in results[0].losses.items():
            assert again[0].losses[phase] == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("network", ["transformer", "ngram"])
def test_micro_batches_give_the_same_gradient_with_dropout(toys, monkeypatch, network):
    toy = toys.TOYS[f"autoregressive-{network}"]
    monkeypatch.setattr("genloom.train.loop.TRIM_TO_MULTIPLE_OF", 1)
    monkeypatch.setitem(toys.SIZES, "transformer", {**toys.SIZES["transformer"], "dropout": 0.3})
    plan = TrainConfig(steps=1, warmup=1, max_grad_norm=0.0)
    grads = {}
    for num_micro_batches in (1, 3, 7):
        state = TrainState.from_parts(toys.build_networks(toy), toy.objective, plan)
        list(train(toy.objective, ragged_batches(toys, toy), replace(plan, grad_accum_steps=num_micro_batches), state))
        grads[num_micro_batches] = [p.grad for p in state.parts.parameters() if p.grad is not None]
    for num_micro_batches in (3, 7):
        for p, q in zip(grads[1], grads[num_micro_batches], strict=True):
            assert torch.allclose(p, q, atol=1e-6, rtol=1e-4), f"{num_micro_batches} micro-batches"
    monkeypatch.setitem(toys.SIZES, "transformer", {**toys.SIZES["transformer"], "dropout": 0.0})
    full, _ = run_training(toys, toy, plan, ragged_batches(toys, toy))
    without = [p.grad for p in full.parts.parameters() if p.grad is not None]
    assert not all(torch.allclose(p, q, rtol=0.1) for p, q in zip(grads[1], without, strict=True))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_micro_batches_give_the_same_gradient_with_pairs(toys, monkeypatch, dropout):
    monkeypatch.setitem(toys.SIZES, "transformer", {**toys.SIZES["transformer"], "dropout": dropout})
    toy = toys.TOYS["autoregressive-transformer"]
    reference = {"model": perturb_weights(toys.build_networks(toy)["model"])}
    prefer = DPO(toy.objective, reference)

    def pairs_at(step: int) -> PreferencePairs:
        return PreferencePairs(
            toys.build_batches(toy, 7)(step), toys.build_batches(toy, 7)(step + 100), weight=1 + torch.arange(7.0)
        )

    full, _ = run_training(toys, toy, TrainConfig(steps=1), pairs_at, prefer)
    split, _ = run_training(toys, toy, TrainConfig(steps=1, grad_accum_steps=3), pairs_at, prefer)
    for p, q in zip(full.parts.parameters(), split.parts.parameters(), strict=True):
        if p.grad is not None and q.grad is not None:
            assert torch.allclose(p.grad, q.grad, atol=1e-6, rtol=1e-4)


def test_the_gradient_is_of_the_mean_over_masked_tokens(toys):
    """The reference is one number, differentiated by torch."""
    toy = toys.TOYS["autoregressive-transformer"]
    batch = ragged_batches(toys, toy)(0)
    parts = toys.build_networks(toy)
    logits = parts["model"](batch.x)[:, :-1].log_softmax(-1)
    nll = -logits.gather(2, batch.x[:, 1:, None])[..., 0]
    counts = batch.mask[:, 1:] & (torch.arange(1, 7) < batch.lengths[:, None])
    mean = (nll * counts * batch.weight[:, None]).sum() / (counts * batch.weight[:, None]).sum()
    mean.backward()
    state, results = run_training(toys, toy, TrainConfig(steps=1, max_grad_norm=0.0), ragged_batches(toys, toy))
    assert results[0].losses["model"] == pytest.approx(mean.item(), abs=1e-6)
    for p, q in zip(parts.parameters(), state.parts.parameters(), strict=True):
        if p.grad is not None and q.grad is not None:
            assert torch.allclose(p.grad, q.grad, atol=1e-6)


def clone_state(state: TrainState) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in state.to_tensors().items()}


def is_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_equals_an_uninterrupted_one(toys, plain_toy, precision):
    toy = toys.TOYS[plain_toy]
    plan = TrainConfig(steps=9, ema_decay=0.8, grad_accum_steps=2, precision=precision, warmup=2)
    batch_fn = ragged_batches(toys, toy)
    full, results = run_training(toys, toy, plan, batch_fn)
    first = TrainState.from_parts(toys.build_networks(toy), toy.objective, plan)
    run = train(toy.objective, batch_fn, plan, first)
    begun = [next(run) for _ in range(4)]
    saved = clone_state(first)
    second = TrainState.from_parts(toys.build_networks(toy, seed=9), toy.objective, plan)
    second.load_tensors(saved, first.step, first.skipped_steps)
    rest = list(train(toy.objective, batch_fn, plan, second))
    assert [p.losses for p in begun + rest] == [p.losses for p in results]
    assert is_same(second.to_tensors(), full.to_tensors())


class Poisoned(Objective[Batch]):
    """An objective whose loss, or only its gradient, is not finite at some steps of a phase."""

    def __init__(self, inner, steps: set[int], phase: str, gradient: bool):
        self.inner, self.steps, self.phase, self.gradient = inner, steps, phase, gradient
        self.chosen = inner.phases

    @property
    def phases(self):
        return self.chosen

    @property
    def network_specs(self):
        return self.inner.network_specs

    def sample(self, parts, count, cond, noise, params):
        return self.inner.sample(parts, count, cond, noise, params)

    def loss(self, parts, batch, phase, noise):
        loss = self.inner.loss(parts, batch, phase, noise)
        if noise.nonces[0] >> 24 not in self.steps or phase.name != self.phase:
            return loss
        if self.gradient:  # zero, with an infinite gradient
            part = parts[phase.trained[0]]
            first = next(p for p in part.parameters() if p.grad_fn is None and p.numel() > 1)
            return replace(loss, per_sample=loss.per_sample + (first - first.detach()).abs().sqrt().sum())
        return replace(loss, per_sample=loss.per_sample / 0)


@pytest.mark.parametrize("gradient", [False, True], ids=["loss", "gradient"])
@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("autoregressive-transformer", "model"),
        ("flow-dense", "model"),
        ("adversarial-dense", "critic"),
        ("adversarial-dense", "generator"),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("at", [0, 3])
def test_a_step_that_is_not_finite_changes_nothing(toys, name, phase, gradient, precision, at):
    toy = toys.TOYS[name]
    objective = Poisoned(toy.objective, {at}, phase, gradient)
    plan = TrainConfig(steps=6, ema_decay=0.8, warmup=1, precision=precision)
    state = TrainState.from_parts(toys.build_networks(toy), objective, plan)
    run = train(objective, toys.build_batches(toy, 8), plan, state)
    for _ in range(at):
        assert not next(run).is_skipped
    before = clone_state(state)
    progress = next(run)
    assert progress.is_skipped
    assert (state.step, state.skipped_steps) == (at + 1, 1)
    assert is_same(state.to_tensors(), before)
    after = next(run)
    assert not after.is_skipped
    assert not is_same(state.to_tensors(), before)
    assert all(t.isfinite().all() for t in state.to_tensors().values())
    # Training continues as if the step had not been taken.
    other = TrainState.from_parts(toys.build_networks(toy), objective, plan)
    other.load_tensors(before, at + 1, 1)
    next(train(objective, toys.build_batches(toy, 8), plan, other))
    assert is_same(other.to_tensors(), state.to_tensors())


def test_too_many_bad_steps_stop_training(toys):
    toy = toys.TOYS["flow-dense"]
    plan = TrainConfig(steps=100)
    objective = Poisoned(toy.objective, set(range(3, 200)), "model", False)
    state = TrainState.from_parts(toys.build_networks(toy), objective, plan)
    seen = []
    with raises_code("train.diverged", steps=MAX_CONSECUTIVE_SKIPS):
        for progress in train(objective, toys.build_batches(toy, 4), plan, state):
            seen.append(progress.is_skipped)
            if progress.step == 3:
                before = clone_state(state)
    assert seen == [False] * 3 + [True] * (MAX_CONSECUTIVE_SKIPS - 1)
    assert is_same(state.to_tensors(), before)
    scattered = Poisoned(toy.objective, set(range(0, 100, 2)), "model", False)
    _, results = run_training(toys, toy, plan, toys.build_batches(toy, 4), scattered)
    assert sum(p.is_skipped for p in results) == 50


def test_the_schedule_is_warmup_stable_cooldown():
    plan = TrainConfig(steps=100, warmup=10, cooldown=0.5)
    scales = [plan.compute_lr_scale(step) for step in range(100)]
    assert scales[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert scales[9:51] == [1.0] * 42
    assert scales[50:] == pytest.approx([1 - i / 50 for i in range(50)])
    assert plan.cooldown_start == 50
    assert [TrainConfig(steps=3, warmup=0, cooldown=0.0).compute_lr_scale(i) for i in range(3)] == [1.0, 1.0, 1.0]
    assert [TrainConfig(steps=4, warmup=0, cooldown=1.0).compute_lr_scale(i) for i in range(4)] == [
        1.0,
        0.75,
        0.5,
        0.25,
    ]


def test_a_run_equals_a_longer_one_until_its_cooldown(toys):
    toy = toys.TOYS["flow-dense"]
    short, long = (TrainConfig(steps=n, cooldown=0.4, warmup=2) for n in (10, 40))
    _, a = run_training(toys, toy, short, toys.build_batches(toy, 8))
    _, b = run_training(toys, toy, long, toys.build_batches(toy, 8))
    assert [p.losses for p in a[: short.cooldown_start]] == [p.losses for p in b[: short.cooldown_start]]


@pytest.mark.parametrize("clip", [0.0, 1e-3])
def test_clipping_bounds_the_gradient(toys, clip):
    toy = toys.TOYS["flow-dense"]
    state, _ = run_training(toys, toy, TrainConfig(steps=1, max_grad_norm=clip), toys.build_batches(toy, 8))
    norm = torch.stack([p.grad.norm() for p in state.parts.parameters() if p.grad is not None]).norm()
    assert norm < 1.01e-3 if clip else norm > 0.01


def test_a_phase_updates_only_the_parts_it_trains(toys):
    toy = toys.TOYS["adversarial-dense"]
    only = with_one_phase(toy.objective, 1)
    state = TrainState.from_parts(toys.build_networks(toy), toy.objective, TrainConfig(steps=1, warmup=1))
    before = clone_state(state)
    list(train(only, toys.build_batches(toy, 8), TrainConfig(steps=1, warmup=1), state))
    now = state.to_tensors()
    moved = {n.split("/")[1].split(".")[0] for n in before if n.startswith("parts/") and not now[n].equal(before[n])}
    assert moved == {"generator"}


def with_one_phase(objective, index: int):
    only = Poisoned(objective, set(), "", False)
    only.chosen = objective.phases[index : index + 1]
    return only


def first_weight(parts: nn.ModuleDict) -> torch.Tensor:
    return dict(parts.named_parameters())["model.in_proj.weight"]


def test_the_moving_average_follows_the_weights(toys):
    toy = toys.TOYS["flow-dense"]
    plan = TrainConfig(steps=60, ema_decay=0.9, warmup=1)
    state = TrainState.from_parts(toys.build_networks(toy), toy.objective, plan)
    weight = first_weight(state.parts)
    slow = weight.detach().clone()
    for progress in train(toy.objective, toys.build_batches(toy, 8), plan, state):
        slow.lerp_(weight.detach(), 1 - min(0.9, progress.step / (progress.step + 9)))
    assert state.eval_parts is state.ema
    assert torch.allclose(first_weight(state.eval_parts), slow, atol=1e-6)
    assert not any(p.requires_grad for p in state.eval_parts.parameters())


def test_the_moving_average_of_a_short_run_has_forgotten_its_initial_weights(toys):
    toy = toys.TOYS["flow-dense"]
    state, _ = run_training(toys, toy, TrainConfig(steps=20, ema_decay=0.999, warmup=1), toys.build_batches(toy, 8))
    begun, ended, mean = (first_weight(parts) for parts in (toys.build_networks(toy), state.parts, state.eval_parts))
    assert (mean - ended).norm() < 0.5 * (begun - ended).norm()


@pytest.mark.parametrize("name", ["autoregressive-transformer", "autoregressive-recurrent", "flow-dense"])
def test_a_copy_of_lower_precision_learns(toys, name):
    toy = toys.TOYS[name]
    plan = replace(toy.plan, steps=100, precision="bfloat16", ema_decay=0.0)
    state, results = run_training(toys, toy, plan, toys.build_batches(toy, 16))
    assert {p.dtype for p in state.parts.parameters()} == {torch.float32}
    _, precisely = run_training(toys, toy, replace(plan, precision="float32"), toys.build_batches(toy, 16))
    ends = [sum(p.losses["model"] for p in progress[-20:]) / 20 for progress in (results, precisely)]
    assert ends[0] == pytest.approx(ends[1], rel=0.1)
    assert ends[0] < 0.9 * results[0].losses["model"]
    exact, _ = run_training(toys, toy, replace(plan, precision="float32", steps=1), toys.build_batches(toy, 16))
    rough, _ = run_training(toys, toy, replace(plan, steps=1), toys.build_batches(toy, 16))
    for p, q in zip(exact.parts.parameters(), rough.parts.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None and q.grad is not None:
            assert (p.grad - q.grad).norm() < 0.1 * p.grad.norm() + 1e-3


def test_an_unknown_precision_is_an_error(toys):
    toy = toys.TOYS["flow-dense"]
    with raises_code("train.unknown_precision", value="int4"):
        run_training(toys, toy, TrainConfig(precision="int4"), toys.build_batches(toy, 4))


def test_the_same_run_gives_the_same_bits(toys):
    toy = toys.TOYS["masked-transformer"]
    runs = [run_training(toys, toy, TrainConfig(steps=5, seed=seed), toys.build_batches(toy, 8)) for seed in (1, 1, 2)]
    assert is_same(runs[0][0].to_tensors(), runs[1][0].to_tensors())
    assert not is_same(runs[0][0].to_tensors(), runs[2][0].to_tensors())
    assert deepcopy(runs[0][1]) == runs[1][1]
