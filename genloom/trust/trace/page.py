"""The page of a trace: a drawing and the facts of every node, without scripts and without anything from elsewhere."""

import json
from collections.abc import Iterator, Mapping
from html import escape

from genloom.text_format import quote_beginning
from genloom.trust.trace.graph import KIND_NOUNS, RELATIONS, Kind, Trace, TraceNode

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 272, 66, 104, 18, 12  # of a box, in pixels
_MAX_NAME_CHARS, _MAX_DETAIL_CHARS, _MAX_FACT_CHARS = 28, 35, 600
_MAX_DRAWN = 300  # nodes; the list has all
_HUES: Mapping[Kind, int] = {
    "output": 262, "prompt": 300, "source": 300, "outputs": 262, "model": 214, "origin": 190, "run": 40, "ratings": 340,
    "format": 300, "data": 150, "documents": 95, "document": 95, "file": 0,
}  # fmt: skip
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f26; --soft: #616877; --paper: #fbfbfc; --card: #fff; --line: #c9ced8;
  --bad: #c22a2a; --light: 42% }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ee; --soft: #9aa2b1; --paper: #14161b; --card: #1e2128;
  --line: #444b59; --bad: #ff7a70; --light: 68% } }
body { margin: 0 auto; padding: 28px; max-width: 1500px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere } h2 { font-size: 16px; margin: 28px 0 8px }
p { margin: 0 0 14px; color: var(--soft) } .bad { color: var(--bad) }
.drawing { overflow-x: auto; border: 1px solid var(--line); border-radius: 10px; background: var(--card) }
svg { display: block; font: 12px system-ui, sans-serif } svg a { text-decoration: none }
.box { fill: var(--card); stroke: var(--line) } .box.gone { stroke-dasharray: 5 4 }
.box.changed { stroke: var(--bad); stroke-width: 2 } .kind { font-size: 11px; letter-spacing: .03em }
.name { font-size: 13px; font-weight: 600; fill: var(--ink) } .detail { fill: var(--soft); font-size: 11px }
.state { fill: var(--bad); font-size: 11px } .edge { fill: none; stroke: var(--line); stroke-width: 1.5 }
.relation { fill: var(--soft); font-size: 10.5px; paint-order: stroke; stroke: var(--card); stroke-width: 4px }
details { border-top: 1px solid var(--line); padding: 7px 2px } summary { cursor: pointer; overflow-wrap: anywhere }
summary span { color: var(--soft) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 8px 20px }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere;
  font-family: ui-monospace, monospace; font-size: 13px }
