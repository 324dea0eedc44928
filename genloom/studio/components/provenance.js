/** <gl-provenance .output=…>: where an output came from, its signature and mark, and what it copied. */
import { html, nothing } from '../vendor/lit.js';
import { get, makeUrl } from '../core/api.js';
import { Element } from '../core/element.js';
import { t } from '../core/i18n.js';
import { cancelJob, finishJob, jobs, startJob } from '../core/jobs.js';
import { openDialog } from './dialog.js';
import { menu } from './menu.js';
import { button, errorBox, progressBar } from './parts.js';
import { toastError } from './toast.js';
import { renderCopies, renderLine, renderState, renderVerdict } from './trust.js';

/** @typedef {import('../core/shapes').Provenance} Provenance */

class ProvenanceView extends Element {
  static properties = { output: { type: String }, line: { state: true }, verdict: { state: true }, copies: { state: true }, running: { state: true }, fault: { state: true } };

  constructor() {
    super();
    this.output = '';
    /** @type {Provenance | null} */
    this.line = null;
    /** @type {any} */
    this.verdict = null;
    /** @type {any} */
    this.copies = null;
    /** The job at work. @type {import('../core/shapes').Job | null} */
    this.running = null;
    /** @type {any} */
    this.fault = null;
  }

  stores() {
    return [jobs];
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (changed.has('output') && this.output) this.read();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.reading?.abort(); // the output may be removed meanwhile
  }

  async read() {
    const { output } = this;
    this.line = this.verdict = this.copies = this.fault = null;
    this.reading?.abort();
    const { signal } = (this.reading = new AbortController());
    try {
      const line = await get(`outputs/${output}/provenance`, {}, signal);
      if (output === this.output) this.line = line;
    } catch (error) {
      if (!signal.aborted) this.fault = error;
    }
  }

  /** Run a job about this output, and return its result; null if it was stopped. @param {'verify' | 'copies'} kind */
  async run(kind) {
    this.fault = null;
    try {
      this.running = await startJob(kind, { output: this.output });
      const job = await finishJob(this.running.id);
      if (job.state === 'failed') throw job.error;
      return job.state === 'succeeded' ? (await get(`jobs/${job.id}`)).result : null;
    } catch (error) {
      this.fault = error;
      return null;
    } finally {
      this.running = null;
    }
  }

  async check() {
    this.verdict = (await this.run('verify'))?.files[0] ?? null;
  }

  async search() {
    this.copies = (await this.run('copies'))?.copies ?? null;
  }

  render() {
    const { line } = this;
    if (this.fault && !line) return errorBox(this.fault, () => this.read());
    if (!line) return progressBar({ share: null, label: t('trust.line') });
    const save = (/** @type {string} */ format) => makeUrl(`api/outputs/${this.output}/trace`, { format }).href;
    return html`<div class="provenance">
      ${this.fault ? errorBox(this.fault) : nothing}
      ${this.verdict ? renderVerdict(this.verdict, { plain: true }) : renderState(line)}
      ${renderLine(line)}
      ${this.copies ? html`<section><h3>${t('trust.copies')}</h3>${renderCopies(this.copies)}</section>` : nothing}
      ${this.running ? this.renderRunning() : html`<div class="actions">
        ${this.verdict ? nothing : button({ label: t('trust.check'), icon: 'shieldCheck', small: true, run: () => this.check() })}
        ${this.copies ? nothing : button({ label: t('trust.copies'), icon: 'copy', small: true, run: () => this.search() })}
        ${menu({ label: t('shell.download'), icon: 'download', small: true, items: [
          { label: t('trust.save_page'), href: save('html'), download: '' }, { label: t('trust.save_json'), href: save('json'), download: '' }] })}</div>`}
    </div>`;
  }

  renderRunning() {
    const job = this.running && (jobs.get().get(this.running.id) ?? this.running);
    if (!job) return nothing;
    const label = t(job.kind === 'verify' ? 'trust.checking' : 'trust.copies_searching');
    return html`${progressBar({ share: job.progress?.share ?? null, label, note: job.state === 'queued' ? t('shell.job_waits') : label })}
      <div class="actions">${button({ label: t('shell.job_cancel'), icon: 'square', small: true, run: () => cancelJob(job.id).catch(toastError) })}</div>`;
  }
}
customElements.define('gl-provenance', ProvenanceView);

/** Show where an output came from beside the page. @param {string} output */
export function open(output) {
  return openDialog({ title: t('shell.provenance'), size: 'side', body: () => html`<gl-provenance output=${output}></gl-provenance>` });
}
