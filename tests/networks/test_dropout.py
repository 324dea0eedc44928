"""Dropout: a row's mask does not depend on other rows; its rate is right; it is off in evaluation and without keys."""

import pytest
import torch

from genloom.networks import transformer
from genloom.networks.dropout import Dropout, build_keep_mask, set_dropout_keys
from genloom.noise import Noise, build_training_noise
from genloom.testing import perturb_weights
from genloom.train.loop import TrainConfig, TrainState, train
from genloom.types import NetworkSpec, TokenSpace

SHAPE = torch.Size((8, 64, 48))


def masks(noise: Noise, p: float = 0.25, layers: int = 2) -> list[torch.Tensor]:
    network = torch.nn.Sequential(*(Dropout(p) for _ in range(layers)))
    set_dropout_keys({"model": network}, noise)
    return [layer(torch.ones(len(noise), *SHAPE[1:])) for layer in network]


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_every_row_drops_the_given_share_and_keeps_the_mean(p: float) -> None:
    (mask,) = masks(build_training_noise(3, 5, 0, 8), p, 1)
    n = mask[0].numel()
    assert ((mask == 0) | torch.isclose(mask, torch.tensor(1 / (1 - p)))).all()
    five_sigma = 5 * (p * (1 - p) / n) ** 0.5
    assert ((mask == 0).flatten(1).float().mean(1) - p).abs().max() < five_sigma


def test_masks_of_rows_layers_steps_and_neighbours_are_independent() -> None:
    p = 0.5
    first, second = masks(build_training_noise(3, 5, 0, 8), p)
    (later,) = masks(build_training_noise(3, 6, 0, 8), p, 1)
    (other,) = masks(build_training_noise(4, 5, 0, 8), p, 1)
    flat = [2 * (m.flatten(1) > 0).float() - 1 for m in (first, second, later, other)]
    rows, n = torch.cat(flat), first[0].numel()
    correlation = rows @ rows.mT / n - torch.eye(len(rows))
    assert correlation.abs().max() < 5 / n**0.5
    values = flat[0].flatten()
    for distance in (1, 2, 3, 4, 8, 16, 32, 48, 64, 96, 128):
        assert (values[distance:] * values[:-distance]).mean().abs() < 5 / len(values) ** 0.5, f"distance {distance}"


def test_a_rows_mask_does_not_depend_on_the_rows_beside_it() -> None:
    for masks_of_all, masks_of_last in zip(
        masks(build_training_noise(3, 5, 0, 8)), masks(build_training_noise(3, 5, 5, 3)), strict=True
    ):
        assert torch.equal(masks_of_all[5:], masks_of_last)
        assert not torch.equal(masks_of_all[4:7], masks_of_last)


def test_dropout_is_off_outside_training() -> None:
    layer, x = Dropout(0.5), torch.ones(2, 9, 9)
    assert torch.equal(layer(x), x)
    set_dropout_keys({"model": layer}, build_training_noise(0, 0, 0, 2))
    assert not torch.equal(layer(x), x)
    with torch.no_grad():
        assert torch.equal(layer(x), x)
    assert torch.equal(layer.eval()(x), x)
    set_dropout_keys({"model": layer.train()}, None)
    assert torch.equal(layer(x), x)


def test_another_number_of_rows_is_an_error() -> None:
    layer = Dropout(0.5)
    set_dropout_keys({"model": layer}, build_training_noise(0, 0, 0, 2))
    with pytest.raises(AssertionError, match="a row for each row"):
        layer(torch.ones(3, 4))


def test_gradients_flow_through_kept_numbers() -> None:
    x = torch.ones(SHAPE, requires_grad=True)
    layer = Dropout(0.5)
    set_dropout_keys({"model": layer}, build_training_noise(0, 0, 0, len(x)))
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_the_training_loop_sets_new_keys_in_every_step_and_clears_them(toys) -> None:
    toy = toys.TOYS["autoregressive-transformer"]
    objective = toy.objective
    config = transformer.Config(**toys.SIZES["transformer"], dropout=0.5)
    torch.manual_seed(0)
    parts = torch.nn.ModuleDict({"model": transformer.build(objective.network_specs["model"], config)})
    seen: list[torch.Tensor] = []
    layer = next(m for m in parts.modules() if isinstance(m, Dropout))
    layer.register_forward_pre_hook(lambda layer, _: seen.append(layer.keys_B.clone()))
    plan = TrainConfig(steps=3)
    for _ in train(objective, toys.build_batches(toy, 6), plan, TrainState.from_parts(parts, objective, plan)):
        assert layer.keys_B is None
    assert len(seen) == 3
    assert len({tuple(keys.tolist()) for keys in seen}) == 3
    assert all(len(set(keys.tolist())) == 6 for keys in seen)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's compiler uses a deprecated function
def test_the_compiled_network_drops_the_same() -> None:
    spec = NetworkSpec(TokenSpace(16, 32), TokenSpace(16, 32), is_causal=True)
    torch.manual_seed(0)
    network = perturb_weights(transformer.build(spec, transformer.Config(32, 1, 2, dropout=0.3)))
    x = torch.randint(16, (4, 32), generator=torch.Generator().manual_seed(1))
    expected = []
    for step in range(2):
        set_dropout_keys({"model": network}, build_training_noise(0, step, 0, 4))
        expected.append(network(x).detach())
    assert not torch.equal(*expected)
    network.compile(dynamic=False)
    for step, output in enumerate(expected):
        set_dropout_keys({"model": network}, build_training_noise(0, step, 0, 4))
        assert torch.allclose(network(x).detach(), output, atol=1e-4)


def test_the_hash_never_changes() -> None:
    """A run that a newer version resumes keeps its masks."""
    keys_B = torch.tensor([0, 1, -(2**31), 123456789], dtype=torch.int32)
    masks_text = ["".join(map(str, row)) for row in build_keep_mask(keys_B, torch.Size((4, 12)), 0.5).int().tolist()]
    assert masks_text == ["110000000010", "101101101110", "111100001111", "011101100000"]
