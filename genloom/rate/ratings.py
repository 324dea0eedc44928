"""Ratings and choices: validation, recording in the ledger, withdrawal, and reading those in effect."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from genloom.errors import GenloomError
from genloom.rate.prompts import extract_prompt
from genloom.store.ledger import Event, Ledger, NewEvent
from genloom.store.names import validate_name
from genloom.store.records import parse_entry
from genloom.store.workspace import Workspace

Scale = Literal["thumb", "stars", "note"]
Winner = Literal["a", "b", "tie", "bad"]

SCALES: Mapping[Scale, tuple[int, ...]] = {"thumb": (-1, 1), "stars": (1, 2, 3, 4, 5), "note": (0,)}
WINNERS: tuple[Winner, ...] = ("a", "b", "tie", "bad")
_MAX_NOTE_CHARS = 10_000


@dataclass(frozen=True)
class Rating:
    """A rater's judgement of one output. The fields are the keys of the ledger entry."""

    event: str
    at: str
    output: str
    rater: str
    scale: Scale
    value: int  # thumb: -1 or 1, stars: 1 to 5, note: 0
    note: str
    machine: bool  # whether the rater is a program
    sha256: str  # of the output: an id alone could be another workspace's

    @property
    def replacement_key(self) -> tuple[str, ...]:
        """The key that a later rating must share to replace this one: a note does not replace a thumb."""
        return (self.rater, "note" if self.scale == "note" else "rating", self.output)

    @property
    def outputs(self) -> dict[str, str]:
        """The rated outputs, each with its digest."""
        return {self.output: self.sha256}


@dataclass(frozen=True)
class Choice:
    """A rater's choice between two outputs for the same prompt; `a` was shown first."""

    event: str
    at: str
    a: str
    b: str
    winner: Winner
    rater: str
    prompt: str
    machine: bool
    sha256: tuple[str, str]

    @property
    def replacement_key(self) -> tuple[str, ...]:
        return (self.rater, "choice", *sorted((self.a, self.b)))

    @property
    def outputs(self) -> dict[str, str]:
        """The rated outputs, each with its digest."""
        return dict(zip((self.a, self.b), self.sha256, strict=True))


@dataclass(frozen=True)
class LedgerRatings:
    """The judgements in the ledger: those in effect, and the others."""

    ratings: tuple[Rating, ...]
    choices: tuple[Choice, ...]
    replaced: tuple[Rating | Choice, ...]  # by a later one of the same rater; still evidence of the rater's consistency
    withdrawn: tuple[Rating | Choice, ...]

    def __iter__(self) -> Iterator[Rating | Choice]:
        return chain(self.ratings, self.choices, self.replaced, self.withdrawn)


def record_rating(
    workspace: Workspace,
    ledger: Ledger,
    output: str,
    rater: str,
    scale: Scale,
    value: int = 0,
    note: str = "",
    is_machine: bool = False,
    id: str = "",
) -> Event:
    """Record a rating of an output. A second call with the same `id` records nothing new.

    Raises GenloomError for an unknown output (suggesting the nearest) and for a value outside the scale.
    """
    _, record = workspace.verify_output(output)
    allowed_values = SCALES[scale]
    if value not in allowed_values:
        raise GenloomError("rate.bad_value", scale=scale, allowed=", ".join(map(str, allowed_values)), value=value)
    body = {
        "output": output,
        "sha256": record["sha256"],
        "rater": validate_name(rater, "rater"),
        "scale": scale,
        "value": allowed_values[allowed_values.index(value)],  # an int, if a float or a NumPy integer is given
        "note": note,
        "machine": is_machine,
    }
    check_entry("rating", body)
    if len(note) > _MAX_NOTE_CHARS:
        raise GenloomError("rate.note_too_long", limit=_MAX_NOTE_CHARS, length=len(note))
    if scale == "note" and not note.strip():
        raise GenloomError("rate.empty_note")
    return ledger.append("rating", body, id)


def check_entry(kind: str, body: Mapping[str, Any]) -> None:
    """Raise GenloomError for an entry that could not be read back from the ledger."""
    if problem := parse_entry(kind, body)[1]:
        raise GenloomError("rate.unreadable_entry", kind=kind, problem=problem)


