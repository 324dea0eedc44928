"""A check as a rater: it compares a model's outputs for one prompt, under a name that marks it as a machine."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from genloom.errors import GenloomError
from genloom.rate import checks
from genloom.rate.outputs import find_medium_name, load_output
from genloom.rate.prompts import extract_prompt
from genloom.rate.ratings import build_choice
from genloom.settings import apply_overrides
from genloom.store.ledger import Event, Ledger, NewEvent
from genloom.store.workspace import Workspace

_MAX_PARTNERS = 4  # outputs of the same prompt that an output is compared with
_BATCH_CHOICES = 5_000  # written to the disk together


def parse_check(spec: str, medium: str = "text") -> tuple[str, Callable[[Any], checks.CheckResult]]:
    """Return the rater's name and the check of outputs of a medium, from "length:max_length=1;unit=words".

    A check with a syntax of its own reads the text after the colon itself.
    """
    name, _, settings_text = spec.partition(":")
    module = checks.find_check(name, medium)
    if (parse := getattr(module, "parse", None)) is not None:
        config = parse(settings_text)
        return f"check-{name}", lambda value: module.check(value, config)
    settings = dict(part.partition("=")[::2] for part in settings_text.split(";") if part)
    return f"check-{name}", checks.build_check(name, apply_overrides({}, settings), medium)


def rate_pairs(workspace: Workspace, ledger: Ledger, model: str, spec: str) -> list[Event]:
    """Record choices between outputs of a model for the same prompt. A second call rates only new pairs.

    The output with the higher score wins; equal scores are a tie. Each output is compared with up to `_MAX_PARTNERS`
    before it, so that the choices grow with the outputs and not with their square. Outputs without a prompt are
    compared in disjoint pairs, since each draw is a task of its own.
    """
    outputs = {
        record["id"]: (path, record)
        for path, record in workspace.list_records()
        if str(record.get("model", "")).partition("/")[0] == model
    }
    if not outputs:
        raise GenloomError("rate.no_pairs", model=model)
    rater, check = parse_check(spec, find_medium_name(*next(iter(outputs.values()))))
    pairs = plan_pairs([record for _, record in outputs.values()])
    if not pairs:
        raise GenloomError("rate.no_pairs", model=model)
    known_ids = {event.id for event in ledger.iter_entries(["choice"])}
    ids = {pair: hashlib.sha256(json.dumps([spec, *pair]).encode()).hexdigest()[:12] for pair in pairs}
    pairs = [pair for pair in pairs if ids[pair] not in known_ids]
    scored_outputs = sorted({output for pair in pairs for output in pair})
    scores = {output: check(load_output(*outputs[output])).score for output in scored_outputs}
    events: list[Event] = []
    for batch in split_batches(pairs, _BATCH_CHOICES):
        choices = []
        for a, b in batch:
            winner = "tie" if scores[a] == scores[b] else "a" if scores[a] > scores[b] else "b"
            body = build_choice(outputs[a][1], outputs[b][1], winner, rater, is_machine=True)
            choices.append(NewEvent("choice", body, ids[a, b]))
        events += ledger.append_all(choices)
    return events


def plan_pairs(records: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the pairs of output ids to compare, in the order generated; identical outputs are not compared."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault(extract_prompt(record), []).append(record)
    pairs = [
        (a, b)
        for prompt, group in groups.items()
        for n, b in enumerate(group)
        for a in (group[max(0, n - _MAX_PARTNERS) : n] if prompt else group[n - 1 : n] if n % 2 else ())
    ]
    return [(a["id"], b["id"]) for a, b in pairs if a["sha256"] != b["sha256"]]


def split_batches(pairs: Sequence[tuple[str, str]], size: int) -> Iterator[Sequence[tuple[str, str]]]:
    """Yield the pairs in batches, each of which is one transaction of the ledger."""
    return (pairs[start : start + size] for start in range(0, len(pairs), size))
