/** <gl-model-trust .model=…>: the card of a model, and what is measured of its bias and its privacy. */
import { html, nothing } from '../vendor/lit.js';
import { makeUrl, quote } from '../core/api.js';
import { Element } from '../core/element.js';
import { language, t } from '../core/i18n.js';
import { cancelJob, finishJob, isOver, jobs, startJob } from '../core/jobs.js';
import { isAllowed } from '../core/session.js';
import { menu } from './menu.js';
import { button, errorBox, progressBar } from './parts.js';
import { toastError } from './toast.js';
import { renderBias, renderPrivacy } from './trust.js';
import './markdown.js';

/** @typedef {import('../core/shapes').ModelDetail} ModelDetail */
/** @typedef {'bias' | 'privacy'} Kind */

/** The text of a card without the lines for hubs before it. @param {string} card */
const dropFrontMatter = (card) => card.replace(/^---\n[\s\S]*?\n---\n/, '');

class ModelTrust extends Element {
  static properties = { model: { attribute: false }, card: { state: true }, fault: { state: true }, ended: { state: true } };

  constructor() {
    super();
    /** @type {ModelDetail | null} */
    this.model = null;
    this.card = '';
    /** @type {string | undefined} the model whose reports are shown */
    this.shown = undefined;
    /** @type {any} */
    this.fault = null;
    /** Reports that were made while the page was open. @type {Record<string, any>} */
    this.ended = {};
  }

  stores() {
    return [jobs];
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (!changed.has('model') || this.model?.ref === this.shown) return;
    this.shown = this.model?.ref;
    this.card = '';
    this.ended = {};
  }

  /** The address of the card. @param {string} format */
  cardUrl(format) {
    return makeUrl(`api/models/${quote(this.model?.ref ?? '')}/card`, { format, download: 'true' }).href;
  }

  async readCard() {
    if (this.card) return;
    try {
      const answer = await fetch(makeUrl(`api/models/${quote(this.model?.ref ?? '')}/card`), { headers: { 'Accept-Language': language.get() } });
      if (!answer.ok) throw new Error(t('shell.error_status', { status: String(answer.status) }));
      this.card = dropFrontMatter(await answer.text());
    } catch (error) {
      this.fault = error;
    }
  }

  /** The job that measures this model now. @param {Kind} kind */
  findJob(kind) {
    return [...jobs.get().values()].find((job) => job.kind === kind && !isOver(job) && /** @type {any} */ (job.params).model === this.model?.ref);
  }

  /** @param {Kind} kind @param {Record<string, any>} [params] */
  async measure(kind, params = {}) {
    const ref = this.model?.ref ?? '';
    this.fault = null;
    try {
      const started = await startJob(kind, { model: ref, ...params });
      const job = await finishJob(started.id);
      if (job.state === 'failed') throw job.error;
      if (job.state !== 'succeeded' || this.model?.ref !== ref) return;
      const { get } = await import('../core/api.js');
      this.ended = { ...this.ended, [kind]: (await get(`jobs/${job.id}`)).result.report };
    } catch (error) {
      this.fault = error;
    }
  }

  render() {
    const { model } = this;
    if (!model) return nothing;
    return html`${this.fault ? errorBox(this.fault) : nothing}
      <div class="model-columns">${this.renderReport('bias', renderBias)}${this.renderReport('privacy', renderPrivacy)}</div>
      <section class="card panel card-panel"><div class="section-head"><h2>${t('models.card')}</h2>
          ${menu({ label: t('shell.download'), icon: 'download', small: true, items: [
            { label: t('models.card_md'), note: t('models.card_md_text'), href: this.cardUrl('md'), download: '' },
            { label: t('models.card_html'), note: t('models.card_html_text'), href: this.cardUrl('html'), download: '' }] })}</div>
        <p class="help">${t('models.card_help')}</p>
        <details @toggle=${() => this.readCard()}><summary>${t('models.card_read')}</summary>${this.card ? html`<gl-markdown class="md" lang="en" .text=${this.card}></gl-markdown>` : nothing}</details></section>`;
  }

  /** @param {Kind} kind @param {(report: any) => unknown} draw */
  renderReport(kind, draw) {
    const report = this.ended[kind] ?? this.model?.[kind];
    const job = this.findJob(kind);
    return html`<section class="card panel stack trust-report"><div class="section-head"><h2>${t(`trust.${kind}`)}</h2>
        ${job || !isAllowed('train') ? nothing : button({ label: t(report ? 'trust.measure_again' : 'trust.measure'), icon: 'gauge', small: true, run: () => this.measure(kind, kind === 'bias' ? { language: language.get() === 'de' ? 'de' : 'en' } : {}) })}</div>
      ${report ? draw(report) : html`<p class="help">${t(`trust.${kind}_help`)}</p>`}
      ${report?.limits?.length && report.measured ? html`<details><summary>${t('trust.limits')}</summary><ul class="limits" lang="en">${report.limits.map((/** @type {string} */ limit) => html`<li>${limit}</li>`)}</ul></details>` : nothing}
      ${job ? html`${progressBar({ share: job.progress?.share ?? null, label: t('trust.measuring'), note: job.state === 'queued' ? t('shell.job_waits') : t('trust.measuring'), secondsLeft: job.progress?.seconds_left })}
        <div class="actions">${button({ label: t('shell.job_cancel'), icon: 'square', small: true, run: () => cancelJob(job.id).catch(toastError) })}</div>` : nothing}</section>`;
  }
}
customElements.define('gl-model-trust', ModelTrust);
