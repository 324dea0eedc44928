/** Values that no other viewer knows: the picture of it if the server draws one, and the file. */
import { html, nothing } from '../vendor/lit.js';
import { icon } from '../components/parts.js';
import { t } from '../core/i18n.js';
import { serverUrl } from '../core/outputs.js';

/** @param {import('./registry.js').Item} item */
export const renderCard = (item) => item.thumbnail
  ? html`<img class="picture" src=${serverUrl(item.thumbnail)} alt=${item.label} loading="lazy" decoding="async">`
  : html`<div class="file-card">${icon('file')}<span>${item.text || item.label}</span></div>`;

/** @param {import('./registry.js').Item} item */
export const renderFull = (item) => html`${renderCard(item)}
  ${item.file || item.url ? html`<a class="button" href=${serverUrl(item.file || item.url || '')} download>${icon('download')}<span>${t('shell.download')}</span></a>` : nothing}`;
