/** Pictures. Large, a small one is enlarged by a whole number, so that each of its pixels is seen as it is. */
import { html, nothing } from '../vendor/lit.js';
import { Element } from '../core/element.js';
import { t } from '../core/i18n.js';
import { serverUrl } from '../core/outputs.js';

const SMALL = 320; // pixels; a picture below is enlarged

/** @param {import('./registry.js').Item} item */
export const renderCard = (item) => html`<img class="picture" src=${serverUrl(item.thumbnail || item.url || '')} alt=${item.label} loading="lazy" decoding="async" draggable="false">`;

class Picture extends Element {
  static properties = { src: { type: String }, label: { type: String } };

  constructor() {
    super();
    this.src = '';
    this.label = '';
    this.times = 1;
    this.width = this.height = 0;
  }

  connectedCallback() {
    super.connectedCallback();
    const resizer = new ResizeObserver(() => this.measure());
    resizer.observe(this);
    this.onLeave(() => resizer.disconnect());
  }

  measure() {
    const image = this.querySelector('img');
    if (!image?.naturalWidth) return;
    this.width = image.naturalWidth;
    this.height = image.naturalHeight;
    const room = Math.min((this.clientWidth - 32) / this.width, (innerHeight - 190) / this.height);
    this.times = Math.max(this.width, this.height) <= SMALL ? Math.max(1, Math.floor(room)) : 1;
    if (this.times > 1) image.style.width = `${this.width * this.times}px`;
    this.requestUpdate();
  }

  render() {
    const size = { width: String(this.width), height: String(this.height) };
    return html`<div class="picture-box"><img class="picture full ${this.times > 1 ? 'is-small' : ''}" src=${this.src} alt=${this.label} @load=${this.measure}>
      ${this.width ? html`<p class="help">${this.times > 1 ? t('shell.picture_enlarged', { ...size, n: this.times }) : t('shell.picture_size', size)}</p>` : nothing}</div>`;
  }
}
customElements.define('gl-picture', Picture);

/** @param {import('./registry.js').Item} item */
export const renderFull = (item) => html`<gl-picture src=${serverUrl(item.url || '')} label=${item.label}></gl-picture>`;
