/** <gl-line-chart>: lines over the steps of a training by uPlot, and the same numbers as a table. */
import { html, nothing } from '../vendor/lit.js';
import { Element } from '../core/element.js';
import { formatNumber, t } from '../core/i18n.js';
import { segments } from './parts.js';
import './workshop.js';

/** @typedef {{label: string, points: [number, number][], faint?: [number, number][], tone: number, isMarked?: boolean}} Series */
/** @typedef {{value: number, low: number, high: number}} Band */

const HEIGHT = 190;
const MAX_ROWS = 40; // of the table; more steps are thinned out evenly
const MAX_POINTS = 2000;

/** @type {Promise<any> | null} */
let loading = null;
/** uPlot and its style sheet, when the first chart is drawn. */
function loadUPlot() {
  loading ??= (async () => {
    const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: new URL('../vendor/uplot.css', import.meta.url).href });
    document.head.append(link);
    return (await import('../vendor/uplot.js')).uPlot;
  })();
  return loading;
}

/** Every n-th item, the last one included. @template T @param {T[]} items @param {number} limit */
export function thin(items, limit) {
  if (items.length <= limit) return items;
  const step = Math.ceil(items.length / limit);
  return items.filter((_, n) => n % step === 0 || n === items.length - 1);
}

/**
 * Lines that have different steps, as columns that uPlot reads: one of x, one of y for each line.
 * @param {[number, number][][]} lines
 */
export function alignLines(lines) {
  const steps = [...new Set(lines.flatMap((line) => line.map(([x]) => x)))].sort((a, b) => a - b);
  const places = new Map(steps.map((step, n) => [step, n]));
  return [steps, ...lines.map((line) => {
    const column = /** @type {(number | null)[]} */ (Array(steps.length).fill(null));
    for (const [x, y] of line) column[/** @type {number} */ (places.get(x))] = y;
    return column;
  })];
}

class LineChart extends Element {
  static properties = { label: { type: String }, help: { type: String }, series: { attribute: false }, band: { attribute: false }, view: { state: true } };

