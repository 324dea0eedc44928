"""Cross-entropy by chunks equals that of all logits: in value, in gradients, and if some gradients are not needed."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genloom.networks import transformer
from genloom.noise import build_training_noise
from genloom.objectives import cross_entropy as fused
from genloom.objectives.autoregressive import Autoregressive
from genloom.types import Batch, NetworkSpec, TokenSpace

SPACE = TokenSpace(5000, 24, bos=1, eos=1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "CHUNK", 7 * 40)


def full_cross_entropy(
    h_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, softcap: float, z_loss: float
) -> tuple[Tensor, Tensor]:
    logits_NV = h_ND @ weight_VD.T
    if softcap:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    nll_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
    return nll_N + z_loss * logits_NV.logsumexp(1).square(), nll_N


def draw_inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(3)
    h_ND, weight_VD = torch.randn(23, 6, generator=rng), torch.randn(40, 6, generator=rng)
    targets_N = torch.randint(0, 40, (23,), generator=rng)
    return h_ND.to(dtype), weight_VD.to(dtype), targets_N, torch.rand(23, generator=rng) + 0.5


@pytest.mark.parametrize("softcap", [0.0, 3.0])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradients_equal_those_of_all_logits(softcap: float, z_loss: float, weighted: bool) -> None:
    h, weight, targets, weights = draw_inputs()
    results = []
    for function in (full_cross_entropy, fused.cross_entropy):
        h_ND, weight_VD = h.clone().requires_grad_(), weight.clone().requires_grad_()
        costs_N, nll_N = function(h_ND, weight_VD, targets, softcap, z_loss)
        (costs_N * (weights if weighted else 2.0)).sum().backward()
        assert h_ND.grad is not None
        assert weight_VD.grad is not None
        results.append((costs_N.detach(), nll_N.detach(), h_ND.grad, weight_VD.grad))
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_gradients_equal_finite_differences() -> None:
    h_ND, weight_VD, targets_N, weights_N = draw_inputs(torch.float64)
    step, direction = 1e-4, torch.randn(h_ND.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h_ND.requires_grad_()
    (fused.cross_entropy(h_ND, weight_VD, targets_N, 4.0)[0] * weights_N).sum().backward()
    assert h_ND.grad is not None
    with torch.no_grad():
        forward, backward = (
            (full_cross_entropy(h_ND + sign * step * direction, weight_VD, targets_N, 4.0, 0.0)[0] * weights_N).sum()
            for sign in (1, -1)
        )
    torch.testing.assert_close((h_ND.grad * direction).sum(), (forward - backward) / (2 * step), rtol=1e-5, atol=1e-5)


def test_a_frozen_head_gets_no_gradient() -> None:
    h, weight_VD, targets_N, _ = draw_inputs()
    grads = []
    for frozen in (True, False):
        h_ND = h.clone().requires_grad_()
        head = weight_VD.clone().requires_grad_(not frozen)
        fused.cross_entropy(h_ND, head, targets_N)[0].sum().backward()
        assert (head.grad is None) == frozen
        assert h_ND.grad is not None
        grads.append(h_ND.grad)
    assert torch.equal(*grads)


def test_bfloat16_is_close_to_float32() -> None:
    h, weight, targets, _ = draw_inputs()
    grads, costs = [], []
    for dtype in (torch.float32, torch.bfloat16):
        h_ND, weight_VD = h.to(torch.bfloat16).to(dtype).requires_grad_(), weight.to(torch.bfloat16).to(dtype)
        costs_N, _ = fused.cross_entropy(h_ND, weight_VD, targets)
        costs_N.sum().backward()
        costs.append(costs_N.detach())
        assert h_ND.grad is not None
        grads.append(h_ND.grad.float())
    assert costs[1].dtype == torch.float32
    torch.testing.assert_close(costs[1], costs[0], rtol=0.02, atol=0.03)
    torch.testing.assert_close(grads[1], grads[0], rtol=0.05, atol=0.03)


def test_no_positions_give_no_gradient() -> None:
    h_ND, weight_VD, targets_N, _ = draw_inputs()
    h_ND.requires_grad_()
    costs_N, _ = fused.cross_entropy(h_ND[:0], weight_VD.requires_grad_(), targets_N[:0])
    costs_N.sum().backward()
    assert h_ND.grad is not None
    assert weight_VD.grad is not None
    assert not h_ND.grad.any()
    assert not weight_VD.grad.any()


@pytest.mark.parametrize("tied", [True, False])
def test_the_objective_has_the_same_gradients_with_and_without_chunks(
    tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = transformer.Config(width=16, depth=1, heads=2, tie_embeddings=tied, softcap=10.0)
    network = transformer.build(NetworkSpec(SPACE, SPACE, is_causal=True), config)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    parts = {"model": network}
    batch = Batch(torch.randint(0, 5000, (3, 24)), mask=torch.rand(3, 24) < 0.6, lengths=torch.tensor([24, 9, 17]))
    objective = Autoregressive(SPACE, z_loss=1e-3)
    results = []
    for min_fused_vocab in (1, 10_000):
        monkeypatch.setattr("genloom.objectives.autoregressive.MIN_FUSED_VOCAB", min_fused_vocab)
        network.zero_grad()
        loss = objective.loss(parts, batch, objective.phases[0], build_training_noise(0, 0, 0, 3))
        loss.per_sample.sum().backward()
        results.append(
            [loss.per_sample.detach(), loss.num_terms, loss.metrics["nll"], *(p.grad for p in network.parameters())]
        )
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("min_fused_vocab", [1, 10_000])
def test_the_z_loss_is_not_part_of_the_likelihood(min_fused_vocab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The z-loss is for training; evaluation measures only the negative log-likelihood."""
    monkeypatch.setattr("genloom.objectives.autoregressive.MIN_FUSED_VOCAB", min_fused_vocab)
    torch.manual_seed(0)
    network = transformer.build(
        NetworkSpec(SPACE, SPACE, is_causal=True), transformer.Config(width=16, depth=1, heads=2)
    )
    batch, noise = Batch(torch.randint(0, 5000, (2, 12))), build_training_noise(0, 0, 0, 2)

    def compute_nll(z_loss: float) -> torch.Tensor:
        objective = Autoregressive(SPACE, z_loss=z_loss)
        return objective.loss({"model": network}, batch, objective.phases[0], noise).per_sample.detach()

    assert (compute_nll(0.01) > compute_nll(0.0) + 1).all()
    network.eval()
    assert torch.equal(compute_nll(0.01), compute_nll(0.0))
