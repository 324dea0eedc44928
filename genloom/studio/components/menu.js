/** A button with a menu: arrow keys, Home, End, letters, Escape. */
import { html, ifDefined, nothing } from '../vendor/lit.js';
import { makeId } from '../core/dom.js';
import { Element } from '../core/element.js';
import { icon } from './parts.js';

/** @typedef {{label: string, icon?: import('./parts.js').IconName, run?: () => void, href?: string, download?: string, danger?: boolean, checked?: boolean,
 *             key?: string, note?: string, disabled?: boolean} | null} Item null draws a line */

export class Menu extends Element {
  static properties = {
    label: { type: String },
    text: { type: String },
    icon: { type: String },
    kind: { type: String },
    small: { type: Boolean },
    items: { attribute: false },
  };

  constructor() {
    super();
    this.label = '';
    this.text = '';
    /** @type {import('./parts.js').IconName} */
    this.icon = 'ellipsis';
    this.kind = 'quiet';
    this.small = false;
    /** @type {Item[]} */
    this.items = [];
    this.menuId = makeId('menu');
    this.isOpen = false;
  }

  get list() {
    return /** @type {HTMLElement} */ (this.querySelector('[role=menu]'));
  }

  get entries() {
    return /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll('[role^=menuitem]:not([aria-disabled=true])')]);
  }

  toggle() {
    if (this.isOpen) return this.list.hidePopover();
    this.isOpen = true;
    this.requestUpdate();
    return this.updateComplete.then(() => {
      this.list.showPopover();
      this.place();
      this.entries[0]?.focus();
    });
  }

  place() {
    const at = /** @type {HTMLElement} */ (this.querySelector('button')).getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.list;
    const left = Math.max(8, Math.min(at.right - width, innerWidth - width - 8));
    const fitsBelow = at.bottom + height + 12 < innerHeight || at.top < height + 12;
    this.list.style.left = `${at.left + width + 8 < innerWidth ? at.left : left}px`;
    this.list.style.top = fitsBelow ? `${at.bottom + 4}px` : `${at.top - height - 4}px`;
    this.list.style.maxHeight = `${fitsBelow ? innerHeight - at.bottom - 16 : at.top - 16}px`;
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const entries = this.entries;
    const now = entries.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) {
      entries.at(to % (entries.length || 1))?.focus();
    } else if (event.key === 'Tab') {
      this.list.hidePopover();
      return;
    } else if (event.key.length === 1 && event.key !== ' ') {
      const letter = event.key.toLowerCase();
      [...entries.slice(now + 1), ...entries].find((each) => each.textContent?.trim().toLowerCase().startsWith(letter))?.focus();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {Event} event */
  onToggle(event) {
    this.isOpen = /** @type {any} */ (event).newState === 'open';
    if (!this.isOpen && (this.contains(document.activeElement) || document.activeElement === document.body)) this.querySelector('button')?.focus();
    this.requestUpdate();
  }

  render() {
    return html`<button type="button" class="button ${this.kind} ${this.text ? '' : 'alone'} ${this.small ? 'small' : ''}" aria-haspopup="menu"
        aria-expanded=${this.isOpen ? 'true' : 'false'} aria-label=${ifDefined(this.text ? undefined : this.label)} title=${this.label}
        @click=${this.toggle} @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === 'ArrowDown' && (event.preventDefault(), this.toggle())}>
        ${this.text ? html`<span>${this.text}</span>` : nothing}${this.icon ? icon(this.icon) : nothing}</button>
      <div class="menu" role="menu" id=${this.menuId} popover aria-label=${this.label} @toggle=${this.onToggle} @keydown=${this.move}>
        ${this.isOpen ? this.items.map((item, n) => (item ? this.renderItem(item, n === 0 ? 0 : -1) : html`<hr role="separator">`)) : nothing}</div>`;
  }

  /** @param {NonNullable<Item>} item @param {number} tabIndex 0 for one of them, by which the menu is reached */
  renderItem(item, tabIndex) {
    const content = html`${item.checked === undefined ? (item.icon ? icon(item.icon) : nothing) : item.checked ? icon('check') : html`<span class="icon"></span>`}
      <span class="menu-label">${item.label}${item.note ? html`<small>${item.note}</small>` : nothing}</span>${item.key ? html`<kbd>${item.key}</kbd>` : nothing}`;
    if (item.href) {
      return html`<a role="menuitem" tabindex=${tabIndex} href=${item.href} download=${ifDefined(item.download)} @click=${() => this.list.hidePopover()}>${content}</a>`;
    }
    return html`<button type="button" role=${item.checked === undefined ? 'menuitem' : 'menuitemcheckbox'} tabindex=${tabIndex}
      aria-checked=${ifDefined(item.checked === undefined ? undefined : String(item.checked))} class=${item.danger ? 'danger' : ''}
      aria-disabled=${item.disabled ? 'true' : 'false'} @click=${() => {
        if (item.disabled) return;
        this.list.hidePopover();
        item.run?.();
      }}>${content}</button>`;
  }
}
customElements.define('gl-menu', Menu);

/** @param {{label: string, items: Item[], text?: string, icon?: import('./parts.js').IconName, kind?: string, small?: boolean}} options */
export function menu({ label, items, text = '', icon: name = 'ellipsis', kind = 'quiet', small = false }) {
  return html`<gl-menu label=${label} text=${text} icon=${name} kind=${kind} ?small=${small} .items=${items}></gl-menu>`;
}
