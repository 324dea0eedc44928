"""Ratings and choices: checked, written into the ledger, withdrawn, and what of them stands."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genloom.rate.prompts import prompt_of
from genloom.store.ledger import Event, Ledger
from genloom.store.names import checked
from genloom.store.workspace import Workspace

Scale = Literal["thumb", "stars", "note"]
Winner = Literal["a", "b", "tie", "bad"]

SCALES: Mapping[Scale, tuple[int, ...]] = {"thumb": (-1, 1), "stars": (1, 2, 3, 4, 5), "note": (0,)}
WINNERS: tuple[Winner, ...] = ("a", "b", "tie", "bad")
_LONGEST_NOTE = 10_000


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
    def about(self) -> tuple[str, ...]:
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
    def about(self) -> tuple[str, ...]:
        return (self.rater, "choice", *sorted((self.a, self.b)))

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs it is about, each with its digest."""
        return dict(zip((self.a, self.b), self.sha256, strict=True))


@dataclass(frozen=True)
class Standing:
    """The judgements in the ledger: those that count, and why the others do not."""

    ratings: tuple[Rating, ...]
    choices: tuple[Choice, ...]
    replaced: tuple[Rating | Choice, ...]  # by a later one of the same rater; they still tell how steady the rater is
    withdrawn: tuple[Rating | Choice, ...]


def rate(
    workspace: Workspace,
    ledger: Ledger,
    output: str,
    rater: str,
    scale: Scale,
    value: int = 0,
    note: str = "",
    machine: bool = False,
    id: str = "",
) -> Event:
    """Write what a rater thinks of an output. The same `id` again is the same rating, once.

    Raises ValueError for an output that is not there (naming the nearest) and a value that its scale does not have.
    """
    _, record = workspace.output(output)
    allowed = SCALES[scale]
    if value not in allowed:
        raise ValueError(f"A rating in {scale} is one of {', '.join(map(str, allowed))}, and {value} is not.")
    if len(note) > _LONGEST_NOTE:
        raise ValueError(f"A note has at most {_LONGEST_NOTE:,} letters, and this one has {len(note):,}.")
    if scale == "note" and not note.strip():
        raise ValueError('The note is empty. Write what you think: --note "too long"')
    body = {
        "output": output,
        "sha256": record["sha256"],
        "rater": checked(rater, "rater"),
        "scale": scale,
        "value": value,
        "note": note,
        "machine": machine,
    }
    return ledger.append("rating", body, id)


def choose(
    workspace: Workspace,
    ledger: Ledger,
    a: str,
    b: str,
    winner: Winner,
    rater: str,
    machine: bool = False,
    id: str = "",
) -> Event:
    """Write which of two outputs a rater prefers; "bad" says that neither is any good.

    Raises ValueError for outputs that are not there, for one compared with itself, and for answers to two prompts.
    """
    if winner not in WINNERS:
        raise ValueError(f"The winner is one of {', '.join(WINNERS)}, and {winner!r} is not.")
    if a == b:
        raise ValueError(f"{a} was given twice. Name two different outputs to choose from.")
    (_, first), (_, second) = workspace.output(a), workspace.output(b)
    prompt = prompt_of(first)
    if prompt != prompt_of(second):
        raise ValueError(
            f"{a} and {b} answer different prompts, so a choice between them says nothing. "
            "Rate each by itself: genloom rate ID --up"
        )
    body = {
        "a": a,
        "b": b,
        "sha256": [first["sha256"], second["sha256"]],
        "winner": winner,
        "rater": checked(rater, "rater"),
        "prompt": prompt,
        "machine": machine,
    }
    return ledger.append("choice", body, id)


def withdraw(ledger: Ledger, event: str) -> Event:
    """Take a rating or choice back: nothing is learned from it any more. Withdrawing it again changes nothing.

    Raises ValueError where it is not there or is no rating.
    """
    found = ledger.event(event)
    if found.kind not in ("rating", "choice"):
        raise ValueError(f"{event} is a {found.kind}. Only ratings can be withdrawn; genloom ratings lists them.")
    return ledger.append("withdrawal", {"event": event}, id=_withdrawal_of(event))


def _withdrawal_of(event: str) -> str:
    """The one id that a withdrawal of this event has."""
    return "withdrawal-" + hashlib.sha256(event.encode()).hexdigest()[:32]


def standing(ledger: Ledger) -> Standing:
    """What counts after withdrawals: of each rater the last rating of an output and the last choice between two."""
    events = list(ledger.events(("rating", "choice", "withdrawal")))
    gone = {event.body["event"] for event in events if event.kind == "withdrawal"}
    judged = [judgement(event) for event in events if event.kind != "withdrawal"]
    counting = {each.about: each for each in judged if each.event not in gone}
    counts = {each.event for each in counting.values()}
    left = [each for each in judged if each.event in counts]
    replaced = [each for each in judged if each.event not in counts and each.event not in gone]
    return Standing(
        tuple(each for each in left if isinstance(each, Rating)),
        tuple(each for each in left if isinstance(each, Choice)),
        tuple(replaced),
        tuple(each for each in judged if each.event in gone),
    )


def judgement(event: Event) -> Rating | Choice:
    """The rating or choice that an event holds."""
    facts: dict[str, Any] = {"event": event.id, "at": event.at, **event.body}
    if event.kind == "rating":
        return Rating(**facts)
    facts["sha256"] = tuple(facts["sha256"])
    return Choice(**facts)
