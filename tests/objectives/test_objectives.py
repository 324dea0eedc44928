"""Contracts of every objective with every network that fits: batches, noise, conditions, padding, masks."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genloom.noise import Noise, build_training_noise
from genloom.objectives import adversarial, autoregressive, flow, masked, variational
from genloom.objectives.autoregressive import Autoregressive
from genloom.objectives.dpo import DPO
from genloom.objectives.sizes import build_valid_mask
from genloom.testing import assert_close, check_objective, perturb_weights
from genloom.testing.objectives import check_packing
from genloom.types import Batch, PreferencePairs, SignalSpace, TokenSpace
from tests.errors import raises_code

# Weights that do not change the loss: this U-Net has no attention, which would read the states of a prompt.
UNREACHED = {"flow-unet-tokens": ("model.prompt_proj.states_proj.weight",)}


def build_parts(toys, toy) -> dict[str, nn.Module]:
    return {name: part.eval() for name, part in toys.build_networks(toy).items()}


def test_contracts(toys, any_toy):
    toy = toys.get_toy(any_toy)
    batch = toys.build_batches(toy, 8)(0)
    unreached = UNREACHED.get(any_toy, ("critic.head.bias",))  # only differences of a critic's outputs count
    check_objective(toy.objective, build_parts(toys, toy), replace(batch, weight=torch.rand(8)), unreached=unreached)


@pytest.mark.parametrize("min_fused_vocab", [autoregressive.MIN_FUSED_VOCAB, 1])
def test_documents_packed_into_a_row_have_their_own_losses(toys, token_toy, min_fused_vocab, monkeypatch):
    monkeypatch.setattr(autoregressive, "MIN_FUSED_VOCAB", min_fused_vocab)
    toy = toys.TOYS[token_toy]
    parts = {name: perturb_weights(part) for name, part in build_parts(toys, toy).items()}
    can_keep_apart = check_packing(toy.objective, parts, toys.build_batches(toy, 8)(0))
    assert can_keep_apart == (token_toy == "autoregressive-transformer")


def test_contracts_of_pairs(toys, likelihood_toy):
    toy = toys.TOYS[likelihood_toy]
    parts = build_parts(toys, toy)
    reference = {name: perturb_weights(part, 0.05).requires_grad_(False) for name, part in parts.items()}
    pairs = PreferencePairs(toys.build_batches(toy, 6)(0), toys.build_batches(toy, 6)(1))
    check_objective(DPO(toy.objective, reference), parts, pairs)


def test_a_model_that_is_its_reference_prefers_nothing(toys, likelihood_toy):
    toy = toys.TOYS[likelihood_toy]
    parts = {n: perturb_weights(p) for n, p in build_parts(toys, toy).items()}
    dpo = DPO(toy.objective, deepcopy(parts), rpo_alpha=0.0)
    pairs = PreferencePairs(toys.build_batches(toy, 6)(0), toys.build_batches(toy, 6)(1))
    loss = dpo.loss(parts, pairs, dpo.phases[0], build_training_noise(0, 0, 0, 6))
    assert_close(loss.per_sample, torch.full((6,), np.log(2.0)), "the log of two")


def test_padding_does_not_change_the_loss(toys, token_toy):
    toy = toys.TOYS[token_toy]
    parts = {n: perturb_weights(p) for n, p in build_parts(toys, toy).items()}
    noise, lengths = build_training_noise(0, 0, 0, 5), torch.tensor([1, 2, 4, 5, 5])
    x = torch.randint(4, (5, 5), generator=torch.Generator().manual_seed(1))
    wide = torch.cat([x, torch.ones(5, 2, dtype=torch.long)], 1)
    wide = torch.where(torch.arange(7) < lengths[:, None], wide, 2)
    losses = [toy.objective.loss(parts, Batch(b, lengths=lengths), toy.objective.phases[0], noise) for b in (x, wide)]
    assert_close(losses[0].per_sample, losses[1].per_sample, "padding must not count")
    assert losses[0].num_terms.tolist() == losses[1].num_terms.tolist() == [0, 1, 3, 4, 4]
    assert losses[0].per_sample[0] == 0, "the first token is given"


@pytest.mark.parametrize("name", ["autoregressive-transformer", "masked-transformer"])
def test_masked_positions_do_not_count(toys, name):
    """The loss is a sum over positions, so those of a mask and its complement add up to the whole."""
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p) for n, p in build_parts(toys, toy).items()}
    if name == "masked-transformer":  # the masked tokens depend on the mask, so the complement would be another sample
        masks = [torch.ones(4, 7, dtype=torch.bool), torch.zeros(4, 7, dtype=torch.bool)]
    else:
        masks = [torch.arange(7).expand(4, 7) % 2 == i for i in (0, 1)]
    x = torch.randint(4, (4, 7), generator=torch.Generator().manual_seed(1))
    noise, phase = build_training_noise(0, 0, 0, 4), toy.objective.phases[0]
    whole = toy.objective.loss(parts, Batch(x), phase, noise)
    halves = [toy.objective.loss(parts, Batch(x, mask=mask), phase, noise) for mask in masks]
    assert_close(halves[0].per_sample + halves[1].per_sample, whole.per_sample, "the sum of both halves")
    assert_close(halves[0].num_terms + halves[1].num_terms, whole.num_terms, "the sum of both halves")


@pytest.mark.parametrize("name", ["flow-dense", "flow-transformer"])
def test_masked_positions_of_a_signal_do_not_count(toys, name):
    toy = toys.TOYS[name]
    parts = {n: perturb_weights(p) for n, p in build_parts(toys, toy).items()}
    x = toys.sample_world(toy.space, 4, 0)
    mask = torch.ones(4, *toy.space.size, dtype=torch.bool)
    noise, phase = build_training_noise(0, 0, 0, 4), toy.objective.phases[0]
    whole = toy.objective.loss(parts, Batch(x), phase, noise)
    assert_close(
        toy.objective.loss(parts, Batch(x, mask=mask), phase, noise).per_sample, whole.per_sample, "all positions"
    )
    none = toy.objective.loss(parts, Batch(x, mask=~mask), phase, noise)
    assert none.per_sample.tolist() == none.num_terms.tolist() == [0, 0, 0, 0]
    if toy.space.size:
        halves = [mask.clone(), mask.clone()]
        halves[0][:, :2], halves[1][:, 2:] = False, False
        half_losses = [toy.objective.loss(parts, Batch(x, mask=half), phase, noise).per_sample for half in halves]
        assert_close((half_losses[0] + half_losses[1]) / 2, whole.per_sample, "the mean over positions")


@pytest.mark.parametrize("name", ["flow-dense", "variational-dense", "adversarial-dense"])
def test_vectors_have_no_lengths(toys, name):
    """An error is better than a loss that counts padding."""
    toy = toys.TOYS[name]
    batch = replace(toys.build_batches(toy, 4)(0), lengths=torch.ones(4, dtype=torch.long))
    with pytest.raises(AssertionError):
        toy.objective.loss(build_parts(toys, toy), batch, toy.objective.phases[0], build_training_noise(0, 0, 0, 4))


PADDED = ["flow-transformer", "flow-dit", "flow-unet", "shortcut-dit", "shortcut-transformer", "flow-dit-clip",
          "variational-convolution-wave", "variational-convolution-clip", "adversarial-convolution-wave",
          "vae_gan-convolution-wave", "vae_gan-convolution-clip"]  # fmt: skip


@pytest.mark.parametrize("name", PADDED)
def test_the_padding_of_signals_counts_in_no_loss(toys, name):
    toy, noise = toys.get_toy(name), build_training_noise(0, 0, 0, 4)
    parts = {name: perturb_weights(part).eval() for name, part in build_parts(toys, toy).items()}
    x, size = toys.build_batches(toy, 4)(0).x, toy.space.size
    lengths = torch.tensor([1, size[0], 2, size[0]])
    is_padding = ~build_valid_mask(x, lengths)[:, None].expand_as(x)
    assert is_padding.any()
    for phase in toy.objective.phases:
        losses = [
            toy.objective.loss(parts, Batch(padded_x, lengths=lengths), phase, noise).per_sample
            for padded_x in (x, torch.where(is_padding, 3 - x, x))
        ]
        assert_close(losses[1], losses[0], "the content of padding")
        full = toy.objective.loss(parts, Batch(x), phase, noise).per_sample
        with_lengths = toy.objective.loss(parts, Batch(x, lengths=torch.full((4,), size[0])), phase, noise).per_sample
        assert_close(with_lengths, full, "rows without padding")
        assert not torch.allclose(losses[0], full), f"{phase} ignores the lengths"


@pytest.mark.parametrize("name", PADDED)
def test_samples_of_a_space_with_lengths_can_be_shorter(toys, name):
    toy = toys.get_toy(name)
    space = replace(toy.space, has_lengths=True)
    toy = replace(toy, objective=replace(toy.objective, space=space))
    parts = build_parts(toys, toy)
    size = (space.size[0] - 1, *space.size[1:])
    assert toys.sample(toy, parts, 3, size=size).shape == (3, space.channels, *size)
    assert toys.sample(toy, parts, 3).shape == (3, space.channels, *space.size)


@pytest.mark.parametrize(
    "name", ["flow-transformer", "flow-unet", pytest.param("shortcut-transformer", marks=pytest.mark.slow)]
)
def test_networks_without_a_fixed_grid_make_samples_of_another_size(toys, name):
    toy = toys.get_toy(name)
    size = tuple(2 * side for side in toy.space.size)
    x = toys.sample(toy, toys.train_toy(name), 100, size=size)
    assert x.shape == (100, toy.space.channels, *size)
    larger = replace(toy.space, size=size)
    assert toys.valid_share(larger, x) > 0.5
    assert 0.2 < toys.second_kind_share(larger, x) < 0.8


@pytest.mark.parametrize("name", ["flow-dit", "shortcut-dit"])
def test_a_shorter_source_gives_samples_of_its_length(toys, name):
    toy = toys.get_toy(name)
    space = replace(toy.space, has_lengths=True)
    toy = replace(toy, objective=replace(toy.objective, space=space))
    parts, source = build_parts(toys, toy), torch.ones(space.channels, space.size[0] - 1)
    mask = torch.arange(source.shape[1]) == 0
    inputs = flow.SamplerInputs(known_values=source, mask=mask, init_values=source, strength=0.5)
    x = toys.sample(toy, parts, 3, inputs=inputs)
    assert x.shape == (3, *source.shape)
    assert torch.equal(x[:, :, 1:], source[:, 1:].expand_as(x[:, :, 1:]))


def test_decoders_between_grids_make_samples_of_another_size(toys):
    toy = toys.get_toy("variational-convolution-wave")
    parts = toys.train_toy("variational-convolution-wave")
    assert toys.sample(toy, parts, 3, size=(16,)).shape == (3, 1, 16)
    with raises_code("objectives.size_not_divisible", size=(6,)):
        toys.sample(toy, parts, 3, size=(6,))


@pytest.mark.parametrize(
    ("name", "size", "code"),
    [
        ("flow-dit", (7,), "networks.patch_size"),
        ("flow-dense", (2,), "objectives.size_axes"),
        ("flow-transformer", (8, 8), "objectives.size_axes"),
        ("flow-transformer", (0,), "objectives.bad_setting"),
        ("flow-transformer", 8, "objectives.bad_setting"),
        ("adversarial-convolution-wave", (16,), "networks.size_is_fixed"),
        ("variational-convolution", (8, 8), "objectives.size_not_divisible"),
    ],
)
def test_other_sizes_are_refused(toys, name, size, code):
    toy = toys.get_toy(name)
    with raises_code(code):
        toys.sample(toy, build_parts(toys, toy), 2, size=size)


class ConstantNetwork(nn.Module):
    """A stand-in network with constant logits."""

    def __init__(self, logits: list[float]):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor, **_) -> Tensor:
        return self.logits.expand(*x.shape, -1)


def test_the_likelihood_of_text_is_exact():
    logits = [0.0, 1.0, 2.0]
    space, x = TokenSpace(3, 4), torch.tensor([[0, 2, 1, 1]])
    loss = Autoregressive(space).loss(
        {"model": ConstantNetwork(logits)}, Batch(x), Autoregressive(space).phases[0], build_training_noise(0, 0, 0, 1)
    )
    log_p = torch.tensor(logits).log_softmax(0)
    assert_close(loss.per_sample, -(log_p[2] + 2 * log_p[1])[None], "negative log-likelihood")
    assert loss.num_terms.tolist() == [3]


def test_the_masked_bound_is_tight_for_independent_tokens():
    """The bound is tight, so its mean over the noise is the exact value."""
    logits = [0.0, 1.0, 2.0, -5.0]  # the last one is that of the mask token
    objective = masked.Masked(TokenSpace(3, 4))
    x = torch.tensor([[0, 2, 1, 1]]).expand(4000, 4)
    loss = objective.loss(
        {"model": ConstantNetwork(logits)}, Batch(x), objective.phases[0], build_training_noise(0, 0, 0, 4000)
    )
    log_p, nats = torch.tensor(logits[:3]).log_softmax(0), loss.per_sample.detach()
    std_error = float(nats.std()) / 4000**0.5
    assert float(nats.mean()) == pytest.approx(-float(log_p[2] + 2 * log_p[1]), abs=4 * std_error)
    assert std_error < 0.15


def test_masked_samples_follow_the_distribution_of_the_network():
    objective = masked.Masked(TokenSpace(3, 5))
    noise = Noise(0, tuple(range(2000)))
    *_, x = objective.sample(
        {"model": ConstantNetwork([0.0, 1.0, 2.0, 9.0])}, 2000, None, noise, masked.SamplingParams()
    )
    assert x.shape == (2000, 4)
    shares = torch.bincount(x.flatten(), minlength=3) / x.numel()
    assert (shares - torch.tensor([0.0, 1.0, 2.0]).softmax(0)).abs().max() < 0.02


def test_masked_keeps_known_ids_and_suppresses_tokens(toys):
    toy = toys.TOYS["masked-transformer"]
    parts = toys.train_toy("masked-transformer")
    known_ids = np.array([[3, -1, 1, -1, -1, -1, -1], [3, 0, -1, -1, -1, -1, 0]])
    x = toys.sample(toy, parts, 2, known_ids=known_ids)
    assert x.tolist() == [[3, 1, 1, 1, 1, 1, 1], [3, 0, 0, 0, 0, 0, 0]]
    prompts = (np.array([3, 1]), np.array([3, 0, 0, 0]), np.array([], dtype=np.int64))
    x = toys.sample(toy, parts, 3, prompt_ids=prompts, max_tokens=3)
    assert x.shape == (3, 3)
    assert x[:2].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert toys.sample(toy, parts, 50, suppressed_tokens=(0,)).min() == 1


def test_masked_rows_with_prompts_of_different_lengths_are_independent(toys):
    toy = toys.TOYS["masked-transformer"]
    parts = {name: perturb_weights(part) for name, part in toys.train_toy("masked-transformer").items()}
    prompts = tuple(np.array([3, 1, 0, 2][:n]) for n in (1, 2, 3, 4))
    whole = toys.sample(toy, parts, 4, prompt_ids=prompts, max_tokens=3, temperature=2.0)
    for i, prompt in enumerate(prompts):
        params = masked.SamplingParams(inputs=masked.SamplerInputs((prompt,)), max_tokens=3, temperature=2.0)
        *_, alone = toy.objective.sample(parts, 1, None, Noise(7, (i,)), params)
        assert alone[0].tolist() == whole[i].tolist()


def test_fewer_steps_generate_several_tokens_at_once(toys):
    toy = toys.TOYS["masked-transformer"]
    drafts = list(
        toy.objective.sample(
            dict(toys.train_toy("masked-transformer").items()),
            9,
            None,
            Noise(0, (1,) * 9),
            masked.SamplingParams(steps=3),
        )
    )
    assert [int((draft < 0).sum(1).max()) for draft in drafts] == [4, 2, 0]


def test_a_vae_sample_is_the_mean_of_the_decoder_without_noise(toys):
    toy = toys.TOYS["variational-dense"]
    parts = toys.train_toy("variational-dense")
    means, noisy = (toys.sample(toy, parts, 400, should_add_noise=noisy) for noisy in (False, True))
    assert float((noisy - means).std()) == pytest.approx(toy.objective.decoder_std, rel=0.1)
    assert toys.sample(toy, parts, 50, temperature=0.0).std(0).max() < 1e-5


def test_a_flow_with_a_known_velocity_is_solved_exactly():
    """For a single data point, the velocity at (x, t) is (point - x) / (1 - t), and each solver ends at the point."""

    class StraightLines(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.point = nn.Parameter(torch.tensor([1.5, -0.5]))

        def forward(self, x: Tensor, t: Tensor, cond: object = None) -> Tensor:
            return (self.point - x) / (1 - t)[:, None]

    objective = flow.Flow(SignalSpace(2))
    for solver in flow.SOLVERS:
        for shift in (1.0, 3.0):
            params = flow.SamplingParams(steps=5, solver=solver, shift=shift)
            drafts = list(objective.sample({"model": StraightLines()}, 3, None, Noise(0, (0, 1, 2)), params))
            assert len(drafts) == 5
            for draft in drafts:  # each draft is the end of the line
                assert_close(draft, torch.tensor([[1.5, -0.5]]).expand(3, 2), f"{solver} shifted by {shift}")


@pytest.mark.parametrize(
    ("params_class", "wrong"),
    [
        (flow.SamplingParams, {"steps": 0}),
        (flow.SamplingParams, {"shift": 0.0}),
        (flow.SamplingParams, {"resample_steps": -1}),
        (flow.SamplerInputs, {"strength": 1.5}),
        (masked.SamplingParams, {"temperature": -1.0}),
        (masked.SamplingParams, {"steps": -1}),
        (masked.SamplingParams, {"max_tokens": -1}),
    ],
)
def test_sampling_parameters_out_of_range_are_refused(params_class, wrong):
    ((name, value),) = wrong.items()
    with raises_code("objectives.bad_setting", name=name, value=value):
        params_class(**wrong)


def test_an_unknown_solver_is_refused():
    with raises_code("objectives.bad_setting", name="solver", value="magic"):
        flow.SamplingParams(solver="magic")


def test_known_values_without_a_mask_are_refused():
    with raises_code("objectives.mask_without_known_values"):
        flow.SamplerInputs(known_values=torch.zeros(2))


def test_the_penalty_of_the_critic_is_the_squared_gradient():
    """For a linear critic, the finite difference is exact: the mean squared slope along random directions."""
    objective = adversarial.Adversarial(SignalSpace(2), r1_weight=1.0)

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(torch.tensor([3.0, 4.0]))

        def forward(self, x: Tensor, cond: object = None) -> Tensor:
            return (x @ self.slope)[:, None]

    class ZeroGenerator(nn.Module):
        def forward(self, z: Tensor, cond: object = None) -> Tensor:
            return torch.zeros(len(z), 2)

    batch = Batch(torch.zeros(4000, 2))
    parts = {"critic": Linear(), "generator": ZeroGenerator()}
    loss = objective.loss(parts, batch, objective.phases[0], build_training_noise(0, 0, 0, 4000))
    penalty = float(loss.per_sample.detach().mean()) - np.log(2)  # the relativistic loss of equal scores
    assert penalty == pytest.approx(3.0**2 + 4.0**2, rel=0.1)


def test_the_evidence_bound_of_a_known_model():
    """With an encoder that returns the prior and a decoder that returns 0, the loss is the reconstruction loss."""
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
    expected = -torch.distributions.Normal(0.0, 0.5).log_prob(x).sum(1)
    assert_close(loss.per_sample, expected, "minus log-likelihood of x")
