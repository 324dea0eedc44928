"""The root of a trace: an output, model, data set or document by its name, or a file by its content."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from genloom import plugins
from genloom.errors import GenloomError
from genloom.store import files
from genloom.store.ledger import Ledger
from genloom.store.names import is_timed_id
from genloom.store.workspace import Workspace
from genloom.text_format import format_count
from genloom.trust.trace.backward import add_document, follow_dataset, follow_model, follow_output
from genloom.trust.trace.documents import FoundDocument, find_documents
from genloom.trust.trace.forward import spread_dataset, spread_model, spread_output, spread_source
from genloom.trust.trace.graph import Trace, TraceNode
from genloom.trust.trace.lookup import Lookup, shorten_text

RootKind = Literal["", "output", "model", "data", "document", "file"]
_DOCUMENT_ID = re.compile(r"[0-9a-f]{12,64}")
_MAX_DOCUMENTS = 100  # of one file that a trace follows


def build_trace(
    workspace: Workspace,
    ledger: Ledger,
    name: str,
    *,
    kind: RootKind = "",
    is_forward: bool = False,
    is_quick: bool = False,
) -> Trace:
    """Return the trace of what `name` means; of "" as kind, the first of output, model, data set, file and document.

    Raises GenloomError: trust.nothing_to_trace if nothing has this name, or what opening it by its kind raises.
    """
    lookup = Lookup(workspace, ledger, is_quick)
    trace = Trace("", is_forward, is_quick)
    kind = kind or _find_kind(workspace, name)
    match kind:
        case "output":
            if not workspace.has_output(name):
                workspace.get_output(name)  # raises the error for an unknown or removed one
            trace.root = (spread_output if is_forward else follow_output)(trace, lookup, name)
        case "model":
            folder = workspace.get_model(name)
            trace.root = (spread_model if is_forward else follow_model)(trace, lookup, folder.ref, folder.digest)
        case "data":
            trace.root = (spread_dataset if is_forward else follow_dataset)(trace, lookup, _get_entry(workspace, name))
        case "document":
            found = find_documents(lookup.datasets, (), prefix=name)
            if not found:
                raise GenloomError("trust.nothing_to_trace", name=name)
            _trace_documents(trace, lookup, found, name)
        case "file":
            _trace_file(trace, lookup, files.expand_home(name))
    return trace


def _find_kind(workspace: Workspace, name: str) -> RootKind:
    """Return what a name means; raise GenloomError (trust.nothing_to_trace) if it means nothing."""
    if is_timed_id(name) and not Path(name).exists():
        return "output"
    data_name, at, _ = name.partition("@")
    if at and (workspace.root / "data" / data_name).is_dir():
        return "data"
    for kind, get in (("model", workspace.get_model), ("data", workspace.get_dataset)):
        try:
            get(name)
        except GenloomError as error:
            if error.code in ("store.in_bin", "store.no_such_version", "store.damaged"):
                raise
        else:
            return "model" if kind == "model" else "data"
    if files.expand_home(name).is_file():
        return "file"
    if _DOCUMENT_ID.fullmatch(name):
        return "document"
    raise GenloomError("trust.nothing_to_trace", name=name)


def _get_entry(workspace: Workspace, name: str) -> Mapping[str, Any]:
    """Return name and digest of the data set NAME or NAME@DIGEST, of which the beginning is enough."""
    name, _, prefix = name.partition("@")
    dataset = workspace.get_dataset(name)
    if prefix and not dataset.digest.startswith(prefix):
        versions = [path.parent.name for path in dataset.folder.parent.glob("[!.]*/manifest.json")]
        full = next((digest for digest in versions if digest.startswith(prefix)), prefix)
        dataset = workspace.get_dataset(name, full)
    return {"name": name, "digest": dataset.digest}


def _trace_documents(trace: Trace, lookup: Lookup, found: list[FoundDocument], name: str) -> None:
    """Make documents the root: alone, or below a node with the name."""
    nodes = _add_documents(trace, lookup, found)
    if len(nodes) == 1:
        (trace.root,) = nodes
        return
    facts = {"documents": len({document.id for document in found})}
    details = (format_count(facts["documents"], "document"),)
    trace.root = trace.add_node(TraceNode(f"documents:{name}", "documents", name, details=details, facts=facts))
    for node in nodes:
        _connect_root(trace, node, "made_of")


def _add_documents(trace: Trace, lookup: Lookup, found: list[FoundDocument]) -> list[str]:
    """Add documents, forward with what was made of their data sets; return their nodes' ids."""
    by_id: dict[str, list[FoundDocument]] = {}
    for document in found:
        by_id.setdefault(document.id, []).append(document)
    nodes = []
    for places in list(by_id.values())[:_MAX_DOCUMENTS]:
        nodes.append(node := add_document(trace, places))
        if trace.is_forward:
            for place in places:
                entry = {"name": place.dataset.name, "digest": place.dataset.digest}
                trace.add_edge(spread_dataset(trace, lookup, entry), node, "made_of")
    return nodes


