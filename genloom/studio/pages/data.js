/** Data: drop files, see what is taken and left and why; the sets, their splits, licences and samples, captions by keys. */
import { html, noChange, nothing, repeat } from '../vendor/lit.js';
import { del, get, patch, post, quote, upload } from '../core/api.js';
import { announce, vars } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { formatAgo, formatBytes, formatNumber, formatPercent, t } from '../core/i18n.js';
import { cancelJob, finishJob, isOver, jobs, startJob } from '../core/jobs.js';
import { bindKeys } from '../core/keys.js';
import { go, href, route } from '../core/router.js';
import { confirmDialog } from '../components/dialog.js';
import { menu } from '../components/menu.js';
import { button, buttonLink, emptyState, errorBox, field, icon, pageHead, progressBar, segments } from '../components/parts.js';
import { toast, toastError } from '../components/toast.js';
import { viewer } from '../components/viewer.js';
import { countItems, inputValue, mediumIcon, nameMedium, translate } from '../components/workshop.js';

/** @typedef {import('../core/shapes').Dataset} Dataset */
/** @typedef {import('../core/shapes').DatasetDetail} DatasetDetail */
/** @typedef {import('../core/shapes').Sample} Sample */
/** @typedef {import('../core/shapes').Upload} Upload */
/** @typedef {import('../core/shapes').CollectForecast} CollectForecast */
/** @typedef {{file: File, path: string}} Chosen */

const PART_FILES = 200; // files in one request
const PART_BYTES = 64_000_000;
const LICENCES = ['', 'CC0-1.0', 'CC-BY-4.0', 'CC-BY-SA-4.0', 'MIT', 'own work'];
const SPLITS = /** @type {const} */ (['train', 'val', 'test']);

/** All files of a drop, folders with what is in them. @param {DataTransfer} transfer @returns {Promise<Chosen[]>} */
async function readDrop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  /** @type {Chosen[]} */
  const found = [];
  const walk = async (/** @type {any} */ entry, /** @type {string} */ folder) => {
    const path = `${folder}${entry.name}`;
    if (entry.isFile) return void found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
    const reader = entry.createReader();
    for (;;) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!part.length) return;
      for (const each of part) await walk(each, `${path}/`);
    }
  };
  for (const entry of entries) await walk(entry, '');
  return found.filter(({ path }) => !path.split('/').some((part) => part.startsWith('.')));
}

