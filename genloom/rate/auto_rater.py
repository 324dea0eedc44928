"""A machine that rates: a check compares the outputs for one prompt, under a name that says that it is a machine."""

import hashlib
import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

from genloom.rate import checks
from genloom.rate.outputs import load_output
from genloom.rate.prompts import extract_prompt
from genloom.rate.ratings import record_choice
from genloom.settings import apply_overrides
from genloom.store.ledger import Event, Ledger
from genloom.store.workspace import Workspace


def parse_check(spec: str) -> tuple[str, Callable[[Any], checks.CheckResult]]:
    """The rater's name and its judge, from "length" or "length:max_length=1;unit=words". ValueError where there is none."""
    name, _, settings_text = spec.partition(":")
    settings = dict(part.partition("=")[::2] for part in settings_text.split(";") if part)
    return f"judge-{name}", checks.build_check(name, apply_overrides({}, settings))


def rate_pairs(workspace: Workspace, ledger: Ledger, model: str, spec: str) -> list[Event]:
    """Choose between every two outputs of a model for the same prompt; given again, only what is new is rated.

    The output with the higher score wins; equal scores are a tie. Raises ValueError where there are no two outputs.
    """
    rater, check = parse_check(spec)
    scores_by_prompt: dict[str, list[tuple[str, float]]] = {}
    for path, record in workspace.list_records():
        if str(record.get("model", "")).partition("/")[0] == model:
            scores_by_prompt.setdefault(extract_prompt(record), []).append(
                (path.stem, check(load_output(path, record)).score)
            )
    pairs = [pair for group in scores_by_prompt.values() for pair in combinations(group, 2)]
    if not pairs:
        raise ValueError(f"There are no two outputs of {model!r} for one prompt. Make some: genloom generate {model} "
                         "--prompts FILE --count 2")  # fmt: skip
    known_ids = {event.id for event in ledger.iter_events(["choice"])}
    events = []
    for (a, score_a), (b, score_b) in pairs:
        event_id = hashlib.sha256(json.dumps([spec, a, b]).encode()).hexdigest()[:12]
        if event_id not in known_ids:
            winner = "tie" if score_a == score_b else "a" if score_a > score_b else "b"
            events.append(record_choice(workspace, ledger, a, b, winner, rater, is_machine=True, id=event_id))
    return events
