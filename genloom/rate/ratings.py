"""Ratings and choices: checked, written into the ledger, withdrawn, and what of them stands."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genloom.rate.prompts import extract_prompt
from genloom.store.ledger import Event, Ledger
from genloom.store.names import validate_name
from genloom.store.workspace import Workspace

Scale = Literal["thumb", "stars", "note"]
Winner = Literal["a", "b", "tie", "bad"]

SCALES: Mapping[Scale, tuple[int, ...]] = {"thumb": (-1, 1), "stars": (1, 2, 3, 4, 5), "note": (0,)}
WINNERS: tuple[Winner, ...] = ("a", "b", "tie", "bad")
_MAX_NOTE_CHARS = 10_000


@dataclass(frozen=True)
class Rating:
    """What a rater thinks of one output."""

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
        """What a later one has to be about to replace this one: a note does not replace a thumb."""
        return (self.rater, "note" if self.scale == "note" else "rating", self.output)

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs it is about, each with its digest."""
        return {self.output: self.sha256}


@dataclass(frozen=True)
class Choice:
    """Which of two outputs for the same prompt a rater prefers; `a` was shown first."""

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
        """The outputs it is about, each with its digest."""
        return dict(zip((self.a, self.b), self.sha256, strict=True))


@dataclass(frozen=True)
class LedgerRatings:
    """The judgements in the ledger: those that count, and why the others do not."""

    ratings: tuple[Rating, ...]
    choices: tuple[Choice, ...]
    replaced: tuple[Rating | Choice, ...]  # by a later one of the same rater; they still tell how steady the rater is
    withdrawn: tuple[Rating | Choice, ...]


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
    """Write what a rater thinks of an output. The same `id` again is the same rating, once.

    Raises ValueError for an output that is not there (naming the nearest) and a value that its scale does not have.
    """
    _, record = workspace.get_output(output)
    allowed_values = SCALES[scale]
    if value not in allowed_values:
        raise ValueError(f"A rating in {scale} is one of {', '.join(map(str, allowed_values))}, and {value} is not.")
    if len(note) > _MAX_NOTE_CHARS:
        raise ValueError(f"A note has at most {_MAX_NOTE_CHARS:,} letters, and this one has {len(note):,}.")
    if scale == "note" and not note.strip():
        raise ValueError('The note is empty. Write what you think: --note "too long"')
    body = {
        "output": output,
        "sha256": record["sha256"],
        "rater": validate_name(rater, "rater"),
        "scale": scale,
        "value": value,
        "note": note,
        "machine": is_machine,
    }
    return ledger.append("rating", body, id)


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
    """Write which of two outputs a rater prefers; "bad" says that neither is any good.

    Raises ValueError for outputs that are not there, for one compared with itself, and for answers to two prompts.
    """
    if winner not in WINNERS:
        raise ValueError(f"The winner is one of {', '.join(WINNERS)}, and {winner!r} is not.")
    if a == b:
        raise ValueError(f"{a} was given twice. Name two different outputs to choose from.")
    (_, record_a), (_, record_b) = workspace.get_output(a), workspace.get_output(b)
    prompt = extract_prompt(record_a)
    if prompt != extract_prompt(record_b):
        raise ValueError(
            f"{a} and {b} answer different prompts, so a choice between them says nothing. "
            "Rate each by itself: genloom rate ID --up"
        )
    body = {
        "a": a,
        "b": b,
        "sha256": [record_a["sha256"], record_b["sha256"]],
        "winner": winner,
        "rater": validate_name(rater, "rater"),
        "prompt": prompt,
        "machine": is_machine,
    }
    return ledger.append("choice", body, id)


def withdraw_rating(ledger: Ledger, event: str) -> Event:
    """Take a rating or choice back: nothing is learned from it any more. Withdrawing it again changes nothing.

    Raises ValueError where it is not there or is no rating.
    """
    entry = ledger.get_event(event)
    if entry.kind not in ("rating", "choice"):
        raise ValueError(f"{event} is a {entry.kind}. Only ratings can be withdrawn; genloom ratings lists them.")
    return ledger.append("withdrawal", {"event": event}, id=_build_withdrawal_id(event))


def _build_withdrawal_id(event: str) -> str:
    """The one id that a withdrawal of this event has."""
    return "withdrawal-" + hashlib.sha256(event.encode()).hexdigest()[:32]


def read_ratings(ledger: Ledger) -> LedgerRatings:
    """What counts after withdrawals: of each rater the last rating of an output and the last choice between two."""
    events = list(ledger.iter_events(("rating", "choice", "withdrawal")))
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
    """The rating or choice that an event holds."""
    fields: dict[str, Any] = {"event": event.id, "at": event.at, **event.body}
    if event.kind == "rating":
        return Rating(**fields)
    fields["sha256"] = tuple(fields["sha256"])
    return Choice(**fields)
