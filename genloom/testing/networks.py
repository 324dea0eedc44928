"""The contract of networks: rows, padding, conditions and later tokens do not leak; a cache changes nothing.

Shape letters: B batch, L length, V vocabulary.
"""

from copy import deepcopy
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from genloom.objectives.sizes import build_valid_mask
from genloom.testing.comparison import TOLERANCE, assert_close, draw_inputs, perturb_weights
from genloom.types import CausalNetwork, Condition, NetworkSpec, SignalSpace, Space, TokenSpace


def check_network(network: nn.Module, spec: NetworkSpec) -> None:
    """Check that a network fits its spec, treats rows independently, and ignores padding and, if causal, later tokens.

    Reading in pieces through the cache must equal reading at once. The check uses a copy with perturbed weights, since
    zero-initialised layers would hide errors.
    """
    network = perturb_weights(network).eval().requires_grad_(False)
    x, t, cond = draw_inputs(spec, num_rows=4)
    output = network(x, t, cond=cond)
    assert output.shape == get_expected_shape(spec.output, x), f"the output has shape {output.shape} for {spec.output}"
    assert output.isfinite().all(), "the output is not finite"
    for i in range(len(x)):
        row = slice(i, i + 1)
        row_output = network(x[row], None if t is None else t[row], cond=cond.select_rows(row))
        assert_close(row_output, output[row], "a row read alone must equal the row in a batch")
    check_conditions(network, spec, x, t, cond)
    check_half_precision(network, x, t, cond)
    if isinstance(spec.input, SignalSpace) and spec.input.size:
        check_signal_padding(network, spec, x, t, cond)
    if isinstance(spec.input, TokenSpace):
        check_padding(network, spec, x, t, cond)
        if spec.is_causal and isinstance(spec.output, TokenSpace):
            check_causal(network, x, t, cond)
            check_cache(network, x, cond)


def check_half_precision(network: nn.Module, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that weights in bfloat16 give a finite output from inputs in float32."""
    contract = "weights in bfloat16 must give a finite output from inputs in float32: convert inputs to their dtype"
    try:
        output = deepcopy(network).to(torch.bfloat16)(x, t, cond=cond)
    except RuntimeError as error:
        raise AssertionError(f"{contract} ({error})") from error
    assert output.isfinite().all(), contract


def check_conditions(network: nn.Module, spec: NetworkSpec, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that each condition changes the output, and that a masked condition equals no condition."""
    output, uncond_output = network(x, t, cond=cond), network(x, t)
    masked_cond = cond.mask_rows(torch.zeros(len(x), dtype=torch.bool))
    assert_close(
        network(x, t, cond=masked_cond),
        uncond_output,
        "a condition with all rows masked must equal no condition",
    )
    for name in ("tokens", "vector", "field"):
        if getattr(spec.condition, name):
            partial_cond = replace(cond, **{name: None})
            assert not torch.allclose(network(x, t, cond=partial_cond), output, atol=TOLERANCE), (
                f"cond.{name} changes nothing"
            )


def check_padding(network: nn.Module, spec: NetworkSpec, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that padding on the right, whatever its content and length, changes nothing."""
    B, L = x.shape
    lengths = L - 1 - torch.arange(B) % (L - 1)
    short_output = network(x[:, :-1], t, cond=cond, lengths=lengths)
    is_real = torch.arange(L) < lengths[:, None]
    long_output = network(torch.where(is_real, x, x.flip(1)), t, cond=cond, lengths=lengths)
    if isinstance(spec.output, TokenSpace):
        short_output, long_output = short_output[is_real[:, :-1]], long_output[is_real]
    assert_close(long_output, short_output, "padding on the right must change nothing")


def check_signal_padding(network: nn.Module, spec: NetworkSpec, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that the content of a signal beyond the length of its row changes nothing up to that length."""
    lengths = 1 + torch.arange(len(x)) % x.shape[2]
    is_padding = ~build_valid_mask(x, lengths)[:, None].expand_as(x)
    outputs = [
        network(padded_x, t, cond=cond, lengths=lengths)
        for padded_x in (x, torch.where(is_padding, x.flip(0) + 1, x), torch.where(is_padding, 0, x))
    ]
    if isinstance(spec.output, SignalSpace) and spec.output.size == x.shape[2:]:
        is_padding = ~build_valid_mask(outputs[0], lengths)[:, None].expand_as(outputs[0])
        outputs = [output.masked_fill(is_padding, 0) for output in outputs]
    for output in outputs[1:]:
        assert_close(output, outputs[0], "the padding of a signal must change nothing")


def check_causal(network: nn.Module, x: Tensor, t: Tensor | None, cond: Condition) -> None:
    """Check that changing a token changes no output before it."""
    output = network(x, t, cond=cond)
    for i in range(1, x.shape[1]):
        perturbed_x = x.clone()
        perturbed_x[:, i:] = x[:, i:].flip(0)
        assert_close(
            network(perturbed_x, t, cond=cond)[:, :i], output[:, :i], f"the token at {i} changes outputs before it"
        )


def check_cache(network: nn.Module, x: Tensor, cond: Condition) -> None:
    """Check that reading in pieces through the cache, with rows of different lengths, equals reading at once."""
    B, L = x.shape
    full_output, causal_network = network(x, cond=cond), cast(CausalNetwork, network)
    cache, outputs, first = causal_network.init_cache(B, L), [], 0
    for size in (1, 3, 2, L):
        outputs.append(
            causal_network(x[:, first : first + size], cond=cond, cache=cache) if first < L else full_output[:, :0]
        )
        first += size
    assert_close(torch.cat(outputs, 1), full_output, "reading in pieces must equal reading at once")
    assert cache.lengths.tolist() == [L] * B, f"after {L} tokens the cache counts {cache.lengths.tolist()}"

    lengths = torch.arange(B) % (L - 1) + 1
    cache = causal_network.init_cache(B, L)
    ragged_output = causal_network(x[:, : int(lengths.max())], cond=cond, lengths=lengths, cache=cache)
    last_index = torch.arange(B), lengths - 1
    assert_close(
        ragged_output[last_index], full_output[last_index], "rows of different lengths must equal rows read alone"
    )
    order = torch.arange(B).flip(0)
    cache, cond = cache.select_rows(order), cond.select_rows(order)
    x, full_output, lengths = x[order], full_output[order], lengths[order]
    while (lengths < L).any():
        num_new = (lengths < L).long()  # 0 for a row that is done
        index = torch.arange(B), lengths.clamp(max=L - 1)
        out_BV = causal_network(x[index][:, None], cond=cond, lengths=num_new, cache=cache)[:, 0]
        assert_close(
            out_BV[num_new.bool()],
            full_output[index][num_new.bool()],
            "a cache with re-ordered rows must continue the same",
        )
        lengths = lengths + num_new


def get_expected_shape(output_space: Space, x: Tensor) -> tuple[int, ...]:
    if isinstance(output_space, TokenSpace):
        return (*x.shape[:2], output_space.vocab_size)
    return (len(x), output_space.channels, *output_space.size)
