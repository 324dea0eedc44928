"""Contracts of parts, for tests of built-in and plugin codecs, networks and objectives; failures name what broke.

Shape letters: B batch, L length.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from genloom.noise import Noise, build_training_noise
from genloom.types import (
    Batch,
    CausalNetwork,
    Codec,
    Condition,
    ConditionSpec,
    NetworkSpec,
    Objective,
    Parts,
    PreferencePairs,
    Rollouts,
    Space,
    TokenSpace,
    UnpairedPreferences,
)

Network = TypeVar("Network", bound=nn.Module)
TOLERANCE = 2e-4  # above the effect of summation order in float32


def check_codec(codec: Codec, values: Iterable[Any], is_close: Callable[[Any, Any], bool] | None = None) -> None:
    """Check that values survive encoding, tokens are in the vocabulary, and a saved codec loads as the same codec.

    Tokens must decode to the value itself; signals, which may round, to a value with the same encoding. For a codec
    with larger losses, `is_close(value, roundtrip)` decides.
    """
    values = list(values)
    assert values, "check_codec needs values"
    space, encodings = codec.space, [np.asarray(codec.encode(value)) for value in values]
    for value, x in zip(values, encodings, strict=True):
        if isinstance(space, TokenSpace):
            assert x.ndim == 1, f"encode must return a 1-D array of tokens (got shape {x.shape} for {value!r:.80})"
            assert x.dtype.kind in "iu", f"tokens must be integers (got {x.dtype})"
            is_inside = x.size == 0 or (int(x.min()) >= 0 and int(x.max()) < space.vocab_size)
            assert is_inside, f"tokens of {value!r:.80} are outside the vocabulary of {space.vocab_size}"
        else:
            assert x.shape == (space.channels, *space.size), f"encode returned shape {x.shape} for {space}"
        roundtrip = codec.decode(x)
        if is_close is not None or isinstance(space, TokenSpace):
            is_match = roundtrip == value if is_close is None else is_close(value, roundtrip)
            assert is_match, f"decode(encode(x)) is {roundtrip!r:.80} for x = {value!r:.80}"
        else:
            assert_close(codec.encode(roundtrip), x, "a decoded value must encode to the same numbers")
    for x, batch_encoding in zip(encodings, codec.encode_many(values), strict=True):
        assert np.array_equal(x, batch_encoding), "encode_many must return the results of encode in order"
    with tempfile.TemporaryDirectory() as folder:
        codec.save(Path(folder))
        loaded_codec = cast(Any, type(codec)).load(Path(folder))
    assert loaded_codec.space == space, f"a saved codec loads with {loaded_codec.space} instead of {space}"
    for value, x in zip(values, encodings, strict=True):
        assert np.array_equal(loaded_codec.encode(value), x), f"a saved codec encodes {value!r:.80} differently"


def check_network(network: nn.Module, spec: NetworkSpec) -> None:
    """Check that a network fits its spec, treats rows independently, and ignores padding and, if causal, later tokens.

    Reading in pieces through the cache must equal reading at once. The check uses a copy with perturbed weights, since
    zero-initialised layers would hide errors.
    """
    network = perturb_weights(network).eval().requires_grad_(False)
    x, t, cond = random_inputs(spec, num_rows=4)
    output = network(x, t, cond=cond)
    assert output.shape == expected_shape(spec.output, x), f"the output has shape {output.shape} for {spec.output}"
    assert output.isfinite().all(), "the output is not finite"
    for i in range(len(x)):
        row = slice(i, i + 1)
        row_output = network(x[row], None if t is None else t[row], cond=cond.select_rows(row))
        assert_close(row_output, output[row], "a row read alone must equal the row in a batch")
    check_conditions(network, spec, x, t, cond)
    if isinstance(spec.input, TokenSpace):
        check_padding(network, spec, x, t, cond)
        if spec.is_causal and isinstance(spec.output, TokenSpace):
            check_causal(network, x, t, cond)
            check_cache(network, x, cond)


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


def check_objective(
    objective: Objective[Any],
    parts: Parts,
    batch: Batch | PreferencePairs | UnpairedPreferences | Rollouts,
    params: Any = None,
) -> None:
    """Check that losses are one finite number per row, a function of the noise and the row alone; samples likewise.

    `params` are the sampler's; the default is `SamplingParams()` of the objective's module. Every part that a phase
    trains must get a gradient in it.
    """
    parts = {name: perturb_weights(part) for name, part in parts.items()}
    num_rows, noise = len(batch), build_training_noise(1, 2, 0, len(batch))
    assert set(parts) == set(objective.network_specs), (
        f"parts {sorted(parts)} do not match the network specs {sorted(objective.network_specs)}"
    )
    for phase in objective.phases:
        loss = objective.loss(parts, batch, phase, noise)
        assert loss.per_sample.shape == loss.num_terms.shape == (num_rows,), (
            "per_sample and num_terms have one number per row"
        )
        assert loss.per_sample.isfinite().all(), f"the loss of the phase {phase.name!r} is not finite"
        assert (loss.num_terms >= 0).all(), "num_terms must not be negative"
        weights = {f"{n}.{k}": p for n in phase.trained for k, p in parts[n].named_parameters()}
        grads = torch.autograd.grad(loss.per_sample.sum(), list(weights.values()), allow_unused=True)
        for name in phase.trained:
            part_grads = [
                g for key, g in zip(weights, grads, strict=True) if key.startswith(f"{name}.") and g is not None
            ]
            assert any(bool(g.any()) for g in part_grads), f"the phase {phase.name!r} gives {name!r} no gradient"
        with torch.no_grad():
            for i in range(num_rows):
                row = slice(i, i + 1)
                row_loss = objective.loss(parts, batch.select_rows(row), phase, noise.select_rows(row))
                assert_close(
                    row_loss.per_sample, loss.per_sample[row], "the loss of a row must not depend on its batch"
                )
                assert_close(row_loss.num_terms, loss.num_terms[row], "num_terms of a row must not depend on its batch")
    batch = batch.chosen if isinstance(batch, PreferencePairs) else batch
    check_samples(objective, parts, batch if isinstance(batch, Batch) else batch.batch, params)


def check_samples(objective: Objective[Any], parts: Parts, batch: Batch, params: Any) -> None:
    """Check that the last draft of a row is a function of its nonce and condition alone."""
    if params is None:
        base_objective = getattr(objective, "base", objective)  # a wrapper samples like its base
        params = sys.modules[type(base_objective).__module__].__dict__["SamplingParams"]()
    for part in parts.values():
        part.eval()
    num_rows, noise = len(batch), Noise(7, tuple(range(len(batch))))
    *_, samples = objective.sample(parts, num_rows, batch.cond, noise, params)
    assert len(samples) == num_rows, f"expected {num_rows} samples, got {len(samples)}"
    *_, repeat_samples = objective.sample(parts, num_rows, batch.cond, noise, params)
    assert torch.equal(repeat_samples, samples), "the same noise must give the same samples"
    for i in range(num_rows):
        row = slice(i, i + 1)
        cond = None if batch.cond is None else batch.cond.select_rows(row)
        *_, row_samples = objective.sample(parts, 1, cond, noise.select_rows(row), params)
        n = row_samples.shape[1]  # a row alone may end earlier
        assert_close(row_samples, samples[row, :n], "a sample must not depend on its batch")


def random_inputs(spec: NetworkSpec, num_rows: int, seed: int = 0) -> tuple[Tensor, Tensor | None, Condition]:
    """Return random input, time and condition for the spec, the same for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    input_space, condition_spec = spec.input, spec.condition
    if isinstance(input_space, TokenSpace):
        x = torch.randint(input_space.vocab_size, (num_rows, input_space.context_length), generator=rng)
    else:
        x = torch.randn(num_rows, input_space.channels, *input_space.size, generator=rng)
    t = torch.rand(num_rows, generator=rng) if spec.has_time else None
    return x, t, random_condition(condition_spec, input_space, num_rows, rng)


def random_condition(
    condition_spec: ConditionSpec, input_space: Space, num_rows: int, rng: torch.Generator
) -> Condition:
    size = () if isinstance(input_space, TokenSpace) else input_space.size
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


def expected_shape(output_space: Space, x: Tensor) -> tuple[int, ...]:
    if isinstance(output_space, TokenSpace):
        return (*x.shape[:2], output_space.vocab_size)
    return (len(x), output_space.channels, *output_space.size)


def assert_close(actual: Any, expected: Any, contract: str) -> None:
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    assert actual.shape == expected.shape, f"{contract}: shapes {tuple(actual.shape)} and {tuple(expected.shape)}"
    gap = (actual.double() - expected.double()).abs().max().item() if actual.numel() else 0.0
    assert gap <= TOLERANCE * max(1.0, expected.double().abs().max().item() if expected.numel() else 0.0), (
        f"{contract}: difference {gap:.3g}"
    )
