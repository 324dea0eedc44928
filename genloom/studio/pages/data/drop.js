/** <gl-data-drop>: files on their way into a data set; they are dropped, sent, looked at, named and collected. */
import { html, nothing } from '../../vendor/lit.js';
import { del, post, upload } from '../../core/api.js';
import { readDrop, readField, sendFiles, suggestName } from '../../core/drops.js';
import { Element } from '../../core/element.js';
import { formatBytes, formatNumber, t } from '../../core/i18n.js';
import { cancelJob, finishJob, isOver, jobs, nameJob, startJob } from '../../core/jobs.js';
import { go } from '../../core/router.js';
import { button, errorBox, field, icon, progressBar, segments } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';
import { inputValue, nameMedium, translate } from '../../components/workshop.js';

/** @typedef {import('../../core/shapes').Upload} Upload */
/** @typedef {import('../../core/shapes').CollectForecast} CollectForecast */
/** @typedef {import('../../core/drops.js').Chosen} Chosen */

const LICENCES = ['', 'CC0-1.0', 'CC-BY-4.0', 'CC-BY-SA-4.0', 'MIT', 'own work'];
const PERSONS = /** @type {const} */ (['voice', 'face', 'likeness', 'words', 'none']);

/** Files on their way into a data set: dropped, sent, looked at, named, collected. */
class DataDrop extends Element {
  static properties = { step: { state: true }, share: { state: true }, forecast: { state: true }, fault: { state: true }, isOver: { state: true }, names: { attribute: false }, job: { state: true } };

  constructor() {
    super();
    /** @type {'idle' | 'sending' | 'looking' | 'ready' | 'collecting'} */
    this.step = 'idle';
    this.share = 0;
    /** @type {Upload | null} */
    this.upload = null;
    /** @type {CollectForecast | null} */
    this.forecast = null;
    /** @type {any} */
    this.fault = null;
    this.isOver = false;
    /** @type {string[]} names of the sets that exist */
    this.names = [];
    this.name = '';
    this.licence = '';
    /** What of persons is in the files, as the collector says; []: not stated. @type {string[]} */
    this.persons = [];
    this.consent = ''; // the upload of a consent file
    this.medium = '';
    this.job = '';
  }

  stores() {
    return [jobs];
  }

  /** @param {Chosen[]} files */
  async send(files) {
    if (!files.length) return;
    this.step = 'sending';
    this.fault = null;
    this.share = 0;
    this.sending = new AbortController();
    this.name = suggestName(files);
    try {
      await sendFiles(files, (share) => (this.share = share), this.sending.signal, (sent) => (this.upload = sent));
      await this.look();
    } catch (error) {
      this.reset();
      if (/** @type {Error} */ (error).name !== 'AbortError') this.fault = error;
    }
  }

  async look() {
    if (!this.upload) return;
    this.step = 'looking';
    this.forecast = await post('forecast', { kind: 'collect', params: { upload: this.upload.id, ...(this.medium ? { medium: this.medium } : {}) } });
    this.step = 'ready';
    await this.updateComplete;
    /** @type {HTMLElement | null} */ (this.querySelector('#data-name'))?.focus();
  }

  reset() {
    this.sending?.abort();
    if (this.upload && this.step !== 'collecting') del(`uploads/${this.upload.id}`).catch(() => {});
    this.step = 'idle';
    this.upload = null;
    this.forecast = null;
    this.medium = '';
    this.persons = [];
    this.consent = '';
  }

  /** @param {Record<string, unknown>} source @param {string} name */
  async collect(source, name) {
    this.step = 'collecting';
    this.fault = null;
    try {
      const job = await startJob('collect', { ...source, name, ...(this.licence ? { licence: this.licence } : {}), ...(this.medium ? { medium: this.medium } : {}), ...(this.persons.length ? { persons: this.persons } : {}), ...(this.consent ? { consent: this.consent } : {}) });
      this.job = job.id;
      const ended = await finishJob(job.id);
      this.step = 'idle';
      this.upload = null;
      this.forecast = null;
      if (ended.state === 'succeeded' && this.isConnected) go(['data', ended.result?.dataset ?? name]); // else the reader has gone on
      if (ended.state === 'failed') this.fault = ended.error;
    } catch (error) {
      this.step = this.upload ? 'ready' : 'idle';
      this.fault = error;
    }
  }

