/** <gl-data-detail>: one data set, with what was taken, its splits and licences, its samples, and captions by keys. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { del, get, makeUrl, patch, post, quote } from '../../core/api.js';
import { announce, vars } from '../../core/dom.js';
import { Element } from '../../core/element.js';
import { formatBytes, formatDate, formatNumber, formatPercent, t } from '../../core/i18n.js';
import { bindKeys } from '../../core/keys.js';
import { go, href } from '../../core/router.js';
import { isAllowed } from '../../core/session.js';
import { confirmDialog } from '../../components/dialog.js';
import { menu } from '../../components/menu.js';
import { button, buttonLink, errorBox, icon, pageHead, segments } from '../../components/parts.js';
import { toast, toastError } from '../../components/toast.js';
import { viewer } from '../../components/viewer.js';
import { countItems, inputValue, listLosses, translate } from '../../components/workshop.js';

/** @typedef {import('../../core/shapes').DatasetDetail} DatasetDetail */
/** @typedef {import('../../core/shapes').Sample} Sample */

const CARDS = /** @type {const} */ (['md', 'html', 'croissant']);
const SPLITS = /** @type {const} */ (['train', 'val', 'test']);

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
      if (this.isConnected) go('data');
      toast(t('data.deleted', { name }), { undo: () => post(`bin/${quote(entry.id)}/restore`) });
    } catch (error) {
      const fault = /** @type {import('../../core/api.js').ApiError} */ (error);
      if (force || !/still_needed/.test(fault.code)) return toastError(error);
      if (await confirmDialog({ title: t('data.delete_needed', { name }), text: listLosses(fault), confirm: t('data.delete_anyway'), danger: true })) await this.deleteSet(true);
    }
  }

  render() {
    const { detail } = this;
    if (this.fault && !detail) return errorBox(this.fault, () => this.load());
    if (!detail) return nothing;
    return html`<nav class="crumbs" aria-label=${t('data.title')}><a class="text-link" href=${href('data')}>${t('data.title')}</a><span aria-hidden="true">/</span></nav>
      ${pageHead({ title: detail.name, lead: t('data.summary', { items: countItems(detail.medium, detail.documents), size: formatBytes(detail.bytes) }), actions: html`
        ${buttonLink({ label: t('data.train'), icon: 'trendingUp', kind: 'primary', href: href('train', { data: detail.name }) })}
        ${menu({ label: t('data.more'), items: [...CARDS.map((format) => ({ label: t(`data.card_${format}`), icon: /** @type {const} */ ('fileText'), href: makeUrl(`api/datasets/${quote(detail.name)}/card`, { format, download: 'true' }).href, download: '' })), null, { label: t('data.delete'), icon: 'trash2', danger: true, run: () => this.deleteSet() }] })}` })}
      <div class="data-columns">${renderTaken(detail)}${renderSplits(detail)}${renderLicences(detail)}</div>
      ${detail.persons.length || detail.consents.length ? this.renderConsents(detail) : nothing}
      ${detail.notes.length ? html`<details class="left"><summary>${t('data.notes', { n: detail.notes.length })}</summary><ul lang="en">${detail.notes.map((note) => html`<li><strong>${note.source}</strong> ${note.reason}</li>`)}</ul></details>` : nothing}
      ${this.renderSamples(detail)}`;
  }

  /** Whose voice, face or words it holds, who agreed, and the button of somebody who no longer does. @param {DatasetDetail} detail */
  renderConsents(detail) {
    return html`<section class="card panel" aria-labelledby="consents-title"><h2 id="consents-title">${t('data.consents')}</h2>
      ${detail.persons.length ? html`<p class="soft">${detail.persons.map((name) => translate('data.person', name)).join(', ')}</p>` : nothing}
      <ul class="rows">${repeat(detail.consents, (each) => each.who, (each) => html`<li class="list-row">${icon('user')}<div><strong>${each.who}</strong> <span class="badge ${each.state === 'valid' ? 'good' : 'bad'}">${translate('data.state', each.state)}</span>
          <p class="soft">${[each.of.map((name) => translate('data.person', name)).join(', '), each.purposes.map((name) => translate('data.purpose', name)).join(', '), each.until ? t('data.consent_until', { date: formatDate(each.until, { dateStyle: 'medium', timeZone: 'UTC' }) }) : ''].filter(Boolean).join(' · ')}</p></div>
        <span class="row-actions">${each.state === 'withdrawn' || !isAllowed('train') ? nothing : button({ label: t('data.withdraw', { who: each.who }), icon: 'ban', alone: true, kind: 'quiet', run: () => this.withdraw(each.who).catch(toastError) })}</span></li>`)}</ul></section>`;
  }

  /** @param {string} who */
  async withdraw(who) {
    if (!(await confirmDialog({ title: t('data.withdraw_title', { who }), text: t('data.withdraw_text', { who }), confirm: t('data.withdraw_confirm'), danger: true }))) return;
    const { data } = await post(`datasets/${quote(this.name)}/withdrawals`, { who });
    if (this.detail) this.detail = { ...this.detail, consents: data };
    toast(t('data.withdrawn', { who }));
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
      <p class="sample-source"><span title=${sample.source}>${sample.source.split('/').at(-1)}</span><span>${sample.licence === 'unknown' ? t('data.licence_unknown') : sample.licence}</span></p></li>`;
  }
}
customElements.define('gl-data-detail', DataDetail);

/** What was read, kept and removed. @param {DatasetDetail} detail */
function renderTaken(detail) {
  const read = detail.read ?? detail.documents;
  return html`<section class="card panel"><h2>${t('data.taken')}</h2><p class="figure">${formatNumber(detail.documents)} <small>${t('data.of_read', { n: read })}</small></p>
    ${detail.medium === 'text' ? html`<p class="help">${t('data.texts_help')}</p>` : nothing}
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
