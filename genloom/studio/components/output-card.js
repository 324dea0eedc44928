/** <gl-output .output=…>: an output of any medium with its rating and what can be done with it, the same everywhere. */
import { html, nothing } from '../vendor/lit.js';
import { Element } from '../core/element.js';
import { formatAgo, formatDate, t } from '../core/i18n.js';
import { changes, rateOutput, removeOutputs, serverUrl, starOutput, withChanges } from '../core/outputs.js';
import { go, href } from '../core/router.js';
import { copyText } from '../core/dom.js';
import { button, icon } from './parts.js';
import { menu } from './menu.js';
import { toast, toastError } from './toast.js';
import { viewer } from './viewer.js';

/** @typedef {import('../core/shapes').Output} Output */

/** Show where an output came from; its script comes when it is asked for. @param {string} id */
export const openProvenance = (id) => import('./provenance.js').then((module) => module.open(id)).catch(toastError);

/** What a text goes on from; an answer to a question begins a paragraph of its own. @param {string} prompt @param {string} text */
const separate = (prompt, text) => (/[.?!]$/.test(prompt) && /^\S/.test(text) ? `${prompt}\n\n` : prompt);

/** An output as viewers read it. @param {Output} output @returns {import('../viewers/registry.js').Item} */
export const toItem = (output) => ({
  mime: output.shown_mime,
  url: output.shown,
  file: output.url,
  text: output.text,
  before: output.text === null ? '' : separate(output.prompt, output.text),
  is_cut: output.is_cut,
  thumbnail: output.thumbnail,
  sound: output.sound,
  label: output.prompt ? t('shell.made_for', { prompt: output.prompt }) : t('shell.made_without_prompt', { model: output.model ?? '' }),
});

/** Thumbs with their keys. @param {Output} output @param {{keys?: boolean, small?: boolean}} [options] */
export function ratingButtons(output, { keys = false, small = true } = {}) {
  const { rating } = withChanges(output);
  return html`<div class="rating" role="group" aria-label=${t('shell.rating')}>
    ${button({ label: t('shell.like'), icon: 'thumbsUp', alone: true, small, kind: 'quiet', key: keys ? '+' : undefined, pressed: rating?.up === true, run: (event) => {
      event.stopPropagation();
      rateOutput(output, { up: true });
    } })}
    ${button({ label: t('shell.dislike'), icon: 'thumbsDown', alone: true, small, kind: 'quiet', key: keys ? '-' : undefined, pressed: rating?.up === false, run: (event) => {
      event.stopPropagation();
      rateOutput(output, { up: false });
    } })}
    ${rating?.stars ? html`<span class="stars" aria-label=${t('shell.stars', { n: rating.stars })}>${'★'.repeat(rating.stars)}</span>` : nothing}
  </div>`;
}

/** What can be done with an output. @param {Output} output @param {() => void} [onRemove] @returns {import('./menu.js').Item[]} */
export function outputActions(output, onRemove) {
  const now = withChanges(output);
  return [
    { label: t('shell.open'), icon: 'expand', href: href(['gallery', output.id]) },
    { label: t('shell.again'), icon: 'repeat', run: () => go('make', { again: output.id }) },
    { label: t('shell.use_as_start'), icon: 'cornerDownLeft', run: () => go('make', { source: output.id }) },
    null,
    ...(output.text ? [/** @type {const} */ ({ label: t('shell.copy_text'), icon: 'copy', run: () => copyText(output.text ?? '').then(() => toast(t('shell.copied'))) })] : []),
    { label: t('shell.download'), icon: 'download', href: serverUrl(output.url), download: '' },
    { label: t('shell.provenance'), icon: 'gitFork', run: () => openProvenance(output.id) },
    { label: now.is_starred ? t('shell.unstar') : t('shell.star'), icon: 'heart', run: () => starOutput(output) },
    null,
    { label: t('shell.to_bin'), icon: 'trash2', danger: true, run: () => removeOutputs([output], onRemove) },
  ];
}

export class OutputCard extends Element {
  static properties = { output: { attribute: false }, size: { type: String }, keys: { type: Boolean }, compact: { type: Boolean }, extra: { attribute: false } };

  constructor() {
    super();
    /** @type {Output | null} */
    this.output = null;
    this.size = 'card';
    this.keys = false;
    this.compact = false;
    /** Actions of the page before the common ones. @type {import('./menu.js').Item[]} */
    this.extra = [];
  }

  stores() {
    return [changes];
  }

  render() {
    if (!this.output) return nothing;
    const output = withChanges(this.output);
    const link = href(['gallery', output.id]);
    return html`<article class="card output ${output.removed ? 'removed' : ''}" aria-label=${toItem(output).label}>
      <div class="output-shown">${viewer(toItem(output), this.size === 'full' ? 'full' : 'card')}</div>
      <footer class="output-foot">
        ${ratingButtons(output, { keys: this.keys })}
        ${output.is_starred ? html`<span class="starred" role="img" aria-label=${t('shell.starred')}>${icon('heart')}</span>` : nothing}
        ${this.compact ? nothing : html`<a class="output-meta" href=${link}><span>${output.model}</span>
          <time datetime=${output.created} title=${formatDate(output.created)}>${formatAgo(output.created)}</time></a>`}
        ${menu({ label: t('shell.more'), items: [...this.extra, ...outputActions(output)], small: true })}
      </footer>
    </article>`;
  }
}
customElements.define('gl-output', OutputCard);
