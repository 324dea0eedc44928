/** What of a picture is made again: a brush, a lasso, or a frame that is dragged beyond its edges. Plain canvas and pointer events. */
import { html, nothing } from '../vendor/lit.js';
import { vars } from '../core/dom.js';
import { Element } from '../core/element.js';
import { t } from '../core/i18n.js';
import { button, field, segments } from './parts.js';

/** @typedef {{tool: 'brush' | 'eraser' | 'lasso', size: number, points: [number, number][]}} Stroke coordinates in pixels of the picture */
/** @typedef {[number, number, number, number]} Frame pixels added left, right, top, bottom */
/** @typedef {'paint' | 'extend' | 'vary'} Mode */

const SIDES = /** @type {const} */ (['left', 'right', 'top', 'bottom']);

export class MaskEditor extends Element {
  static properties = { src: { type: String }, label: { type: String }, modes: { attribute: false }, mode: { type: String } };

  constructor() {
    super();
    this.src = '';
    this.label = '';
    /** What the model can do. @type {Mode[]} */
    this.modes = ['paint', 'extend', 'vary'];
    /** @type {Mode} */
    this.mode = 'vary';
    /** @type {Stroke['tool']} */
    this.tool = 'brush';
    this.size = 0;
    /** @type {Stroke[]} */
    this.strokes = [];
    /** @type {Stroke[]} */
    this.undone = [];
    /** @type {Frame} */
    this.frame = [0, 0, 0, 0];
    this.zoom = 1;
    /** @type {HTMLImageElement | null} */
    this.image = null;
    /** @type {Stroke | null} */
    this.drawing = null;
  }

  get width() {
    return this.image?.naturalWidth ?? 1;
  }

  get height() {
    return this.image?.naturalHeight ?? 1;
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (!changed.has('src') || !this.src) return;
    this.strokes = [];
    this.undone = [];
    this.frame = [0, 0, 0, 0];
    this.image = null; // until the size is known, nothing can be painted: its place in the picture would be wrong
    const image = new Image();
    image.src = this.src;
    image.decode().then(() => {
      if (image.src !== new URL(this.src, document.baseURI).href) return; // another picture by now
      this.image = image;
      this.size = Math.max(2, Math.round(Math.min(image.naturalWidth, image.naturalHeight) / 6));
      this.requestUpdate();
    }, () => {});
  }

  updated() {
    this.draw();
  }