table { border-collapse: collapse }
th, td { text-align: left; padding: 4px 24px 4px 0; border-top: 1px solid var(--line) }
th { font-weight: 500; color: var(--soft); border: 0 } td.number, th.number { text-align: right }
"""


def render_page(trace: Trace) -> str:
    """Return the page of a trace."""
    root = trace.nodes[trace.root]
    heading = f"What was made from {root.title}" if trace.is_forward else f"Where {root.title} comes from"
    checked = "Sizes were compared with" if trace.is_quick else "Digests were compared with"
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(heading)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(heading)}</h1><p>A trace by Genloom. {checked} those recorded.</p>",
            *_render_problems(trace),
            f'<div class="drawing">{draw_graph(trace)}</div>',
            *_render_licences(trace),
            "<h2>Everything in this trace</h2>",
            *map(_render_facts, trace.nodes.values()),
            "</body></html>\n",
        ]
    )


def draw_graph(trace: Trace) -> str:
    """Return the graph as SVG: the root at the left, what follows it to the right."""
    places = _place_nodes(trace)
    columns = max(x for x, _ in places.values()) + 1
    rows = max(y for _, y in places.values()) + 1
    width, height = columns * (_WIDTH + _GAP_X) - _GAP_X + 2 * _MARGIN, rows * (_HEIGHT + _GAP_Y) - _GAP_Y + 2 * _MARGIN
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" role="img" ',
            f'viewBox="0 0 {width} {height:.0f}" aria-label="{len(trace.nodes)} nodes, described in the list below">',
            *_draw_edges(trace, places),
            *(_draw_box(trace.nodes[id], *_to_pixels(place)) for id, place in places.items()),
            "</svg>",
        ]
    )


def _place_nodes(trace: Trace) -> dict[str, tuple[int, float]]:
    """Return column and row of each node that is drawn: columns by the longest way from the root, rows centred."""
    columns = {trace.root: 0}
    pending = [(trace.root, frozenset([trace.root]))]
    while pending:
        id, way = pending.pop()
        for _, node in trace.iter_next(id):
            if node.id not in way and columns.get(node.id, 0) < columns[id] + 1 and len(columns) < _MAX_DRAWN:
                columns[node.id] = columns[id] + 1
                pending.append((node.id, way | {node.id}))
    members: dict[int, list[str]] = {}
    for id in (id for id in trace.nodes if id in columns):
        members.setdefault(columns[id], []).append(id)
    tallest = max(map(len, members.values()))
    return {
        id: (column, (tallest - len(ids)) / 2 + row) for column, ids in members.items() for row, id in enumerate(ids)
    }


def _to_pixels(place: tuple[int, float]) -> tuple[float, float]:
    return _MARGIN + place[0] * (_WIDTH + _GAP_X), _MARGIN + place[1] * (_HEIGHT + _GAP_Y)


def _draw_edges(trace: Trace, places: Mapping[str, tuple[int, float]]) -> Iterator[str]:
    labels = []
    for edge in trace.edges:
        here, there = (edge.origin, edge.derived) if trace.is_forward else (edge.derived, edge.origin)
        if here not in places or there not in places:
            continue
        (x, y), (to_x, to_y) = _to_pixels(places[here]), _to_pixels(places[there])
        x, y, to_y = x + _WIDTH, y + _HEIGHT / 2, to_y + _HEIGHT / 2
        middle = (x + to_x) / 2
        yield f'<path class="edge" d="M{x} {y:.1f} C{middle} {y:.1f} {middle} {to_y:.1f} {to_x} {to_y:.1f}"/>'
        label = escape(RELATIONS[edge.relation][trace.is_forward])
        labels.append(f'<text class="relation" x="{to_x - 6}" y="{to_y - 5:.1f}" text-anchor="end">{label}</text>')
    yield from labels


def _draw_box(node: TraceNode, x: float, y: float) -> str:
    gone = {"changed": " changed", "missing": " gone", "removed": " gone"}.get(node.state, "")
    colour = f"hsl({_HUES[node.kind]} 55% var(--light))"
    detail = ", ".join(node.details)
    last_line = quote_beginning(node.note or detail, _MAX_DETAIL_CHARS)
    texts = [
        f'<text class="kind" y="{y + 19:.1f}" style="fill: {colour}"',
        f'<text class="name" y="{y + 38:.1f}"',
        f'<text class="{"state" if node.note else "detail"}" y="{y + 56:.1f}"',
    ]
    lines = (KIND_NOUNS[node.kind], quote_beginning(node.name, _MAX_NAME_CHARS), last_line)
    drawn = "".join(f'{text} x="{x + 16}">{escape(line)}</text>' for text, line in zip(texts, lines, strict=True))
    full_title = escape("\n".join(filter(None, [node.title, detail, node.note, node.problem])))
    return (
        f'<a href="#{_to_anchor(node)}"><title>{full_title}</title>'
        f'<rect class="box{gone}" x="{x}" y="{y:.1f}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>'
        f'<rect x="{x}" y="{y + 10:.1f}" width="4" height="{_HEIGHT - 20}" rx="2" style="fill: {colour}"/>'
        f"{drawn}</a>"
    )


def _render_problems(trace: Trace) -> Iterator[str]:
    if trace.problems:
        yield "".join(f'<p class="bad">{escape(problem)}</p>' for problem in trace.problems)


def _render_licences(trace: Trace) -> Iterator[str]:
    """Yield the licences of all documents and pretrained models in the trace."""
    counts: dict[str, int] = {}
    for node in trace.nodes.values():
        if node.kind == "data" and node.facts.get("licences"):
            for licence, count in node.facts["licences"].items():
                counts[licence] = counts.get(licence, 0) + (count if isinstance(count, int) else 0)
    origins = [node for node in trace.nodes.values() if node.kind == "origin"]
    if counts or origins:
        rows = [
            f'<tr><td>{escape(str(name))}</td><td class="number">{n:,}</td><td></td></tr>' for name, n in counts.items()
        ]
        rows += [
            f"<tr><td>{escape(str(o.facts.get('licence')))}</td><td></td><td>{escape(o.title)}</td></tr>"
            for o in origins
        ]
        header = '<tr><th>licence</th><th class="number">documents</th><th></th></tr>'
        yield f"<h2>Licences</h2><table>{header}{''.join(rows)}</table>"


def _render_facts(node: TraceNode) -> str:
    facts = {
        **node.facts,
        **({"state": node.state} if node.state else {}),
        **({"problem": node.problem} if node.problem else {}),
    }
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_format_fact(value))}</dd>" for name, value in facts.items())
    note = f' <b class="bad">{escape(node.note)}</b>' if node.note else ""
    details = f" <span>{escape(', '.join(node.details))}</span>" if node.details else ""
    summary = f"<summary>{escape(node.title)}{details}{note}</summary>"
    return f'<details id="{_to_anchor(node)}">{summary}<dl>{rows}</dl></details>'


def _format_fact(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str).strip('"')
    return text if len(text) <= _MAX_FACT_CHARS else f"{text[:_MAX_FACT_CHARS]}… (--json has all)"


def _to_anchor(node: TraceNode) -> str:
    return escape("n-" + "".join(c if c.isalnum() else "-" for c in node.id))
