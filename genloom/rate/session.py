"""A round of blind comparisons: which pairs are shown, in which order, and how its answers are told apart for ever."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MIN_REPEAT_GAP = 3  # other pairs at least, so that nobody simply remembers


@dataclass(frozen=True)
class Trial:
    """One pair on its way to the rater."""

    prompt: str
    is_swapped: bool  # whether the second contender's answer is shown first
    is_repeat: bool  # whether it was shown before, the other way round
    event: str  # the id of the choice it leads to: with it, an answer given twice is one


def compute_session_id(contenders: Sequence[str], prompts: Sequence[str], params: Any) -> str:
    """The id of a round: the same contenders (digests), prompts and settings are the same round, to be gone on with."""
    payload = json.dumps([list(contenders), list(prompts), params], sort_keys=True)
    return hashlib.sha256(f"genloom bout 1\n{payload}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def schedule_trials(session_id: str, prompts: Sequence[str], rater: str, repeat_rate: float) -> list[Trial]:
    """Every prompt once in an order and with sides that only chance decided, then a share of them again, swapped.

    The same for the same rater every time, so that a round broken off can be gone on with.
    """
    rng = random.Random(f"{session_id} {rater}")
    order = rng.sample(prompts, len(prompts))
    first_pass = [(prompt, rng.random() < 0.5, False) for prompt in order]
    candidates = first_pass[: max(len(first_pass) - _MIN_REPEAT_GAP, 0)]
    repeat_sample = rng.sample(candidates, min(round(repeat_rate * len(first_pass)), len(candidates)))
    # In the order of their first showing, so that every one has at least that many others in between.
    repeat_pass = [
        (prompt, not is_swapped, True)
        for prompt, is_swapped, _ in first_pass
        if (prompt, is_swapped, False) in repeat_sample
    ]
    return [
        Trial(*trial, _compute_event_id(session_id, rater, trial[0], trial[2])) for trial in (*first_pass, *repeat_pass)
    ]


def _compute_event_id(session_id: str, rater: str, prompt: str, is_repeat: bool) -> str:
    payload = json.dumps([session_id, rater, prompt, is_repeat])
    return hashlib.sha256(payload.encode()).hexdigest()[:12]
