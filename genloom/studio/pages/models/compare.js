/** <gl-model-compare>: two models beside each other. */
import { html, nothing } from '../../vendor/lit.js';
import { get, post } from '../../core/api.js';
import { Element } from '../../core/element.js';
import { t } from '../../core/i18n.js';
import { finishJob, isOver, jobs, nameStage, startJob } from '../../core/jobs.js';
import { replaceRoute, route } from '../../core/router.js';
import { toItem } from '../../components/output-card.js';
import { button, errorBox, field, icon, pageHead, progressBar } from '../../components/parts.js';
import { toast, toastError } from '../../components/toast.js';
import { viewer } from '../../components/viewer.js';
import { inputValue, translate } from '../../components/workshop.js';
import { renderCrumbs } from './family.js';

/** @typedef {import('../../core/shapes').Model} Model */
/** @typedef {import('../../core/shapes').Output} Output */

/** Two models beside each other: the same prompt to both, and what the held-out data say. */
class ModelCompare extends Element {
  static properties = { models: { attribute: false }, pair: { state: true }, outputs: { state: true }, isMaking: { state: true }, report: { state: true }, fault: { state: true }, job: { state: true }, preferred: { state: true } };

  constructor() {
    super();
    /** @type {Model[]} */
    this.models = [];
    const { query } = route.get();
    this.pair = [query.get('first') ?? '', query.get('second') ?? ''];
    /** @type {Output[][]} rounds of two */
    this.outputs = [];
    this.isMaking = false;
    /** Outputs that were chosen over their pair. @type {Set<string>} */
    this.preferred = new Set();
    /** @type {{lines: string[], verdict: string} | null} */
    this.report = null;
    /** @type {any} */
    this.fault = null;
    this.prompt = '';
    this.job = '';
  }

  stores() {
    return [jobs];
  }

  /** @param {number} side @param {string} ref */
  choose(side, ref) {
    this.pair = this.pair.map((each, n) => (n === side ? ref : each));
    this.outputs = [];
    this.report = null;
    replaceRoute(['models', 'compare'], { first: this.pair[0], second: this.pair[1] });
  }

  async make() {
    this.isMaking = true;
    this.fault = null;
    const seed = Math.floor(Math.random() * 2 ** 31);
    try {
      const started = await Promise.all(this.pair.map((model) => startJob('generate', { model, prompt: this.prompt, n: 1, seed })));
      const ended = await Promise.all(started.map(({ id }) => finishJob(id)));
      const failed = ended.find((job) => job.state === 'failed');
      if (failed) throw failed.error;
      const round = await Promise.all(ended.map((job) => get(`outputs/${job.result?.outputs[0]}`)));
      this.outputs = [round, ...this.outputs];
    } catch (error) {
      this.fault = error;
    } finally {
      this.isMaking = false;
    }
  }

  /** Note which of the two is better: a model can learn from that. @param {Output} output @param {Output[]} round */
  async prefer(output, round) {
    const other = /** @type {Output} */ (round.find((each) => each !== output));
    await post(`outputs/${output.id}/prefer`, { over: other.id });
    this.preferred = new Set([...this.preferred, output.id].filter((id) => id !== other.id));
    toast(t('models.preferred_toast'), { kind: 'good' });
  }

  async measure() {
    this.fault = null;
    this.report = null;
    try {
      const started = await startJob('compare', { model: this.pair[0], other: this.pair[1] });
      this.job = started.id;
      const job = await finishJob(started.id);
      if (job.state === 'failed') throw job.error;
      this.report = /** @type {any} */ (job.result);
    } catch (error) {
      this.fault = error;
    }
  }

  render() {
    const medium = this.models.find((model) => model.ref === this.pair[0])?.medium;
    const job = this.job ? jobs.get().get(this.job) : undefined;
    const isReady = this.pair.every(Boolean) && this.pair[0] !== this.pair[1];
    return html`${renderCrumbs()}${pageHead({ title: t('models.compare_title'), lead: t('models.compare_lead') })}
      <div class="field-row">${this.pair.map((ref, side) => field({ id: `compare-${side}`, label: t(side ? 'models.second' : 'models.first'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {Event} */ event) => this.choose(side, inputValue(event))}>
        ${this.models.filter((model) => !medium || side === 0 || model.medium === medium).map((model) => html`<option value=${model.ref} ?selected=${model.ref === ref}>${model.ref}</option>`)}</select>` }))}</div>
      ${this.fault ? errorBox(this.fault) : nothing}
      <section class="card panel"><h2>${t('models.same_prompt')}</h2><form class="compare-form" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.make())}>
          <input aria-label=${t('models.prompt')} placeholder=${t('models.prompt')} @input=${(/** @type {Event} */ event) => (this.prompt = inputValue(event))}>
          <button class="button primary" ?disabled=${!isReady || this.isMaking} aria-busy=${this.isMaking ? 'true' : 'false'}>${icon('sparkles')}<span>${t('models.make_both')}</span></button></form>
        ${this.isMaking ? progressBar({ share: null, label: t('models.making') }) : nothing}
        ${this.outputs.map((round) => html`<div class="compare-pair">${round.map((output) => html`<figure class="card"><div class="compare-shown">${viewer(toItem(output), 'full')}</div><figcaption><span>${output.model}</span>${this.preferred.has(output.id) ? html`<span class="badge good">${icon('check')}${t('models.preferred')}</span>`
          : button({ label: t('models.prefer'), small: true, run: () => this.prefer(output, round).catch(toastError) })}</figcaption></figure>`)}</div>`)}</section>
      <section class="card panel"><h2>${t('models.measured')}</h2><p class="help">${t('models.measured_help')}</p>
        ${job && !isOver(job) ? progressBar({ share: job.progress.share, label: t('models.measuring'), note: nameStage(job.progress.stage), secondsLeft: job.progress.seconds_left })
          : button({ label: t('models.measure'), icon: 'scale', disabled: !isReady, run: () => this.measure() })}
        ${this.report ? html`<p class="verdict-line">${translate('models.verdict', this.report.verdict)}</p><pre class="report" lang="en" tabindex="0">${this.report.lines.join('\n')}</pre>` : nothing}</section>`;
  }
}
customElements.define('gl-model-compare', ModelCompare);
