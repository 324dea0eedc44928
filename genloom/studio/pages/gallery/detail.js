/** One output, large: what it is, every setting that made it, where it came from, and how to go on. */
import { html, nothing } from '../../vendor/lit.js';
import { get } from '../../core/api.js';
import { copyText, debounce } from '../../core/dom.js';
import { Element } from '../../core/element.js';
import { formatBytes, formatDate, formatDuration, formatNumber, t } from '../../core/i18n.js';
import { labelOption, nameMedium, showValue } from '../../core/models.js';
import { changes, fileUrl, rateOutput, removeOutputs, restoreOutputs, serverUrl, starOutput, tagOutput, withChanges } from '../../core/outputs.js';
import { href } from '../../core/router.js';
import { askText } from '../../components/dialog.js';
import { menu } from '../../components/menu.js';
import { ratingButtons, toItem } from '../../components/output-card.js';
import { button, buttonLink, errorBox, facts, icon } from '../../components/parts.js';
import '../../components/provenance.js';
import { toast, toastError } from '../../components/toast.js';
import { viewer } from '../../components/viewer.js';

/** @typedef {import('../../core/shapes').OutputDetail} OutputDetail */

export class OutputDetailView extends Element {
  static properties = { output_id: { type: String } };

  constructor() {
    super();
    this.output_id = '';
    /** @type {OutputDetail | null} */
    this.output = null;
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
        ${output.removed ? nothing : html`<section><h3>${t('shell.provenance')}</h3><gl-provenance output=${output.id}></gl-provenance></section>`}
      </div></article>`;
  }

  /** @param {OutputDetail} output */
  renderStars(output) {
    const stars = output.rating?.stars ?? 0;
    return html`<div class="star-row" role="group" aria-label=${t('gallery.stars')}>${[1, 2, 3, 4, 5].map((n) => html`<button type="button" class="star-button ${n <= stars ? 'on' : ''}"
      aria-label=${t('shell.stars', { n })} aria-pressed=${n === stars ? 'true' : 'false'} title=${`${t('shell.stars', { n })} (${n})`} @click=${() => rateOutput(output, { stars: n })}>${icon('star')}</button>`)}</div>`;
  }
}
customElements.define('gl-output-detail', OutputDetailView);
