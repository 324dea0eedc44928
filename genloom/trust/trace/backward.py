"""The trace backward: an output, its model, the models before it, runs, ratings, data sets and documents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genloom.errors import GenloomError
from genloom.store.dataset import Dataset
from genloom.store.files import hash_file
from genloom.store.lineage import RatingsTraining
from genloom.store.model_folder import ModelFolder
from genloom.text_format import format_count, format_duration
from genloom.trust.trace.documents import FoundDocument, summarise_documents
from genloom.trust.trace.graph import State, Trace, TraceNode
from genloom.trust.trace.lookup import (
    Lookup,
    add_dataset,
    add_model,
    add_output,
    describe_ratings,
    quote_text,
    shorten_text,
)

_SOURCE_FIELDS = ("source_file", "image", "source")  # digests in the record of an edit


def follow_output(trace: Trace, lookup: Lookup, id: str) -> str:
    """Add an output and all that it comes from; return its node's id."""
    is_known = f"output:{id}" in trace.nodes
    node, record = add_output(trace, lookup, id)
    if is_known:
        return node
    if record.get("prompt"):
        prompt = str(record["prompt"])
        facts = {"prompt": prompt, "given": dict(record.get("given") or {})}
        details: tuple[str, ...] = ()
        if template := record.get("template"):
            facts["template"] = template
            details = (f"by the prompt {template.get('name')}/{template.get('version')}",)
        prompt_node = TraceNode(f"prompt:{id}", "prompt", quote_text(prompt), details=details, facts=facts)
        trace.add_edge(node, trace.add_node(prompt_node), "prompted_by")
    for digest in list_edit_sources(record):
        trace.add_edge(node, _follow_source(trace, lookup, digest), "edited_from")
    if record.get("model"):
        model = follow_model(trace, lookup, str(record["model"]), str(record.get("model_digest") or ""))
        trace.add_edge(node, model, "generated_by")
    for ref, digest in (record.get("adapters") or {}).items():
        trace.add_edge(node, follow_model(trace, lookup, str(ref), str(digest)), "adapted_by")
    for passage in (record.get("knowledge") or {}).get("passages") or []:
        trace.add_edge(node, _add_quoted_file(trace, passage), "answered_from")
    if grammar := (record.get("request") or {}).get("grammar"):
        details = ("ends before it is complete",) if record.get("is_incomplete") else ()
        format_node = TraceNode(f"format:{id}", "format", quote_text(str(grammar)), details=details)
        trace.add_edge(node, trace.add_node(format_node), "kept_to")
    if record.get("imported"):
        name = str(record["imported"])
        trace.add_edge(node, trace.add_node(TraceNode(f"file:{name}", "file", name)), "imported_from")
    return node


def follow_model(trace: Trace, lookup: Lookup, ref: str, digest: str = "") -> str:
    """Add a version of a model and all that it comes from; return its node's id."""
    num_nodes = len(trace.nodes)
    node, folder = add_model(trace, lookup, ref, digest)
    if folder is None or len(trace.nodes) == num_nodes:  # gone, or followed already
        return node
    card = folder.card
    for parent in card.get("parents") or []:
        if isinstance(parent, Mapping) and parent.get("ref"):
            base = follow_model(trace, lookup, str(parent["ref"]), str(parent.get("digest") or ""))
            trace.add_edge(node, base, "fine_tuned_from")
    training = lookup.trainings.get(folder.ref)
    if training is not None:
        trace.add_edge(node, _follow_ratings(trace, lookup, training), "learned_from")
    if card.get("run"):
        trace.add_edge(node, _add_run(trace, lookup, folder), "trained_in")
    if isinstance(card.get("data"), Mapping):
        trace.add_edge(node, follow_dataset(trace, lookup, card["data"]), "trained_on")
    if isinstance(card.get("source"), Mapping):
        trace.add_edge(node, _add_origin(trace, card["source"]), "imported_from")
    return node


def follow_dataset(trace: Trace, lookup: Lookup, entry: Mapping[str, Any]) -> str:
    """Add a version of a data set and its documents by source and licence; return its node's id."""
    num_nodes = len(trace.nodes)
    node, dataset = add_dataset(trace, lookup, entry)
    if len(trace.nodes) > num_nodes:
        for document_node in _list_document_nodes(trace.nodes[node], dataset):
            trace.add_edge(node, trace.add_node(document_node), "made_of")
    return node


def add_document(trace: Trace, places: Sequence[FoundDocument]) -> str:
    """Add a document, which may be in several data sets; return its node's id."""
    first = places[0]
    datasets = [f"{place.dataset.name}@{shorten_text(place.dataset.digest)}" for place in places]
    details = [first.licence, f"in {', '.join(datasets)}"]
    details += [] if first.is_same_content else ["found by the name of the file: its content is another"]
    facts = {"id": first.id, "source": first.source, "licence": first.licence, "documents": 1, "data": datasets}
    facts["same_content"] = first.is_same_content
    name = f"{shorten_text(first.id)} from {first.source}"
    return trace.add_node(TraceNode(f"document:{first.id}", "document", name, details=tuple(details), facts=facts))


