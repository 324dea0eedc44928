"""Muon and AdamW match their references, and each kind of parameter gets its optimizer."""

import numpy as np
import pytest
import torch
from torch import nn

from genloom.networks import dense, ngram, recurrent, transformer
from genloom.train.optimizers import Optimizer, OptimizerConfig, classify_parameters, orthogonalize_matrices
from genloom.types import ConditionSpec, NetworkSpec, SignalSpace, TokenSpace
from tests.errors import raises_code

TOKENS = TokenSpace(7, 8)
READER = NetworkSpec(TOKENS, TOKENS, is_causal=True)
SMALL = transformer.Config(width=16, depth=1, heads=2)


def by_kind(network: nn.Module) -> dict[str, set[str]]:
    names_by_kind = classify_parameters(network)
    return {
        kind: {name for name in names_by_kind if names_by_kind[name] == kind}
        for kind in ("matrix", "embedding", "vector")
    }


def test_kinds_of_a_tied_transformer():
    names_by_kind = by_kind(transformer.build(READER, SMALL))
    assert names_by_kind["embedding"] == {"embedding.embed.weight"}
    assert names_by_kind["matrix"] == {
        f"blocks.0.{name}.weight" for name in ("attention.qkv", "attention.out", "mlp.up", "mlp.down")
    }
    assert names_by_kind["vector"] == {
        "norm.weight",
        "blocks.0.norm_attention.weight",
        "blocks.0.norm_mlp.weight",
        "blocks.0.attention.qk_norms.0.weight",
        "blocks.0.attention.qk_norms.1.weight",
    }


def test_kinds_of_first_and_last_layers():
    names_by_kind = by_kind(
        transformer.build(READER, transformer.Config(width=16, depth=1, heads=2, tie_embeddings=False))
    )
    assert names_by_kind["embedding"] == {"embedding.embed.weight"}
    assert "head.weight" in names_by_kind["vector"]
    series = SignalSpace(2, (5,))
    names_by_kind = by_kind(
        transformer.build(NetworkSpec(series, series, has_time=True, condition=ConditionSpec(3, 2)), SMALL)
    )
    assert {"embedding.in_proj.weight", "embedding.in_proj.bias", "head.weight"} <= names_by_kind["vector"]
    assert {
        "mod_embed.time.0.weight",
        "blocks.0.cross_attention.kv_proj.weight",
        "blocks.0.modulation.weight",
    } <= names_by_kind["matrix"]
    assert "blocks.0.cross_attention.null_state" in names_by_kind["vector"]
    assert not names_by_kind["embedding"]


def test_kinds_of_the_other_networks():
    names_by_kind = by_kind(recurrent.build(READER, recurrent.Config(width=8, depth=1)))
    assert names_by_kind["matrix"] == {"layers.0.weight_ih_l0", "layers.0.weight_hh_l0"}
    assert names_by_kind["embedding"] == {"embed.weight"}
    names_by_kind = by_kind(dense.build(NetworkSpec(SignalSpace(2), SignalSpace(2)), dense.Config(width=8, depth=2)))
    assert names_by_kind["matrix"] == {"layers.0.weight"}
    assert {"in_proj.weight", "head.weight", "layers.0.bias"} <= names_by_kind["vector"]
    names_by_kind = by_kind(ngram.build(READER, ngram.Config(base=SMALL)))
    assert "scale" in names_by_kind["vector"]
    assert names_by_kind["embedding"] == {"base.embedding.embed.weight"}


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_has_one_kind(tied):
    network = transformer.build(READER, transformer.Config(width=16, depth=2, heads=2, tie_embeddings=tied))
    assert set(classify_parameters(network)) == {name for name, _ in network.named_parameters()}
    assert ("head.weight" in classify_parameters(network)) is not tied


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 8, 32), (2, 40, 10)], ids=str)
def test_orthogonalised_has_singular_values_near_one(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize_matrices(x))
    assert values.min() > (0.3 if shape[1] == shape[2] else 0.65)  # a square one has values near zero, which lag
    assert values.max() < 1.25
    left, _, right = torch.linalg.svd(x, full_matrices=False)
    near = orthogonalize_matrices(x).flatten(1)
    assert torch.cosine_similarity(near, (left @ right).flatten(1)).min() > 0.9
    assert torch.allclose(orthogonalize_matrices(100 * x), orthogonalize_matrices(x), atol=1e-3), (
        "the norm of the gradient has no effect"
    )


def test_zero_gradients_give_zero_updates():
    assert not orthogonalize_matrices(torch.zeros(2, 4, 4)).any()


def train_matrix(
    rates: OptimizerConfig, steps: int = 4, scale: float = 1.0, shape: tuple[int, ...] = (12, 6)
) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    w = nn.Parameter(torch.randn(shape, generator=rng))
    optimizer = Optimizer({"w": w}, {"w": "matrix"}, rates)
    for _ in range(steps):
        w.grad = torch.randn(shape, generator=rng)
        optimizer.step(scale)
    return w.detach()


