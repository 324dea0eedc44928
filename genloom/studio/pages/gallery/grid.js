/** A grid of any number of outputs: the cells in view exist, the rest is height. Rows are read in pages of a hundred by their place. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { get } from '../../core/api.js';
import { announce, vars } from '../../core/dom.js';
import { Element } from '../../core/element.js';
import { formatDate, t } from '../../core/i18n.js';
import { changes, withChanges } from '../../core/outputs.js';
import { icon } from '../../components/parts.js';
import { toItem } from '../../components/output-card.js';
import { viewer } from '../../components/viewer.js';

/** @typedef {import('../../core/shapes').Output} Output */

const PAGE = 100;
const GAP = 10;

export class OutputGrid extends Element {
  static properties = { query: { attribute: false }, size: { type: Number }, selected: { attribute: false } };

  constructor() {
    super();
    /** @type {Record<string, any>} */
    this.query = {};
    this.size = 190;
    /** @type {Map<string, Output>} */
    this.selected = new Map();
    /** @type {Map<number, Output>} by place in the list */
    this.rows = new Map();
    this.total = -1;
    /** @type {any} */
    this.fault = null;
    /** @type {Set<number>} */
    this.asked = new Set();
    /** Pages that are being read: a browser has six connections, which pages that were scrolled past must not hold. @type {Map<number, AbortController>} */
    this.reading = new Map();
    this.round = 0;
    this.focusAt = 0;
    this.first = 0;
    this.last = 40;
    this.columns = 4;
    this.cell = 190;
    this.key = '';
    this.holdsFocus = false;
  }

  stores() {
    return [changes];
  }

