/** Text as it was written, never as HTML; what it goes on from stands before it in a lighter colour. */
import { html, nothing } from '../vendor/lit.js';
import { t } from '../core/i18n.js';
import '../components/stream-text.js';

const LONGEST = 160; // characters of the prompt in a card: its end
const CARD = 1500; // characters of a text in a card: its beginning

export const isWide = true;

/** @param {string | undefined} before @param {number} longest */
const showBefore = (before, longest) => (before ? html`<span class="text-before">${before.length > longest ? `…${before.slice(-longest)}` : before}</span>` : nothing);

/** @param {import('./registry.js').Item} item */
export const renderCard = (item) => html`<p class="text-card" dir="auto">${showBefore(item.before, LONGEST)}${item.text?.slice(0, CARD)}${item.is_cut || (item.text?.length ?? 0) > CARD
  ? html`<span aria-hidden="true">…</span>` : nothing}</p>`;

/** @param {import('./registry.js').Item} item */
export const renderFull = (item) => html`<div class="text-full" dir="auto">${showBefore(item.before, Infinity)}<gl-stream-text .text=${item.text ?? ''}></gl-stream-text></div>
  ${item.is_cut ? html`<p class="help">${t('shell.text_is_cut')}</p>` : nothing}`;