  /** @param {DragEvent} event */
  async drop(event) {
    event.preventDefault();
    this.isOver = false;
    if (event.dataTransfer) await this.send(await readDrop(event.dataTransfer));
  }

  /** @param {Event} event */
  choose(event) {
    this.send(readField(event));
  }

  render() {
    return html`${this.fault ? errorBox(this.fault) : nothing}
      ${this.renderOthers()}
      ${this.step === 'idle' ? this.renderZone() : html`<section class="card panel collect" aria-live="polite">${this.renderStep()}</section>`}`;
  }

  /** Collections that were started before this page was opened, or elsewhere. */
  renderOthers() {
    const others = [...jobs.get().values()].filter((job) => job.kind === 'collect' && !isOver(job) && job.id !== this.job && this.step === 'idle');
    return others.map((job) => html`<section class="card panel collect">${progressBar({ share: job.progress.share, label: nameJob(job), note: nameJob(job), secondsLeft: job.progress.seconds_left })}
      <div class="actions">${button({ label: t('shell.cancel'), small: true, run: () => cancelJob(job.id).catch(toastError) })}</div></section>`);
  }

  renderZone() {
    const set = (/** @type {boolean} */ value) => (/** @type {Event} */ event) => {
      event.preventDefault();
      this.isOver = value;
    };
    const pick = (/** @type {string} */ id) => () => /** @type {HTMLElement | null} */ (this.querySelector(id))?.click();
    return html`<div class="drop-zone ${this.isOver ? 'drop-target' : ''}" @dragenter=${set(true)} @dragover=${set(true)} @dragleave=${set(false)} @drop=${this.drop}>
      ${icon('upload')}<p><strong>${t('data.drop')}</strong></p><p class="help">${t('data.drop_help')}</p>
      <div class="actions">${button({ label: t('data.choose_files'), icon: 'fileUp', kind: 'primary', run: pick('#data-files') })}
        ${button({ label: t('data.choose_folder'), icon: 'folderOpen', run: pick('#data-folder') })}
        ${this.names.includes('shakespeare') ? nothing : button({ label: t('data.try_builtin'), icon: 'bookOpen', kind: 'quiet', run: () => this.collect({ builtin: 'builtin:shakespeare' }, 'shakespeare') })}</div>
      <input id="data-files" type="file" multiple hidden @change=${this.choose}><input id="data-folder" type="file" webkitdirectory hidden @change=${this.choose}></div>`;
  }

  renderStep() {
    if (this.step === 'sending') {
      return html`<h2>${t('data.sending')}</h2>${progressBar({ share: this.share, label: t('data.sending') })}
        <div class="actions">${button({ label: t('shell.cancel'), run: () => this.reset() })}</div>`;
    }
    if (this.step === 'looking') return html`<h2>${t('data.looking')}</h2>${progressBar({ share: null, label: t('data.looking') })}`;
    if (this.step === 'collecting') {
      const job = jobs.get().get(this.job);
      return html`<h2>${t('data.collecting')}</h2>${progressBar({ share: job?.progress?.share ?? null, label: t('data.collecting'), note: job?.progress?.note ?? '', secondsLeft: job?.progress?.seconds_left })}
        <div class="actions">${job && !isOver(job) ? button({ label: t('shell.cancel'), run: () => cancelJob(job.id).catch(toastError) }) : nothing}</div>`;
    }
    return this.forecast ? this.renderForecast(this.forecast) : nothing;
  }