def record_choice(
    workspace: Workspace,
    ledger: Ledger,
    a: str,
    b: str,
    winner: Winner,
    rater: str,
    is_machine: bool = False,
    id: str = "",
) -> Event:
    """Record which of two outputs a rater prefers; "bad" means that neither is good.

    Raises GenloomError for unknown outputs, for an output compared with itself, and for outputs of different prompts.
    """
    if winner not in WINNERS:
        raise GenloomError("rate.bad_winner", allowed=", ".join(WINNERS), winner=winner)
    if a == b:
        raise GenloomError("rate.same_output", output=a)
    (_, record_a), (_, record_b) = workspace.verify_output(a), workspace.verify_output(b)
    return ledger.append("choice", build_choice(record_a, record_b, winner, rater, is_machine), id)


def build_choice(
    record_a: Mapping[str, Any], record_b: Mapping[str, Any], winner: Winner, rater: str, is_machine: bool
) -> dict[str, Any]:
    """Return the ledger entry of a choice between the outputs of two records."""
    a, b, prompt = record_a["id"], record_b["id"], extract_prompt(record_a)
    if prompt != extract_prompt(record_b):
        raise GenloomError("rate.different_prompts", a=a, b=b)
    body = {
        "a": a,
        "b": b,
        "sha256": [record_a["sha256"], record_b["sha256"]],
        "winner": winner,
        "rater": validate_name(rater, "rater"),
        "prompt": prompt,
        "machine": is_machine,
    }
    check_entry("choice", body)
    return body


def withdraw_rating(ledger: Ledger, event: str) -> Event:
    """Withdraw a rating or choice, so that it is no longer learned from. A second withdrawal changes nothing."""
    entry = ledger.get_event(event)
    if entry.kind not in ("rating", "choice"):
        raise GenloomError("rate.not_a_rating", event=event, kind=entry.kind)
    return withdraw_entries(ledger, [entry.id])[0]


def withdraw_entries(ledger: Ledger, events: Iterable[str]) -> list[Event]:
    """Withdraw ratings and choices in one transaction."""
    return ledger.append_all(
        [NewEvent("withdrawal", {"event": event}, _build_withdrawal_id(event)) for event in sorted(events)]
    )


def _build_withdrawal_id(event: str) -> str:
    """Return the only id that a withdrawal of this event can have."""
    return "withdrawal-" + hashlib.sha256(event.encode()).hexdigest()[:32]


def read_ratings(ledger: Ledger) -> LedgerRatings:
    """Return the judgements in effect: each rater's last rating of an output and last choice between two.

    Raises GenloomError if the ledger is not as it was written.
    """
    ledger.verify_new()
    events = list(ledger.iter_entries(("rating", "choice", "withdrawal")))
    withdrawn_ids = {event.body["event"] for event in events if event.kind == "withdrawal"}
    judgements = [parse_judgement(event) for event in events if event.kind != "withdrawal"]
    latest_by_key = {each.replacement_key: each for each in judgements if each.event not in withdrawn_ids}
    active_ids = {each.event for each in latest_by_key.values()}
    active_judgements = [each for each in judgements if each.event in active_ids]
    replaced = [each for each in judgements if each.event not in active_ids and each.event not in withdrawn_ids]
    return LedgerRatings(
        tuple(each for each in active_judgements if isinstance(each, Rating)),
        tuple(each for each in active_judgements if isinstance(each, Choice)),
        tuple(replaced),
        tuple(each for each in judgements if each.event in withdrawn_ids),
    )


def parse_judgement(event: Event) -> Rating | Choice:
    """Return the rating or choice in a ledger entry; raise GenloomError for a value outside its scale."""
    if event.kind == "choice":
        fields: dict[str, Any] = {**event.body, "sha256": tuple(event.body["sha256"])}
        return Choice(event.id, event.at, **fields)
    if event.body["value"] not in SCALES[event.body["scale"]]:
        problem = f"the field 'value' is {event.body['value']} on the scale {event.body['scale']}"
        raise GenloomError("store.entry_malformed", seq=event.seq, id=event.id, problem=problem)
    return Rating(event.id, event.at, **event.body)
