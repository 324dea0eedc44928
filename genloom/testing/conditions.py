"""The contracts of conditioners and text encoders.

Shape letters: S states, D width.
"""

import hashlib
import itertools
import json
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from genloom.testing.comparison import assert_close, check_raises_only_value_error
from genloom.types import Condition, Conditioner, Item, TextEncoder


def check_text_encoder(encoder: TextEncoder, texts: Sequence[str] = ("a red fox", "", "one of two", " ")) -> None:
    """Check that each text has states (S, width) of root mean square 1, one for each offset, whatever the batch.

    A text without words has no states; equal texts have equal states.
    """
    batch_states = encoder.encode(texts)
    assert len(batch_states) == len(texts), "encode must return states for every text"
    assert len(encoder.encode([])) == 0, "no texts must have no states"
    for text, states in zip(texts, batch_states, strict=True):
        offsets = encoder.compute_offsets(text)
        assert states.shape == (len(offsets), encoder.width), (
            f"{text!r} has states {states.shape}, {len(offsets)} offsets"
        )
        assert states.dtype == np.float32, f"states must be float32 (got {states.dtype})"
        assert text.strip() or not len(states), "a text without words must have no states"
        assert np.allclose((states**2).mean(1), 1, atol=1e-3), f"the states of {text!r} are not of root mean square 1"
        is_ordered = all(0 <= begin < end <= len(text) for begin, end in offsets) and offsets == sorted(offsets)
        assert is_ordered, f"offsets {offsets} are not those of parts of {text!r}"
        alone, first, second = [*encoder.encode([text]), *encoder.encode([text, text])]
        assert alone.shape == states.shape and np.allclose(alone, states, atol=2e-2), "states depend on their batch"
        assert np.array_equal(first, second), "equal texts must have equal states"


def check_conditioner(conditioner: Conditioner, items: Sequence[Item], texts: Sequence[str] = ()) -> None:
    """Check that the values of items, and those that people write as `texts`, are encoded, named and recorded alike.

    Some items must have a value. "Not given" must encode as no condition: zeros, or no states; a value as something
    else, whatever the batch. `format` must name values, and `unpack` return what `pack` stored as JSON and blobs.
    """
    kinds = [kind for kind in ("tokens", "vector", "field") if getattr(conditioner.spec, kind)]
    assert len(kinds) == 1, f"the spec must have one kind (has {', '.join(kinds) or 'none'})"
    values = [value for item in items if (value := conditioner.get_value(item)) is not None]
    assert values, "no item has a value"
    for text in texts:
        values.append(conditioner.parse(text))
    check_raises_only_value_error(lambda: conditioner.parse("\x00 no such value"), "parse of an invalid text")
    together = conditioner.encode([*values, None])
    for kind in ("tokens", "vector", "field"):
        tensor, width = getattr(together, kind), getattr(conditioner.spec, kind)
        assert (tensor is not None) == (kind in kinds), f"encode must return {kinds[0]} and nothing else"
        if tensor is not None:
            assert len(tensor) == len(values) + 1, "encode must return one row for each value"
            found = tensor.shape[-1 if kind == "tokens" else 1]
            assert found == width, f"the spec has a {kind} of width {width}, encode returns {found}"
    assert not list_states(together, len(values)).any(), "a value that is not given must be zero, or masked"
    blobs: dict[str, bytes] = {}

    def save_blob(data: bytes, suffix: str) -> str:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return digest

    for row, value in enumerate(values):
        states = list_states(together, row)
        assert states.any(), f"{value!r:.80} is encoded as if it were not given"
        assert_close(list_states(conditioner.encode([value]), 0), states, "a value is encoded by its batch")
        name = conditioner.format(value)
        assert isinstance(name, str) and name, "format must return text"
        stored = json.loads(json.dumps(conditioner.pack(value, save_blob)))
        unpacked = conditioner.unpack(stored, blobs.__getitem__)
        assert conditioner.format(unpacked) == name, f"{name!r:.80} is unpacked as {conditioner.format(unpacked)!r:.80}"
        assert_close(list_states(conditioner.encode([unpacked]), 0), states, "an unpacked value is encoded differently")
    for first, second in itertools.combinations(range(len(values)), 2):
        is_same = torch.equal(list_states(together, first), list_states(together, second))
        is_same_name = conditioner.format(values[first]) == conditioner.format(values[second])
        assert is_same or not is_same_name, "values that are encoded differently must have different names"


def list_states(cond: Condition, row: int) -> Tensor:
    """Return what a network reads of a condition's row: its states that are not masked, its vector or its field."""
    if cond.tokens is None:
        return cast(Tensor, cond.vector if cond.vector is not None else cond.field)[row]
    return cond.tokens[row] if cond.mask is None else cond.tokens[row][cond.mask[row]]
