"""The contract of objectives: losses and samples are functions of the row, its condition and its noise."""

import sys
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch

from genloom.capabilities import unwrap_objective
from genloom.noise import Noise, build_training_noise
from genloom.objectives.sizes import build_valid_mask
from genloom.testing.comparison import assert_close, perturb_weights
from genloom.types import Batch, Objective, Parts, PreferencePairs, Rollouts, UnpairedPreferences

ROW_RULE = (  # and why
    "must not depend on its batch: a batch is split to fit the memory, and held-out losses are compared row by row. "
    "For statistics of the whole batch see BatchPreparing in genloom/capabilities.py"
)
Rows = TypeVar("Rows")


def check_objective(
    objective: Objective[Any],
    parts: Parts,
    batch: Batch | PreferencePairs | UnpairedPreferences | Rollouts,
    params: Any = None,
) -> None:
    """Check that losses are one finite number per row, a function of the noise and the row alone; samples likewise.

    The padding of a row, if the batch has lengths, must not change its loss, and networks in bfloat16 must give a
    loss in float32. `params` are the sampler's; the default is `SamplingParams()` of the objective's module. Every
    part that a phase trains must get a gradient in it.
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
                assert_close(row_loss.per_sample, loss.per_sample[row], f"the loss of a row {ROW_RULE}")
                assert_close(row_loss.num_terms, loss.num_terms[row], f"num_terms of a row {ROW_RULE}")
            padded_loss = objective.loss(parts, vary_padding(batch), phase, noise)
            assert_close(padded_loss.per_sample, loss.per_sample, "the content of padding must not change the loss")
            half_parts = {name: deepcopy(part).to(torch.bfloat16) for name, part in parts.items()}
            half_loss = objective.loss(half_parts, batch, phase, noise).per_sample
            is_precise = half_loss.dtype == torch.float32 and half_loss.isfinite().all()
            assert is_precise, "the loss must be finite float32, also where networks return bfloat16: use .float()"
    batch = batch.chosen if isinstance(batch, PreferencePairs) else batch
    check_samples(objective, parts, batch if isinstance(batch, Batch) else batch.batch, params)


def vary_padding(rows: Rows) -> Rows:
    """Return the batch, or every batch in a dataclass, with other values beyond the lengths of its rows."""
    batch: Any = rows
    if not isinstance(batch, Batch):
        return replace(
            batch, **{f.name: vary_padding(v) for f in fields(batch) if is_dataclass(v := getattr(batch, f.name))}
        )
    if batch.lengths is None:
        return rows
    x = batch.x
    is_tokens = not x.is_floating_point()
    is_valid = build_valid_mask(x[:, None], batch.lengths) if is_tokens else build_valid_mask(x, batch.lengths)[:, None]
    return replace(batch, x=torch.where(is_valid, x, x.flip(0) if is_tokens else x.flip(0) + 1))


def check_samples(objective: Objective[Any], parts: Parts, batch: Batch, params: Any) -> None:
    """Check that the last draft of a row is a function of its nonce and condition alone."""
    if params is None:
        base_objective = unwrap_objective(objective)  # a wrapper samples like its base
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
