/** Verify: drop a file, own or foreign, and read who signed it, whether it was changed, and whether it was made here. */
import { html, nothing } from '../vendor/lit.js';
import { del, get } from '../core/api.js';
import { announce } from '../core/dom.js';
import { readDrop, readField, sendFiles } from '../core/drops.js';
import { Element } from '../core/element.js';
import { t } from '../core/i18n.js';
import { cancelJob, finishJob, jobs, startJob } from '../core/jobs.js';
import { button, errorBox, icon, pageHead, progressBar } from '../components/parts.js';
import { toastError } from '../components/toast.js';
import { renderVerdict } from '../components/trust.js';

/** @typedef {import('../core/drops.js').Chosen} Chosen */

class VerifyPage extends Element {
  static properties = { found: { state: true }, job: { state: true }, share: { state: true }, isOver: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** What was found, newest first. @type {any[]} */
    this.found = [];
    this.leftOut = 0;
    this.job = '';
    /** How much was sent; null while nothing is. @type {number | null} */
    this.share = null;
    this.isOver = false;
    /** @type {any} */
    this.fault = null;
  }

  stores() {
    return [jobs];
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.sending?.abort();
  }

  /** @param {Chosen[]} files */
  async check(files) {
    if (!files.length || this.isBusy) return;
    this.fault = null;
    this.share = 0;
    this.sending = new AbortController();
    let id = '';
    try {
      await sendFiles(files, (share) => (this.share = share), this.sending.signal, (sent) => ({ id } = sent));
      this.share = null;
      const started = await startJob('verify', { upload: id });
      this.job = started.id;
      const job = await finishJob(started.id);
      if (job.state === 'failed') throw job.error;
      if (job.state === 'succeeded') {
        const { result } = await get(`jobs/${job.id}`); // lists of jobs are brief
        this.found = [...result.files, ...this.found];
        this.leftOut = result.left_out ?? 0;
        announce(t('verify.title'));
      }
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'AbortError') this.fault = error;
    } finally {
      this.share = null;
      this.job = '';
      if (id) del(`uploads/${id}`).catch(() => {});
    }
  }

  get isBusy() {
    return this.share !== null || Boolean(this.job);
  }

  /** @param {DragEvent} event */
  async drop(event) {
    event.preventDefault();
    this.isOver = false;
    if (event.dataTransfer) await this.check(await readDrop(event.dataTransfer));
  }

  render() {
    return html`${pageHead({ title: t('verify.title'), lead: t('verify.lead') })}
      ${this.fault ? errorBox(this.fault) : nothing}
      ${this.isBusy ? this.renderProgress() : this.renderZone()}
      ${this.found.length ? html`<section class="verdicts" aria-live="polite">${this.found.map((each) => renderVerdict(each))}</section>
        ${this.leftOut ? html`<p class="help">${t('verify.left_out', { n: this.leftOut })}</p>` : nothing}` : nothing}
      <p class="help">${t('verify.never')}</p>`;
  }

  renderZone() {
    const set = (/** @type {boolean} */ value) => (/** @type {Event} */ event) => {
      event.preventDefault();
      this.isOver = value;
    };
    return html`<div class="verify-drop ${this.isOver ? 'drop-target' : ''}" @dragenter=${set(true)} @dragover=${set(true)} @dragleave=${set(false)} @drop=${this.drop}>
      ${icon('shieldCheck')}<p><strong>${t('verify.drop')}</strong></p><p class="help">${t('verify.drop_help')}</p>
      ${button({ label: t('verify.choose_files'), icon: 'fileUp', kind: 'primary', run: () => /** @type {HTMLElement | null} */ (this.querySelector('#verify-files'))?.click() })}
      <input id="verify-files" type="file" multiple hidden @change=${(/** @type {Event} */ event) => this.check(readField(event))}></div>`;
  }

  renderProgress() {
    const job = this.job ? jobs.get().get(this.job) : undefined;
    const stop = () => (this.job ? cancelJob(this.job).catch(toastError) : this.sending?.abort());
    const words = this.share !== null ? t('verify.sending') : t('verify.looking');
    return html`<section class="card panel stack" aria-live="polite">${progressBar({ share: this.share ?? job?.progress?.share ?? null, label: words, note: job?.progress?.note || words })}
      <div class="row">${button({ label: t('verify.stop'), small: true, run: stop })}</div></section>`;
  }
}
customElements.define('gl-verify', VerifyPage);
