/** <gl-model-page>: one version, with its family, its facts, its adapters and its siblings. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { get, makeUrl, quote } from '../../core/api.js';
import { Element } from '../../core/element.js';
import { formatBytes, formatDate, formatNumber, t } from '../../core/i18n.js';
import { href } from '../../core/router.js';
import { menu } from '../../components/menu.js';
import { button, buttonLink, errorBox, facts, pageHead } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';
import { nameMedium, translate } from '../../components/workshop.js';
import { exportModel, promote, remove } from './actions.js';
import { formatMeasured, renderCrumbs, renderTree } from './family.js';

/** @typedef {import('../../core/shapes').Model} Model */
/** @typedef {import('../../core/shapes').ModelDetail} ModelDetail */

/** One version: its family, its facts, its siblings. */
class ModelPage extends Element {
  static properties = { ref: {}, models: { attribute: false }, detail: { state: true }, fault: { state: true }, canShowTrust: { state: true } };

  constructor() {
    super();
    this.ref = '';
    /** @type {Model[]} */
    this.models = [];
    /** @type {ModelDetail | null} */
    this.detail = null;
    this.canShowTrust = false; // its script comes after the page
    /** @type {string | undefined} the model whose box was moved into view */
    this.shown = undefined;
    /** @type {any} */
    this.fault = null;
  }

