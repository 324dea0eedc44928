"""The outputs of a workspace that a signal may be an edited copy of: their noise is known, and there are few of them.

A search of some hundred outputs needs less evidence than one of all 65,536 pool indices, knows all of their noise, and
the prompts that they were generated with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genloom.conditioners import PROMPT
from genloom.errors import GenloomError
from genloom.noise import Noise
from genloom.store.keys import MarkingKeys, derive_noise_key
from genloom.store.workspace import Workspace

MAX_OUTPUTS = 1000  # the newest, which are tried
_MAX_RECORDS = 4000  # the newest of all media, which are looked through for them: about a second


@dataclass(frozen=True)
class KnownOutput:
    """An output whose first noise can be computed, and the conditions that it was generated with."""

    id: str
    noise_key: int = field(repr=False)
    nonce: int
    model_digest: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)


def list_known_outputs(
    workspace: Workspace, medium: str, record: Mapping[str, Any] | None = None
) -> Sequence[KnownOutput]:
    """List the newest marked outputs of a medium; only that of the record, if there is one."""
    if record is not None:
        return _read_outputs(workspace, medium, [record])
    return _list_newest(workspace, medium, workspace.get_newest_output())


@lru_cache(maxsize=8)
def _list_newest(workspace: Workspace, medium: str, newest: str) -> Sequence[KnownOutput]:
    """List the newest marked outputs, the last of which is `newest`."""
    found: list[KnownOutput] = []
    for id in workspace.list_outputs()[: -_MAX_RECORDS - 1 : -1]:
        try:
            found += _read_outputs(workspace, medium, [workspace.get_output(id)[1]])
        except GenloomError:  # it is damaged; `genloom doctor` tells how
            continue
        if len(found) >= MAX_OUTPUTS:
            break
    return found


def _read_outputs(workspace: Workspace, medium: str, records: Sequence[Mapping[str, Any]]) -> list[KnownOutput]:
    keys = MarkingKeys(workspace.root)
    found = []
    for record in records:
        request, row = record.get("request") or {}, int(record.get("row") or 0)
        nonces, key = request.get("nonces") or (), str(request.get("marking_key") or "")
        if record.get("medium") != medium or not key or row >= len(nonces):
            continue
        try:
            noise_key = derive_noise_key(keys.get(key).secret, medium)
        except GenloomError:  # the key is gone
            continue
        prompt = str(record.get("prompt") or "")
        given = {PROMPT: prompt} if prompt else {}
        digest = str(record.get("model_digest") or "")
        found.append(KnownOutput(str(record["id"]), noise_key, int(nonces[row]), digest, given))
    return found


def correlate_outputs(noise_A: Tensor, outputs: Sequence[KnownOutput]) -> np.ndarray:
    """Return the correlation of each estimate, A C *size, with the first noise of each output, A K.

    Without the key each has the standard normal distribution, exactly, as those with the pool's noise.
    """
    direction_AN = noise_A.flatten(1).double()
    direction_AN /= direction_AN.norm(dim=1, keepdim=True).clamp(min=1e-30)
    shape = tuple(noise_A.shape[1:])
    rows = [Noise(each.noise_key, (each.nonce,), is_marked=True).marked_normal(shape)[0] for each in outputs]
    return (direction_AN @ torch.stack(rows).flatten(1).double().T).numpy()
