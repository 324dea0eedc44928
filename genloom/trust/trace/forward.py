"""The trace forward: what was made from a document, data set, model, output or source of edits."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from genloom.store.model_folder import ModelFolder
from genloom.text_format import format_count
from genloom.trust.trace.backward import list_edit_sources
from genloom.trust.trace.graph import Trace, TraceNode
from genloom.trust.trace.lookup import Lookup, add_dataset, add_model, add_output, describe_ratings


def spread_dataset(trace: Trace, lookup: Lookup, entry: Mapping[str, Any]) -> str:
    """Add a version of a data set and the models trained on it; return its node's id."""
    num_nodes = len(trace.nodes)
    node, dataset = add_dataset(trace, lookup, entry)
    if len(trace.nodes) > num_nodes:
        digest = dataset.digest if dataset is not None else str(entry.get("digest") or "")
        for folder in lookup.models:
            if (folder.card.get("data") or {}).get("digest") == digest:
                trace.add_edge(spread_model(trace, lookup, folder.ref), node, "trained_on")
    return node


def spread_model(trace: Trace, lookup: Lookup, ref: str, digest: str = "") -> str:
    """Add a version of a model, the versions that derive from it and its outputs; return its node's id."""
    num_nodes = len(trace.nodes)
    node, folder = add_model(trace, lookup, ref, digest)
    if len(trace.nodes) == num_nodes:
        return node
    digest = folder.digest if folder is not None else digest
    for child in lookup.models:
        if child.ref != ref and is_parent(child, ref, digest):
            trace.add_edge(spread_model(trace, lookup, child.ref), node, "fine_tuned_from")
    made = [record for record in lookup.records if _is_made_by(record, ref, digest)]
    if made:
        trace.add_edge(_spread_outputs(trace, lookup, made, ref), node, "generated_by")
    return node


def spread_output(trace: Trace, lookup: Lookup, id: str) -> str:
    """Add an output, its ratings, the versions that learned from them, and its edits; return its node's id."""
    is_known = f"output:{id}" in trace.nodes
    node, record = add_output(trace, lookup, id)
    if is_known:
        return node
    _spread_ratings(trace, lookup, node, {id}, id)
    if record.get("sha256"):
        spread_source(trace, lookup, node, str(record["sha256"]), id)
    return node


def spread_source(trace: Trace, lookup: Lookup, node: str, digest: str, skipped: str = "") -> None:
    """Add the outputs that were edited from a file with this digest, below the node."""
    for record in lookup.records:
        if digest in list_edit_sources(record) and record["id"] != skipped:
            trace.add_edge(spread_output(trace, lookup, str(record["id"])), node, "edited_from")


def is_parent(child: ModelFolder, ref: str, digest: str) -> bool:
    """Return whether a version was tuned from another one; earlier versions of Genloom wrote no digest."""
    return any(
        isinstance(parent, Mapping) and parent.get("ref") == ref and parent.get("digest") in ("", None, digest)
        for parent in child.card.get("parents") or []
    )


def _is_made_by(record: Mapping[str, Any], ref: str, digest: str) -> bool:
    is_own = record.get("model") == ref and record.get("model_digest") in ("", None, digest)
    return is_own or (record.get("adapters") or {}).get(ref) == digest


def _spread_outputs(trace: Trace, lookup: Lookup, records: Sequence[Mapping[str, Any]], ref: str) -> str:
    """Add the outputs of a version as one node, their ratings and their edits."""
    ids = [str(record["id"]) for record in records]
    if len(ids) == 1:
        return spread_output(trace, lookup, ids[0])
    details = (f"the newest {ids[-1]}", f"the oldest {ids[0]}")
    name = f"of {ref}"
    facts = {"count": len(ids), "outputs": ids}
    node = TraceNode(
        f"outputs:{ref}", "outputs", name, details=(format_count(len(ids), "output"), *details), facts=facts
    )
    id = trace.add_node(node)
    _spread_ratings(trace, lookup, id, set(ids), ref)
    digests = {str(record["sha256"]) for record in records}
    for record in lookup.records:
        if digests.intersection(list_edit_sources(record)) and record["id"] not in ids:
            trace.add_edge(spread_output(trace, lookup, str(record["id"])), id, "edited_from")
    return id


def _spread_ratings(trace: Trace, lookup: Lookup, node: str, outputs: Collection[str], name: str) -> None:
    """Add the ratings of outputs below their node, and the versions that learned from them."""
    entries = [
        entry
        for entry in lookup.ratings.values()
        if any(entry.body.get(key) in outputs for key in ("output", "a", "b"))
    ]
    if not entries:
        return
    details, facts = describe_ratings(lookup, entries)
    ratings = trace.add_node(TraceNode(f"ratings of:{name}", "ratings", f"of {name}", details=details, facts=facts))
    trace.add_edge(ratings, node, "ratings_of")
    ids = {entry.id for entry in entries}
    for training in lookup.trainings.values():
        if training.used & ids:
            trace.add_edge(spread_model(trace, lookup, training.version), ratings, "learned_from")
