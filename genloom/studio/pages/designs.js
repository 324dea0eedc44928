/** Designs: parts that hold, from goals in words, an example or a file; what was made, with files and a report. */
import { html, nothing, repeat } from '../vendor/lit.js';
import { del, get, makeUrl, post, quote } from '../core/api.js';
import { announce } from '../core/dom.js';
import { Element } from '../core/element.js';
import { formatAgo, formatNumber, formatPercent, t } from '../core/i18n.js';
import { cancelJob, isOver, jobs, nameStage, startJob } from '../core/jobs.js';
import { confirmDialog } from '../components/dialog.js';
import { menu } from '../components/menu.js';
import { button, errorBox, facts, field, icon, pageHead, progressBar, segments } from '../components/parts.js';
import { toastError } from '../components/toast.js';
import { inputValue, translate } from '../components/workshop.js';

/** @typedef {import('../core/shapes').DesignGoals} Goals */
/** @typedef {import('../core/shapes').DesignExample} Example */
/** @typedef {import('../core/shapes').Job} Job */
/** @typedef {'words' | 'example' | 'document'} Source */

const SOURCES = /** @type {const} */ (['words', 'example', 'document']);
const COUNTS = [1, 2, 4, 8];
const SHOWN_FACTS = ['mass, g', 'displacement, mm', 'stress, MPa', 'compliance, J']; // names of the server

class DesignsPage extends Element {
  static properties = { source: { state: true }, goals: { state: true }, examples: { state: true }, fault: { state: true }, isReading: { state: true }, made: { state: true } };

  constructor() {
    super();
    /** @type {Source} */
    this.source = 'words';
    this.given = { words: '', example: '', document: '' };
    this.count = 4;
    /** What is asked for, as it was read. @type {Goals | null} */
    this.goals = null;
    /** @type {Example[]} */
    this.examples = [];
    /** @type {any} */
    this.fault = null;
    this.isReading = false;
    /** Jobs of before, with their results. @type {Map<string, Job>} */
    this.made = new Map();
  }

  stores() {
    return [jobs];
  }

  connectedCallback() {
    super.connectedCallback();
    this.read().catch((error) => (this.fault = error));
  }

  async read() {
    const [examples, before] = await Promise.all([get('designs/examples'), get('jobs', { kind: 'design', limit: 20 })]);
    this.examples = examples.data;
    this.given.example ||= this.examples[0]?.name ?? '';
    this.made = new Map(before.data.map((/** @type {Job} */ job) => [job.id, job]));
  }

  /** Let the server say what is asked for. */
  async look() {
    const given = this.given[this.source].trim();
    if (!given) return;
    this.isReading = true;
    this.fault = null;
    try {
      this.goals = await post('designs/goals', { [this.source]: given });
      announce(t('designs.read'));
    } catch (error) {
      this.goals = null;
      this.fault = error;
    } finally {
      this.isReading = false;
    }
  }