  connectedCallback() {
    super.connectedCallback();
    import('../../components/reports.js').then(() => (this.canShowTrust = true), toastError);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('ref') || changed.has('models')) this.load();
  }

  updated() {
    const tree = this.querySelector('.tree');
    const box = tree?.querySelector('.chosen')?.getBoundingClientRect();
    if (tree && box && this.shown !== this.detail?.ref) {
      this.shown = this.detail?.ref; // once: the reader may scroll away
      tree.scrollLeft += box.left - tree.getBoundingClientRect().left - (tree.clientWidth - box.width) / 2;
    }
  }

  async load() {
    const ref = this.ref.includes('/') ? this.ref : (this.models.find((model) => model.name === this.ref && model.is_active)?.ref ?? `${this.ref}/1`); // 1: an address of a version, which answers that there is none
    try {
      const detail = await get(`models/${quote(ref)}`);
      if (detail.ref !== ref) return;
      this.detail = detail;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  render() {
    const model = this.detail;
    if (this.fault) return html`${renderCrumbs()}${pageHead({ title: this.ref })}${errorBox(this.fault, () => this.load())}`;
    if (!model) return nothing;
    const can = new Set(model.can);
    const versions = this.models.filter((each) => each.name === model.name).sort((a, b) => b.version - a.version);
    return html`${renderCrumbs()}
      ${pageHead({ title: model.ref, lead: html`<span class="badge">${translate('models.kind', model.kind)}</span> ${model.is_active ? html`<span class="badge good">${t('models.active')}</span>` : nothing} ${nameMedium(model.medium)}`, actions: html`
        ${can.has('generate') ? buttonLink({ label: t('models.make'), icon: 'sparkles', kind: 'primary', href: href('make', { model: model.ref }) }) : nothing}
        ${model.is_active ? nothing : button({ label: t('models.use'), icon: 'check', run: () => promote(model.ref).catch(toastError) })}
        ${menu({ label: t('models.more'), items: /** @type {import('../../components/menu.js').Item[]} */ ([
          can.has('teach') ? { label: t('models.teach'), icon: 'graduationCap', href: href(['teach', model.name]) } : null,
          can.has('tune') ? { label: t('models.tune'), icon: 'trendingUp', href: href('train', { from: model.ref }) } : null,
          can.has('export') && model.export_formats.length ? { label: t('models.export'), icon: 'download', run: () => exportModel(model).catch(toastError) } : null,
          can.has('delete') ? { label: t('models.delete'), icon: 'trash2', danger: true, run: () => remove(model.ref) } : null,
        ]).filter((item) => item !== null) })}` })}
      <section aria-labelledby="family-title"><h2 id="family-title">${t('models.family')}</h2><p class="help">${t('models.family_help')}</p>
        ${renderTree(model.nodes, model.edges, { models: this.models, chosen: model.ref, label: t('models.family') })}</section>
      <div class="model-columns"><section class="card panel"><h2>${t('models.facts')}</h2>${renderFacts(model, this.models)}</section>
        ${versions.length > 1 ? this.renderVersions(model, versions) : nothing}</div>
      ${this.renderAdapters(model)}
      ${model.evaluations.length ? html`<section><h2>${t('models.evaluations')}</h2>${model.evaluations.map((each) => html`<details class="card panel"><summary>${t('models.evaluated_on', { data: each.data })} · ${formatDate(each.at)}</summary>
        <pre class="report" lang="en" tabindex="0">${each.lines.join('\n')}</pre>${each.charts.map((chart) => html`<img src=${makeUrl(chart).href} alt=${t('models.chart_of', { data: each.data })} loading="lazy">`)}</details>`)}</section>` : nothing}
      ${this.canShowTrust ? html`<gl-model-trust .model=${model}></gl-model-trust>` : nothing}`;
  }

  /** @param {ModelDetail} model @param {Model[]} versions */
  renderVersions(model, versions) {
    return html`<section class="card panel"><h2>${t('models.versions')}</h2><ul class="rows">${repeat(versions, (each) => each.ref, (each) => html`<li class="list-row ${each.ref === model.ref ? 'chosen' : ''}">
      <div><a href=${href(['models', each.ref])} aria-current=${each.ref === model.ref ? 'true' : nothing}><strong>${each.ref}</strong></a> ${each.is_active ? html`<span class="badge good">${t('models.active')}</span>` : nothing}
        <p class="soft">${translate('models.kind', each.kind)}${formatMeasured(each) ? ` · ${formatMeasured(each)}` : ''}</p></div>
      <span class="row-actions">${each.receipt ? buttonLink({ label: t('models.receipt'), icon: 'scrollText', kind: 'quiet', small: true, href: href(['teach', each.name, each.receipt]) }) : nothing}
        ${each.ref === model.ref ? nothing : buttonLink({ label: t('models.compare'), icon: 'gitCompare', small: true, href: href(['models', 'compare'], { first: each.ref, second: model.ref }) })}</span></li>`)}</ul></section>`;
  }

  /** The adapters that change the same base; Make can add them to a generation. @param {ModelDetail} model */
  renderAdapters(model) {
    const base = model.is_adapter ? model.parent : model.ref;
    const adapters = this.models.filter((each) => each.is_adapter && each.parent === base && each.name !== model.name); // those of its name are its versions
    if (!adapters.length) return nothing;
    return html`<section class="card panel" aria-labelledby="adapters-title"><h2 id="adapters-title">${t('models.adapters', { base: base ?? '' })}</h2><p class="help">${t('models.adapters_help')}</p>
      <ul class="rows">${repeat(adapters, (each) => each.ref, (each) => html`<li class="list-row ${each.ref === model.ref ? 'chosen' : ''}">
        <div><a href=${href(['models', each.ref])} aria-current=${each.ref === model.ref ? 'true' : nothing}><strong>${each.ref}</strong></a> ${each.is_active ? html`<span class="badge good">${t('models.active')}</span>` : nothing}
          <p class="soft">${translate('models.kind', each.kind)} · ${formatBytes(each.bytes)}${each.data ? ` · ${each.data.name}` : ''}</p></div>
        <span class="row-actions">${each.can.includes('generate') ? buttonLink({ label: t('models.make'), icon: 'sparkles', small: true, kind: 'quiet', href: href('make', { model: each.ref }) }) : nothing}</span></li>`)}</ul></section>`;
  }
}
customElements.define('gl-model-page', ModelPage);

/** @param {ModelDetail} model @param {Model[]} models */
function renderFacts(model, models) {
  const hasData = model.nodes.some((node) => node.kind === 'dataset' && node.label === model.data?.name && node.is_here);
  const hasParent = models.some((each) => each.ref === model.parent);
  return facts([
    [t('models.fact_measured'), formatMeasured(model)],
    [t('models.fact_weights'), model.parameters ? formatNumber(model.parameters) : ''],
    [t('models.fact_size'), formatBytes(model.bytes)],
    [t('models.fact_data'), model.data && hasData ? html`<a class="text-link" href=${href(['data', model.data.name])}>${model.data.name}</a>` : model.data?.name],
    [t('models.fact_parent'), hasParent ? html`<a class="text-link" href=${href(['models', model.parent ?? ''])}>${model.parent}</a>` : model.parent],
    [t('models.fact_receipt'), model.receipt ? html`<a class="text-link" href=${href(['teach', model.name, model.receipt])}>${t('models.receipt')}</a>` : ''],
    [t('models.fact_licences'), model.licences.join(', ')],
    [t('models.fact_adapter'), model.is_adapter ? t('models.yes_adapter') : ''],
    [t('models.fact_outputs'), formatNumber(model.outputs)],
    [t('models.fact_created'), formatDate(model.created)],
    [t('models.fact_digest'), html`<code>${model.digest.slice(0, 16)}…</code>`],
  ]);
}