  /** What would be taken, and what would be left. @param {CollectForecast} forecast */
  renderForecast(forecast) {
    const chosen = forecast.media.find((each) => each.medium === forecast.medium) ?? forecast;
    const others = forecast.files - chosen.files;
    const left = forecast.left.reduce((sum, each) => sum + each.count, others);
    const taken = this.names.includes(this.name);
    return html`<h2>${t('data.found', { n: chosen.files, medium: nameMedium(forecast.medium) })}</h2>
      <p class="soft">${formatBytes(chosen.bytes)}${forecast.examples.length ? html` · ${forecast.examples.slice(0, 3).join(', ')}${chosen.files > 3 ? ' …' : ''}` : nothing}</p>
      ${forecast.medium === 'text' ? html`<p class="help">${t('data.texts_help')}</p>` : nothing}
      ${forecast.media.length > 1 ? html`<div class="field"><span class="label">${t('data.several_media')}</span>${segments({ label: t('data.several_media'), selected: forecast.medium, choose: (medium) => {
        this.medium = medium;
        this.look().catch((error) => (this.fault = error));
      }, items: forecast.media.map((each) => ({ id: each.medium, label: `${nameMedium(each.medium)} (${formatNumber(each.files)})` })) })}</div>` : nothing}
      ${left ? html`<details open class="left"><summary>${t('data.left', { n: left })}</summary><ul>${others ? html`<li><strong>${formatNumber(others)}</strong> ${t('data.reason_other_medium')}</li>` : nothing}${forecast.left.map((each) => html`<li><strong>${formatNumber(each.count)}</strong> ${translate('data.reason', each.reason)}</li>`)}</ul></details>` : nothing}
      <form class="collect-form" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.collect({ upload: this.upload?.id }, this.name))}>
        ${field({ id: 'data-name', label: t('data.name'), help: taken ? t('data.name_exists') : t('data.name_help'), control: ({ id, describedBy }) => html`
          <input id=${id} required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" maxlength="60" autocomplete="off" title=${t('data.name_help')} aria-describedby=${describedBy} .value=${this.name} @input=${(/** @type {Event} */ event) => {
            this.name = inputValue(event);
            this.requestUpdate();
          }}>` })}
        ${field({ id: 'data-licence', label: t('data.licence'), help: t('data.licence_help'), control: ({ id, describedBy }) => html`<select id=${id} aria-describedby=${describedBy} @change=${(/** @type {Event} */ event) => (this.licence = inputValue(event))}>
          ${LICENCES.map((licence) => html`<option value=${licence} ?selected=${licence === this.licence}>${licence ? translate('data.licence', licence) : t('data.licence_found')}</option>`)}</select>` })}
        ${this.renderPersons()}
        <div class="actions"><button class="button primary" ?disabled=${!chosen.files}>${icon('check')}<span>${t('data.collect', { n: chosen.files })}</span></button>
          ${button({ label: t('shell.cancel'), kind: 'quiet', run: () => this.reset() })}</div></form>`;
  }

  /** Persons in the data, and the consents that they gave. */
  renderPersons() {
    const change = (/** @type {string} */ name) => (/** @type {Event} */ event) => {
      const isOn = /** @type {HTMLInputElement} */ (event.target).checked;
      const others = this.persons.filter((each) => each !== name && (each === 'none') === (name === 'none')); // "none" stands alone
      this.persons = isOn ? [...others, name] : others;
      this.requestUpdate();
    };
    const take = async (/** @type {any} */ event) => {
      const [file] = event.target.files;
      try {
        this.consent = file ? (await upload('uploads', [{ file }])).id : '';
      } catch (error) {
        toastError(error);
      }
    };
    return html`<details class="knobs persons"><summary>${t('data.persons')}</summary>
      <fieldset class="choices"><legend class="help">${t('data.persons_help')}</legend>${PERSONS.map((name) => html`<label class="choice-row"><input type="checkbox" .checked=${this.persons.includes(name)} @change=${change(name)}><span>${t(`data.person_${name}`)}</span></label>`)}</fieldset>
      ${field({ id: 'data-consent', label: t('data.consent_file'), help: t('data.consent_help'), control: ({ id, describedBy }) => html`<input id=${id} type="file" accept=".toml" aria-describedby=${describedBy} @change=${take}>` })}</details>`;
  }
}
customElements.define('gl-data-drop', DataDrop);
