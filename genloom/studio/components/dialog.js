/** Dialogs on the browser's own <dialog>: focus stays in it, Escape closes it, focus goes back to where it was. */
import { html, nothing, render } from '../vendor/lit.js';
import { makeId } from '../core/dom.js';
import { t } from '../core/i18n.js';
import { button } from './parts.js';

/**
 * Open a dialog; the promise gives what `close` was called with, undefined if it was dismissed.
 * @template R
 * @param {{title: string | (() => string), size?: 'small' | 'medium' | 'large' | 'full' | 'side', hideTitle?: boolean, onClose?: () => void,
 *          body: (close: (result?: R) => void, redraw: () => void) => unknown,
 *          actions?: (close: (result?: R) => void, redraw: () => void) => unknown}} options
 * @returns {Promise<R | undefined>}
 */
export function openDialog({ title, size = 'medium', hideTitle = false, body, actions, onClose }) {
  return new Promise((resolve) => {
    const id = makeId('dialog');
    const dialog = document.createElement('dialog');
    dialog.className = `dialog ${size}`;
    dialog.setAttribute('aria-labelledby', id);
    /** @type {R | undefined} */
    let result;
    const close = (/** @type {R | undefined} */ value) => {
      result = value;
      dialog.close();
    };
    const redraw = () => render(html`
      <header class="dialog-head ${hideTitle ? 'visually-hidden' : ''}"><h2 id=${id}>${typeof title === 'function' ? title() : title}</h2>
        ${button({ label: t('shell.close'), icon: 'x', alone: true, kind: 'quiet', run: () => close(undefined) })}</header>
      <div class="dialog-body">${body(close, redraw)}</div>
      ${actions ? html`<footer class="dialog-foot">${actions(close, redraw)}</footer>` : nothing}`, dialog);
    dialog.addEventListener('close', () => {
      giveBack();
      dialog.remove();
      onClose?.();
      resolve(result);
    });
    let pressed = false; // a press that began on the backdrop and ended there
    dialog.addEventListener('pointerdown', (event) => (pressed = event.target === dialog));
    dialog.addEventListener('click', (event) => pressed && event.target === dialog && close(undefined));
    document.body.append(dialog);
    redraw();
    const giveBack = takeMessages(dialog);
    dialog.showModal();
    /** @type {HTMLElement | null} */ (dialog.querySelector('[autofocus]'))?.focus();
  });
}

/**
 * Take the messages of the page, and what is said to screen readers, into a dialog: all outside of it is inert while it is open.
 * @param {HTMLElement} dialog @returns {() => void} gives them back
 */
function takeMessages(dialog) {
  const taken = [...document.querySelectorAll('gl-toasts, #announcer')].map((element) => ({ element, home: element.parentElement }));
  dialog.append(...taken.map(({ element }) => element));
  return () => taken.forEach(({ element, home }) => {
    if (element.parentElement === dialog) (home?.isConnected ? home : document.querySelector('gl-shell'))?.append(element);
  });
}

/**
 * Ask before what can't be undone. Prefer a toast with undo.
 * @param {{title: string, text: unknown, confirm: string, danger?: boolean}} options
 * @returns {Promise<boolean>}
 */
export async function confirmDialog({ title, text, confirm, danger = false }) {
  /** @type {boolean | undefined} */
  const answer = await openDialog({
    title,
    size: 'small',
    body: () => html`<div class="stack">${text}</div>`,
    actions: (close) => [
      button({ label: t('shell.cancel'), run: () => close(false) }),
      button({ label: confirm, kind: danger ? 'danger' : 'primary', run: () => close(true) }),
    ],
  });
  return answer ?? false;
}

/**
 * Ask for one line of text.
 * @param {{title: string, label: string, value?: string, confirm: string, help?: string, suggestions?: string[]}} options
 * @returns {Promise<string | undefined>}
 */
export function askText({ title, label, value = '', confirm, help = '', suggestions = [] }) {
  const id = makeId('ask');
  const take = (/** @type {(result?: string) => void} */ close) => {
    close(/** @type {HTMLInputElement} */ (document.getElementById(id)).value.trim());
  };
  return openDialog({
    title,
    size: 'small',
    body: (close) => html`<form class="field" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), take(close))}>
      <label for=${id}>${label}</label><input id=${id} autofocus autocomplete="off" .value=${value} list="${id}-list">
      <datalist id="${id}-list">${suggestions.map((each) => html`<option value=${each}></option>`)}</datalist>
      ${help ? html`<p class="help">${help}</p>` : nothing}</form>`,
    actions: (close) => [
      button({ label: t('shell.cancel'), run: () => close(undefined) }),
      button({ label: confirm, kind: 'primary', run: () => take(close) }),
    ],
  });
}
