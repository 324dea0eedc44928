"""The marking of requests: the workspace's key, by which its outputs can be recognised, keys their noise."""

from dataclasses import replace

from genloom.generate.engine import UNMARKED_NOISE_KEY, Request
from genloom.model import Model
from genloom.store.keys import MarkingKey, MarkingKeys, derive_noise_key
from genloom.store.workspace import Workspace


def mark_request(workspace: Workspace, model: Model, request: Request) -> Request:
    """Return the request with the active marking key of the workspace, which is made if there is none."""
    return _with_key(MarkingKeys(workspace.root).get_active(), model, request)


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