  /** The mask as a file, white where something is made; null where nothing was painted. @returns {Promise<Blob | null>} */
  async makeMask() {
    if (!this.strokes.length) return null;
    const canvas = Object.assign(document.createElement('canvas'), { width: this.width, height: this.height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    this.paint(context, '#fff');
    const back = Object.assign(document.createElement('canvas'), { width: this.width, height: this.height });
    const flat = /** @type {CanvasRenderingContext2D} */ (back.getContext('2d'));
    flat.fillRect(0, 0, this.width, this.height);
    flat.drawImage(canvas, 0, 0);
    return new Promise((resolve) => back.toBlob(resolve, 'image/png'));
  }

  /** @param {CanvasRenderingContext2D} context @param {string} colour */
  paint(context, colour) {
    for (const stroke of [...this.strokes, ...(this.drawing ? [this.drawing] : [])]) {
      context.globalCompositeOperation = stroke.tool === 'eraser' ? 'destination-out' : 'source-over';
      context.strokeStyle = context.fillStyle = colour;
      context.lineWidth = stroke.size;
      context.lineCap = context.lineJoin = 'round';
      context.beginPath();
      const [[x, y], ...rest] = stroke.points;
      context.moveTo(x, y);
      for (const [a, b] of rest) context.lineTo(a, b);
      if (stroke.tool === 'lasso') context.fill();
      else {
        if (!rest.length) context.lineTo(x + 0.01, y);
        context.stroke();
      }
    }
    context.globalCompositeOperation = 'source-over';
  }

  draw() {
    const canvas = /** @type {HTMLCanvasElement | null} */ (this.querySelector('canvas.mask-paint'));
    if (!canvas || !this.image) return;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    const scale = canvas.width / this.width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.scale(scale, scale);
    this.paint(context, getComputedStyle(this).getPropertyValue('--mask').trim() || '#5b63ff');
  }

  /** @param {PointerEvent} event @returns {[number, number]} */
  findPoint(event) {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  /** @param {PointerEvent} event */
  startStroke(event) {
    if (event.button || this.mode !== 'paint') return;
    event.preventDefault();
    /** @type {Element} */ (/** @type {unknown} */ (event.currentTarget)).setPointerCapture(event.pointerId);
    const pressure = event.pointerType === 'pen' && event.pressure ? 0.4 + event.pressure : 1;
    this.drawing = { tool: this.tool, size: this.size * pressure, points: [this.findPoint(event)] };
    this.draw();
  }

  /** @param {PointerEvent} event */
  moveStroke(event) {
    if (!this.drawing) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) this.drawing.points.push(this.findPointOf(each, event));
    this.draw();
  }

  /** @param {PointerEvent} each @param {PointerEvent} event */
  findPointOf(each, event) {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    return /** @type {[number, number]} */ ([((each.clientX - box.left) / box.width) * this.width, ((each.clientY - box.top) / box.height) * this.height]);
  }

  endStroke() {
    if (!this.drawing) return;
    this.strokes = [...this.strokes, this.drawing];
    this.undone = [];
    this.drawing = null;
    this.changed();
  }

  undo() {
    const last = this.strokes.at(-1);
    if (!last) return;
    this.strokes = this.strokes.slice(0, -1);
    this.undone = [...this.undone, last];
    this.changed();
  }

  redo() {
    const next = this.undone.at(-1);
    if (!next) return;
    this.undone = this.undone.slice(0, -1);
    this.strokes = [...this.strokes, next];
    this.changed();
  }

  changed() {
    this.requestUpdate();
    this.dispatchEvent(new CustomEvent('change'));
  }

  /** Drag one side of the frame. @param {PointerEvent} event @param {number} side */
  dragSide(event, side) {
    if (event.button) return;
    event.preventDefault();
    const handle = /** @type {HTMLElement} */ (event.currentTarget);
    handle.setPointerCapture(event.pointerId);
    const scale = this.width / /** @type {HTMLElement} */ (this.querySelector('.mask-picture')).getBoundingClientRect().width;
    const from = side < 2 ? event.clientX : event.clientY;
    const before = this.frame[side];
    const sign = side % 2 ? 1 : -1;
    const move = (/** @type {PointerEvent} */ moved) => {
      const pixels = before + sign * ((side < 2 ? moved.clientX : moved.clientY) - from) * scale;
      this.setSide(side, pixels);
    };
    handle.addEventListener('pointermove', move);
    handle.addEventListener('lostpointercapture', () => handle.removeEventListener('pointermove', move), { once: true });
  }

  /** @param {number} side @param {number} pixels */
  setSide(side, pixels) {
    const most = 2 * (side < 2 ? this.width : this.height);
    const next = /** @type {Frame} */ ([...this.frame]);
    next[side] = Math.round(Math.max(0, Math.min(most, pixels)) / 2) * 2;
    this.frame = next;
    this.changed();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const key = event.key.toLowerCase();
    const isCommand = event.ctrlKey || event.metaKey;
    if (isCommand && key === 'z') event.shiftKey ? this.redo() : this.undo();
    else if (isCommand && key === 'y') this.redo();
    else if (key === '[') this.size = Math.max(1, Math.round(this.size * 0.8));
    else if (key === ']') this.size = Math.round(this.size * 1.25) + 1;
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.requestUpdate();
  }

  render() {
    const names = { paint: t('make.edit_paint'), extend: t('make.edit_extend'), vary: t('make.edit_vary') };
    const icons = /** @type {const} */ ({ paint: 'brush', extend: 'expand', vary: 'shuffle' });
    const [left, right, top, bottom] = this.mode === 'extend' ? this.frame : [0, 0, 0, 0];
    const share = { '--left': left / this.width, '--right': right / this.width, '--top': top / this.height, '--bottom': bottom / this.height };
    return html`<div class="mask-editor" @keydown=${this.onKey}>
      ${this.modes.length > 1 ? segments({ label: t('make.edit_how'), selected: this.mode, items: this.modes.map((id) => ({ id, label: names[id], icon: icons[id] })), choose: (id) => {
        this.mode = id;
        this.changed();
      } }) : nothing}
      <div class="mask-stage ${this.mode}" ${vars({ ...share, '--ratio': this.width / this.height, '--zoom': this.zoom,
        '--wide': (this.width + left + right) / this.width, '--high': (this.height + top + bottom) / this.height })}>
        <div class="mask-frame"><div class="mask-picture">
          ${this.src ? html`<img src=${this.src} alt=${this.label} draggable="false" class=${this.width <= 160 ? 'is-small' : ''}>` : nothing}
          ${this.mode === 'paint' && this.image ? html`<canvas class="mask-paint" width=${Math.max(512, this.width)} height=${Math.round(Math.max(512, this.width) * this.height / this.width)}
            tabindex="0" role="img" aria-label=${t('make.mask_canvas', { n: this.strokes.length })}
            @pointerdown=${this.startStroke} @pointermove=${this.moveStroke} @pointerup=${this.endStroke} @pointercancel=${this.endStroke}></canvas>` : nothing}
          </div>
          ${this.mode === 'extend' && this.image ? SIDES.map((side, n) => html`<span class="mask-handle ${side}" @pointerdown=${(/** @type {PointerEvent} */ event) => this.dragSide(event, n)}></span>`) : nothing}
        </div></div>
      ${this.mode === 'paint' ? html`<div class="row mask-tools">
          ${segments({ label: t('make.tool'), compact: true, selected: this.tool, choose: (id) => {
            this.tool = id;
            this.requestUpdate();
          }, items: [{ id: 'brush', label: t('make.tool_brush'), icon: 'brush' }, { id: 'lasso', label: t('make.tool_lasso'), icon: 'waypoints' }, { id: 'eraser', label: t('make.tool_eraser'), icon: 'eraser' }] })}
          <label class="mask-size"><span class="visually-hidden">${t('make.brush_size')}</span><input type="range" min="1" max=${Math.max(4, Math.round(Math.min(this.width, this.height) / 2))}
            .value=${String(Math.round(this.size))} ${vars({ '--share': this.size / Math.max(4, Math.min(this.width, this.height) / 2) })} @input=${(/** @type {any} */ event) => {
              this.size = Number(event.target.value);
              this.requestUpdate();
            }}></label>
          ${button({ label: t('shell.undo'), icon: 'undo2', alone: true, small: true, kind: 'quiet', disabled: !this.strokes.length, run: () => this.undo() })}
          ${button({ label: t('make.redo'), icon: 'redo2', alone: true, small: true, kind: 'quiet', disabled: !this.undone.length, run: () => this.redo() })}
          ${button({ label: t('make.zoom_in'), icon: 'zoomIn', alone: true, small: true, kind: 'quiet', disabled: this.zoom >= 4, run: () => {
            this.zoom *= 1.5;
            this.requestUpdate();
          } })}
          ${button({ label: t('make.zoom_out'), icon: 'zoomOut', alone: true, small: true, kind: 'quiet', disabled: this.zoom <= 1, run: () => {
            this.zoom = Math.max(1, this.zoom / 1.5);
            this.requestUpdate();
          } })}
          ${button({ label: t('make.mask_clear'), small: true, kind: 'quiet', disabled: !this.strokes.length, run: () => {
            this.strokes = [];
            this.undone = [];
            this.changed();
          } })}</div>
          <p class="help">${t('make.mask_help')}</p>` : nothing}
      ${this.mode === 'extend' && this.image ? html`<div class="mask-sides">${SIDES.map((side, n) => field({ id: `side-${side}`, label: t(`make.side_${side}`), control: (ids) => html`
          <input type="number" id=${ids.id} min="0" step="2" .value=${String(this.frame[n])} @change=${(/** @type {any} */ event) => this.setSide(n, Number(event.target.value) || 0)}>` }))}</div>
          <p class="help">${t('make.extend_help')}</p>` : nothing}
      ${this.mode === 'vary' ? html`<p class="help">${t('make.vary_help')}</p>` : nothing}
    </div>`;
  }
}
customElements.define('gl-mask-editor', MaskEditor);
