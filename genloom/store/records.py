"""The records on disk, one schema each: entries of the ledger, records of outputs, manifests and cards.

An unknown, missing or wrong field is named in one sentence. Records of earlier versions are read, too.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genloom.old_names import upgrade_entry

_MAX_VALUE_CHARS = 80  # of a wrong value in an error

ABSENT: Any = None  # an optional field; null is not allowed, and unlike {} this default is not copied
Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A record: values of exactly these types, and no other fields."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


# Entries of the ledger, by kind


class RatingEntry(Record):
    output: str
    sha256: str
    rater: str
    scale: Literal["thumb", "stars", "note"]
    value: int
    note: str
    machine: bool


class ChoiceEntry(Record):
    a: str
    b: str
    sha256: Annotated[list[str], Field(min_length=2, max_length=2)]
    winner: Literal["a", "b", "tie", "bad"]
    rater: str
    prompt: str
    machine: bool


class WithdrawalEntry(Record):
    event: str


class PromotionEntry(Record):
    model: str
    version: Annotated[int, Field(ge=1)]
    digest: str
    champion_before: Count
    by: Literal["gate", "person"]
    reason: str
    receipt: str
    rollback: bool = False


class RoundEntry(Record):
    model: str
    champion: str
    challenger: str
    digest: str
    receipt: str
    run: str
    promote: bool
    used: list[str]


class RatingsForgettingEntry(Record):
    model: str
    withdrawn_events: list[str]
    base_version: str
    tainted_versions: list[str]
    new_version: str
    proof: str
    used: list[str] | None = None  # by the new version; None in entries of earlier versions: all ratings in effect
    active_tainted_versions: list[str] = ABSENT


class DocumentForgettingEntry(Record):
    model: str
    before: str
    item: str
    old_data_folder: str
    data_digest: str
    tainted_versions: list[str]
    new_version: str
    proof: str
    active_tainted_versions: list[str]


class PolicyEntry(Record):
    rule: str
    action: Literal["refuse", "warn", "log"]
    target: Literal["prompt", "output", "training", "export"]
    model: str
    sha256: str
    text: str = ABSENT
    score: float = ABSENT  # of the rule's classifier


class ConsentEntry(Record):
    data: str
    who: str
    action: Literal["withdrawn"]


_ENTRIES: Mapping[str, type[Record]] = {
    "rating": RatingEntry,
    "choice": ChoiceEntry,
    "withdrawal": WithdrawalEntry,
    "promotion": PromotionEntry,
    "round": RoundEntry,
    "policy": PolicyEntry,
    "consent": ConsentEntry,
}


def parse_entry(kind: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the body of a ledger entry under the present names, and what is wrong with it ("": nothing)."""
    present_body = upgrade_entry(kind, body)
    schema = _ENTRIES.get(kind)
    if kind == "forgetting":
        schema = DocumentForgettingEntry if "item" in present_body else RatingsForgettingEntry
    return present_body, find_problem(schema, present_body) if schema else ""  # a kind of a later version is not read


# Records of outputs


class MessageRecord(Record):
    role: str
    content: str


class RequestRecord(Record):
    """A request, which generation itself parses; these fields are read elsewhere."""

    model_config = ConfigDict(extra="allow")

    prompts: list[str] = ABSENT
    nonces: list[int] = ABSENT
    params: dict[str, Any] = ABSENT
    controls: dict[str, Any] = ABSENT  # in earlier versions
    edit: dict[str, Any] | None = None
    original: dict[str, Any] | None = None  # in earlier versions
    interpolation: dict[str, Any] | None = None
    toward: dict[str, Any] | None = None  # in earlier versions
    given: list[dict[str, Any]] = ABSENT


