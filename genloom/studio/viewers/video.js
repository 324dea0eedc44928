/** Clips, in the browser's own player. */
import { html, ifDefined } from '../vendor/lit.js';
import { serverUrl } from '../core/outputs.js';

/** @param {import('./registry.js').Item} item */
export const renderCard = (item) => html`<video class="picture" src=${serverUrl(item.url || '')} poster=${ifDefined(item.thumbnail ? serverUrl(item.thumbnail) : undefined)}
  aria-label=${item.label} controls preload="none" playsinline></video>`;
export const renderFull = renderCard;
