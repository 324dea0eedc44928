/** Gallery: everything that was made, of every medium; filters, a bin, and each output with all that made it. */
import { html, nothing } from '../vendor/lit.js';
import { get } from '../core/api.js';
import { debounce, download } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { loadMessages, t } from '../core/i18n.js';
import { bindKeys } from '../core/keys.js';
import { nameMedium } from '../core/models.js';
import { rateOutput, removeOutputs, restoreOutputs, serverUrl, starOutput, tagOutput, withChanges } from '../core/outputs.js';
import { go, href, replaceRoute, route } from '../core/router.js';
import { createSetting } from '../core/store.js';
import { askText } from '../components/dialog.js';
import { button, emptyState, errorBox, icon, segments } from '../components/parts.js';
import { toastError } from '../components/toast.js';
import './gallery/detail.js';
import './gallery/grid.js';

/** @typedef {import('../core/shapes').Output} Output */
/** @typedef {import('./gallery/grid.js').OutputGrid} OutputGrid */

const FILTERS = ['q', 'medium', 'model', 'rating', 'tag', 'starred', 'seed', 'after', 'before', 'deleted'];
const size = createSetting('gallery.size', 190);

class Gallery extends Element {
  constructor() {
    super();
    /** @type {Map<string, Output>} */
    this.selected = new Map();
    this.total = -1;
    /** @type {any} */
    this.fault = null;
    /** @type {import('../core/shapes').Facets} */
    this.facets = { media: {}, models: {}, versions: {}, tags: {} };
    this.hasMore = false;
    this.returnTo = '';
    this.scrolledTo = 0;
    this.search = debounce((/** @type {string} */ q) => this.filter({ q }), 180);
  }

  stores() {
    return [route, size];
  }

  connectedCallback() {
    super.connectedCallback();
    const refresh = debounce(() => this.grid?.refresh(), 400);
    for (const type of ['output.created', 'output.removed', 'output.restored', 'reset']) this.onLeave(onEvent(type, refresh));
    this.onLeave(route.subscribe(() => this.onRoute()));
    this.onLeave(bindKeys(t('gallery.title'), [
      { key: 'f', label: t('gallery.key_search'), run: () => /** @type {HTMLElement | null} */ (this.querySelector('#gallery-search'))?.focus(), when: () => !this.shown },
      { key: 'ArrowRight j', label: t('gallery.key_next'), run: () => this.step(1), when: () => Boolean(this.shown) },
      { key: 'ArrowLeft k', label: t('gallery.key_previous'), run: () => this.step(-1), when: () => Boolean(this.shown) },
      { key: 'Escape', label: t('gallery.key_back'), run: () => this.leave(), when: () => Boolean(this.shown) || this.selected.size > 0 },
      { key: '+ =', label: t('shell.like'), run: () => this.act((output) => rateOutput(output, { up: true })) },
      { key: '-', label: t('shell.dislike'), run: () => this.act((output) => rateOutput(output, { up: false })) },
      { key: '1 2 3 4 5', label: t('gallery.stars'), run: (event) => this.act((output) => rateOutput(output, { stars: Number(event.key) })) },
      { key: 's', label: t('shell.star'), run: () => this.act(starOutput) },
      { key: 'Delete Backspace', label: t('shell.to_bin'), run: () => this.removeCurrent() },
    ]));
    loadMessages('options').then(() => this.requestUpdate());
    this.readFacets();
  }

  async readFacets() {
    this.facets = await get('outputs/facets').catch(() => this.facets);
    this.requestUpdate();
  }

  get grid() {
    return /** @type {OutputGrid | null} */ (this.querySelector('gl-grid'));
  }

  /** The output in the address, large. */
  get shown() {
    const { page, rest } = route.get();
    return page === 'gallery' ? rest[0] ?? '' : '';
  }