class OutputRecord(Record):
    id: str
    file: str
    created: str
    sha256: str
    digest: str = ""  # of all other fields; none in records of earlier versions
    sequence: Count = 0  # in the order of generation, whatever the clock says; 0 in records of earlier versions
    model: str = ""
    medium: str = ""
    model_digest: str = ""
    codec_digest: str = ""
    adapters: dict[str, str] = ABSENT
    adapter_weights: dict[str, float] = ABSENT  # of those that were not added in full
    precision: str = ""
    prompt: str | None = ""
    given: dict[str, str] = ABSENT
    written: str | None = None
    token_ids: list[int] = ABSENT
    row: Count = 0
    request: RequestRecord = ABSENT
    machine: dict[str, Any] = ABSENT
    conversation: list[MessageRecord] = ABSENT
    unread_tokens: Count = 0  # at the beginning of a prompt that is longer than the model reads
    unread_words: Count = 0  # at the end of a prompt that is longer than its text encoder reads
    unknown_words: list[str] = ABSENT  # of a prompt, that no caption has of which the model learned
    has_loop: bool = False  # the text ended because it repeated itself
    is_incomplete: bool = False  # the text ends before the format that was asked for does
    template: dict[str, Any] = ABSENT  # the prompt of the library that it answers: name, version, digest and values
    memory: list[str] = ABSENT  # the facts of a memory that the model read
    attachments: list[dict[str, Any]] = ABSENT  # beside the question: the name of each, and how much of it was read
    summary_of: dict[str, Any] = ABSENT  # the conversation, and how many messages the text summarises
    learn: str = ""  # the run whose round generated it
    arena: str = ""  # the session that it was generated for
    arena_task: str = ""  # in the session, where one prompt has several pairs
    job: str = ""  # of the server, that generated it
    owner: str = ""  # who asked the server for it; "": the person at the machine
    knowledge: dict[str, Any] = ABSENT  # the passages of documents that it was answered from
    speech: dict[str, Any] = ABSENT  # how a text was spoken: the voice, the rate, the key of its mark
    transcript: dict[str, Any] = ABSENT  # how a sound was transcribed: its file and digest, the language, the segments
    imported: str = ""  # the file that it comes from; nobody generated it, so it does not replay


def find_output_problem(record: Mapping[str, Any], is_intact: bool) -> str:
    """Return what is wrong with the record of an output; "" if nothing is.

    One that is as it was written (see `has_digest`) may have further fields: those of a later version.
    """
    if is_intact:
        record = {name: value for name, value in record.items() if name in OutputRecord.model_fields}
    if problem := find_problem(OutputRecord, record):
        return problem
    nonces = (record.get("request") or {}).get("nonces")
    if nonces and record.get("row", 0) >= len(nonces):
        return f"'row' is {record['row']}, but its request has {len(nonces)} rows"
    return ""


def get_marking_key(record: Mapping[str, Any]) -> str:
    """Return the id of the key that marked an output; "" if none did."""
    return str((record.get("request") or record.get("speech") or {}).get("marking_key") or "")


def has_digest(record: Mapping[str, Any]) -> bool:
    """Return whether an output's record has a digest, and is as it was written."""
    return "digest" in record and record["digest"] == hash_output_record(record)


def hash_output_record(record: Mapping[str, Any]) -> str:
    """Return SHA-256 over all fields of an output's record but the digest itself."""
    fields = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


# Manifests of data sets and cards of models, which hold facts of many kinds besides


class FileEntry(Record):
    bytes: Count
    sha256: str


class SourceEntry(Record):
    """The origin of an imported model."""

    model_config = ConfigDict(extra="allow")

    name: str
    licence: str
    format: str
    repository: str = ""
    base_model: str = ""


class ManifestRecord(Record):
    model_config = ConfigDict(extra="allow")

    format: int
    created: str
    digest: str
    files: dict[str, FileEntry]
    sequence: Count = 0  # of the versions of a data set
    name: str | None = None
    medium: str | None = None
    run: str | None = None
    data: dict[str, Any] | None = None
    licences: dict[str, Any] | None = None
    fact: dict[str, Any] | None = None
    machine: dict[str, Any] | None = None
    source: SourceEntry | None = None
    parents: list[Any] | None = None
    notes: list[Any] | None = None
    parameters: int | None = None
    runtime: dict[str, Any] | None = None  # what runs a model that is not made of Genloom's networks
    chat: bool | None = None  # whether the model was tuned on conversations; None: an earlier version wrote it


def find_problem(schema: type[Record], value: object) -> str:
    """Return what is wrong with a record, naming the field; "" if nothing is."""
    try:
        schema.model_validate(value)
    except ValidationError as error:
        first_error = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first_error["loc"])[:_MAX_VALUE_CHARS]
        match first_error["type"]:
            case "missing":
                return f"the field {field!r} is missing"
            case "extra_forbidden":
                return f"the field {field!r} is unknown"
        reason = first_error["msg"].removeprefix("Input ").replace("should be", "must be")
        return f"the field {field!r} {reason} (it is {str(first_error['input'])[:_MAX_VALUE_CHARS]!r})"
    return ""
