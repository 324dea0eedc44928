/** Small parts of pages as functions: icons, buttons, fields, progress, empty pages, errors. */
import { html, ifDefined, nothing, ref, svg } from '../vendor/lit.js';
import { drawings } from '../vendor/icons.js';
import { vars } from '../core/dom.js';
import { formatDuration, formatPercent, t } from '../core/i18n.js';
import { printKey } from '../core/keys.js';

/** @typedef {import('../vendor/lit.js').TemplateResult} TemplateResult */
/** @typedef {keyof typeof drawings} IconName */

/** A drawing beside words, or alone in a button that has a label. @param {IconName} name */
export const icon = (name) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${drawings[name] ?? svg``}</svg>`;

/** Brand: warp and weft. */
export const brand = html`<svg class="brand-mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9" fill="currentColor"/>
  <g fill="none" stroke="var(--paper)" stroke-width="2.5" stroke-linecap="round"><path d="M9 7v18M16 7v2.500M16 15.500v9.500M23 7v8.500M23 21.500v3.500"/></g>
  <path d="M5.500 12.500h6M13.500 12.500h13M5.500 18.500h1M11.500 18.500h7M25.500 18.500h1" fill="none" stroke="var(--thread)" stroke-width="2.500" stroke-linecap="round"/></svg>`;

/**
 * A button with words, or with an icon alone and its label for those who can't see it.
 * @param {{label: string, icon?: IconName, run: (event: Event) => void, kind?: 'primary' | 'quiet' | 'danger' | '', alone?: boolean,
 *          key?: string, disabled?: boolean, pressed?: boolean, busy?: boolean, id?: string, small?: boolean}} options
 */
export function button({ label, icon: name, run, kind = '', alone = false, key, disabled = false, pressed, busy = false, id, small = false }) {
  const title = alone ? `${label}${key ? ` (${printKey(key)})` : ''}` : undefined;
  return html`<button type="button" class="button ${kind} ${alone ? 'alone' : ''} ${small ? 'small' : ''}" id=${ifDefined(id)}
      title=${ifDefined(title)} aria-label=${ifDefined(alone ? label : undefined)} aria-busy=${busy ? 'true' : 'false'}
      aria-pressed=${ifDefined(pressed === undefined ? undefined : String(pressed))} aria-keyshortcuts=${ifDefined(key)}
      ?disabled=${disabled} @click=${run}>
    ${busy ? html`<span class="spinner" aria-hidden="true"></span>` : name ? icon(name) : nothing}
    ${alone ? nothing : html`<span>${label}</span>${key ? html`<kbd aria-hidden="true">${printKey(key)}</kbd>` : nothing}`}
  </button>`;
}

/** A link that looks like a button. @param {{label: string, href: string, icon?: IconName, kind?: string, small?: boolean, download?: string}} options */
export function buttonLink({ label, href, icon: name, kind = '', small = false, download }) {
  return html`<a class="button ${kind} ${small ? 'small' : ''}" href=${href} download=${ifDefined(download)}>
    ${name ? icon(name) : nothing}<span>${label}</span></a>`;
}

/**
 * A labelled control with its sentence and its error. `control` gets the attributes it needs as {id, describedBy}.
 * @param {{id: string, label: unknown, help?: unknown, error?: string, inline?: boolean, control: (ids: {id: string, describedBy: string}) => unknown}} options
 */
export function field({ id, label, help, error, inline = false, control }) {
  return html`<div class="field ${inline ? 'inline' : ''} ${error ? 'wrong' : ''}">
    <label for=${id}>${label}</label>
    ${control({ id, describedBy: `${help ? `${id}-help` : ''} ${error ? `${id}-error` : ''}`.trim() })}
    ${help ? html`<p class="help" id="${id}-help">${help}</p>` : nothing}
    ${error ? html`<p class="error-line" id="${id}-error">${icon('circleAlert')}${error}</p>` : nothing}
  </div>`;
}

/** @param {{share: number | null | undefined, label: string, note?: string, secondsLeft?: number | null}} options share null: unknown */
export function progressBar({ share, label, note = '', secondsLeft }) {
  const known = typeof share === 'number';
  const words = [note, known ? formatPercent(share) : '', secondsLeft ? t('shell.time_left', { time: formatDuration(secondsLeft) }) : ''];
  return html`<div class="progress">
    <progress aria-label=${label} max="1" .value=${known ? share : 0} ?data-unknown=${!known} ${vars({ '--share': known ? share : 0 })}></progress>
    <span class="progress-words">${words.filter(Boolean).join(' · ')}</span>
  </div>`;
}

/** A page or list with nothing in it: what belongs here, and the first step. @param {{icon: IconName, title: string, text: unknown, action?: unknown}} options */
export function emptyState({ icon: name, title, text, action }) {
  return html`<div class="empty">${icon(name)}<h2>${title}</h2><p>${text}</p>${action ? html`<div class="empty-actions">${action}</div>` : nothing}</div>`;
}

/** What went wrong, in the server's words, and a way on. @param {{message: string}} error @param {(() => void)} [retry] */
export function errorBox(error, retry) {
  return html`<div class="error-box" role="alert">${icon('circleAlert')}<p>${error.message}</p>
    ${retry ? button({ label: t('shell.try_again'), icon: 'refreshCw', run: retry, small: true }) : nothing}</div>`;
}

/** The top of a page. @param {{title: string, lead?: unknown, actions?: unknown}} options */
export function pageHead({ title, lead, actions }) {
  return html`<header class="page-head"><div><h1 tabindex="-1">${title}</h1>${lead ? html`<p class="lead">${lead}</p>` : nothing}</div>
    ${actions ? html`<div class="page-actions">${actions}</div>` : nothing}</header>`;
}

/** Facts as names and values. @param {[string, unknown][]} rows those with null or "" are left out */
export function facts(rows) {
  return html`<dl class="facts">${rows.filter(([, value]) => value !== null && value !== undefined && value !== '')
    .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/**
 * Tabs with arrow keys; the panel is the caller's.
 * @template {string} T
 * @param {{label: string, items: {id: T, label: string, count?: number}[], selected: T, choose: (id: T) => void, panel: string}} options
 */
export function tabs({ label, items, selected, choose, panel }) {
  const move = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = items[(items.findIndex((item) => item.id === selected) + step + items.length) % items.length];
    choose(next.id);
    const list = /** @type {HTMLElement} */ (event.currentTarget);
    requestAnimationFrame(() => /** @type {HTMLElement | null} */ (list.querySelector('[aria-selected=true]'))?.focus());
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} @keydown=${move} ${ref((list) => showTab(/** @type {HTMLElement | undefined} */ (list), selected))}>${items.map((item) => html`
    <button type="button" role="tab" aria-selected=${item.id === selected ? 'true' : 'false'} aria-controls=${panel}
      tabindex=${item.id === selected ? 0 : -1} @click=${() => choose(item.id)}>${item.label}${item.count === undefined ? nothing
        : html`<span class="count">${item.count}</span>`}</button>`)}</div>`;
}

/** The tab that each list of tabs was scrolled to. @type {WeakMap<Element, string>} */
const shownTabs = new WeakMap();

/** Scroll a list of tabs that is wider than the screen to the one that was chosen. @param {HTMLElement | undefined} list @param {string} selected */
function showTab(list, selected) {
  if (!list || shownTabs.get(list) === selected) return;
  shownTabs.set(list, selected);
  requestAnimationFrame(() => { // when the tabs are drawn
    const tab = list.querySelector('[aria-selected=true]')?.getBoundingClientRect();
    const { left, right } = list.getBoundingClientRect();
    if (tab) list.scrollLeft += Math.max(0, tab.right - right) + Math.min(0, tab.left - left);
  });
}

/**
 * A few choices, one of them taken.
 * @template {string} T
 * @param {{label: string, items: {id: T, label: string, icon?: IconName}[], selected: T, choose: (id: T) => void, compact?: boolean}} options
 */
export function segments({ label, items, selected, choose, compact = false }) {
  return html`<div class="segments" role="group" aria-label=${label}>${items.map((item) => html`
    <button type="button" aria-pressed=${item.id === selected ? 'true' : 'false'} title=${ifDefined(compact ? item.label : undefined)}
      aria-label=${ifDefined(compact ? item.label : undefined)} @click=${() => choose(item.id)}>
      ${item.icon ? icon(item.icon) : nothing}${compact ? nothing : html`<span>${item.label}</span>`}</button>`)}</div>`;
}
