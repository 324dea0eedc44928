"""Every objective keeps the contracts with every network that fits: batches, noise, conditions, padding, masks."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise, build_training_noise
from genloom.objectives import adversarial, flow, masked, variational
from genloom.objectives.autoregressive import Autoregressive
from genloom.objectives.dpo import DPO
from genloom.testing import assert_close, check_objective, perturb_weights
from genloom.types import Batch, PreferencePairs, SignalSpace, TokenSpace


def parts_of(toys, toy) -> dict[str, nn.Module]:
    return {name: part.eval() for name, part in toys.build_networks(toy).items()}


def test_contracts(toys, any_toy):
    toy = (toys.TOYS | toys.CONDITIONAL)[any_toy]
    batch = toys.batches(toy, 8)(0)
    check_objective(toy.objective, parts_of(toys, toy), replace(batch, weight=torch.rand(8)))


def test_contracts_of_pairs(toys, likely_toy):
    toy = toys.TOYS[likely_toy]
    parts = parts_of(toys, toy)
    reference = {name: perturb_weights(part, 0.05).requires_grad_(False) for name, part in parts.items()}
    pairs = PreferencePairs(toys.batches(toy, 6)(0), toys.batches(toy, 6)(1))
    check_objective(DPO(toy.objective, reference), parts, pairs)


def test_a_model_that_is_its_reference_prefers_nothing(toys, likely_toy):
    toy = toys.TOYS[likely_toy]
    parts = {n: perturb_weights(p) for n, p in parts_of(toys, toy).items()}
    prefer = DPO(toy.objective, deepcopy(parts), rpo_alpha=0.0)
    pairs = PreferencePairs(toys.batches(toy, 6)(0), toys.batches(toy, 6)(1))
    loss = prefer.loss(parts, pairs, prefer.phases[0], build_training_noise(0, 0, 0, 6))
    assert_close(loss.per_sample, torch.full((6,), np.log(2.0)), "the log of two")


def test_padding_changes_nothing(toys, symbols_toy):
    toy = toys.TOYS[symbols_toy]
    parts = {n: perturb_weights(p) for n, p in parts_of(toys, toy).items()}
    noise, lengths = build_training_noise(0, 0, 0, 5), torch.tensor([1, 2, 4, 5, 5])
    x = torch.randint(4, (5, 5), generator=torch.Generator().manual_seed(1))
    wide = torch.cat([x, torch.ones(5, 2, dtype=torch.long)], 1)
    wide = torch.where(torch.arange(7) < lengths[:, None], wide, 2)
    losses = [toy.objective.loss(parts, Batch(b, lengths=lengths), toy.objective.turns[0], noise) for b in (x, wide)]
    assert_close(losses[0].per_sample, losses[1].per_sample, "padding must not count")
    assert losses[0].num_terms.tolist() == losses[1].num_terms.tolist() == [0, 1, 3, 4, 4]
    assert losses[0].per_sample[0] == 0, "the first symbol is given"


@pytest.mark.parametrize("name", ["autoregressive-transformer", "masked-transformer"])
def test_masked_positions_do_not_count(toys, name):
    """The loss is a sum over positions, so a mask and its opposite make the whole."""
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p) for n, p in parts_of(toys, toy).items()}
    if name == "masked-transformer":  # what is hidden depends on the mask, so the opposite would be another draw
        masks = [torch.ones(4, 7, dtype=torch.bool), torch.zeros(4, 7, dtype=torch.bool)]
    else:
        masks = [torch.arange(7).expand(4, 7) % 2 == i for i in (0, 1)]
    x = torch.randint(4, (4, 7), generator=torch.Generator().manual_seed(1))
    noise, turn = build_training_noise(0, 0, 0, 4), toy.objective.turns[0]
    whole = toy.objective.loss(parts, Batch(x), turn, noise)
    halves = [toy.objective.loss(parts, Batch(x, mask=mask), turn, noise) for mask in masks]
    assert_close(halves[0].per_sample + halves[1].per_sample, whole.per_sample, "the halves make the whole")
    assert_close(halves[0].num_terms + halves[1].num_terms, whole.num_terms, "the halves make the whole")


@pytest.mark.parametrize("name", ["flow-dense", "flow-transformer"])
def test_masked_positions_of_a_signal_do_not_count(toys, name):
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p) for n, p in parts_of(toys, toy).items()}
    x = toys.world(toy.space, 4, 0)
    mask = torch.ones(4, *toy.space.size, dtype=torch.bool)
    noise, turn = build_training_noise(0, 0, 0, 4), toy.objective.turns[0]
    whole = toy.objective.loss(parts, Batch(x), turn, noise)
    assert_close(
        toy.objective.loss(parts, Batch(x, mask=mask), turn, noise).per_sample, whole.per_sample, "all positions"
    )
    none = toy.objective.loss(parts, Batch(x, mask=~mask), turn, noise)
    assert none.per_sample.tolist() == none.num_terms.tolist() == [0, 0, 0, 0]
    if toy.space.size:
        halves = [mask.clone(), mask.clone()]
        halves[0][:, :2], halves[1][:, 2:] = False, False
        parts_of_it = [toy.objective.loss(parts, Batch(x, mask=half), turn, noise).per_sample for half in halves]
        assert_close((parts_of_it[0] + parts_of_it[1]) / 2, whole.per_sample, "the mean over positions")


@pytest.mark.parametrize("name", ["flow-dense", "variational-dense", "adversarial-dense"])
def test_signals_have_no_lengths(toys, name):
    """Better an error of ours than a loss that counts padding."""
    toy = toys.TOYS[name]
    batch = replace(toys.batches(toy, 4)(0), lengths=torch.ones(4, dtype=torch.long))
    with pytest.raises(AssertionError):
        toy.objective.loss(parts_of(toys, toy), batch, toy.objective.turns[0], build_training_noise(0, 0, 0, 4))


class Table(nn.Module):
    """A stand-in network that gives the same logits everywhere."""

    def __init__(self, logits: list[float]):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor, **_) -> Tensor:
        return self.logits.expand(*x.shape, -1)


def test_the_likelihood_of_text_is_exact():
    logits = [0.0, 1.0, 2.0]
    space, x = TokenSpace(3, 4), torch.tensor([[0, 2, 1, 1]])
    loss = Autoregressive(space).loss(
        {"model": Table(logits)}, Batch(x), Autoregressive(space).phases[0], build_training_noise(0, 0, 0, 1)
    )
    log_p = torch.tensor(logits).log_softmax(0)
    assert_close(loss.per_sample, -(log_p[2] + 2 * log_p[1])[None], "minus log-likelihood")
    assert loss.num_terms.tolist() == [3]


def test_the_bound_of_masked_is_the_likelihood_where_symbols_are_independent():
    """For such a model the bound is tight, so its mean over the noise is the exact value."""
    logits = [0.0, 1.0, 2.0, -5.0]  # the last is the hidden symbol's
    objective = masked.Masked(TokenSpace(3, 4))
    x = torch.tensor([[0, 2, 1, 1]]).expand(4000, 4)
    loss = objective.loss({"model": Table(logits)}, Batch(x), objective.phases[0], build_training_noise(0, 0, 0, 4000))
    log_p, nats = torch.tensor(logits[:3]).log_softmax(0), loss.per_sample.detach()
    spread = float(nats.std()) / 4000**0.5
    assert float(nats.mean()) == pytest.approx(-float(log_p[2] + 2 * log_p[1]), abs=4 * spread)
    assert spread < 0.15


def test_masked_samples_are_the_networks_distribution():
    objective = masked.Masked(TokenSpace(3, 5))
    noise = Noise(0, tuple(range(2000)))
    *_, x = objective.sample({"model": Table([0.0, 1.0, 2.0, 9.0])}, 2000, None, noise, masked.SamplingParams())
    assert x.shape == (2000, 4)
    shares = torch.bincount(x.flatten(), minlength=3) / x.numel()
    assert (shares - torch.tensor([0.0, 1.0, 2.0]).softmax(0)).abs().max() < 0.02


def test_masked_keeps_what_is_given_and_bans_what_is_banned(toys):
    toy = toys.TOYS["masked-transformer"]
    parts = toys.trained("masked-transformer")
    known = np.array([[3, -1, 1, -1, -1, -1, -1], [3, 0, -1, -1, -1, -1, 0]])
    x = toys.update_task(toy, parts, 2, known_values=known)
    assert x.tolist() == [[3, 1, 1, 1, 1, 1, 1], [3, 0, 0, 0, 0, 0, 0]]
    prompts = (np.array([3, 1]), np.array([3, 0, 0, 0]), np.array([], dtype=np.int64))
    x = toys.update_task(toy, parts, 3, prompt_ids=prompts, max_tokens=3)
    assert x.shape == (3, 3)
    assert x[:2].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert toys.update_task(toy, parts, 50, suppressed_tokens=(0,)).min() == 1


def test_masked_rows_with_prompts_of_other_lengths_are_written_as_if_alone(toys):
    toy = toys.TOYS["masked-transformer"]
    parts = {name: perturb_weights(part) for name, part in toys.trained("masked-transformer").items()}
    prompts = tuple(np.array([3, 1, 0, 2][:n]) for n in (1, 2, 3, 4))
    whole = toys.update_task(toy, parts, 4, prompt_ids=prompts, max_tokens=3, temperature=2.0)
    for i, prompt in enumerate(prompts):
        controls = masked.SamplingParams(prompt_ids=(prompt,), max_tokens=3, temperature=2.0)
        *_, alone = toy.objective.sample(parts, 1, None, Noise(7, (i,)), controls)
        assert alone[0].tolist() == whole[i].tolist()


def test_fewer_steps_write_several_symbols_at_once(toys):
    toy = toys.TOYS["masked-transformer"]
    drafts = list(
        toy.objective.sample(
            dict(toys.trained("masked-transformer").items()),
            9,
            None,
            Noise(0, (1,) * 9),
            masked.SamplingParams(steps=3),
        )
    )
    assert [int((draft < 0).pooled_proj(1).max()) for draft in drafts] == [4, 2, 0]


def test_a_vae_draw_is_the_decoders_mean_unless_asked_for_noise(toys):
    toy = toys.TOYS["variational-dense"]
    parts = toys.trained("variational-dense")
    means, noisy = (toys.update_task(toy, parts, 400, should_add_noise=noisy) for noisy in (False, True))
    assert float((noisy - means).std()) == pytest.approx(toy.objective.spread, rel=0.1)
    assert toys.update_task(toy, parts, 50, temperature=0.0).std(0).max() < 1e-5


def test_a_flow_whose_velocity_is_known_is_solved_exactly():
    """For one point of data the velocity at (x, t) is (point - x) / (1 - t), and each solver ends at the point."""

    class Towards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.point = nn.Parameter(torch.tensor([1.5, -0.5]))

        def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
            return (self.point - x) / (1 - t)[:, None]

    objective = flow.Flow(SignalSpace(2))
    for solver in flow.SOLVERS:
        for shift in (1.0, 3.0):
            controls = flow.SamplingParams(steps=5, solver=solver, shift=shift)
            drafts = list(objective.sample({"model": Towards()}, 3, None, Noise(0, (0, 1, 2)), controls))
            assert len(drafts) == 5
            for draft in drafts:  # each draft is where the line leads, here known from the start
                assert_close(draft, torch.tensor([[1.5, -0.5]]).expand(3, 2), f"{solver} shifted by {shift}")


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (flow.SamplingParams, {"solver": "magic"}),
        (flow.SamplingParams, {"steps": 0}),
        (flow.SamplingParams, {"shift": 0.0}),
        (flow.SamplingParams, {"again": -1}),
        (flow.SamplingParams, {"strength": 1.5}),
        (flow.SamplingParams, {"known_values": torch.zeros(2)}),
        (masked.SamplingParams, {"temperature": -1.0}),
        (masked.SamplingParams, {"steps": -1}),
    ],
)
def test_controls_out_of_range_are_refused(kind, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(**wrong)


def test_the_critics_penalty_is_the_squared_slope():
    """For a linear critic the finite difference is exact: the mean square of its slope along random directions."""
    objective = adversarial.Adversarial(SignalSpace(2), r1_weight=1.0)

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(torch.tensor([3.0, 4.0]))

        def forward(self, x: Tensor, cond: object = None) -> Tensor:
            return (x @ self.slope)[:, None]

    class Nothing(nn.Module):
        def forward(self, z: Tensor, cond: object = None) -> Tensor:
            return torch.zeros(len(z), 2)

    batch = Batch(torch.zeros(4000, 2))
    parts = {"critic": Linear(), "generator": Nothing()}
    loss = objective.loss(parts, batch, objective.phases[0], build_training_noise(0, 0, 0, 4000))
    penalty = float(loss.per_sample.detach().mean()) - np.log(2)  # the relativistic part, where both score alike
    assert penalty == pytest.approx(3.0**2 + 4.0**2, rel=0.1)


def test_the_evidence_bound_of_a_known_model():
    """An encoder that gives the prior and a decoder that gives zero: only the rebuilding of x costs."""
    objective = variational.Variational(SignalSpace(2), latent=3, decoder_std=0.5)

    class Zeros(nn.Module):
        def __init__(self, size: int):
            super().__init__()
            self.size = size

        def forward(self, x: Tensor, cond: object = None) -> Tensor:
            return torch.zeros(len(x), self.size)

    x = torch.tensor([[0.3, -1.0], [2.0, 0.0]])
    loss = objective.loss(
        {"encoder": Zeros(6), "decoder": Zeros(2)}, Batch(x), objective.phases[0], build_training_noise(0, 0, 0, 2)
    )
    exact = -torch.distributions.Normal(0.0, 0.5).log_prob(x).pooled_proj(1)
    assert_close(loss.per_sample, exact, "minus log-likelihood of x")