  connectedCallback() {
    super.connectedCallback();
    this.resizer = new ResizeObserver(() => this.measure());
    this.resizer.observe(this);
    this.onLeave(() => this.resizer?.disconnect());
    let frame = 0;
    const onScroll = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        this.look();
      });
    };
    addEventListener('scroll', onScroll, { passive: true });
    this.onLeave(() => removeEventListener('scroll', onScroll));
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    const key = JSON.stringify(this.query);
    if (key !== this.key) {
      this.key = key;
      this.reset();
    }
    if (changed.has('size')) this.measure();
  }

  reset() {
    this.round += 1;
    this.rows = new Map();
    this.asked = new Set();
    this.total = -1;
    this.focusAt = 0;
    this.fault = null;
    this.read(0);
  }

  /** Read again what is known to have changed, without losing the place. */
  refresh() {
    this.round += 1;
    this.asked = new Set();
    this.look(true);
  }

  measure() {
    const width = this.clientWidth || 800;
    this.columns = Math.max(width < 420 ? 2 : 3, Math.floor((width + GAP) / (this.size + GAP)));
    if (width < 260) this.columns = 2;
    this.cell = (width - GAP * (this.columns - 1)) / this.columns;
    this.look(true);
  }

  get rowHeight() {
    return this.cell + GAP;
  }

  /** Which cells are near the window. @param {boolean} [force] */
  look(force = false) {
    const top = -this.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((top - innerHeight * 0.75) / this.rowHeight) * this.columns);
    const last = Math.max(first + this.columns, Math.ceil((top + innerHeight * 1.75) / this.rowHeight) * this.columns);
    if (!force && first === this.first && last === this.last) return;
    this.first = first;
    this.last = last;
    for (const [page, reading] of this.reading) if (this.isPast(page)) reading.abort();
    for (let page = Math.floor(first / PAGE); page * PAGE < Math.min(last, this.total < 0 ? last : this.total); page++) this.read(page);
    this.requestUpdate();
  }

  /** Whether a page is not near the window any more. @param {number} page */
  isPast(page) {
    return this.total >= 0 && ((page + 1) * PAGE < this.first || page * PAGE > this.last);
  }

  /** @param {number} page */
  async read(page) {
    if (this.asked.has(page)) return;
    this.asked.add(page);
    const { round } = this;
    await new Promise((resolve) => setTimeout(resolve, this.total < 0 ? 0 : 40)); // a page that is scrolled past is not read
    if (round !== this.round || this.isPast(page)) {
      this.asked.delete(page);
      return;
    }
    const reading = new AbortController();
    this.reading.set(page, reading);
    try {
      const answer = await get('outputs', { ...this.query, offset: page * PAGE, limit: PAGE }, reading.signal);
      if (round !== this.round) return;
      reading.signal.throwIfAborted();
      answer.data.forEach((/** @type {Output} */ output, /** @type {number} */ n) => this.rows.set(page * PAGE + n, output));
      const before = this.total;
      this.total = answer.total ?? page * PAGE + answer.data.length + (answer.has_more ? PAGE : 0);
      if (before !== this.total) this.dispatchEvent(new CustomEvent('total', { detail: this.total }));
      if (before < 0) announce(t('gallery.found', { n: this.total }));
    } catch (error) {
      this.asked.delete(page);
      if (reading.signal.aborted) {
        if (round === this.round && !this.isPast(page)) this.read(page); // the reader came back
        return;
      }
      this.fault = error;
      this.dispatchEvent(new CustomEvent('fault', { detail: error }));
    } finally {
      if (this.reading.get(page) === reading) this.reading.delete(page);
    }
    this.requestUpdate();
  }

  /** @param {number} place @param {boolean} [keepScroll] */
  focusCell(place, keepScroll = false) {
    const at = Math.max(0, Math.min(this.total - 1, place));
    this.focusAt = at;
    this.holdsFocus = true;
    const row = Math.floor(at / this.columns);
    const top = this.getBoundingClientRect().top + row * this.rowHeight;
    if (!keepScroll && (top < 90 || top + this.rowHeight > innerHeight - 20)) scrollBy(0, top - (innerHeight - this.rowHeight) / 2);
    this.look(true);
    this.updateComplete.then(() => this.takeFocus());
  }

  /** Focus the cell that has the place of the focus: it may have been read or drawn since. */
  takeFocus() {
    const cell = /** @type {HTMLElement | null} */ (this.querySelector(`[data-place="${this.focusAt}"]`));
    if (cell && document.activeElement !== cell) cell.focus({ preventScroll: true });
  }

  updated() {
    if (this.holdsFocus && document.activeElement === document.body) this.takeFocus();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const visible = Math.max(1, Math.floor(innerHeight / this.rowHeight)) * this.columns;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: visible, PageUp: -visible, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.focusCell(step === -Infinity ? 0 : step === Infinity ? this.total - 1 : this.focusAt + step);
  }

  /** The output under the focus. */
  get current() {
    const active = document.activeElement?.closest?.('[data-place]');
    return active && this.contains(active) ? this.rows.get(Number(/** @type {HTMLElement} */ (active).dataset.place)) : undefined;
  }

  /** @param {MouseEvent} event @param {Output} output @param {number} place */
  onClick(event, output, place) {
    this.focusAt = place;
    if (event.ctrlKey || event.metaKey || event.shiftKey || this.selected.size) {
      event.preventDefault();
      this.select(output, place, event.shiftKey);
      return;
    }
    this.dispatchEvent(new CustomEvent('open', { detail: output }));
  }

  /** @param {Output} output @param {number} place @param {boolean} isRange */
  select(output, place, isRange) {
    const next = new Map(this.selected);
    if (isRange && this.anchor !== undefined) {
      for (let n = Math.min(place, this.anchor); n <= Math.max(place, this.anchor); n++) {
        const each = this.rows.get(n);
        if (each) next.set(each.id, each);
      }
    } else if (next.has(output.id)) next.delete(output.id);
    else next.set(output.id, output);
    this.anchor = place;
    this.dispatchEvent(new CustomEvent('select', { detail: next }));
  }

  render() {
    const total = Math.max(0, this.total);
    const rows = Math.ceil(total / this.columns);
    const last = Math.min(this.last, total);
    const places = Array.from({ length: Math.max(0, last - this.first) }, (_, n) => this.first + n);
    const lines = Array.from({ length: Math.ceil(places.length / this.columns) }, (_, n) => places.slice(n * this.columns, (n + 1) * this.columns));
    return html`<div class="grid" role="grid" aria-label=${t('gallery.outputs')} aria-rowcount=${rows} aria-colcount=${this.columns} aria-multiselectable="true" @keydown=${this.onKey} @focusin=${() => (this.holdsFocus = true)}
        @focusout=${(/** @type {FocusEvent} */ event) => event.relatedTarget && !this.contains(/** @type {Node} */ (event.relatedTarget)) && (this.holdsFocus = false)} @pointerdown=${() => (this.holdsFocus = false)}
        ${vars({ height: `${Math.max(0, rows * this.rowHeight - GAP)}px`, '--cell': `${this.cell}px`, '--columns': this.columns })}>
      ${repeat(lines, (line) => line[0], (line) => html`<div class="grid-row" role="row" aria-rowindex=${Math.floor(line[0] / this.columns) + 1}
          ${vars({ transform: `translateY(${Math.floor(line[0] / this.columns) * this.rowHeight}px)` })}>${repeat(line, (place) => place, (place) => this.renderCell(place))}</div>`)}</div>`;
  }

  /** @param {number} place */
  renderCell(place) {
    const row = this.rows.get(place);
    if (!row) return html`<div class="cell empty-cell" role="gridcell" aria-busy="true" tabindex="-1" data-place=${place} aria-label=${t('gallery.loading')}></div>`;
    const output = withChanges(row);
    const isSelected = this.selected.has(output.id);
    const item = toItem(output);
    return html`<div class="cell ${isSelected ? 'selected' : ''} ${output.removed && !row.removed ? 'removed' : ''}" role="gridcell" aria-selected=${isSelected ? 'true' : 'false'} tabindex=${place === this.focusAt ? 0 : -1}
        data-place=${place} aria-label=${describe(output)} @click=${(/** @type {MouseEvent} */ event) => this.onClick(event, output, place)}
        @focus=${() => (this.focusAt = place)} @keydown=${(/** @type {KeyboardEvent} */ event) => {
          if (event.target !== event.currentTarget) return;
          if (event.key === 'Enter' && !event.ctrlKey && !event.metaKey) this.dispatchEvent(new CustomEvent('open', { detail: output }));
          else if (event.key === ' ') this.select(output, place, event.shiftKey);
          else return;
          event.preventDefault();
        }}>
      <div class="cell-shown" inert>${viewer(item)}</div>
      <span class="cell-marks" aria-hidden="true">${output.sound ? icon('volume2') : nothing}${output.is_starred ? html`<span class="mark heart">${icon('heart')}</span>` : nothing}
        ${output.rating?.up === true ? html`<span class="mark up">${icon('thumbsUp')}</span>` : output.rating?.up === false ? html`<span class="mark down">${icon('thumbsDown')}</span>` : nothing}
        ${output.rating?.stars ? html`<span class="mark star">${'★'.repeat(output.rating.stars)}</span>` : nothing}</span>
      <span class="cell-check" aria-hidden="true" @click=${(/** @type {MouseEvent} */ event) => {
        event.stopPropagation();
        this.select(output, place, event.shiftKey);
      }}>${icon(isSelected ? 'squareCheckBig' : 'square')}</span></div>`;
  }
}
customElements.define('gl-grid', OutputGrid);

/** An output in words: for those who hear the grid. @param {Output} output */
function describe(output) {
  const parts = [toItem(output).label, output.model, formatDate(output.created), output.rating?.up === true ? t('gallery.liked') : output.rating?.up === false ? t('gallery.disliked') : '',
    output.is_starred ? t('shell.starred') : ''];
  return parts.filter(Boolean).join(', ');
}
