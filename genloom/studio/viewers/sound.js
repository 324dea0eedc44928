/** Sounds. */
import { html } from '../vendor/lit.js';
import { serverUrl } from '../core/outputs.js';
import '../components/player.js';

/** @param {import('./registry.js').Item} item */
export const renderCard = (item) => html`<div class="sound-card"><gl-player src=${serverUrl(item.sound || item.url || '')} label=${item.label}></gl-player></div>`;
export const renderFull = renderCard;
