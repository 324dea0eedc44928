/** Short messages that pass, with a way back: toast('Deleted', {undo}). Ctrl+Z takes the newest back. */
import { html, nothing, repeat } from '../vendor/lit.js';
import { Element } from '../core/element.js';
import { t } from '../core/i18n.js';
import { bindKeys } from '../core/keys.js';
import { createSetting, createStore } from '../core/store.js';
import { button, icon } from './parts.js';

/** @typedef {{id: number, text: string, kind: 'info' | 'good' | 'error', undo?: () => void, action?: {label: string, run: () => void}}} Toast */

/** Whether messages stay until they are closed, for those who need longer to read or to press a button (WCAG 2.2.1). */
export const messagesStay = createSetting('messages_stay', false);

const toasts = createStore(/** @type {Toast[]} */ ([]));
let counter = 0;

/**
 * @param {string} text
 * @param {{kind?: Toast['kind'], undo?: () => any, action?: Toast['action'], seconds?: number}} [options]
 */
export function toast(text, { kind = 'info', undo, action, seconds = undo || action ? 10 : kind === 'error' ? 12 : 5 } = {}) {
  const id = ++counter;
  toasts.update((now) => [...now.slice(-2), { id, text, kind, undo, action }]);
  let left = seconds * 1000;
  const tick = () => {
    if (!messagesStay.get() && !document.querySelector('gl-toasts:hover, gl-toasts:focus-within')) left -= 250;
    if (left > 0) setTimeout(tick, 250);
    else closeToast(id);
  };
  setTimeout(tick, 250);
  return id;
}

/** Say what went wrong. @param {any} error */
export function toastError(error) {
  if (error?.name !== 'AbortError') toast(error?.message || String(error), { kind: 'error' });
}

/** @param {number} id */
export function closeToast(id) {
  toasts.update((now) => now.filter((each) => each.id !== id));
}

class Toasts extends Element {
  stores() {
    return [toasts];
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(bindKeys(t('shell.keys_everywhere'), [
      { key: 'Mod+z', label: t('shell.undo'), run: () => this.undo(), when: () => toasts.get().some((each) => each.undo) },
    ]));
  }

  undo() {
    const last = [...toasts.get()].reverse().find((each) => each.undo);
    if (!last) return;
    closeToast(last.id);
    Promise.resolve(last.undo?.()).catch(toastError);
  }

  render() {
    return html`<div class="toasts" role="status" aria-live="polite">${repeat(toasts.get(), (each) => each.id, (each) => html`
      <div class="toast ${each.kind}">
        ${icon(each.kind === 'error' ? 'circleAlert' : each.kind === 'good' ? 'circleCheck' : 'info')}<span class="toast-text">${each.text}</span>
        ${each.undo ? button({ label: t('shell.undo'), small: true, run: () => {
          closeToast(each.id);
          Promise.resolve(each.undo?.()).catch(toastError);
        } }) : nothing}
        ${each.action ? button({ label: each.action.label, small: true, run: () => {
          closeToast(each.id);
          each.action?.run();
        } }) : nothing}
        ${button({ label: t('shell.close'), icon: 'x', alone: true, small: true, kind: 'quiet', run: () => closeToast(each.id) })}
      </div>`)}</div>`;
  }
}
customElements.define('gl-toasts', Toasts);
