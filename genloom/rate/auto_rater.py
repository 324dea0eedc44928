"""A check as a rater: it compares a model's outputs for one prompt, under a name that marks it as a machine."""

import hashlib
import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

from genloom.errors import GenloomError
from genloom.rate import checks
from genloom.rate.outputs import find_medium_name, load_output
from genloom.rate.prompts import extract_prompt
from genloom.rate.ratings import record_choice
from genloom.settings import apply_overrides
from genloom.store.ledger import Event, Ledger
from genloom.store.workspace import Workspace


def parse_check(spec: str, medium: str = "text") -> tuple[str, Callable[[Any], checks.CheckResult]]:
    """Return the rater's name and the check of outputs of a medium, from "length:max_length=1;unit=words"."""
    name, _, settings_text = spec.partition(":")
    settings = dict(part.partition("=")[::2] for part in settings_text.split(";") if part)
    return f"judge-{name}", checks.build_check(name, apply_overrides({}, settings), medium)


def rate_pairs(workspace: Workspace, ledger: Ledger, model: str, spec: str) -> list[Event]:
    """Record a choice between every two outputs of a model for the same prompt. A second call rates only new pairs.

    The output with the higher score wins; equal scores are a tie. Outputs without a prompt are compared in disjoint
    pairs, since each draw is a task of its own.
    """
    outputs = [
        (path, record)
        for path, record in workspace.list_records()
        if str(record.get("model", "")).partition("/")[0] == model
    ]
    if not outputs:
        raise GenloomError("rate.no_pairs", model=model)
    rater, check = parse_check(spec, find_medium_name(*outputs[0]))
    scores_by_prompt: dict[str, list[tuple[str, float]]] = {}
    for path, record in outputs:
        score = check(load_output(path, record)).score
        scores_by_prompt.setdefault(extract_prompt(record), []).append((record["id"], score))
    pairs = [
        pair
        for prompt, group in scores_by_prompt.items()
        for pair in (combinations(group, 2) if prompt else zip(group[::2], group[1::2], strict=False))
    ]
    if not pairs:
        raise GenloomError("rate.no_pairs", model=model)
    known_ids = {event.id for event in ledger.iter_events(["choice"])}
    events = []
    for (a, score_a), (b, score_b) in pairs:
        event_id = hashlib.sha256(json.dumps([spec, a, b]).encode()).hexdigest()[:12]
        if event_id not in known_ids:
            winner = "tie" if score_a == score_b else "a" if score_a > score_b else "b"
            events.append(record_choice(workspace, ledger, a, b, winner, rater, is_machine=True, id=event_id))
    return events
