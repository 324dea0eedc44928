/** <gl-viewer .item=… size="card | full">: shows a value by its MIME type. */
import { html, nothing } from '../vendor/lit.js';
import { Element } from '../core/element.js';
import { getViewer, loadViewer, typeOf } from '../viewers/registry.js';

export class ViewerElement extends Element {
  static properties = { item: { attribute: false }, size: { type: String } };

  constructor() {
    super();
    /** @type {import('../viewers/registry.js').Item | null} */
    this.item = null;
    this.size = 'card';
  }

  render() {
    if (!this.item) return nothing;
    const mime = typeOf(this.item);
    const viewer = getViewer(mime);
    if (!viewer) {
      loadViewer(mime).then(() => this.requestUpdate());
      return html`<div class="viewer-loading"></div>`;
    }
    return this.size === 'full' ? viewer.renderFull(this.item) : viewer.renderCard(this.item);
  }
}
customElements.define('gl-viewer', ViewerElement);

/** An output, a side of a pair or a sample as a page shows it. @param {import('../viewers/registry.js').Item} item @param {'card' | 'full'} [size] */
export const viewer = (item, size = 'card') => html`<gl-viewer .item=${item} size=${size}></gl-viewer>`;
