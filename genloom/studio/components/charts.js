/** Charts of rounds and models: a win rate, the gain of a measure, a family tree. Each says in words what it shows. */
import { html, nothing, svg } from '../vendor/lit.js';
import { vars } from '../core/dom.js';
import { formatPercent } from '../core/i18n.js';

/** @typedef {{name: string, gain: number, low: number, high: number, tolerance: number, champion: number, challenger: number, count: number, group: string,
 *            is_proof: boolean, is_pairwise: boolean}} Measure */

/** What a measure shows: better, worse, worse within what is allowed, or nothing. @param {Measure} measure @returns {'good' | 'bad' | 'slight' | 'even'} */
export function toneOf(measure) {
  if (measure.low > 0) return 'good';
  if (measure.high >= 0) return 'even';
  return measure.gain < -measure.tolerance ? 'bad' : 'slight';
}

/**
 * A win rate with its interval on a line from 0 to 100 %, beside the 50 % of chance.
 * @param {{rate: number, low: number, high: number}} win
 * @param {{label: string, chance: string}} words
 */
export function drawWinRate(win, words) {
  const tone = win.low > 0.5 ? 'good' : win.high < 0.5 ? 'bad' : 'even';
  return html`<div class="win-rate ${tone}" role="img" aria-label=${words.label} ${vars({ '--rate': win.rate, '--low': win.low, '--high': win.high })}>
    <span class="value" aria-hidden="true">${formatPercent(win.rate)}</span>
    <div class="track"><span class="band"></span><span class="chance"></span><span class="dot"></span></div>
    <div class="scale" aria-hidden="true"><span>${formatPercent(0)}</span><span>${words.chance}</span><span>${formatPercent(1)}</span></div>
  </div>`;
}

/**
 * The gain of one measure with its interval on a scale of its own; better is to the right.
 * @param {Measure} measure
 * @param {string} label
 */
export function drawGain(measure, label) {
  const limit = 1.15 * Math.max(Math.abs(measure.low), Math.abs(measure.high), measure.tolerance, 1e-12);
  const x = (/** @type {number} */ value) => 110 + (104 * value) / limit;
  return html`<svg class="chart gain ${toneOf(measure)}" viewBox="0 0 220 28" role="img" aria-label=${label}>
    <line class="axis" x1=${x(0)} x2=${x(0)} y1="2" y2="26"></line>
    ${measure.tolerance ? svg`<line class="limit" x1=${x(-measure.tolerance)} x2=${x(-measure.tolerance)} y1="2" y2="26"></line>` : nothing}
    <line class="span" x1=${x(measure.low)} x2=${x(measure.high)} y1="14" y2="14"></line>
    <line class="end" x1=${x(measure.low)} x2=${x(measure.low)} y1="8" y2="20"></line>
    <line class="end" x1=${x(measure.high)} x2=${x(measure.high)} y1="8" y2="20"></line>
    <circle class="dot" cx=${x(measure.gain)} cy="14" r="5"></circle>
  </svg>`;
}

/**
 * @typedef {{id: string, label: string, note?: string, kind: string, href?: string, isActive?: boolean}} TreeNode
 * @typedef {{from: string, to: string, kind?: string}} TreeEdge
 * @typedef {TreeNode & {x: number, y: number}} PlacedNode
 */

const NODE = { width: 184, height: 54, gapX: 64, gapY: 18 };

/**
 * Place the nodes of a graph without cycles in columns: a node stands right of all it comes from, near their mean height.
 * @param {TreeNode[]} nodes
 * @param {TreeEdge[]} edges
 * @returns {{nodes: PlacedNode[], width: number, height: number}}
 */