def _trace_file(trace: Trace, lookup: Lookup, path: Path) -> None:
    """Make a file the root: found among outputs, sources of edits and documents, by its content or a document's source.

    Raises GenloomError: trust.file_not_known if it is none of them; core.unreadable_file.
    """
    from genloom.settings import build_unreadable_error

    try:
        digest = files.hash_file(path)
    except OSError as error:
        raise build_unreadable_error(path, "this file", error) from error
    facts = {"path": str(path), "sha256": digest}
    trace.root = trace.add_node(TraceNode("file", "file", path.name, details=(shorten_text(digest),), facts=facts))
    stored = lookup.find_output(digest)
    signed = [] if stored else _list_signed_outputs(lookup.workspace, path)
    for output in [stored] if stored else signed:
        node = (spread_output if trace.is_forward else follow_output)(trace, lookup, output)
        _connect_root(trace, node, "is" if stored or len(signed) == 1 else "made_of")
    if trace.is_forward:
        spread_source(trace, lookup, trace.root, digest)
    found = find_documents(lookup.datasets, {digest, *_hash_values(path)}, file_name=path.name)
    for node in _add_documents(trace, lookup, found):
        _connect_root(trace, node, "is")
    if len(trace.nodes) == 1:
        raise GenloomError("trust.file_not_known", path=path)


def _list_signed_outputs(workspace: Workspace, path: Path) -> list[str]:
    """Return the outputs of this workspace that an unchanged signature of its own names, of a file or of a sheet."""
    from genloom.limited_process import LimitedProcess, LimitExceeded
    from genloom.trust import manifests, signing

    if not signing.is_available():
        return []
    try:
        with LimitedProcess() as process:
            manifest = process.call(manifests.read_watched, path, signing.read_anchors(workspace.root))
    except (GenloomError, OSError, MemoryError, LimitExceeded):  # `genloom verify` tells why it cannot be read
        return []
    if manifest is None or (manifest.state, manifest.authority) != ("unchanged", "workspace"):
        return []
    listed = manifest.facts.get("outputs")
    facts = [manifest.facts, *(each for each in (listed if isinstance(listed, list) else []) if isinstance(each, dict))]
    ids = dict.fromkeys(str(each.get("output") or "") for each in facts)
    return [id for id in ids if workspace.has_output(id)]


def _hash_values(path: Path) -> set[str]:
    """Return the ids that a file's value has as a document, in the media that read such files."""
    from genloom.media.opening import open_limited

    found = set()
    for name in plugins.list_part_names("medium"):
        medium = plugins.find_part("medium", name)
        if path.suffix.lower() in medium.suffixes:
            try:
                found.add(hashlib.sha256(medium.encode(open_limited(medium.open, path).value)).hexdigest())
            except (GenloomError, ValueError, OSError):
                continue  # it is not of this medium
    return found


def _connect_root(trace: Trace, node: str, relation: str) -> None:
    """Add an edge between the root and a node that follows it."""
    derived, origin = (node, trace.root) if trace.is_forward else (trace.root, node)
    trace.add_edge(derived, origin, relation)
