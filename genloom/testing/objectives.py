"""The contract of objectives: losses and samples are functions of the row, its condition and its noise."""

import sys
from collections.abc import Collection
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch

from genloom.capabilities import unwrap_objective
from genloom.networks.dropout import Dropout, set_dropout_keys
from genloom.noise import Noise, build_training_noise
from genloom.objectives.sizes import build_valid_mask
from genloom.testing.comparison import assert_close, perturb_weights
from genloom.types import Batch, Loss, Objective, Parts, Phase, PreferencePairs, Rollouts, UnpairedPreferences

ROW_RULE = (  # and why
    "must not depend on its batch: a batch is split to fit the memory, and held-out losses are compared row by row. "
    "For statistics of the whole batch see BatchPreparing in genloom/capabilities.py"
)
Rows = TypeVar("Rows")
TrainingBatch = Batch | PreferencePairs | UnpairedPreferences | Rollouts
DROPOUT = 0.25


def check_objective(
    objective: Objective[Any],
    parts: Parts,
    batch: TrainingBatch,
    params: Any = None,
    unreached: Collection[str] = (),
) -> None:
    """Check that losses are one finite number per row, a function of the noise and the row alone; samples likewise.

    The padding of a row, if the batch has lengths, must not change its loss, and networks in bfloat16 must give a
    loss in float32. `params` are the sampler's; the default is `SamplingParams()` of the objective's module. Every
    part that a phase trains must get a gradient in it, and in training mode every weight but `unreached`, the names of
    weights that do not change the loss (`check_training`). Documents packed into a row must be kept apart or refused
    (`check_packing`).
    """
    parts = {name: perturb_weights(part).eval() for name, part in parts.items()}
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
        check_training(objective, parts, batch, phase, unreached)
    if isinstance(batch, Batch) and not batch.x.is_floating_point():
        check_packing(objective, parts, batch)
    batch = batch.chosen if isinstance(batch, PreferencePairs) else batch
    check_samples(objective, parts, batch if isinstance(batch, Batch) else batch.batch, params)


def check_training(
    objective: Objective[Any], parts: Parts, batch: TrainingBatch, phase: Phase, unreached: Collection[str] = ()
) -> None:
    """Check a phase in training mode with dropout: the same keys give the same loss, and it reaches every weight."""
    parts = {name: deepcopy(part).train() for name, part in parts.items()}
    layers = [layer for part in parts.values() for layer in part.modules() if isinstance(layer, Dropout)]
    for layer in layers:
        layer.p = DROPOUT
    noise, other_noise = (build_training_noise(1, step, 0, len(batch)) for step in (2, 3))
    loss = compute_training_loss(objective, parts, batch, phase, noise, noise)
    assert loss.per_sample.isfinite().all(), f"the loss of the phase {phase.name!r} is not finite in training mode"
    weights = {f"{n}.{k}": p for n in phase.trained for k, p in parts[n].named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(loss.per_sample.sum(), list(weights.values()), allow_unused=True)
    without_gradient = [name for name, grad in zip(weights, grads, strict=True) if grad is None or not grad.any()]
    names = ", ".join(name for name in without_gradient if name not in unreached)
    assert not names, f"the phase {phase.name!r} gives no gradient to {names}"
    assert all(grad.isfinite().all() for grad in grads if grad is not None), "gradients must be finite"
    repeated_loss = compute_training_loss(objective, parts, batch, phase, noise, noise)
    assert torch.equal(repeated_loss.per_sample, loss.per_sample), (
        "the same keys must give the same loss in training mode, or a resumed run is not the run that was stopped: use "
        "genloom.networks.dropout.Dropout"
    )
    if layers:
        other_loss = compute_training_loss(objective, parts, batch, phase, noise, other_noise)
        assert not torch.equal(other_loss.per_sample, loss.per_sample), "dropout must depend on its keys"
    for i in range(len(batch)):
        row = slice(i, i + 1)
        row_noise = noise.select_rows(row)
        row_loss = compute_training_loss(objective, parts, batch.select_rows(row), phase, row_noise, row_noise)
        assert_close(row_loss.per_sample, loss.per_sample[row], f"in training mode, the loss of a row {ROW_RULE}")


def compute_training_loss(
    objective: Objective[Any], parts: Parts, batch: TrainingBatch, phase: Phase, noise: Noise, dropout_noise: Noise
) -> Loss:
    """Compute a loss as the training loop does, with the dropout masks of `dropout_noise`."""
    set_dropout_keys(parts, dropout_noise)
    loss = objective.loss(parts, batch, phase, noise)
    set_dropout_keys(parts, None)
    return loss


def check_packing(objective: Objective[Any], parts: Parts, batch: Batch) -> bool:
    """Check that documents packed into a row (`Batch.segments`) have the losses that they have in rows of their own.

    An objective or network that cannot keep documents apart must raise an error. Return whether they are kept apart.
    """
    half, num_packs = batch.x.shape[1] // 2, len(batch) // 2
    documents = [Batch(batch.x[::2][:num_packs, :half]), Batch(batch.x[1::2, half:])]
    x_BL = torch.cat([document.x for document in documents], 1)
    segments_BL = (torch.arange(x_BL.shape[1]) >= half).long().expand_as(x_BL)
    phase, noise = objective.phases[0], build_training_noise(1, 2, 0, num_packs)
    with torch.no_grad():
        try:
            packed_loss = objective.loss(parts, Batch(x_BL, segments=segments_BL), phase, noise)
        except (AssertionError, TypeError, ValueError):
            return False
        for number in range(2):
            is_own_BL = segments_BL == number
            packs = [
                Batch(x, mask=is_own_BL, segments=segments_BL)
                for x in (x_BL, torch.where(is_own_BL, x_BL, x_BL.flip(0)))  # the other document is of another row
            ]
            losses = [objective.loss(parts, pack, phase, noise).per_sample for pack in packs]
            assert_close(losses[1], losses[0], "a document must not depend on others that are packed into its row")
        if getattr(objective, "has_exact_likelihood", False):
            losses = [objective.loss(parts, document, phase, noise) for document in documents]
            for name in ("per_sample", "num_terms"):
                total = sum(getattr(loss, name) for loss in losses)
                assert_close(getattr(packed_loss, name), total, f"{name} of a row must be the sum of its documents")
    return True


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