/** @param {Chosen[]} files @returns {Chosen[][]} requests of a bounded size */
function splitFiles(files) {
  /** @type {Chosen[][]} */
  const parts = [];
  let bytes = Infinity;
  for (const each of files) {
    if (bytes + each.file.size > PART_BYTES || (parts.at(-1)?.length ?? 0) >= PART_FILES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(each);
    bytes += each.file.size;
  }
  return parts;
}

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
    const total = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
    try {
      let done = 0;
      for (const part of splitFiles(files)) {
        const bytes = part.reduce((sum, { file }) => sum + file.size, 0);
        this.upload = await upload(this.upload ? `uploads/${this.upload.id}` : 'uploads', part, (share) => (this.share = (done + share * bytes) / total), this.sending.signal);
        done += bytes;
      }
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
  }

  /** @param {Record<string, unknown>} source @param {string} name */
  async collect(source, name) {
    this.step = 'collecting';
    this.fault = null;
    try {
      const job = await startJob('collect', { ...source, name, ...(this.licence ? { licence: this.licence } : {}), ...(this.medium ? { medium: this.medium } : {}) });
      this.job = job.id;
      const ended = await finishJob(job.id);
      this.step = 'idle';
      this.upload = null;
      this.forecast = null;
      if (ended.state === 'succeeded') return go(['data', ended.result?.dataset ?? name]);
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
    const { files } = /** @type {HTMLInputElement} */ (event.target);
    this.send([...(files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
  }

  render() {
    return html`${this.fault ? errorBox(this.fault) : nothing}
      ${this.step === 'idle' ? this.renderZone() : html`<section class="card panel collect" aria-live="polite">${this.renderStep()}</section>`}`;
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
      ${forecast.media.length > 1 ? html`<div class="field"><span class="label">${t('data.several_media')}</span>${segments({ label: t('data.several_media'), selected: forecast.medium, choose: (medium) => {
        this.medium = medium;
        this.look().catch((error) => (this.fault = error));
      }, items: forecast.media.map((each) => ({ id: each.medium, label: `${nameMedium(each.medium)} (${formatNumber(each.files)})` })) })}</div>` : nothing}
      ${left ? html`<details open class="left"><summary>${t('data.left', { n: left })}</summary><ul>${others ? html`<li><strong>${formatNumber(others)}</strong> ${t('data.reason_other_medium')}</li>` : nothing}${forecast.left.map((each) => html`<li><strong>${formatNumber(each.count)}</strong> ${translate('data.reason', each.reason)}</li>`)}</ul></details>` : nothing}
      <form class="collect-form" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.collect({ upload: this.upload?.id }, this.name))}>
        ${field({ id: 'data-name', label: t('data.name'), help: taken ? t('data.name_exists') : t('data.name_help'), control: ({ id, describedBy }) => html`
          <input id=${id} required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" maxlength="60" autocomplete="off" aria-describedby=${describedBy} .value=${this.name} @input=${(/** @type {Event} */ event) => {
            this.name = inputValue(event);
            this.requestUpdate();
          }}>` })}
        ${field({ id: 'data-licence', label: t('data.licence'), help: t('data.licence_help'), control: ({ id, describedBy }) => html`<select id=${id} aria-describedby=${describedBy} @change=${(/** @type {Event} */ event) => (this.licence = inputValue(event))}>
          ${LICENCES.map((licence) => html`<option value=${licence} ?selected=${licence === this.licence}>${licence ? translate('data.licence', licence) : t('data.licence_found')}</option>`)}</select>` })}
        <div class="actions"><button class="button primary" ?disabled=${!chosen.files}>${icon('check')}<span>${t('data.collect', { n: chosen.files })}</span></button>
          ${button({ label: t('shell.cancel'), kind: 'quiet', run: () => this.reset() })}</div></form>`;
  }
}
customElements.define('gl-data-drop', DataDrop);

/** A name for the set from what was dropped. @param {Chosen[]} files */
function suggestName(files) {
  const [first] = files;
  const word = first.path.includes('/') ? first.path.split('/')[0] : files.length === 1 ? first.file.name.replace(/\.[^.]+$/, '') : 'files';
  return word.normalize('NFKD').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+|-+$/g, '').slice(0, 40).toLowerCase() || 'files';
}

/** One data set. */
class DataDetail extends Element {
  static properties = { name: {}, detail: { state: true }, samples: { state: true }, split: { state: true }, next: { state: true }, fault: { state: true }, editing: { state: true }, query: { state: true } };

  constructor() {
    super();
    this.name = '';
    /** @type {DatasetDetail | null} */
    this.detail = null;
    /** @type {Sample[]} */
    this.samples = [];
    /** @type {'' | typeof SPLITS[number]} */
    this.split = '';
    /** @type {string | null} */
    this.next = null;
    /** @type {any} */
    this.fault = null;
    this.editing = -1;
    this.query = '';
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(bindKeys(t('data.captions'), [
      { key: 'e', label: t('data.key_edit'), run: () => this.edit(0), when: () => Boolean(this.detail?.can_edit_captions && this.samples.length && this.editing < 0) },
    ]));
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('name') && this.name) this.load();
  }

  async load() {
    try {
      this.detail = await get(`datasets/${quote(this.name)}`);
      await this.loadSamples();
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  async loadSamples(cursor = '') {
    const answer = await get(`datasets/${quote(this.name)}/samples`, { split: this.split, q: this.query, cursor, limit: 24 });
    this.samples = cursor ? [...this.samples, ...answer.data] : answer.data;
    this.next = answer.has_more ? answer.next : null;
  }

  /** @param {number} index */
  async edit(index) {
    if (index >= this.samples.length && this.next) await this.loadSamples(this.next);
    this.editing = index >= 0 && index < this.samples.length ? index : -1;
    await this.updateComplete;
    const box = /** @type {HTMLInputElement | null} */ (this.querySelector('.caption-edit'));
    box?.focus();
    box?.select();
    box?.closest('.sample')?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {number} index @param {string} caption */
  async saveCaption(index, caption) {
    const sample = this.samples[index];
    const before = sample.caption ?? '';
    if (caption === before) return;
    const show = (/** @type {string} */ text) => (this.samples = this.samples.map((each) => (each.id === sample.id ? { ...each, caption: text } : each)));
    show(caption);
    try {
      await patch(`datasets/${quote(this.name)}/samples/${quote(sample.id)}`, { caption });
      this.samples = this.samples.map((each) => (each.id === sample.id ? { ...each, is_edited: true } : each));
      if (this.detail && !sample.is_edited) this.detail = { ...this.detail, edited_captions: this.detail.edited_captions + 1 };
      announce(t('data.caption_saved'));
    } catch (error) {
      show(before);
      toastError(error);
    }
  }

  /** @param {KeyboardEvent} event @param {number} index */
  async onCaptionKey(event, index) {
    const { value } = /** @type {HTMLInputElement} */ (event.target);
    const step = event.key === 'Enter' ? (event.shiftKey ? -1 : 1) : { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') {
      event.preventDefault();
      this.editing = -1;
      await this.updateComplete;
      /** @type {HTMLElement | null} */ (this.querySelectorAll('.sample')[index]?.querySelector('button'))?.focus();
    } else if (step) {
      event.preventDefault();
      this.saveCaption(index, value.trim());
      await this.edit(index + step);
    }
  }

  /** Versions never change: the captions go into a new one. */
  async applyCaptions() {
    await post(`datasets/${quote(this.name)}/captions`);
    await this.load();
    toast(t('data.captions_applied'), { kind: 'good' });
  }

  async deleteSet(force = false) {
    const { name } = this;
    try {
      const entry = await del(`datasets/${quote(name)}${force ? '?force=true' : ''}`);
      go('data');
      toast(t('data.deleted', { name }), { undo: () => post(`bin/${quote(entry.id)}/restore`) });
    } catch (error) {
      const { code, message } = /** @type {import('../core/api.js').ApiError} */ (error);
      if (force || !/still_needed/.test(code)) return toastError(error);
      if (await confirmDialog({ title: t('data.delete_needed', { name }), text: message, confirm: t('data.delete_anyway'), danger: true })) await this.deleteSet(true);
    }
  }

  render() {
    const { detail } = this;
    if (this.fault && !detail) return errorBox(this.fault, () => this.load());
    if (!detail) return nothing;
    return html`<nav class="crumbs" aria-label=${t('data.title')}><a class="text-link" href=${href('data')}>${t('data.title')}</a><span aria-hidden="true">/</span></nav>
      ${pageHead({ title: detail.name, lead: t('data.summary', { items: countItems(detail.medium, detail.documents), size: formatBytes(detail.bytes) }), actions: html`
        ${buttonLink({ label: t('data.train'), icon: 'trendingUp', kind: 'primary', href: href('train', { data: detail.name }) })}
        ${menu({ label: t('data.more'), items: [{ label: t('data.delete'), icon: 'trash2', danger: true, run: () => this.deleteSet() }] })}` })}
      <div class="data-columns">${renderTaken(detail)}${renderSplits(detail)}${renderLicences(detail)}</div>
      ${detail.notes.length ? html`<details class="left"><summary>${t('data.notes', { n: detail.notes.length })}</summary><ul lang="en">${detail.notes.map((note) => html`<li><strong>${note.source}</strong> ${note.reason}</li>`)}</ul></details>` : nothing}
      ${this.renderSamples(detail)}`;
  }

  /** @param {DatasetDetail} detail */
  renderSamples(detail) {
    const search = (/** @type {Event} */ event) => {
      this.query = inputValue(event).trim();
      this.loadSamples().catch(toastError);
    };
    return html`<section aria-labelledby="samples-title"><div class="section-head"><h2 id="samples-title">${t('data.samples')}</h2>
        ${segments({ label: t('data.split'), selected: this.split, choose: (split) => {
          this.split = split;
          this.editing = -1;
          this.loadSamples().catch(toastError);
        }, items: [{ id: /** @type {const} */ (''), label: t('data.all') }, ...SPLITS.filter((split) => detail.splits[split]).map((split) => ({ id: split, label: t(`data.split_${split}`) }))] })}
        <input type="search" aria-label=${t('data.search')} placeholder=${t('data.search')} .value=${this.query} @change=${search}></div>
      ${detail.can_edit_captions ? html`<p class="help">${t('data.captions_help')}</p>` : nothing}
      ${detail.edited_captions ? html`<div class="edited" role="status"><span>${icon('pencil')}${t('data.edited', { n: detail.edited_captions })}</span>
        ${button({ label: t('data.apply_captions'), icon: 'save', kind: 'primary', small: true, run: () => this.applyCaptions().catch(toastError) })}</div>` : nothing}
      ${this.samples.length ? html`<ul class="samples ${detail.medium === 'text' ? 'texts' : ''}">${repeat(this.samples, (sample) => sample.id, (sample, n) => this.renderSample(detail, sample, n))}</ul>` : html`<p class="soft">${t('data.no_samples')}</p>`}
      ${this.next ? html`<div class="actions">${button({ label: t('data.more_samples'), run: () => this.loadSamples(this.next ?? '').catch(toastError) })}</div>` : nothing}</section>`;
  }

  /** @param {DatasetDetail} detail @param {Sample} sample @param {number} n */
  renderSample(detail, sample, n) {
    const caption = sample.caption ?? '';
    return html`<li class="card sample"><div class="sample-shown">${viewer({ ...sample, mime: sample.shown_mime ?? (sample.text === null ? null : 'text/plain'), label: caption || sample.source })}</div>
      ${detail.can_edit_captions ? this.editing === n
        ? html`<input class="caption-edit" aria-label=${t('data.caption_of', { source: sample.source })} maxlength="10000" .value=${caption}
            @keydown=${(/** @type {KeyboardEvent} */ event) => this.onCaptionKey(event, n)} @blur=${(/** @type {Event} */ event) => this.saveCaption(n, inputValue(event).trim())}>`
        : html`<button type="button" class="caption ${caption ? '' : 'missing'}" @click=${() => this.edit(n)}>${caption || t('data.no_caption')}${icon('pencil')}<span class="visually-hidden">${t('data.key_edit')}</span></button>`
        : caption ? html`<p class="caption">${caption}</p>` : nothing}
      <p class="sample-source"><span title=${sample.source}>${sample.source.split('/').at(-1)}</span><span>${sample.licence}</span></p></li>`;
  }
}
customElements.define('gl-data-detail', DataDetail);

/** What was read, kept and removed. @param {DatasetDetail} detail */
function renderTaken(detail) {
  const read = detail.read ?? detail.documents;
  return html`<section class="card panel"><h2>${t('data.taken')}</h2><p class="figure">${formatNumber(detail.documents)} <small>${t('data.of_read', { n: read })}</small></p>
    ${detail.removed.length ? html`<ul class="reasons">${detail.removed.map((each) => html`<li><strong>${formatNumber(each.count)}</strong> <span>${translate('data.reason', each.reason)}</span></li>`)}</ul>` : html`<p class="soft">${t('data.nothing_removed')}</p>`}</section>`;
}

/** @param {DatasetDetail} detail */
function renderSplits(detail) {
  const rows = SPLITS.map((split) => ({ split, count: detail.splits[split]?.documents ?? 0 })).filter(({ count }) => count);
  const total = rows.reduce((sum, { count }) => sum + count, 0) || 1;
  return html`<section class="card panel"><h2>${t('data.splits')}</h2>
    <div class="split-bar" aria-hidden="true">${rows.map(({ split, count }) => html`<span class=${split} ${vars({ '--share': count / total })}></span>`)}</div>
    <dl class="legend">${rows.map(({ split, count }) => html`<div class=${split}><dt>${t(`data.split_${split}`)}</dt><dd>${formatNumber(count)} <small>${formatPercent(count / total)}</small></dd></div>`)}</dl>
    <p class="help">${t('data.splits_help')}</p></section>`;
}

/** @param {DatasetDetail} detail */
function renderLicences(detail) {
  const rows = Object.entries(detail.licences).sort((a, b) => b[1] - a[1]);
  const total = rows.reduce((sum, [, count]) => sum + count, 0) || 1;
  return html`<section class="card panel"><h2>${t('data.licences')}</h2><ul class="bars">${rows.slice(0, 6).map(([licence, count]) => html`<li><span>${licence === 'unknown' ? t('data.licence_unknown') : licence}</span>
      <span class="bar" ${vars({ '--share': count / total })} aria-hidden="true"></span><span class="number">${formatNumber(count)}</span></li>`)}</ul>
    ${detail.licences.unknown ? html`<p class="help">${t('data.licence_unknown_help')}</p>` : nothing}</section>`;
}

class DataPage extends Element {
  static properties = { datasets: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {Dataset[] | null} */
    this.datasets = null;
    /** @type {any} */
    this.fault = null;
  }

  stores() {
    return [route];
  }

  connectedCallback() {
    super.connectedCallback();
    for (const kind of ['dataset.created', 'dataset.removed', 'dataset.restored', 'reset']) this.onLeave(onEvent(kind, () => this.load()));
    this.load();
  }

  async load() {
    try {
      this.datasets = (await get('datasets')).data;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  render() {
    const { page, rest: [name] } = route.get();
    if (page !== 'data') return noChange; // the shell is about to take this page away
    if (name) return html`<gl-data-detail .name=${name}></gl-data-detail>`;
    const { datasets } = this;
    return html`${pageHead({ title: t('data.title'), lead: t('data.lead') })}
      ${this.fault ? errorBox(this.fault, () => this.load()) : nothing}
      <gl-data-drop .names=${(datasets ?? []).map((each) => each.name)}></gl-data-drop>
      ${datasets?.length ? html`<ul class="data-list">${repeat(datasets, (each) => each.name, (each) => html`<li><a class="card panel data-card" href=${href(['data', each.name])}>
        <div class="data-card-head">${icon(mediumIcon(each.medium))}<h2>${each.name}</h2></div>
        <p>${t('data.summary', { items: countItems(each.medium, each.documents), size: formatBytes(each.bytes) })}</p>
        <p class="soft">${each.used_by.length ? t('data.used_by', { models: each.used_by.join(', ') }) : t('data.unused')} · ${formatAgo(each.created)}</p></a></li>`)}</ul>` : datasets ? html`<p class="soft first-step">${t('data.none')}</p>` : nothing}`;
  }
}
customElements.define('gl-data', DataPage);
