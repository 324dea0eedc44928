"""Dropout: a row's mask is its own, whatever rows lie beside it; the shares are right; it is off where it must be."""

import pytest
import torch

from genloom.networks import transformer
from genloom.networks.dropout import Dropout, build_keep_mask, set_dropout_keys
from genloom.noise import Noise, build_training_noise
from genloom.testing import perturb_weights
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.types import NetworkSpec, TokenSpace

SHAPE = torch.Size((8, 64, 48))


def masks(noise: Noise, share: float = 0.25, layers: int = 2) -> list[torch.Tensor]:
    network = torch.nn.Sequential(*(Dropout(share) for _ in range(layers)))
    set_dropout_keys({"model": network}, noise)
    return [layer(torch.ones(len(noise), *SHAPE[1:])) for layer in network]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_share_is_left_out_of_every_row_and_the_mean_stays(share: float) -> None:
    (mask,) = masks(build_training_noise(3, 5, 0, 8), share, 1)
    n = mask[0].numel()
    assert ((mask == 0) | torch.isclose(mask, torch.tensor(1 / (1 - share)))).all()
    five_sigma = 5 * (share * (1 - share) / n) ** 0.5
    assert ((mask == 0).flatten(1).float().mean(1) - share).abs().max() < five_sigma


def test_rows_layers_steps_and_neighbours_have_nothing_in_common() -> None:
    share = 0.5
    first, second = masks(build_training_noise(3, 5, 0, 8), share)
    (later,) = masks(build_training_noise(3, 6, 0, 8), share, 1)
    (other,) = masks(build_training_noise(4, 5, 0, 8), share, 1)
    flat = [2 * (m.flatten(1) > 0).float() - 1 for m in (first, second, later, other)]
    rows, n = torch.cat(flat), first[0].numel()
    alike = rows @ rows.mT / n - torch.eye(len(rows))
    assert alike.abs().max() < 5 / n**0.5
    one = flat[0].flatten()
    for away in (1, 2, 3, 4, 8, 16, 32, 48, 64, 96, 128):
        assert (one[away:] * one[:-away]).mean().abs() < 5 / len(one) ** 0.5, f"{away} apart"


def test_a_rows_mask_does_not_depend_on_the_rows_beside_it() -> None:
    for whole, end in zip(
        masks(build_training_noise(3, 5, 0, 8)), masks(build_training_noise(3, 5, 5, 3)), strict=True
    ):
        assert torch.equal(whole[5:], end)
        assert not torch.equal(whole[4:7], end)


def test_nothing_is_left_out_outside_of_learning() -> None:
    layer, x = Dropout(0.5), torch.ones(2, 9, 9)
    assert torch.equal(layer(x), x)
    set_dropout_keys({"model": layer}, build_training_noise(0, 0, 0, 2))
    assert not torch.equal(layer(x), x)
    with torch.no_grad():
        assert torch.equal(layer(x), x)
    assert torch.equal(layer.eval()(x), x)
    set_dropout_keys({"model": layer.train()}, None)
    assert torch.equal(layer(x), x)


def test_another_number_of_rows_is_named() -> None:
    layer = Dropout(0.5)
    set_dropout_keys({"model": layer}, build_training_noise(0, 0, 0, 2))
    with pytest.raises(AssertionError, match="a row for each row"):
        layer(torch.ones(3, 4))


def test_gradients_flow_through_what_stays() -> None:
    x = torch.ones(SHAPE, requires_grad=True)
    layer = Dropout(0.5)
    set_dropout_keys({"model": layer}, build_training_noise(0, 0, 0, len(x)))
    y = layer(x)
    y.pooled_proj().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_the_loop_draws_anew_in_every_step_and_leaves_nothing_behind(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    objective = toy.objective
    config = transformer.Config(**toys.SIZES["transformer"], dropout=0.5)
    torch.manual_seed(0)
    parts = torch.nn.ModuleDict({"model": transformer.build(objective.roles["model"], config)})
    seen: list[torch.Tensor] = []
    layer = next(m for m in parts.modules() if isinstance(m, Dropout))
    layer.register_forward_pre_hook(lambda layer, _: seen.append(layer.keys_B.clone()))
    plan = TrainConfig(steps=3)
    for _ in train(objective, toys.batches(toy, 6), plan, TrainState.from_parts(parts, objective, plan)):
        assert layer.keys_B is None
    assert len(seen) == 3
    assert len({tuple(keys.tolist()) for keys in seen}) == 3
    assert all(len(set(keys.tolist())) == 6 for keys in seen)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's compiler uses what torch gives up
def test_compiled_it_leaves_out_the_same() -> None:
    role = NetworkSpec(TokenSpace(16, 32), TokenSpace(16, 32), is_causal=True)
    torch.manual_seed(0)
    network = perturb_weights(transformer.build(role, transformer.Config(32, 1, 2, dropout=0.3)))
    x = torch.randint(16, (4, 32), generator=torch.Generator().manual_seed(1))
    wanted = []
    for step in range(2):
        set_dropout_keys({"model": network}, build_training_noise(0, step, 0, 4))
        wanted.append(network(x).detach())
    assert not torch.equal(*wanted)
    network.compile(dynamic=False)
    for step, want in enumerate(wanted):
        set_dropout_keys({"model": network}, build_training_noise(0, step, 0, 4))
        assert torch.allclose(network(x).detach(), want, atol=1e-4)


def test_the_hash_is_what_it_was() -> None:
    """A run that is resumed with a newer version goes on with the same masks."""
    keys_B = torch.tensor([0, 1, -(2**31), 123456789], dtype=torch.int32)
    found = ["".join(map(str, row)) for row in build_keep_mask(keys_B, torch.Size((4, 12)), 0.5).int().tolist()]
    assert found == ["110000000010", "101101101110", "111100001111", "011101100000"]