export function placeNodes(nodes, edges) {
  const known = new Set(nodes.map((node) => node.id));
  const sources = new Map(nodes.map((node) => [node.id, /** @type {string[]} */ ([])]));
  for (const { from, to } of edges) if (known.has(from)) sources.get(to)?.push(from);
  const columns = new Map();
  const columnOf = (/** @type {string} */ id, path = new Set()) => {
    if (!columns.has(id) && !path.has(id)) {
      const next = new Set([...path, id]);
      columns.set(id, Math.max(-1, ...(sources.get(id) ?? []).map((source) => columnOf(source, next))) + 1);
    }
    return columns.get(id) ?? 0;
  };
  nodes.forEach((node) => columnOf(node.id));
  const byColumn = Map.groupBy(nodes, (node) => columns.get(node.id));
  const rows = new Map();
  for (const column of [...byColumn.keys()].sort((a, b) => a - b)) {
    const wished = (byColumn.get(column) ?? []).map((node, n) => {
      const heights = (sources.get(node.id) ?? []).map((source) => rows.get(source) ?? 0);
      return { node, row: heights.length ? heights.reduce((a, b) => a + b) / heights.length : n };
    });
    // Of equal wishes, models stand in the line of their parent, and outputs below.
    wished.sort((a, b) => a.row - b.row || Number(a.node.kind === 'outputs') - Number(b.node.kind === 'outputs'));
    let free = 0;
    for (const { node, row } of wished) {
      rows.set(node.id, Math.max(row, free));
      free = Math.max(row, free) + 1;
    }
  }
  const placed = nodes.map((node) => ({
    ...node,
    x: columns.get(node.id) * (NODE.width + NODE.gapX),
    y: rows.get(node.id) * (NODE.height + NODE.gapY),
  }));
  return {
    nodes: placed,
    width: Math.max(0, ...placed.map((node) => node.x + NODE.width)),
    height: Math.max(0, ...placed.map((node) => node.y + NODE.height)),
  };
}

const cut = (/** @type {string} */ text, length = 24) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/**
 * A family tree: boxes that are links, and curves between them.
 * @param {TreeNode[]} nodes
 * @param {TreeEdge[]} edges
 * @param {{label: string, chosen?: string}} options
 */
export function drawTree(nodes, edges, { label, chosen = '' }) {
  const { nodes: placed, width, height } = placeNodes(nodes, edges);
  const places = new Map(placed.map((node) => [node.id, node]));
  const curve = (/** @type {TreeEdge} */ edge) => {
    const [from, to] = [places.get(edge.from), places.get(edge.to)];
    if (!from || !to) return nothing;
    const [x1, y1, x2, y2] = [from.x + NODE.width, from.y + NODE.height / 2, to.x, to.y + NODE.height / 2];
    const bend = (x2 - x1) / 2;
    return svg`<path class="edge ${edge.kind ?? ''}" d="M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}"></path>`;
  };
  const box = (/** @type {PlacedNode} */ node) => {
    const shape = svg`<rect width=${NODE.width} height=${NODE.height} rx=${node.kind === 'dataset' ? 27 : 10}></rect>
      <text class="name" x="16" y=${node.note ? 23 : 32}>${cut(node.label)}</text>
      ${node.note ? svg`<text class="note" x="16" y="41">${cut(node.note, 28)}</text>` : nothing}
      ${node.isActive ? svg`<circle class="active" cx=${NODE.width - 16} cy="18" r="5"></circle>` : nothing}`;
    const classes = `node ${node.kind} ${node.id === chosen ? 'chosen' : ''}`;
    const place = `translate(${node.x} ${node.y})`;
    const name = [node.label, node.note].filter(Boolean).join(', ');
    return node.href
      ? svg`<a class=${classes} transform=${place} href=${node.href} aria-label=${name} aria-current=${node.id === chosen ? 'true' : nothing}>${shape}</a>`
      : svg`<g class=${classes} transform=${place}><title>${name}</title>${shape}</g>`;
  };
  return html`<div class="tree" role="group" aria-label=${label} tabindex="0">
    <svg class="chart family" viewBox="-4 -4 ${width + 8} ${height + 8}" width=${width + 8} height=${height + 8}>
      ${edges.map(curve)} ${placed.map(box)}
    </svg>
  </div>`;
}