  async start() {
    if (!this.goals) return;
    try {
      await startJob('design', { goals: this.goals.document, count: this.count });
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  /** @param {Job} job */
  async removeFiles(job) {
    if (!(await confirmDialog({ title: t('designs.delete_title'), text: t('designs.delete_text'), confirm: t('designs.delete'), danger: true }))) return;
    const changed = await del(`designs/${quote(job.id)}`);
    this.made = new Map(this.made).set(job.id, changed);
    jobs.update((now) => new Map(now).set(job.id, changed));
  }

  render() {
    const all = new Map([...this.made, ...[...jobs.get()].filter(([, job]) => job.kind === 'design')]);
    const shown = [...all.values()].filter((job) => job.state !== 'cancelled' && !isEmptied(job)).sort((a, b) => b.created.localeCompare(a.created));
    return html`${pageHead({ title: t('designs.title'), lead: t('designs.lead') })}
      ${this.renderForm()}
      ${this.fault ? errorBox(this.fault) : nothing}
      ${this.goals ? this.renderGoals(this.goals) : nothing}
      ${repeat(shown, (job) => job.id, (job) => this.renderJob(job))}`;
  }

  renderForm() {
    const take = (/** @type {Event} */ event) => {
      this.given[this.source] = inputValue(event);
      this.goals = null; // it is of what stood there before
    };
    const controls = {
      words: () => field({ id: 'design-words', label: t('designs.words'), help: t('designs.words_help'), control: ({ id, describedBy }) => html`<input id=${id} lang="en" autocomplete="off" maxlength="2000" placeholder="a light steel bridge held at both ends" aria-describedby=${describedBy} .value=${this.given.words} @input=${take}>` }),
      example: () => field({ id: 'design-example', label: t('designs.example'), control: ({ id }) => html`<select id=${id} @change=${take}>${this.examples.map((each) => html`<option value=${each.name} ?selected=${each.name === this.given.example}>${each.title}</option>`)}</select>` }),
      document: () => html`${field({ id: 'design-document', label: t('designs.document'), help: t('designs.document_help'), control: ({ id, describedBy }) => html`<textarea id=${id} rows="10" class="code" spellcheck="false" aria-describedby=${describedBy} .value=${this.given.document} @input=${take}></textarea>` })}
        <div class="actions">${button({ label: t('designs.open_file'), icon: 'fileUp', small: true, run: () => /** @type {HTMLElement | null} */ (this.querySelector('#design-file'))?.click() })}
          <input id="design-file" type="file" accept=".toml" hidden @change=${(/** @type {any} */ event) => event.target.files[0]?.text().then((/** @type {string} */ text) => {
            this.given.document = text;
            this.goals = null;
            this.requestUpdate();
          })}></div>`,
    };
    return html`<form class="card panel stack" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.look())}>
      ${segments({ label: t('designs.from'), selected: this.source, choose: (source) => {
        this.source = source;
        this.goals = null;
      }, items: SOURCES.map((id) => ({ id, label: t(`designs.from_${id}`) })) })}
      ${controls[this.source]()}
      <div class="actions"><button class="button ${this.goals ? '' : 'primary'}" aria-busy=${this.isReading ? 'true' : 'false'}>${icon('eye')}<span>${t('designs.look')}</span></button></div></form>`;
  }

  /** What is asked for, before anything is computed. @param {Goals} goals */
  renderGoals(goals) {
    return html`<section class="card panel design-goals"><img src=${goals.picture} alt=${t('designs.picture_of', { title: goals.title || t('designs.goals') })}>
      <div class="stack"><h2>${goals.title || t('designs.goals')}</h2>
        <div lang="en">${facts([[t('designs.size'), `${goals.size.map((each) => formatNumber(each)).join(' × ')} mm`], [t('designs.state'), goals.state], ...goals.limits.map((each) => /** @type {[string, string]} */ ([translate('designs.limit', each.name), each.value]))])}</div>
        ${goals.understood.length ? html`<div><h3 class="label">${t('designs.understood')}</h3><dl class="facts" lang="en">${goals.understood.map((each) => html`<div><dt>${each.words}</dt><dd>${each.meaning}</dd></div>`)}</dl></div>` : nothing}
        <details><summary>${t('designs.as_document')}</summary><pre class="report" tabindex="0">${goals.document}</pre>
          <div class="actions">${button({ label: t('designs.edit_document'), icon: 'pencil', small: true, run: () => {
            this.given.document = goals.document;
            this.source = 'document';
          } })}</div></details>
        <div class="actions"><label><span class="visually-hidden">${t('designs.count_label')}</span><select @change=${(/** @type {any} */ event) => (this.count = Number(event.target.value))}>${COUNTS.map((n) => html`<option value=${n} ?selected=${n === this.count}>${t('designs.count', { n })}</option>`)}</select></label>
          ${button({ label: t('designs.start'), icon: 'sparkles', kind: 'primary', run: () => this.start() })}</div></div></section>`;
  }

  /** @param {Job} job */
  renderJob(job) {
    const result = /** @type {any} */ (job.result ?? {});
    const address = (/** @type {string} */ name) => makeUrl(`api/designs/${quote(job.id)}/files/${quote(name)}`).href;
    const title = result.title || t('designs.goals');
    return html`<section class="designs-made" aria-label=${title}><header class="section-head"><div><h2>${title}</h2><p class="help">${formatAgo(job.created)}</p></div>
        ${result.designs ? html`<div class="actions"><a class="button small" href=${address('report.html')} target="_blank" rel="noopener">${icon('fileText')}<span>${t('designs.report')}</span></a>
          ${button({ label: t('designs.delete'), icon: 'trash2', alone: true, small: true, kind: 'quiet', run: () => this.removeFiles(job).catch(toastError) })}</div>` : nothing}
        ${isOver(job) ? nothing : button({ label: t('shell.job_cancel'), icon: 'square', small: true, run: () => cancelJob(job.id).catch(toastError) })}</header>
      ${job.state === 'failed' ? errorBox(job.error ?? { message: t('shell.state_failed') }) : nothing}
      ${isOver(job) ? nothing : progressBar({ share: job.progress?.share ?? null, label: title, note: job.state === 'queued' ? t('shell.job_waits') : nameStage(job.progress?.stage), secondsLeft: job.progress?.seconds_left })}
      ${result.designs ? html`<ul class="design-list">${repeat(result.designs, (/** @type {any} */ each) => each.name, (/** @type {any} */ each, n) => this.renderDesign(each, n + 1, address))}</ul>` : nothing}</section>`;
  }

  /** @param {any} design @param {number} n @param {(name: string) => string} address */
  renderDesign(design, n, address) {
    const label = t('designs.design', { n });
    const rows = SHOWN_FACTS.filter((name) => name in design.facts).map((name) => /** @type {[string, string]} */ ([translate('designs.fact', name), formatNumber(design.facts[name], { maximumSignificantDigits: 4 })]));
    return html`<li class="card design-card"><img src=${address(`${design.name}.png`)} alt=${t('designs.picture_of', { title: label })} loading="lazy">
      <div class="stack"><div class="section-head"><h3>${label}</h3><span class="badge ${design.faults.length ? 'warn' : 'good'}">${t(design.faults.length ? 'designs.misses' : 'designs.meets')}</span></div>
        ${facts([...rows, design.distance === null ? ['', ''] : [t('designs.differs'), formatPercent(design.distance)]])}
        ${design.faults.length ? html`<ul class="design-faults" lang="en">${design.faults.map((/** @type {string} */ fault) => html`<li>${fault}</li>`)}</ul>` : nothing}
        <div class="actions">${menu({ label: t('shell.download'), icon: 'download', small: true, items: design.files.map((/** @type {string} */ name) => ({ label: name.split('.').at(-1)?.toUpperCase() ?? name, note: t(`designs.format_${name.split('.').at(-1)}`), href: address(name), download: name })) })}</div></div></li>`;
  }
}
customElements.define('gl-designs', DesignsPage);

/** Whether its files were deleted. @param {Job} job */
const isEmptied = (job) => job.state === 'succeeded' && !(/** @type {any} */ (job.result)?.designs ?? []).some((/** @type {any} */ each) => each.files.length);
