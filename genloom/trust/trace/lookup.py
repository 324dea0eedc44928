"""Things of the workspace as nodes of a trace: found, checked against their digests, and named where they are gone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from genloom.errors import GenloomError
from genloom.store import manifest, recycle_bin
from genloom.store.consent import Consent, apply_withdrawals, get_today, list_withdrawals, read_consents
from genloom.store.dataset import Dataset, open_dataset
from genloom.store.ledger import Event, Ledger
from genloom.store.lineage import RatingsTraining, list_trainings
from genloom.store.model_folder import ModelFolder
from genloom.store.output_files import verify_output
from genloom.store.records import get_marking_key
from genloom.store.workspace import Workspace
from genloom.text_format import format_count, quote_beginning
from genloom.trust.trace.graph import State, Trace, TraceNode

DIGEST_CHARS = 12  # of a digest that people see
_MAX_PROMPT_CHARS = 80  # on a line


@dataclass(frozen=True)
class Lookup:
    """A workspace and its ledger, read once for a trace."""

    workspace: Workspace
    ledger: Ledger
    is_quick: bool = False  # compare sizes instead of digests of models and data sets

    @cached_property
    def trainings(self) -> dict[str, RatingsTraining]:
        """The trainings on ratings, by the version they made."""
        return {training.version: training for training in list_trainings(self.ledger)}

    @cached_property
    def ratings(self) -> dict[str, Event]:
        """The ratings and choices, by their ids."""
        return {entry.id: entry for entry in self.ledger.iter_entries(["rating", "choice"])}

    @cached_property
    def withdrawals(self) -> Mapping[tuple[str, str], date]:
        """The days on which persons withdrew their consent, by data set and person."""
        return list_withdrawals(self.ledger)

    @cached_property
    def models(self) -> list[ModelFolder]:
        """Every version in the workspace and in the package."""
        return [*self.workspace.list_models(), *self.workspace.list_built_in_models()]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The records of all outputs, oldest first."""
        return [record for _, record in self.workspace.list_records()]

    def find_output(self, digest: str) -> str:
        """Return the id of the output whose file has this digest; "" without one, also for a damaged record."""
        output = self.workspace.find_output(digest)
        return output if output and self.workspace.has_output(output) else ""

    @cached_property
    def datasets(self) -> list[Dataset]:
        """Every version of every data set."""
        found = []
        for path in sorted(self.workspace.root.glob("data/*/[!.]*/manifest.json")):
            try:
                found.append(open_dataset(path.parents[1].name, path.parent))
            except ValueError:
                continue  # the doctor tells it
        return found

    def check(
        self, verify: Callable[[], object], verify_sizes: Callable[[], object] | None = None
    ) -> tuple[State, str]:
        """Return the state of something and its problem, by a function that raises ValueError."""
        is_quick = self.is_quick and verify_sizes is not None
        try:
            (verify_sizes if is_quick and verify_sizes is not None else verify)()
        except (ValueError, OSError) as error:
            return "changed", str(error)
        return ("unread" if is_quick else "intact"), ""

    def explain_absence(
        self, kind: recycle_bin.RemovableKind, name: str, version: int | None = None
    ) -> tuple[State, str]:
        """Return whether something that is not here was removed, and how to restore it."""
        try:
            entry = recycle_bin.find_entry(self.workspace.root, kind, name, version)
        except ValueError:
            entry = None
        if entry is None:
            return "missing", ""
        return "removed", str(GenloomError("store.in_bin", name=name, entry=entry.name))


def shorten_text(digest: str) -> str:
    """Return the beginning of a digest that people see."""
    return digest[:DIGEST_CHARS]


def quote_text(text: str) -> str:
    """Return the beginning of a text between quotation marks."""
    return f'"{quote_beginning(text, _MAX_PROMPT_CHARS)}"'


def add_output(trace: Trace, lookup: Lookup, id: str) -> tuple[str, Mapping[str, Any]]:
    """Add an output; return its node's id, and its record: {} if it is gone or cannot be read."""
    node_id, record, problem = f"output:{id}", {}, ""
    state: State = "intact"
    try:
        path, record = lookup.workspace.get_output(id)
        state, problem = lookup.check(lambda: verify_output(path, record))
    except GenloomError as error:
        if lookup.workspace.has_output(id):
            state, problem = "changed", str(error)
            record = _read_changed_record(lookup, id)
        else:
            state, problem = lookup.explain_absence("outputs", id)
    facts = {
        name: record[name]
        for name in ("medium", "created", "sha256", "model", "model_digest", "sequence", "learn", "arena", "owner")
        if record.get(name)
    }
    if key := get_marking_key(record):
        facts["mark"] = key
    details = [str(record[name])[:19] for name in ("medium", "created") if record.get(name)]
    return trace.add_node(TraceNode(node_id, "output", id, state, tuple(details), facts, problem)), record


def find_model(lookup: Lookup, ref: str, digest: str = "") -> ModelFolder | None:
    """Return the version if it is here and has the digest ("": any)."""
    return next((model for model in lookup.models if model.ref == ref and digest in ("", model.digest)), None)


