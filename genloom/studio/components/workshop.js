/** What the pages that teach, train and keep share: words, names of media, words of the server in the reader's language. */
import { html } from '../vendor/lit.js';
import { useStyle } from '../core/element.js';
import { hasMessage, loadMessages, t } from '../core/i18n.js';

await Promise.all([loadMessages('workshop'), useStyle('workshop')]);

/** A name of the server as a part of a key. @param {string} word */
export const toKey = (word) => word.toLowerCase().replace(/[^a-z]+/g, '_').replace(/^_|_$/g, '');

/**
 * A word of the server in the reader's language; unknown ones stay as they are.
 * @param {string} prefix beginning of the key, e.g. "models.kind"
 * @param {string} word
 */
export function translate(prefix, word) {
  const key = `${prefix}_${toKey(word)}`;
  return hasMessage(key) ? t(key) : word;
}

/** @param {string} medium */
export const nameMedium = (medium) => translate('workshop.medium', medium);

/** So many values of a medium: "77 texts". @param {string} medium @param {number} count */
export function countItems(medium, count) {
  const key = `workshop.items_${toKey(medium)}`;
  return t(hasMessage(key) ? key : 'workshop.items', { n: count });
}

/** @param {string} medium @returns {import('./parts.js').IconName} */
export function mediumIcon(medium) {
  return /** @type {Record<string, import('./parts.js').IconName>} */ ({ text: 'fileText', image: 'images', music: 'music' })[medium] ?? 'shapes';
}

/** Why something is not deleted, as a list: what would be lost without it. @param {import('../core/api.js').ApiError} error */
export function listLosses({ details }) {
  return html`${t('workshop.losses')}<ul>${details.map(({ code, outputs, ratings, ...values }) => html`<li>${t(`workshop.${code}`, { ...values, n: outputs ?? ratings ?? 0 })}</li>`)}</ul>`;
}

/** The text of a field, for its event. @param {Event} event */
export const inputValue = (event) => /** @type {HTMLInputElement} */ (event.target).value;