def list_edit_sources(record: Mapping[str, Any]) -> list[str]:
    """Return the digest of what an output was edited from; [] if it was not."""
    request = record.get("request") or {}
    edit = request.get("edit") or request.get("original") or {}
    digest = next((str(edit[name]) for name in _SOURCE_FIELDS if edit.get(name)), "")
    return [digest] if digest else []


def _add_quoted_file(trace: Trace, passage: Mapping[str, Any]) -> str:
    """Add the file of a passage that an output was answered from; it may have changed since, which is no fault."""
    path, digest = Path(str(passage.get("path"))), str(passage.get("sha256"))
    try:
        note = "" if hash_file(path) == digest else "the file has changed since"
    except OSError:
        note = "the file is not there any more"
    details = (str(passage.get("place")), *([note] if note else []))
    facts = {name: passage.get(name) for name in ("file", "sha256", "place", "passage")}
    id, name = f"file:{digest}:{passage.get('passage')}", str(passage.get("file"))
    return trace.add_node(TraceNode(id, "file", name, details=details, facts=facts))


def _follow_source(trace: Trace, lookup: Lookup, digest: str) -> str:
    """Add the source of an edit, and the output that it is, if it is one."""
    path = next(iter((lookup.workspace.root / "outputs" / "originals").glob(f"{digest}.*")), None)
    state: State = "missing"
    problem = ""
    if path is not None:
        is_same = hash_file(path) == digest
        state = "intact" if is_same else "changed"
        problem = "" if is_same else str(GenloomError("store.original_gone", digest=shorten_text(digest)))
    node = trace.add_node(
        TraceNode(f"source:{digest}", "source", shorten_text(digest), state, (), {"sha256": digest}, problem)
    )
    if output := lookup.find_output(digest):
        trace.add_edge(node, follow_output(trace, lookup, output), "is")
    return node


def _follow_ratings(trace: Trace, lookup: Lookup, training: RatingsTraining) -> str:
    """Add the ratings that a version learned from."""
    entries = [lookup.ratings[id] for id in sorted(training.used) if id in lookup.ratings]
    details, facts = describe_ratings(lookup, entries)
    num_missing = len(training.used) - len(entries)
    problem = f"{format_count(num_missing, 'entry', 'entries')} not in the ledger" if num_missing else ""
    state: State = "missing" if num_missing else ""
    node = TraceNode(
        f"ratings:{training.version}", "ratings", f"for {training.version}", state, details, facts, problem
    )
    return trace.add_node(node)


def _add_run(trace: Trace, lookup: Lookup, folder: ModelFolder) -> str:
    """Add the run that trained a version, by the card, which outlives the run."""
    run, actual = str(folder.card["run"]), folder.card.get("fact") or {}
    state: State = ""
    problem = ""
    if not (lookup.workspace.root / "runs" / run / "run.json").is_file():
        state, problem = lookup.explain_absence("runs", run)
    details = [format_count(actual["steps"], "step")] if isinstance(actual.get("steps"), int) else []
    details += [format_duration(actual["seconds"])] if isinstance(actual.get("seconds"), int | float) else []
    facts = {"fact": dict(actual), "machine": folder.card.get("machine") or {}}
    return trace.add_node(TraceNode(f"run:{run}", "run", run, state, tuple(details), facts, problem))


def _add_origin(trace: Trace, source: Mapping[str, Any]) -> str:
    """Add what an imported model comes from, by its card."""
    name, licence = str(source.get("name") or "unknown"), str(source.get("licence") or "unknown")
    origin = str(source.get("repository") or source.get("base_model") or "")
    details = [f"licence {licence}", *([origin] if origin and origin != name else [])]
    node = TraceNode(f"origin:{origin or name}", "origin", name, details=tuple(details), facts=dict(source))
    return trace.add_node(node)


def _list_document_nodes(data: TraceNode, dataset: Dataset | None) -> list[TraceNode]:
    """Return the documents of a data set by source and licence; of one that is gone, by the licences in the card."""
    groups = []
    if dataset is not None:
        try:
            groups = [(group.source, group.licence, group.count) for group in summarise_documents(dataset)]
        except ValueError:
            groups = []  # the data set's own node tells it
    groups = groups or [("", str(licence), count) for licence, count in data.facts["licences"].items()]
    unknown = "several sources" if dataset is not None else "unknown sources"
    return [
        TraceNode(
            f"documents:{data.id}:{number}",
            "documents",
            f"from {source or unknown}",
            details=(f"{count:,}", licence),
            facts={"source": source or None, "licence": licence, "documents": count},
        )
        for number, (source, licence, count) in enumerate(groups)
    ]