  get query() {
    const { query } = route.get();
    return Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? '']).filter(([, value]) => value));
  }

  /** The filters as the server reads them: days are days here, and times there. */
  get listQuery() {
    const { after, before, ...rest } = this.query;
    const at = (/** @type {string} */ day, /** @type {string} */ time) => new Date(`${day}T${time}`).toISOString();
    return { ...rest, ...(after ? { after: at(after, '00:00:00') } : {}), ...(before ? { before: at(before, '23:59:59.999') } : {}) };
  }

  onRoute() {
    if (route.get().page !== 'gallery') return;
    if (this.shown && !this.wasShown) this.scrolledTo = scrollY;
    if (!this.shown && this.wasShown) this.updateComplete.then(() => {
      scrollTo(0, this.scrolledTo);
      this.grid?.measure();
      this.grid?.focusCell(this.grid.focusAt, true);
    });
    if (this.shown && !this.wasShown) this.updateComplete.then(() => {
      scrollTo(0, 0);
      /** @type {HTMLElement | null} */ (this.querySelector('.detail-bar a'))?.focus();
    });
    this.wasShown = this.shown;
  }

  /** @param {Record<string, any>} change */
  filter(change) {
    this.selected = new Map();
    replaceRoute('gallery', { ...this.query, ...change });
  }

  /** The outputs that a key acts on: the shown one, the selected ones, or the one under the focus. @returns {Output[]} */
  get targets() {
    const detail = /** @type {any} */ (this.querySelector('gl-output-detail'));
    if (this.shown) return detail?.output ? [detail.output] : [];
    if (this.selected.size) return [...this.selected.values()];
    const current = this.grid?.current;
    return current ? [current] : [];
  }

  /** @param {(output: Output) => unknown} action */
  act(action) {
    for (const output of this.targets) action(withChanges(output));
  }

  async removeCurrent() {
    const outputs = this.targets.filter((output) => !withChanges(output).removed);
    if (!outputs.length) return;
    if (this.shown) this.step(1) || this.leave();
    this.selected = new Map();
    await removeOutputs(outputs, () => this.grid?.refresh());
  }

  leave() {
    if (this.shown) go('gallery', this.query);
    else this.selected = new Map();
    this.requestUpdate();
  }

  /** @param {number} way @returns {boolean} whether there is one */
  step(way) {
    const { grid } = this;
    const detail = /** @type {any} */ (this.querySelector('gl-output-detail'))?.output;
    const place = [...(grid?.rows ?? [])].find(([, each]) => each.id === this.shown)?.[0];
    const next = (place !== undefined ? grid?.rows.get(place + way)?.id : undefined) ?? (way > 0 ? detail?.next : detail?.previous);
    if (!next) return false;
    if (grid && place !== undefined) grid.focusAt = place + way;
    history.replaceState(null, '', href(['gallery', next], this.query));
    dispatchEvent(new HashChangeEvent('hashchange'));
    return true;
  }

  render() {
    const isDetail = Boolean(this.shown);
    return html`<div class="gallery ${isDetail ? 'is-detail' : ''}">
      ${isDetail ? html`<h1 class="visually-hidden" tabindex="-1">${t('gallery.title')}</h1><div class="detail-bar row between">
          <a class="button quiet" href=${href('gallery', this.query)}>${icon('arrowLeft')}<span>${t('gallery.back')}</span></a>
          <div class="row">${button({ label: t('gallery.key_previous'), icon: 'chevronLeft', alone: true, kind: 'quiet', key: 'ArrowLeft', run: () => this.step(-1) })}
            ${button({ label: t('gallery.key_next'), icon: 'chevronRight', alone: true, kind: 'quiet', key: 'ArrowRight', run: () => this.step(1) })}</div></div>
          <gl-output-detail output_id=${this.shown}></gl-output-detail>` : nothing}
      <div class="gallery-list" ?hidden=${isDetail}>
        ${isDetail ? nothing : this.renderHead()}
        ${this.fault ? errorBox(this.fault, () => {
          this.fault = null;
          this.grid?.reset();
          this.requestUpdate();
        }) : nothing}
        ${this.total === 0 ? this.renderEmpty() : nothing}
        <gl-grid .query=${this.listQuery} .size=${size.get()} .selected=${this.selected}
          @total=${(/** @type {CustomEvent} */ event) => {
            this.total = event.detail;
            this.requestUpdate();
          }} @fault=${(/** @type {CustomEvent} */ event) => {
            this.fault = event.detail;
            this.requestUpdate();
          }} @open=${(/** @type {CustomEvent} */ event) => go(['gallery', event.detail.id], this.query)}
          @select=${(/** @type {CustomEvent} */ event) => {
            this.selected = event.detail;
            this.requestUpdate();
          }}></gl-grid></div>
      ${this.selected.size && !isDetail ? this.renderSelection() : nothing}</div>`;
  }

  renderHead() {
    const { query } = this;
    const active = Object.keys(query).filter((name) => name !== 'deleted').length;
    const isBin = Boolean(query.deleted);
    const list = (/** @type {Record<string, number>} */ counts) => Object.entries(counts).filter(([value]) => value).map(([value, count]) => ({ value, count }));
    const [media, models, tags] = [list(this.facets.media), list(this.facets.models), list(this.facets.tags)];
    const versions = list(this.facets.versions);
    const made = models.flatMap((each) => { // a model, and below it its versions, if it has several
      const own = versions.filter(({ value }) => value.startsWith(`${each.value}/`));
      return [each, ...(own.length > 1 ? own.map((one) => ({ ...one, indent: '\u2003' })) : [])];
    });
    const select = (/** @type {string} */ name, /** @type {string} */ label, /** @type {{value: string, label: string}[]} */ choices) => html`<label class="filter"><span class="visually-hidden">${label}</span>
      <select class=${query[name] ? 'on' : ''} @change=${(/** @type {any} */ event) => this.filter({ [name]: event.target.value })}><option value="" ?selected=${!query[name]}>${label}</option>
        ${choices.map((each) => html`<option value=${each.value} ?selected=${each.value === query[name]}>${each.label}</option>`)}</select></label>`;
    return html`<header class="gallery-head">
      <div class="row between"><h1 tabindex="-1">${isBin ? t('gallery.bin') : t('gallery.title')}${this.total >= 0 ? html` <span class="count">${t('gallery.count', { n: this.total })}</span>` : nothing}</h1>
        <div class="row">${segments({ label: t('gallery.size_of_cells'), compact: true, selected: String(size.get()), choose: (id) => size.set(Number(id)),
            items: [{ id: '130', label: t('gallery.small'), icon: 'grid2x2' }, { id: '190', label: t('gallery.medium_size'), icon: 'image' }, { id: '300', label: t('gallery.large'), icon: 'square' }] })}
          ${button({ label: isBin ? t('gallery.out_of_bin') : t('gallery.bin'), icon: isBin ? 'images' : 'trash2', kind: 'quiet', run: () => this.filter({ deleted: isBin ? '' : 'true' }) })}</div></div>
      <div class="filters ${this.hasMore ? 'open' : ''}" role="search">
        <div class="chat-search gallery-search">${icon('search')}<input id="gallery-search" type="search" aria-label=${t('gallery.search')} placeholder=${t('gallery.search')} .value=${query.q ?? ''}
          @input=${(/** @type {any} */ event) => this.search(event.target.value)}></div>
        ${media.length > 1 ? html`<div class="row media" role="group" aria-label=${t('gallery.medium')}>${media.map((each) => html`<button type="button" class="chip" aria-pressed=${query.medium === each.value ? 'true' : 'false'}
          @click=${() => this.filter({ medium: query.medium === each.value ? '' : each.value })}>${nameMedium(each.value)}<span class="count">${each.count}</span></button>`)}</div>` : nothing}
        ${select('rating', t('gallery.any_rating'), [{ value: 'up', label: t('gallery.liked') }, { value: 'down', label: t('gallery.disliked') }, { value: 'none', label: t('gallery.unrated') },
          ...[5, 4, 3, 2, 1].map((n) => ({ value: String(n), label: t('shell.stars', { n }) }))])}
        ${made.length > 1 ? select('model', t('gallery.any_model'), made.map((each) => ({ value: each.value, label: `${'indent' in each ? each.indent : ''}${each.value} (${each.count})` }))) : nothing}
        ${tags.length ? select('tag', t('gallery.any_tag'), tags.map((each) => ({ value: each.value, label: each.value }))) : nothing}
        <button type="button" class="chip" aria-pressed=${query.starred ? 'true' : 'false'} @click=${() => this.filter({ starred: query.starred ? '' : 'true' })}>${icon('heart')}${t('gallery.favourites')}</button>
        <button type="button" class="chip" aria-expanded=${this.hasMore ? 'true' : 'false'} @click=${() => {
          this.hasMore = !this.hasMore;
          this.requestUpdate();
        }}>${icon('listFilter')}${t('gallery.more_filters')}</button>
        ${active ? button({ label: t('gallery.clear'), icon: 'x', small: true, kind: 'quiet', run: () => replaceRoute('gallery', { deleted: query.deleted }) }) : nothing}</div>
      ${this.hasMore || query.after || query.before || query.seed ? html`<div class="filters more-filters">
        ${[['after', t('gallery.after')], ['before', t('gallery.before')]].map(([name, label]) => html`<div class="field inline"><label for="filter-${name}">${label}</label>
          <input id="filter-${name}" type="date" .value=${query[name] ?? ''} @change=${(/** @type {any} */ event) => this.filter({ [name]: event.target.value })}></div>`)}
        <div class="field inline"><label for="filter-seed">${t('gallery.seed')}</label><input id="filter-seed" inputmode="numeric" .value=${query.seed ?? ''}
          @change=${(/** @type {any} */ event) => this.filter({ seed: event.target.value.replace(/\D/g, '') })}></div></div>` : nothing}</header>`;
  }

  renderEmpty() {
    const { query } = this;
    if (query.deleted) return emptyState({ icon: 'trash2', title: t('gallery.bin_empty'), text: t('gallery.bin_empty_text') });
    if (Object.keys(query).length) {
      return emptyState({ icon: 'search', title: t('gallery.nothing_found'), text: t('gallery.nothing_found_text'), action: button({ label: t('gallery.clear'), run: () => replaceRoute('gallery') }) });
    }
    return emptyState({ icon: 'images', title: t('gallery.none'), text: t('gallery.none_text'), action: html`<a class="button primary" href=${href('make')}>${icon('sparkles')}<span>${t('gallery.to_make')}</span></a>` });
  }

  renderSelection() {
    const outputs = [...this.selected.values()];
    const isBin = Boolean(this.query.deleted);
    const done = () => {
      this.selected = new Map();
      this.grid?.refresh();
      this.requestUpdate();
    };
    return html`<div class="selection card" role="toolbar" aria-label=${t('gallery.selected', { n: outputs.length })}><span class="grow">${t('gallery.selected', { n: outputs.length })}</span>
      ${isBin ? button({ label: t('gallery.restore'), icon: 'archiveRestore', run: () => restoreOutputs(outputs, done).catch(toastError) }) : html`
        ${button({ label: t('shell.like'), icon: 'thumbsUp', alone: true, kind: 'quiet', run: () => outputs.forEach((output) => withChanges(output).rating?.up !== true && rateOutput(output, { up: true })) })}
        ${button({ label: t('shell.dislike'), icon: 'thumbsDown', alone: true, kind: 'quiet', run: () => outputs.forEach((output) => withChanges(output).rating?.up !== false && rateOutput(output, { up: false })) })}
        ${button({ label: t('shell.star'), icon: 'heart', alone: true, kind: 'quiet', run: () => outputs.forEach((output) => starOutput(output)) })}
        ${button({ label: t('gallery.edit_tags'), icon: 'tag', alone: true, kind: 'quiet', run: async () => {
          const text = await askText({ title: t('gallery.add_tags'), label: t('gallery.tags'), confirm: t('gallery.save'), help: t('gallery.tags_help') });
          const more = (text ?? '').split(',').map((each) => each.trim()).filter(Boolean);
          if (more.length) outputs.forEach((output) => tagOutput(output, [...new Set([...withChanges(output).tags, ...more])]));
        } })}
        ${button({ label: t('shell.download'), icon: 'download', alone: true, kind: 'quiet', run: () => outputs.forEach((output, n) => setTimeout(() => download(serverUrl(output.url)), n * 200)) })}
        ${button({ label: t('shell.to_bin'), icon: 'trash2', alone: true, kind: 'danger', run: () => removeOutputs(outputs, done) })}`}
      ${button({ label: t('gallery.select_none'), icon: 'x', alone: true, kind: 'quiet', key: 'Escape', run: () => {
        this.selected = new Map();
        this.requestUpdate();
      } })}</div>`;
  }
}
customElements.define('gl-gallery', Gallery);
