"""The marking of requests: the workspace's key, by which its outputs can be recognised, keys their noise."""

from dataclasses import replace
from typing import Any

from genloom.capabilities import InvertibleSampler, unwrap_objective
from genloom.generate.engine import UNMARKED_NOISE_KEY, Request
from genloom.model import Model
from genloom.store.keys import MarkingKey, MarkingKeys, derive_noise_key
from genloom.store.workspace import Workspace
from genloom.types import TokenSpace


def mark_request(workspace: Workspace, model: Model, request: Request) -> Request:
    """Return the request with the active marking key of the workspace, which is made if there is none.

    Outputs of a model that carries no mark are not said to have one: their noise is that of unmarked ones.
    """
    if not can_carry_mark(model.objective):
        return unmark_request(request)
    return _with_key(MarkingKeys(workspace.root).get_active(), model, request)


def can_carry_mark(objective: Any) -> bool:
    """Return whether the noise of a sampler can be recognised in what it made.

    That is so for tokens from left to right, and for signals whose sampler can be solved backwards. It is not so where
    masked tokens are filled in any order, nor for decoders of latents and samplers of few steps.
    """
    objective = unwrap_objective(objective)
    specs = objective.network_specs.values()
    if any(isinstance(spec.output, TokenSpace) for spec in specs):
        return all(spec.is_causal for spec in specs)
    return isinstance(objective, InvertibleSampler)


def unmark_request(request: Request) -> Request:
    """Return the request without a marking key: it gives the same outputs in every workspace."""
    return replace(request, marking_key="", noise_key=UNMARKED_NOISE_KEY)


def restore_noise_key(workspace: Workspace, model: Model, request: Request) -> Request:
    """Return a recorded request with the noise key that its record leaves out.

    Raise GenloomError (store.marking_key_gone) if the key that it names is no longer in the workspace.
    """
    if not request.marking_key:
        return unmark_request(request)
    return _with_key(MarkingKeys(workspace.root).get(request.marking_key), model, request)


def _with_key(key: MarkingKey, model: Model, request: Request) -> Request:
    return replace(request, marking_key=key.id, noise_key=derive_noise_key(key.secret, model.design.medium))
