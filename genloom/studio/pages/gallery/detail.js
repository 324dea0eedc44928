/** One output, large: what it is, every setting that made it, where it came from, and how to go on. */
import { html, nothing } from '../../vendor/lit.js';
import { get } from '../../core/api.js';
import { copyText, debounce } from '../../core/dom.js';
import { Element } from '../../core/element.js';
import { formatBytes, formatDate, formatDuration, formatNumber, formatPercent, t } from '../../core/i18n.js';
import { labelOption, nameMedium, showValue } from '../../core/models.js';
import { changes, fileUrl, rateOutput, removeOutputs, restoreOutputs, serverUrl, starOutput, tagOutput, withChanges } from '../../core/outputs.js';
import { href } from '../../core/router.js';
import { askText } from '../../components/dialog.js';
import { menu } from '../../components/menu.js';
import { ratingButtons, toItem } from '../../components/output-card.js';
import { button, buttonLink, errorBox, facts, icon } from '../../components/parts.js';
import { toast, toastError } from '../../components/toast.js';
import { viewer } from '../../components/viewer.js';

/** @typedef {import('../../core/shapes').OutputDetail} OutputDetail */
/** @typedef {import('../../core/shapes').Origin} Origin */

export class OutputDetailView extends Element {
  static properties = { output_id: { type: String } };

  constructor() {
    super();
    this.output_id = '';
    /** @type {OutputDetail | null} */
    this.output = null;
    /** @type {Origin | null} */
    this.origin = null;
    this.isTracing = false;
    /** @type {any} */
    this.fault = null;
    this.note = debounce((/** @type {string} */ note) => this.saveNote(note), 600);
  }

  stores() {
    return [changes];
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (changed.has('output_id') && this.output_id) this.read();
  }

  async read() {
    const id = this.output_id;
    this.origin = null;
    this.isTracing = false;
    this.fault = null;
    try {
      const output = await get(`outputs/${id}`);
      if (id === this.output_id) this.output = output;
    } catch (error) {
      this.fault = error;
    }
    this.requestUpdate();
  }

  /** @param {string} note */
  saveNote(note) {
    if (!this.output) return;
    const { rating } = withChanges(this.output);
    rateOutput(this.output, { ...(rating?.up !== null && rating?.up !== undefined ? { up: rating.up } : {}), ...(rating?.stars ? { stars: rating.stars } : {}), note });
  }

  async trace() {
    if (!this.output) return;
    this.isTracing = true;
    this.requestUpdate();
    try {
      this.origin = await get(`outputs/${this.output.id}/origin`);
    } catch (error) {
      toastError(error);
    }
    this.isTracing = false;
    this.requestUpdate();
  }

  async editTags() {
    if (!this.output) return;
    const tags = await askText({ title: t('gallery.edit_tags'), label: t('gallery.tags'), value: withChanges(this.output).tags.join(', '), confirm: t('gallery.save'), help: t('gallery.tags_help') });
    if (tags !== undefined && this.output) tagOutput(this.output, [...new Set(tags.split(',').map((each) => each.trim()).filter(Boolean))]);
  }

