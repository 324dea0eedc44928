/** Base of all components: light DOM, so that labels, ids and styles reach everywhere; drawn again when its stores change. */
import { LitElement, nothing } from '../vendor/lit.js';
import { language } from './i18n.js';

export class Element extends LitElement {
  /** @type {(() => void)[]} */
  #stops = [];

  createRenderRoot() {
    return /** @type {any} */ (this);
  }

  /** @returns {unknown} */
  render() {
    return nothing;
  }

  /** The stores whose changes draw this component again. @returns {import('./store.js').Store<any>[]} */
  stores() {
    return [];
  }

  connectedCallback() {
    super.connectedCallback();
    this.#stops = [language, ...this.stores()].map((store) => store.subscribe(() => this.requestUpdate()));
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  /** Undo something when the component leaves the page. @param {() => void} stop */
  onLeave(stop) {
    this.#stops.push(stop);
  }
}

/** Load the style sheet of a page once. @param {string} name a file of styles/pages, without its suffix */
export function useStyle(name) {
  const href = new URL(`../styles/pages/${name}.css`, import.meta.url).href;
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return Promise.resolve();
  const kept = /** @type {HTMLLinkElement | null} */ (document.head.querySelector(`link[href="${href}"]`));
  const link = kept ?? document.createElement('link');
  return new Promise((resolve) => {
    link.addEventListener('load', resolve, { once: true });
    link.addEventListener('error', resolve, { once: true });
    if (kept) return;
    link.rel = 'stylesheet';
    link.href = href;
    document.head.append(link);
  });
}
