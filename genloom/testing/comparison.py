"""Comparison of results, and random inputs and weights, for the contracts.

Shape letters: B batch, L length.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from genloom.types import Condition, ConditionSpec, NetworkSpec, Space, TokenSpace

Network = TypeVar("Network", bound=nn.Module)


TOLERANCE = 2e-4  # above the effect of summation order in float32


def check_raises_only_value_error(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except ValueError:
        pass
    except Exception as error:
        raise AssertionError(f"{what} must raise nothing but ValueError (raised {error!r:.80})") from error


def draw_inputs(spec: NetworkSpec, num_rows: int, seed: int = 0) -> tuple[Tensor, Tensor | None, Condition]:
    """Return random input, time and condition for the spec, the same for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    input_space, condition_spec = spec.input, spec.condition
    if isinstance(input_space, TokenSpace):
        x = torch.randint(input_space.vocab_size, (num_rows, input_space.context_length), generator=rng)
    else:
        x = torch.randn(num_rows, input_space.channels, *input_space.size, generator=rng)
    t = torch.rand(num_rows, generator=rng) if spec.has_time else None
    return x, t, draw_condition(condition_spec, input_space, num_rows, rng)


def draw_condition(condition_spec: ConditionSpec, input_space: Space, num_rows: int, rng: torch.Generator) -> Condition:
    size = (input_space.context_length - 1,) if isinstance(input_space, TokenSpace) else input_space.size
    mask = torch.arange(3) < 1 + torch.arange(num_rows)[:, None] % 3
    return Condition(
        torch.randn(num_rows, 3, condition_spec.tokens, generator=rng) if condition_spec.tokens else None,
        mask if condition_spec.tokens else None,
        torch.randn(num_rows, condition_spec.vector, generator=rng) if condition_spec.vector else None,
        torch.randn(num_rows, condition_spec.field, *size, generator=rng) if condition_spec.field else None,
    )


def perturb_weights(network: Network, scale: float = 0.1) -> Network:
    """Return a copy with deterministic noise added to every weight."""
    rng = torch.Generator().manual_seed(0)
    network = deepcopy(network)
    with torch.no_grad():
        for p in network.parameters():
            p += scale * torch.randn(p.shape, generator=rng).to(p)
    return network


def assert_close(actual: Any, expected: Any, contract: str) -> None:
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    assert actual.shape == expected.shape, f"{contract}: shapes {tuple(actual.shape)} and {tuple(expected.shape)}"
    gap = (actual.double() - expected.double()).abs().max().item() if actual.numel() else 0.0
    assert gap <= TOLERANCE * max(1.0, expected.double().abs().max().item() if expected.numel() else 0.0), (
        f"{contract}: difference {gap:.3g}"
    )