  render() {
    if (this.fault) return errorBox(this.fault, () => this.read());
    if (!this.output) return html`<div class="page-loading" aria-busy="true"></div>`;
    const output = withChanges(this.output);
    return html`<article class="detail">
      <div class="detail-shown">${viewer(toItem(output), 'full')}</div>
      <div class="detail-side">
        <h2 dir="auto" class="detail-prompt">${output.prompt || t('gallery.without_prompt')}</h2>
        ${output.removed ? html`<div class="error-box"><p>${t('gallery.in_bin')}</p>${button({ label: t('gallery.restore'), icon: 'archiveRestore', small: true, run: () => restoreOutputs([output]).catch(toastError) })}</div>` : nothing}
        <div class="row detail-rate">${ratingButtons(output, { keys: true, small: false })}${this.renderStars(output)}
          ${button({ label: output.is_starred ? t('shell.unstar') : t('shell.star'), icon: 'heart', alone: true, kind: 'quiet', pressed: output.is_starred, key: 's', run: () => starOutput(output) })}</div>
        <div class="row">
          ${buttonLink({ label: t('shell.again'), icon: 'repeat', kind: 'primary', href: href('make', { again: output.id }) })}
          ${buttonLink({ label: t('shell.use_as_start'), icon: 'cornerDownLeft', href: href('make', { source: output.id }) })}
          ${menu({ label: t('shell.download'), icon: 'download', kind: '', items: [{ label: t('gallery.download_file', { mime: output.mime }), href: serverUrl(output.url), download: '' },
            ...output.formats.map((format) => ({ label: format.replace('.', '').toUpperCase(), href: fileUrl(output, format), download: '' }))] })}
          ${menu({ label: t('shell.more'), items: [
            ...(output.text ? [/** @type {const} */ ({ label: t('shell.copy_text'), icon: 'copy', run: () => copyText(output.text ?? '').then(() => toast(t('shell.copied'))) })] : []),
            { label: t('gallery.copy_settings'), icon: 'copy', run: () => copyText(JSON.stringify(output.again, null, 2)).then(() => toast(t('shell.copied'))) },
            { label: t('gallery.edit_tags'), icon: 'tag', run: () => this.editTags() },
            ...(output.conversation ? [/** @type {const} */ ({ label: t('gallery.to_conversation'), icon: 'messagesSquare', href: href(['chat', output.conversation]) })] : []),
            null,
            { label: t('shell.to_bin'), icon: 'trash2', danger: true, run: () => removeOutputs([output]) }] })}</div>
        ${output.tags.length ? html`<ul class="row">${output.tags.map((tag) => html`<li><a class="badge" href=${href('gallery', { tag })}>${icon('tag')}${tag}</a></li>`)}</ul>` : nothing}
        <div class="field"><label for="detail-note">${t('gallery.note')}</label><textarea id="detail-note" rows="2" .value=${output.rating?.note ?? ''} placeholder=${t('gallery.note_hint')}
          ?disabled=${!output.rating} @input=${(/** @type {any} */ event) => this.note(event.target.value)}></textarea></div>
        <section><h3>${t('gallery.how')}</h3>${facts([
          [t('gallery.model'), output.model ? html`<a class="text-link" href=${href(['models', output.model])}>${output.model}</a>` : ''],
          [t('gallery.medium'), nameMedium(output.medium, 1)],
          [t('gallery.made'), formatDate(output.created)],
          [t('gallery.took'), output.seconds ? formatDuration(output.seconds) : ''],
          [t('gallery.seed'), String(output.again.seed ?? output.seed ?? '')],
          ...Object.entries(output.given ?? {}).map(([name, value]) => /** @type {[string, unknown]} */ ([labelOption(name), value])),
          ...output.settings.filter((each) => each.name !== 'seed').map((each) => /** @type {[string, unknown]} */ ([labelOption(each.name), showValue(each.value)])),
        ])}</section>
        <section><h3>${t('gallery.about')}</h3>${facts([
          [t('gallery.size'), formatBytes(output.bytes)],
          ...Object.entries(output.facts).map(([name, value]) => /** @type {[string, unknown]} */ ([labelOption(name), formatNumber(value)])),
        ])}</section>
        ${this.renderOrigin()}
      </div></article>`;
  }

  /** @param {OutputDetail} output */
  renderStars(output) {
    const stars = output.rating?.stars ?? 0;
    return html`<div class="star-row" role="group" aria-label=${t('gallery.stars')}>${[1, 2, 3, 4, 5].map((n) => html`<button type="button" class="star-button ${n <= stars ? 'on' : ''}"
      aria-label=${t('shell.stars', { n })} aria-pressed=${n === stars ? 'true' : 'false'} title=${`${t('shell.stars', { n })} (${n})`} @click=${() => rateOutput(output, { stars: n })}>${icon('star')}</button>`)}</div>`;
  }

  renderOrigin() {
    const { origin } = this;
    return html`<section class="origin"><h3>${t('gallery.origin')}</h3>
      ${!origin ? html`<p class="help">${t('gallery.origin_help')}</p>${button({ label: t('gallery.origin_find'), icon: 'gitFork', small: true, busy: this.isTracing, run: () => this.trace() })}` : html`
        ${origin.verdict ? html`<p><span class="badge ${origin.verdict === 'own' ? 'good' : origin.verdict === 'near' ? 'warn' : 'bad'}">${t(`gallery.verdict_${origin.verdict}`)}</span></p>` : nothing}
        ${origin.note ? html`<p class="help">${origin.note}</p>` : nothing}
        <ul class="origin-items">${origin.items.map((item) => html`<li>
          <p><span dir="auto">${item.caption}</span> <span class="help">${item.source}</span></p>
            ${item.excerpt ? html`<blockquote dir="auto">${item.excerpt}</blockquote>` : nothing}
            <p class="help">${[item.similarity !== null && item.similarity !== undefined ? t('gallery.similarity', { share: formatPercent(item.similarity) }) : '',
              item.length ? t('gallery.shared', { n: item.length }) : '', item.licence].filter(Boolean).join(' · ')}</p></li>`)}</ul>`}</section>`;
  }
}
customElements.define('gl-output-detail', OutputDetailView);
