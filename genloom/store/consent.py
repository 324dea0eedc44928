"""Consents of persons whose voice, face, likeness or words are in a data set: who, to what, until when, signed how.

They are read from a TOML file at collection, kept in the data set's manifest with the file itself, and copied into the
cards of models, so that they outlive the data. What has happened since, a withdrawal, is in the ledger.
"""

import hashlib
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genloom.errors import GenloomError
from genloom.store.clock import get_now

if TYPE_CHECKING:
    from genloom.store.ledger import Ledger
    from genloom.store.workspace import Workspace

Purpose = Literal["training", "generation", "sharing"]
Likeness = Literal["voice", "face", "likeness", "words"]
ConsentState = Literal["valid", "withdrawn", "expired", "not yet valid"]

CONSENT_FILE = "consent.toml"  # in the folder of the data set
PURPOSES: tuple[Purpose, ...] = ("training", "generation", "sharing")
LIKENESSES: tuple[Likeness, ...] = ("voice", "face", "likeness", "words")
NO_PERSONS = "none"  # in place of likenesses
MAX_CONSENTS, MAX_CHARS, MAX_FILE_BYTES = 1000, 500, 1_000_000
_TEXTS = ("who", "signature", "note")


@dataclass(frozen=True)
class Consent:
    """A table [consents.NAME] of a consent file."""

    who: str = ""  # the person
    of: tuple[Likeness, ...] = ()  # what of the person is in the data
    purposes: tuple[Purpose, ...] = ()
    signed: date | None = None
    signature: str = ""  # how it was given, and where the proof of it is
    until: date | None = None  # the last day; None: without an end
    note: str = ""  # the purpose, in the person's words
    withdrawn: date | None = None  # from this day on

    def get_state(self, today: date) -> ConsentState:
        """Return whether the consent holds on a day."""
        if self.withdrawn is not None and self.withdrawn <= today:
            return "withdrawn"
        if self.signed is not None and self.signed > today:
            return "not yet valid"
        return "expired" if self.until is not None and self.until < today else "valid"

    def to_json(self) -> dict[str, Any]:
        """Return the fields that have a value, as JSON values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in plain.items() if v not in ("", (), None)}

    def describe(self, today: date) -> str:
        """Return the consent on one line."""
        end = f"until {self.until.isoformat()}" if self.until else "without an end"
        parts = [f"{self.who} ({', '.join(self.of)})", f"for {', '.join(self.purposes)}", end]
        return f"{', '.join(parts)}: {self.get_state(today)}"


@dataclass(frozen=True)
class ConsentFile:
    """A consent file, as it is kept with a data set."""

    content: bytes
    consents: tuple[Consent, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the data set's manifest."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {"sha256": digest, "consents": [consent.to_json() for consent in self.consents]}


@dataclass(frozen=True)
class Persons:
    """The statement of a collector on persons in the data."""

    stated: tuple[str, ...] = ()  # likenesses in the data, or ("none",); (): nothing was said
    consent: ConsentFile | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entries of the data set's manifest."""
        persons = {"persons": list(self.stated)} if self.stated else {}
        return persons if self.consent is None else {**persons, "consent": self.consent.to_json()}


NOTHING_SAID = Persons()


def read_persons(stated: Iterable[str], path: Path | None) -> Persons:
    """Return what is said of persons: with a consent file, also the likenesses that it names.

    Raise GenloomError: store.bad_consent; store.bad_persons for an unknown likeness, or "none" beside others.
    """
    names = tuple(dict.fromkeys(stated))
    if unknown := [name for name in names if name not in (*LIKENESSES, NO_PERSONS)]:
        raise GenloomError("store.bad_persons", value=unknown[0], known=", ".join((*LIKENESSES, NO_PERSONS)))
    if NO_PERSONS in names and (len(names) > 1 or path is not None):
        raise GenloomError("store.bad_persons", value=", ".join(names), known=NO_PERSONS)
    if path is None:
        return Persons(names)
    consent = read_consent_file(path)
    return Persons(tuple(dict.fromkeys([*names, *(of for each in consent.consents for of in each.of)])), consent)


def get_today() -> date:
    """Return the date in UTC, by which consents begin and end."""
    return get_now().date()


