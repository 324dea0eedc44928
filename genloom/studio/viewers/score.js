/** Scores: the roll as the server draws it, and their sound with a line that moves over it. */
import { html, nothing } from '../vendor/lit.js';
import { serverUrl } from '../core/outputs.js';
import '../components/player.js';

export const isWide = true;

/** @param {import('./registry.js').Item} item @param {string | null | undefined} picture */
const render = (item, picture) => html`<div class="score">
  ${picture ? html`<div class="score-roll"><img src=${serverUrl(picture)} alt=${item.label} loading="lazy" decoding="async" draggable="false"><span class="score-line" hidden></span></div>` : nothing}
  ${item.sound ? html`<gl-player src=${serverUrl(item.sound)} label=${item.label} .lineIn=${'.score'}></gl-player>` : nothing}</div>`;

/** @param {import('./registry.js').Item} item */
export const renderCard = (item) => render(item, item.thumbnail || item.url);
/** @param {import('./registry.js').Item} item */
export const renderFull = (item) => render(item, item.url || item.thumbnail);
