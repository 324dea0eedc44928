"""Questions about trust that the worker answers: where an output comes from, how it is signed, and cards."""

from collections.abc import Mapping
from typing import Any, Literal

from genloom.api.workspace import Workspace
from genloom.store.records import get_marking_key
from genloom.trust.trace.graph import Trace, TraceNode

MAX_NODES = 300  # of a trace that a page shows; the file has all
_MAX_LISTED = 20  # entries of a list or table among the facts of a node


def describe_provenance(workspace: Workspace, output: str, owner: str) -> dict[str, Any]:
    """Return the trace of an output with the state of its signature and its mark; `owner` may see it."""
    found = workspace.output(output)
    graph = hide_others(workspace.trace(found).graph, owner)
    nodes = list(graph.nodes.values())[:MAX_NODES]
    kept = {node.id for node in nodes}
    edges = [edge for edge in graph.edges if edge.derived in kept and edge.origin in kept]
    key = get_marking_key(found.record)
    return {
        "root": graph.root,
        "nodes": [describe_node(node) for node in nodes],
        "edges": [{"source": edge.derived, "target": edge.origin, "relation": edge.relation} for edge in edges],
        "left_out": len(graph.nodes) - len(nodes),
        "is_intact": graph.is_intact,
        "signature": describe_signature(workspace, output),
        "mark": {"is_marked": bool(key), "key": key or None},
    }


def describe_signature(workspace: Workspace, output: str) -> dict[str, Any]:
    """Return who signs an output where it leaves, and what the signature tells."""
    from genloom.trust import signing
    from genloom.trust.manifests import can_embed

    found = workspace.output(output)
    is_embedded = can_embed(found.path.suffix)
    if not signing.is_available():
        return {"state": "unavailable", "signer": "", "is_embedded": is_embedded, "facts": []}
    manifest = found.manifest()
    if manifest is None:
        return {"state": "unsigned", "signer": "", "is_embedded": is_embedded, "facts": []}
    return {
        "state": "signed",
        "signer": manifest.signer,
        "is_embedded": is_embedded,
        "facts": sorted(manifest.facts),
    }


def render_trace(workspace: Workspace, output: str, owner: str, format: Literal["html", "json"]) -> str:
    """Return the trace of an output as a page or as JSON."""
    import json

    from genloom.trust.trace.page import render_page

    graph = hide_others(workspace.trace(output, kind="output").graph, owner)
    if format == "html":
        return render_page(graph)
    return json.dumps(graph.to_json(), indent=1, ensure_ascii=False) + "\n"


def hide_others(graph: Trace, owner: str) -> Trace:
    """Return a trace without outputs of other users and what only they lead to, and without the names of raters.

    `owner` "" is the person at the machine, who sees everything.
    """
    if not owner:
        return graph
    hidden = {
        node.id
        for node in graph.nodes.values()
        if node.kind == "output" and node.id != graph.root and node.facts.get("owner") != owner
    }
    kept, waiting = set[str](), [graph.root]
    while waiting:
        id = waiting.pop()
        if id not in kept and id not in hidden:
            kept.add(id)
            waiting += [node.id for _, node in graph.iter_next(id)]
    nodes = {id: hide_raters(node) for id, node in graph.nodes.items() if id in kept}
    edges = [edge for edge in graph.edges if edge.derived in kept and edge.origin in kept]
    return Trace(graph.root, graph.is_forward, graph.is_quick, nodes, edges)


def hide_raters(node: TraceNode) -> TraceNode:
    """Return a node without who rated what."""
    if node.kind != "ratings":
        return node
    facts = {"entries": len(node.facts.get("entries") or ()), "by_machine": node.facts.get("by_machine")}
    return TraceNode(node.id, node.kind, node.name, node.state, (), facts, node.problem)


def describe_node(node: TraceNode) -> dict[str, Any]:
    return {
        "id": node.id,
        "kind": node.kind,
        "name": node.name,
        "state": node.state,
        "problem": node.problem,
        "facts": {name: shorten_fact(value) for name, value in node.facts.items() if value not in (None, "", [], {})},
    }


def shorten_fact(value: Any) -> Any:
    """Return a fact as a page shows it: of a long list or table its beginning."""
    match value:
        case Mapping():
            return {str(name): shorten_fact(each) for name, each in list(value.items())[:_MAX_LISTED]}
        case list() | tuple():
            return [shorten_fact(each) for each in value[:_MAX_LISTED]]
        case str():
            return value[:2000]
    return value


def render_card(
    workspace: Workspace, name: str, kind: Literal["model", "data"], format: Literal["md", "html", "json", "croissant"]
) -> str:
    """Return the card of a model or data set in a format."""
    return workspace.card(name, kind=kind).render(format)


QUESTIONS = {
    "describe_provenance": describe_provenance,
    "render_trace": render_trace,
    "render_card": render_card,
}