def read_consent_file(path: Path) -> ConsentFile:
    """Read and check a consent file; raise GenloomError (store.bad_consent), naming the table and the reason."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES:,} bytes")
        return ConsentFile(content, _parse_tables(tomllib.loads(content.decode("utf-8"))))
    except OSError as error:
        raise GenloomError("store.bad_consent", path=path, reason=error.strerror or error) from None
    except ValueError as error:  # invalid UTF-8 or TOML too
        raise GenloomError("store.bad_consent", path=path, reason=error) from None


def parse_consent(table: Mapping[str, Any], location: str) -> Consent:
    """Return a consent of a table of the file, or of JSON; raise ValueError for a field that is missing or wrong."""
    from genloom.settings import parse_settings  # pydantic takes a tenth of a second to import

    dates = {name: _parse_date(table[name], f"{location}.{name}") for name in _DATES if name in table}
    consent = parse_settings(Consent, {**table, **dates}, location)
    for name in ("who", "of", "purposes", "signed", "signature"):
        if not getattr(consent, name):
            raise ValueError(f"{location}.{name} is missing")
    for name in _TEXTS:
        text = getattr(consent, name)
        if len(text) > MAX_CHARS or (text and not text.isprintable()):
            raise ValueError(f"{location}.{name} must have at most {MAX_CHARS} printable characters")
    if consent.until is not None and consent.signed is not None and consent.until < consent.signed:
        raise ValueError(f"{location}.until is before the day it was signed")
    return consent


_DATES = ("signed", "until", "withdrawn")


def read_consents(entry: Any) -> tuple[Consent, ...]:
    """Return the consents in a manifest's or card's entry; one that cannot be read is left out."""
    tables = entry.get("consents") if isinstance(entry, Mapping) else None
    found = []
    for table in tables if isinstance(tables, list) else ():
        try:
            found.append(parse_consent(table, "consent"))
        except (ValueError, TypeError):
            continue  # a record of a later version
    return tuple(found)


def record_withdrawal(ledger: "Ledger", data: str, who: str) -> None:
    """Record in the ledger that a person has withdrawn the consent to a data set, all versions of it."""
    ledger.append("consent", {"data": data, "who": who, "action": "withdrawn"})


def list_withdrawals(ledger: "Ledger") -> dict[tuple[str, str], date]:
    """Return the days of withdrawals by data set and person."""
    found: dict[tuple[str, str], date] = {}
    for entry in ledger.iter_entries(["consent"]):
        found.setdefault((entry.body["data"], entry.body["who"]), date.fromisoformat(entry.at[:10]))
    return found


def apply_withdrawals(
    data: str, consents: Iterable[Consent], withdrawals: Mapping[tuple[str, str], date]
) -> tuple[Consent, ...]:
    """Return the consents to a data set as they are after the withdrawals in the ledger."""
    changed = []
    for consent in consents:
        days = [day for day in (consent.withdrawn, withdrawals.get((data, consent.who))) if day is not None]
        changed.append(replace(consent, withdrawn=min(days)) if days else consent)
    return tuple(changed)


def iter_trained_data(workspace: "Workspace", ref: str) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of cards on the data sets of a version and of all that it is based on."""
    seen: set[str] = set()
    waiting = [ref]
    while waiting:
        try:
            folder = workspace.get_model(waiting.pop())
        except ValueError:
            continue  # gone; the trace tells it
        if folder.ref in seen:
            continue
        seen.add(folder.ref)
        if isinstance(folder.card.get("data"), Mapping):
            yield folder.card["data"]
        parents = folder.card.get("parents") or ()
        waiting += [str(parent["ref"]) for parent in parents if isinstance(parent, Mapping) and parent.get("ref")]


def _parse_tables(tables: Mapping[str, Any]) -> tuple[Consent, ...]:
    if unknown := sorted(tables.keys() - {"consents"}):
        raise ValueError(f"it has {unknown[0]!r}, where only tables [consents.NAME] are known")
    consents = tables.get("consents")
    if not isinstance(consents, Mapping) or not consents:
        raise ValueError("it has no table [consents.NAME]")
    if len(consents) > MAX_CONSENTS:
        raise ValueError(f"it has more than {MAX_CONSENTS:,} consents")
    found = []
    for name, table in consents.items():
        if not isinstance(table, Mapping):
            raise ValueError(f"consents.{name} must be a table, [consents.{name}]")
        found.append(parse_consent(table, f"consents.{name}"))
    _check_names(consent.who for consent in found)
    return tuple(found)


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"there are two consents of {name!r}: one table a person")
        seen.add(name)


def _parse_date(value: Any, location: str) -> date:
    """Return a date of TOML, or of ISO 8601 as JSON has it."""
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{location} must be a date such as 2027-12-31 (got {value!r})") from None


def join_names(consents: Collection[Consent]) -> str:
    """Return the names of persons, for a message."""
    return ", ".join(consent.who for consent in consents)
