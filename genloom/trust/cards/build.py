"""The cards of a model and of a data set, filled from their traces."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from genloom.store.dataset import SPLITS, Dataset
from genloom.store.ledger import Ledger
from genloom.store.licences import LicenceConflict, describe_licence, find_conflicts, to_spdx
from genloom.store.model_folder import ModelFolder
from genloom.store.workspace import Workspace
from genloom.text_format import format_bytes, format_count
from genloom.trust.bias import find_report
from genloom.trust.cards.card import Card, Section, Table
from genloom.trust.privacy import find_privacy_report, list_card_rows
from genloom.trust.trace.graph import KIND_NOUNS, Trace, TraceNode
from genloom.trust.trace.resolve import build_trace

_LIMITS = (
    "Its outputs can be wrong, and can repeat the biases of its data; it has no knowledge beyond them.",
    "Its outputs carry a mark in their noise and signed metadata where they leave Genloom.",
    "Who has the weights can sample without the mark.",
)
_RUNTIME_LIMITS = (
    "Its outputs can be wrong; it was trained elsewhere, and its data are not known here.",
    "A library of its own runs it; its outputs carry signed metadata where they leave Genloom.",
    "Speech that it makes carries a mark in its spectrum; texts that it writes down carry none.",
    "Sounds that it makes say in their tags that they are synthetic.",
)


def build_model_card(workspace: Workspace, ledger: Ledger, folder: ModelFolder) -> Card:
    """Return the card of a version: licences, base models, data, training and results, from its lineage."""
    trace = build_trace(workspace, ledger, folder.ref, kind="model", is_quick=True)
    nodes = list(trace.nodes.values())
    data, origins = [n for n in nodes if n.kind == "data"], [n for n in nodes if n.kind == "origin"]
    bases = [n for n in nodes if n.kind == "model" and n.id != trace.root]
    licences = count_licences(nodes)
    conflicts = find_conflicts(licences)
    medium = next((str(n.facts["medium"]) for n in data if n.facts.get("medium")), "")
    metadata = {**describe_licence(licences), "library_name": "genloom"}
    hub_names = [str(o.facts.get("repository") or o.facts.get("base_model") or "") for o in origins]
    if any(hub_names):
        metadata["base_model"] = next(filter(None, hub_names))
    metadata["datasets"] = [n.name.partition("@")[0] for n in data]
    metadata["tags"] = ["genloom", *([medium] if medium else [])]
    if languages := _list_languages(workspace, data):
        metadata["language"] = languages
    results = {key: value for key, value in (folder.card.get("fact") or {}).items() if isinstance(value, int | float)}
    metadata["metrics"] = [key for key in results if "loss" in key or "bits" in key or "perplexity" in key]
    sections = [
        Section("Lineage", (Table(("what", "which", "facts"), tuple(_list_lineage(trace))),)),
        _build_licences(licences, conflicts),
        *_build_persons(data),
        *_build_private(folder.card.get("private")),
        Section("Training and results", (Table(("fact", "value"), tuple(_list_results(folder, results))),)),
        *_build_bias(find_report(workspace.root, folder.ref, folder.digest)),
        *_build_privacy(find_privacy_report(workspace.root, folder.ref, folder.digest)),
        Section("Limits", _RUNTIME_LIMITS if folder.runtime else _LIMITS),
    ]
    summary = f"A version of a model made with Genloom{f', for the medium {medium}' if medium else ''}."
    if folder.runtime:
        summary = f"{folder.card['source'].get('description', 'A pretrained model')}, imported into Genloom."
    if bases:
        summary += f" It was tuned from {', '.join(base.name for base in bases)}."
    facts = {
        "model": folder.ref,
        "digest": folder.digest,
        **_list_licence_facts(licences, conflicts),
        "results": results,
        "persons": _list_persons(data),
        "private": folder.card.get("private"),
        "bias": find_report(workspace.root, folder.ref, folder.digest),
        "privacy": find_privacy_report(workspace.root, folder.ref, folder.digest),
        "trace": trace.to_json(),
    }
    return Card(f"Model {folder.ref}", summary, _drop_empty(metadata), tuple(sections), facts)


def build_data_card(workspace: Workspace, ledger: Ledger, dataset: Dataset) -> Card:
    """Return the card of a data set: sources, licences, splits and what was left out."""
    trace = build_trace(workspace, ledger, f"{dataset.name}@{dataset.digest}", kind="data", is_quick=True)
    documents = [node for node in trace.nodes.values() if node.kind == "documents"]
    licences = count_licences(documents)
    conflicts = find_conflicts(licences)
    splits = {split: dataset.count_documents(split) for split in SPLITS}
    removed = (dataset.manifest.get("documents") or {}).get("removed") or {}
    languages = _list_languages(workspace, [trace.nodes[trace.root]])
    metadata = {**describe_licence(licences), "pretty_name": dataset.name, "tags": ["genloom", dataset.medium]}
    metadata |= {"language": languages}
    sources = tuple(
        (str(n.facts["source"] or "several"), str(n.facts["licence"]), f"{n.facts['documents']:,}") for n in documents
    )
    sections = [
        Section("Sources", (Table(("source", "licence", "documents"), sources),)),
        _build_licences(licences, conflicts),
        *_build_persons([trace.nodes[trace.root]]),
        Section("Splits", (Table(("split", "documents"), tuple((s, f"{n:,}") for s, n in splits.items())),)),
    ]
    if removed:
        sections.append(
            Section("Left out", (Table(("reason", "documents"), tuple((k, f"{n:,}") for k, n in removed.items())),))
        )
    if without := dataset.manifest.get("without"):
        sections.append(Section("Removed later", (format_count(len(without), "document"),)))
    stored = format_bytes(sum(entry["bytes"] for entry in dataset.manifest["files"].values()))
    count = format_count(sum(splits.values()), "document")
    summary = f"{count} of the medium {dataset.medium}, collected by Genloom; its files have {stored}."
    facts = {
        "data": dataset.name,
        "digest": dataset.digest,
        "medium": dataset.medium,
        "created": dataset.created,
        **_list_licence_facts(licences, conflicts),
        "splits": splits,
        "persons": _list_persons([trace.nodes[trace.root]]),
        "sources": [dict(node.facts) for node in documents],
    }
    return Card(f"Data set {dataset.name}", summary, _drop_empty(metadata), tuple(sections), facts)


def find_model_conflicts(workspace: Workspace, ledger: Ledger, ref: str) -> list[LicenceConflict]:
    """Return conflicts of the licences of everything that a model was made of."""
    trace = build_trace(workspace, ledger, ref, kind="model", is_quick=True)
    return find_conflicts(count_licences(trace.nodes.values()))


def count_licences(nodes: Iterable[TraceNode]) -> Counter[str]:
    """Return the licences in a trace with the numbers of their documents; a pretrained model counts as one.

    A model that is missing has a licence nobody knows here.
    """
    counts: Counter[str] = Counter()
    for node in nodes:
        if node.kind == "documents":
            counts[str(node.facts["licence"])] += int(node.facts["documents"])
        elif node.kind == "origin":
            counts[str(node.facts.get("licence") or "unknown")] += 1
        elif _is_unknown(node):
            counts["unknown"] += 1
    return counts


def _is_unknown(node: TraceNode) -> bool:
    """Return whether a data set or model is gone of which nothing here tells the licences."""
    if node.kind == "data":
        return node.state in ("missing", "removed") and not node.facts["licences"]
    return node.kind == "model" and "created" not in node.facts


def _list_lineage(trace: Trace) -> Iterable[tuple[str, str, str]]:
    for node in trace.nodes.values():
        facts = ", ".join([*node.details, *([node.note] if node.note else [])])
        yield KIND_NOUNS[node.kind], node.name, facts


def _list_results(folder: ModelFolder, results: Mapping[str, float]) -> Iterable[tuple[str, str]]:
    yield "digest", folder.digest
    yield "created", folder.created
    if folder.card.get("parameters"):
        yield "parameters", f"{folder.card['parameters']:,}"
    for name, value in results.items():
        yield name.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _build_licences(licences: Mapping[str, int], conflicts: list[LicenceConflict]) -> Section:
    rows = tuple((to_spdx(name), name, f"{count:,}") for name, count in licences.items())
    notes = tuple(map(str, conflicts)) or ("No conflict between these licences is known.",)
    return Section("Licences", (Table(("SPDX", "as found", "documents or models"), rows), *notes))


def _build_bias(report: Mapping[str, Any] | None) -> list[Section]:
    """Return the section on bias from the stored report of `genloom bias`; none without a report."""
    if report is None:
        return []
    rows = tuple(
        (category, *(f"{found['gap'][key]:.3f}" for key in ("mean", "low", "high")))
        for category, found in report["likelihood"].items()
    )
    header = ("category", "gap, bits a word", "95 % from", "to")
    return [Section("Bias", (*([Table(header, rows)] if rows else []), *report["limits"]))]


def _build_privacy(report: Mapping[str, Any] | None) -> list[Section]:
    """Return the section on what the model reveals of its data, from the stored report of `genloom privacy`."""
    rows = tuple(list_card_rows(report)) if report is not None else ()
    if report is None or not rows:
        return []
    verdict = "The model reveals training data." if report.get("leaking") else "No measure shows training data."
    table = Table(("measure", "value", "95 % interval", "chance"), rows)
    return [Section("Privacy of the training data", (table, verdict, *map(str, report.get("notes") or ())))]


def _list_persons(data: Iterable[TraceNode]) -> list[dict[str, Any]]:
    """Return the likenesses of persons in data sets, and the consents with their state."""
    return [
        {"data": node.name, "persons": node.facts["persons"], "consents": node.facts["consents"]}
        for node in data
        if "persons" in node.facts
    ]


def _build_persons(data: Iterable[TraceNode]) -> list[Section]:
    """Return the section on persons in data sets; none where nothing was said of them."""
    entries = _list_persons(data)
    rows = [
        (
            str(consent["who"]),
            ", ".join(consent["of"]),
            ", ".join(consent["purposes"]),
            str(consent["signed"]),
            str(consent.get("until", "-")),
            str(consent["state"]),
        )
        for entry in entries
        for consent in entry["consents"]
    ]
    stated = [f"{entry['data']}: {', '.join(entry['persons'])}, as its collector says." for entry in entries]
    table = [Table(("person", "of", "for", "signed", "until", "state"), tuple(rows))] if rows else []
    return [Section("Persons", (*stated, *table))] if entries else []


def _build_private(facts: Mapping[str, Any] | None) -> list[Section]:
    """Return the section on differentially private tuning; none where it was not private."""
    if not facts:
        return []
    rows = tuple((name.replace("_", " "), str(value)) for name, value in facts.items())
    note = "The bound is on this tuning alone: it says nothing of the data of base models, nor of held-out documents."
    return [Section("Differential privacy", (Table(("fact", "value"), rows), note))]


def _list_licence_facts(licences: Mapping[str, int], conflicts: Iterable[LicenceConflict]) -> dict[str, Any]:
    return {
        "licences": dict(licences),
        "spdx": sorted({to_spdx(name) for name in licences}),
        "conflicts": [{"kind": c.kind, "licences": list(c.licences), "note": str(c)} for c in conflicts],
    }


def _list_languages(workspace: Workspace, data: Iterable[TraceNode]) -> list[str]:
    """Return the languages of the data sets that are here."""
    found: set[str] = set()
    for node in data:
        name = node.name.partition("@")[0]
        try:
            manifest = workspace.get_dataset(name, str(node.facts["digest"])).manifest
        except ValueError:
            continue
        languages = manifest.get("languages")
        found |= {str(language) for language in languages} if isinstance(languages, Mapping) else set()
    return sorted(found - {"", "unknown"})


def _drop_empty(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if value not in ("", [], None)}
