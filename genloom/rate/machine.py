"""A machine that rates: a check compares the outputs for one prompt, under a name that says that it is a machine."""

import hashlib
import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

from genloom.rate import checks
from genloom.rate.prompts import prompt_of
from genloom.rate.ratings import choose
from genloom.rate.values import value_of
from genloom.settings import overridden
from genloom.store.ledger import Event, Ledger
from genloom.store.workspace import Workspace


def named(said: str) -> tuple[str, Callable[[Any], checks.Verdict]]:
    """The rater's name and its judge, from "length" or "length:most=1;unit=words". ValueError where there is none."""
    name, _, rest = said.partition(":")
    settings = dict(part.partition("=")[::2] for part in rest.split(";") if part)
    return f"judge-{name}", checks.judge(name, overridden({}, settings))


def rate_pairs(workspace: Workspace, ledger: Ledger, model: str, said: str) -> list[Event]:
    """Choose between every two outputs of a model for the same prompt; given again, only what is new is rated.

    The output with the higher score wins; equal scores are a tie. Raises ValueError where there are no two outputs.
    """
    rater, judge = named(said)
    by_prompt: dict[str, list[tuple[str, float]]] = {}
    for path, record in workspace.records():
        if str(record.get("model", "")).partition("/")[0] == model:
            by_prompt.setdefault(prompt_of(record), []).append((path.stem, judge(value_of(path, record)).score))
    pairs = [pair for group in by_prompt.values() for pair in combinations(group, 2)]
    if not pairs:
        raise ValueError(f"There are no two outputs of {model!r} for one prompt. Make some: genloom generate {model} "
                         "--prompts FILE --count 2")  # fmt: skip
    known = {event.id for event in ledger.events(["choice"])}
    events = []
    for (a, first), (b, second) in pairs:
        id = hashlib.sha256(json.dumps([said, a, b]).encode()).hexdigest()[:12]
        if id not in known:
            winner = "tie" if first == second else "a" if first > second else "b"
            events.append(choose(workspace, ledger, a, b, winner, rater, machine=True, id=id))
    return events
