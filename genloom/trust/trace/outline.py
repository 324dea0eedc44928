"""The text of a trace: a tree for a terminal, in which long lists are cut."""

from collections.abc import Iterator

from genloom.text_format import format_count
from genloom.trust.trace.graph import Trace, TraceNode

_MAX_CHILDREN = 12  # of one node that are shown


def render_lines(trace: Trace) -> list[str]:
    """Return the tree from the root on; what occurs again is only named."""
    shown: set[str] = set()
    root = trace.nodes[trace.root]
    return [_describe(root), *_render_children(trace, root, "", shown)]


def _render_children(trace: Trace, node: TraceNode, indent: str, shown: set[str]) -> Iterator[str]:
    shown.add(node.id)
    children = list(trace.iter_next(node.id))
    num_hidden = max(0, len(children) - _MAX_CHILDREN)
    for number, (relation, child) in enumerate(children[:_MAX_CHILDREN], start=1):
        is_last = number == len(children)
        is_repeated = child.id in shown and any(True for _ in trace.iter_next(child.id))
        line = f"{relation} {child.title} (see above)" if is_repeated else f"{relation} {_describe(child)}"
        yield f"{indent}{'└─' if is_last else '├─'} {line}"
        if not is_repeated:
            yield from _render_children(trace, child, indent + ("   " if is_last else "│  "), shown)
    if num_hidden:
        yield f"{indent}└─ and {format_count(num_hidden, 'other')}; --json and --out have all"


def _describe(node: TraceNode) -> str:
    """Return a node on one line."""
    line = ": ".join([node.title, *([", ".join(node.details)] if node.details else [])])
    return f"{line} [{node.note}]" if node.note else line