@pytest.mark.parametrize("shape", [(12, 6), (6, 12), (8, 8)], ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_muon_is_torchs_muon(shape, decay):
    rng = torch.Generator().manual_seed(0)
    w = nn.Parameter(torch.randn(shape, generator=rng))
    reference = torch.optim.Muon([w], lr=0.02, momentum=0.95, weight_decay=decay, nesterov=True)
    for _ in range(4):
        w.grad = torch.randn(shape, generator=rng)
        reference.step()
    mine = train_matrix(OptimizerConfig(lr_matrix=0.02, weight_decay=decay), shape=shape)
    # torch rounds to bfloat16 inside, so the two agree to its precision in what four steps of 0.02 move.
    assert torch.allclose(mine, w.detach(), atol=4 * 0.02 * 0.03)
    assert not torch.allclose(
        mine, train_matrix(OptimizerConfig(lr_matrix=0.02, weight_decay=decay), 3, shape=shape), atol=4 * 0.02 * 0.03
    )


def test_stacked_matrices_move_as_each_alone():
    rng = torch.Generator().manual_seed(0)
    start = [torch.randn(5, 7, generator=rng) for _ in range(3)]
    grads = [torch.randn(5, 7, generator=rng) for _ in range(3)]

    def take_step(chosen: list[int]) -> list[torch.Tensor]:
        params = {str(i): nn.Parameter(start[i].clone()) for i in chosen}
        for i in chosen:
            params[str(i)].grad = grads[i].clone()
        Optimizer(params, dict.fromkeys(params, "matrix"), OptimizerConfig()).step(1.0)
        return [p.detach() for p in params.values()]

    together = take_step([0, 1, 2])
    for i in range(3):
        assert torch.allclose(together[i], take_step([i])[0], atol=1e-6)


def test_adamw_is_torchs_adamw():
    rates = OptimizerConfig(family="adamw", lr_matrix=0.01, betas=(0.8, 0.95), weight_decay=0.1)
    rng = torch.Generator().manual_seed(0)
    w = nn.Parameter(torch.randn(12, 6, generator=rng))
    reference = torch.optim.AdamW([w], lr=0.01, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.1)
    for _ in range(4):
        w.grad = torch.randn(12, 6, generator=rng)
        reference.step()
    assert torch.allclose(train_matrix(rates), w.detach(), atol=1e-6)


def test_rates_by_kind_and_scale():
    rates = OptimizerConfig(lr_embedding=0.1, lr_vector=0.01)
    params = {"t": nn.Parameter(torch.zeros(4, 3)), "v": nn.Parameter(torch.zeros(5))}
    optimizer = Optimizer(params, {"t": "embedding", "v": "vector"}, rates)
    for p in params.values():
        p.grad = torch.ones_like(p)
    optimizer.step(0.5)  # the first step of Adam is the rate itself
    assert torch.allclose(params["t"], torch.full((4, 3), -0.05))
    assert torch.allclose(params["v"], torch.full((5,), -0.005))


def test_parameters_without_a_gradient_do_not_change():
    params = {name: nn.Parameter(torch.ones(4, 4)) for name in ("a", "b", "c", "d")}
    optimizer = Optimizer(params, {"a": "matrix", "b": "matrix", "c": "embedding", "d": "embedding"}, OptimizerConfig())
    params["a"].grad, params["c"].grad = torch.randn(4, 4), torch.randn(4, 4)
    optimizer.step(1.0)
    assert not torch.equal(params["a"], torch.ones(4, 4))
    assert not torch.equal(params["c"], torch.ones(4, 4))
    assert torch.equal(params["b"], torch.ones(4, 4))
    assert torch.equal(params["d"], torch.ones(4, 4))


def test_an_optimizer_continues_from_the_state_of_another():
    rng = np.random.default_rng(0)

    def fresh() -> tuple[dict[str, nn.Parameter], Optimizer]:
        params = {n: nn.Parameter(torch.ones(4, 3)) for n in ("m", "t", "never")}
        return params, Optimizer(params, {"m": "matrix", "t": "embedding", "never": "embedding"}, OptimizerConfig())

    grads = [torch.from_numpy(rng.normal(size=(4, 3)).astype(np.float32)) for _ in range(6)]

    def walk(params: dict[str, nn.Parameter], optimizer: Optimizer, some: list[torch.Tensor]) -> None:
        for grad in some:
            params["m"].grad, params["t"].grad = grad.clone(), grad.clone()
            optimizer.step(1.0)

    whole_params, whole = fresh()
    walk(whole_params, whole, grads)
    first_params, first = fresh()
    walk(first_params, first, grads[:3])
    second_params, second = fresh()
    second_params["never"].grad = torch.ones(4, 3)
    second.step(1.0)  # state of its own, which loading must replace
    second_params["never"].grad = None
    for name, p in first_params.items():
        second_params[name].data.copy_(p)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    assert set(second.state_dict()) == set(first.state_dict())
    walk(second_params, second, grads[3:])
    for name, p in whole_params.items():
        assert torch.equal(second_params[name], p)


def test_an_unknown_family_is_an_error():
    with raises_code("train.unknown_optimizer", value="sgd"):
        Optimizer({}, {}, OptimizerConfig(family="sgd"))