def add_model(trace: Trace, lookup: Lookup, ref: str, digest: str = "") -> tuple[str, ModelFolder | None]:
    """Add a version of a model; return its node's id, and the version if it is here and has the digest."""
    folder = find_model(lookup, ref, digest)
    if folder is None:
        other = find_model(lookup, ref)
        if other is not None:
            problem = f"{ref} has the digest {shorten_text(other.digest)} now, and had {shorten_text(digest)}"
            state: State = "changed"
        else:
            name, _, version = ref.partition("/")
            state, problem = lookup.explain_absence("models", name, int(version) if version.isdigit() else None)
        node_id = f"model:{ref}@{shorten_text(digest)}"
        return trace.add_node(TraceNode(node_id, "model", ref, state, (), {"digest": digest}, problem)), None
    node_id = f"model:{ref}@{shorten_text(folder.digest)}"
    if node_id not in trace.nodes:
        state, problem = lookup.check(lambda: _verify_folder(folder, "card.json"), folder.verify_sizes)
        card = folder.card
        parameters = card.get("parameters")
        details = [*([format_count(parameters, "parameter")] if parameters else []), shorten_text(folder.digest)]
        facts = {"digest": folder.digest, "created": folder.created, "parameters": parameters}
        facts |= {"fact": card.get("fact") or {}, "notes": card.get("notes") or []}
        is_own = folder.folder.is_relative_to(lookup.workspace.root)
        facts["built_in"] = not is_own
        details += [] if is_own else ["built in"]
        trace.add_node(TraceNode(node_id, "model", ref, state, tuple(details), facts, problem))
    return node_id, folder


def add_dataset(trace: Trace, lookup: Lookup, entry: Mapping[str, Any]) -> tuple[str, Dataset | None]:
    """Add a version of a data set that a card names; return its node's id, and the version if it is here."""
    name, digest = str(entry.get("name") or ""), str(entry.get("digest") or "")
    found = next((data for data in lookup.datasets if data.name == name and digest in ("", data.digest)), None)
    node_id = f"data:{name}@{shorten_text(found.digest if found else digest)}"
    if node_id in trace.nodes:
        return node_id, found
    licences = dict(entry.get("licences") or (found.manifest.get("licences") if found else None) or {})
    facts: dict[str, Any] = {"digest": found.digest if found else digest, "licences": licences}
    if found is None:
        state, problem = lookup.explain_absence("data", name)
    else:
        state, problem = lookup.check(lambda: _verify_folder(found, "manifest.json"), found.verify_sizes)
        facts |= {"medium": found.medium, "created": found.created}
        facts |= {key: found.manifest[key] for key in ("sources_given", "without") if key in found.manifest}
    details = [describe_licences(licences)] if licences else []
    persons = {key: entry[key] for key in ("persons", "consent") if key in entry}
    persons = persons or {key: found.manifest[key] for key in ("persons", "consent") if found and key in found.manifest}
    if persons.get("persons"):
        consents = apply_withdrawals(name, read_consents(persons.get("consent")), lookup.withdrawals)
        facts |= {"persons": persons["persons"], "consents": [describe_consent(each) for each in consents]}
        details += [f"persons: {', '.join(persons['persons'])}", *(each.describe(get_today()) for each in consents)]
    return trace.add_node(
        TraceNode(node_id, "data", f"{name}@{shorten_text(facts['digest'])}", state, tuple(details), facts, problem)
    ), found


def describe_consent(consent: Consent) -> dict[str, Any]:
    """Return a consent with its state today."""
    return {**consent.to_json(), "state": consent.get_state(get_today())}


def describe_licences(licences: Mapping[str, Any]) -> str:
    """Return licences with the numbers of their documents."""
    return ", ".join(f"{name} ({count:,})" if isinstance(count, int) else name for name, count in licences.items())


def describe_ratings(lookup: Lookup, entries: list[Event]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return details and facts of ratings and choices."""
    num_choices = sum(entry.kind == "choice" for entry in entries)
    outputs = sorted({str(entry.body[key]) for entry in entries for key in ("output", "a", "b") if key in entry.body})
    raters = sorted({str(entry.body["rater"]) for entry in entries})
    counts = [format_count(num_choices, "choice")] if num_choices else []
    counts += [format_count(len(entries) - num_choices, "rating")] if len(entries) > num_choices else []
    num_machine = sum(bool(entry.body["machine"]) for entry in entries)
    details = [" and ".join(counts), format_count(len(outputs), "output"), f"by {', '.join(raters[:5])}"]
    details += [f"{num_machine} by a machine"] if num_machine else []
    facts = {
        "entries": [entry.id for entry in entries],
        "outputs": outputs,
        "raters": raters,
        "by_machine": num_machine,
    }
    return tuple(details), facts


def _verify_folder(version: ModelFolder | Dataset, name: str) -> None:
    """Raise ValueError if a file of a version, or its manifest, is not as it was written."""
    version.verify()
    manifest.verify_record(version.folder / name)


def _read_changed_record(lookup: Lookup, id: str) -> dict[str, Any]:
    """Return what can be read of the record of an output that is not as it was written."""
    try:
        return manifest.read_json(lookup.workspace.root / "outputs" / id[:10] / f"{id}.json")
    except (OSError, ValueError):
        return {}
