"""A session of blind comparisons: which pairs are shown, in which order, and the id of each choice."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MIN_REPEAT_GAP = 3  # other pairs between a pair and its repeat, so that nobody simply remembers


@dataclass(frozen=True)
class Trial:
    """One pair that is shown to the rater."""

    prompt: str
    is_swapped: bool  # whether the second contender's answer is shown first
    is_repeat: bool  # whether it was shown before, in the other order
    event: str  # the id of the choice: a choice that is given twice is recorded once


def compute_session_id(contenders: Sequence[str], prompts: Sequence[str], params: Any) -> str:
    """Return the session's id. The same contenders (digests), prompts and settings continue the same session."""
    payload = json.dumps([list(contenders), list(prompts), params], sort_keys=True)
    return hashlib.sha256(f"genloom bout 1\n{payload}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def schedule_trials(session_id: str, prompts: Sequence[str], rater: str, repeat_rate: float) -> list[Trial]:
    """Return every prompt once, in random order and on random sides, then a share of them again, swapped.

    The same session and rater always give the same trials, so an interrupted session can be resumed.
    """
    rng = random.Random(f"{session_id} {rater}")
    order = rng.sample(prompts, len(prompts))
    first_pass = [(prompt, rng.random() < 0.5, False) for prompt in order]
    candidates = first_pass[: max(len(first_pass) - _MIN_REPEAT_GAP, 0)]
    repeat_sample = rng.sample(candidates, min(round(repeat_rate * len(first_pass)), len(candidates)))
    # In the order of the first pass, so that each repeat has at least that many others in between.
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
