"""Prompts as the symbols that a text goes on from, and how many symbols come after them."""

from collections.abc import Sequence

import numpy as np

from genloom.model import Model
from genloom.types import Codec, Tokens


def spans(model: Model, length: int, causal: bool) -> tuple[int, int]:
    """How many symbols to write, and how many before them are read; `length` 0 leaves that to the network.

    A causal network goes on as long as one likes and reads what lies just behind; another sees all of it at once.
    """
    most = model.design.length
    if causal:
        return length, most
    if length >= most:
        raise ValueError(
            f"A model with the objective {model.design.objective!r} sees {most} symbols at once, prompt included: "
            f"choose a length below {most}."
        )
    room = length or max(most // 2, 1)
    return room, most - room


def ready(ids: tuple[tuple[int, ...], ...], space: Tokens, length: int) -> tuple[np.ndarray, ...]:
    """Ready-made rows, of each as much of its end as the network reads; ValueError for symbols that are none."""
    if not all(row and 0 <= min(row) <= max(row) < space.vocab for row in ids):
        raise ValueError(f"Symbols to go on from must be numbers from 0 to {space.vocab - 1}, one or more.")
    return tuple(np.array(row[-length:], dtype=np.int64) for row in ids)


def silent(codec: Codec, stops: Sequence[int]) -> tuple[int, ...]:
    """Symbols that mark roles and padding: never written unless asked for."""
    return tuple(i for i in getattr(codec, "specials", {}).values() if i not in stops)