  constructor() {
    super();
    this.label = '';
    this.help = '';
    /** @type {Series[]} */
    this.series = [];
    /** @type {Band | null} */
    this.band = null;
    /** @type {'chart' | 'table'} */
    this.view = 'chart';
    /** @type {any} */
    this.plot = null;
    this.shape = '';
    this.resizing = new ResizeObserver(() => this.resize());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.resizing.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  get box() {
    return /** @type {HTMLElement | null} */ (this.querySelector('.plot'));
  }

  resize() {
    if (this.plot && this.box?.clientWidth) this.plot.setSize({ width: this.box.clientWidth, height: HEIGHT });
  }

  async updated() {
    if (this.view !== 'chart' || !this.isConnected) return;
    const Plot = await loadUPlot();
    const { box } = this;
    if (!box || !box.clientWidth) return;
    const lines = this.series.flatMap((each) => [...(each.faint ? [thin(each.faint, MAX_POINTS)] : []), thin(each.points, MAX_POINTS)]);
    const data = alignLines(lines);
    const shape = JSON.stringify([this.series.map(({ label, tone, faint }) => [label, tone, Boolean(faint)]), this.band, document.documentElement.dataset.theme]);
    if (!this.plot || shape !== this.shape || !box.contains(this.plot.root)) {
      this.plot?.destroy();
      this.plot = new Plot(this.makeOptions(box.clientWidth), data, box);
      this.shape = shape;
      this.resizing.observe(box);
    } else {
      this.plot.setData(data);
    }
  }

  /** @param {number} width */
  makeOptions(width) {
    const colour = (/** @type {string} */ name) => resolveColour(this, name);
    const tones = ['--accent', '--chart-2', '--chart-3', '--chart-4'].map(colour);
    const font = `12px ${getComputedStyle(this).fontFamily}`;
    const axis = { stroke: colour('--ink-3'), font, grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
    const band = this.band;
    const lines = this.series.flatMap((each) => {
      const stroke = tones[each.tone % tones.length];
      const line = { label: each.label, stroke, width: 2, spanGaps: true, points: { show: Boolean(each.isMarked), size: 6, fill: stroke } };
      return each.faint ? [{ label: t('workshop.each_step'), stroke, alpha: 0.3, width: 1, spanGaps: true, points: { show: false } }, line] : [line];
    });
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => {
        const [from, to] = band ? [Math.min(low ?? band.low, band.low), Math.max(high ?? band.high, band.high)] : [low, high];
        const margin = (to - from || Math.abs(to) || 1) * 0.08;
        return [from - margin, to + margin];
      } } },
      axes: [
        { ...axis, size: 28, values: (/** @type {any} */ _, /** @type {number[]} */ steps) => steps.map((step) => formatNumber(step)) },
        { ...axis, size: 52, values: (/** @type {any} */ _, /** @type {number[]} */ values) => values.map((value) => formatNumber(value, { maximumSignificantDigits: 4 })) },
      ],
      series: [{}, ...lines],
      hooks: { drawAxes: [(/** @type {any} */ plot) => band && drawBand(plot, band, colour('--accent'))] },
    };
  }

  render() {
    return html`<figure class="line-chart"><figcaption><div><strong>${this.label}</strong>${this.help ? html`<span class="help">${this.help}</span>` : nothing}</div>
      ${segments({ label: t('workshop.view'), compact: true, selected: this.view, choose: (view) => (this.view = view), items: [
        { id: 'chart', label: t('workshop.as_chart'), icon: 'activity' }, { id: 'table', label: t('workshop.as_table'), icon: 'list' },
      ] })}</figcaption>
      ${this.view === 'chart' ? html`<div class="plot" role="img" aria-label=${this.describe()}></div>` : this.renderTable()}
      ${this.band ? html`<p class="help">${t('workshop.band', { low: formatNumber(this.band.low), high: formatNumber(this.band.high) })}</p>` : nothing}</figure>`;
  }

  /** What the lines do, in a sentence. */
  describe() {
    return [this.label, ...this.series.filter((each) => each.points.length).map((each) => t('workshop.chart_words', {
      line: each.label, from: formatNumber(each.points[0][1]), to: formatNumber(/** @type {[number, number]} */ (each.points.at(-1))[1]), step: /** @type {[number, number]} */ (each.points.at(-1))[0],
    }))].join('. ');
  }

  renderTable() {
    const [steps, ...columns] = alignLines(this.series.map((each) => each.points));
    const rows = thin(steps.map((step, n) => [step, ...columns.map((column) => column[n])]), MAX_ROWS);
    return html`<div class="table-wrap" tabindex="0" role="region" aria-label=${this.label}><table class="table"><thead><tr><th scope="col">${t('workshop.step')}</th>${this.series.map((each) => html`<th scope="col" class="number">${each.label}</th>`)}</tr></thead>
      <tbody>${rows.map(([step, ...values]) => html`<tr><th scope="row">${formatNumber(Number(step))}</th>${values.map((value) => html`<td class="number">${value === null ? '–' : formatNumber(Number(value), { maximumSignificantDigits: 4 })}</td>`)}</tr>`)}</tbody></table></div>`;
  }
}
customElements.define('gl-line-chart', LineChart);

/** A colour of the style sheet as a canvas takes it: light-dark() resolved. @param {HTMLElement} at @param {string} name */
function resolveColour(at, name) {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  at.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** What was forecast, as a band behind the line. @param {any} plot @param {Band} band @param {string} colour */
function drawBand(plot, band, colour) {
  const { ctx, bbox } = plot;
  const [top, bottom, middle] = [band.high, band.low, band.value].map((value) => plot.valToPos(value, 'y', true));
  ctx.save();
  ctx.fillStyle = ctx.strokeStyle = colour;
  ctx.globalAlpha = 0.12;
  ctx.fillRect(bbox.left, top, bbox.width, Math.max(2, bottom - top));
  ctx.globalAlpha = 0.6;
  ctx.setLineDash([6, 5]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, middle);
  ctx.lineTo(bbox.left + bbox.width, middle);
  ctx.stroke();
  ctx.restore();
}
