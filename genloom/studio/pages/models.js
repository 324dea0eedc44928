/** Models: what there is, where each comes from, how two compare; export, promote, delete with undo. */
import { html, noChange, nothing, repeat } from '../vendor/lit.js';
import { get } from '../core/api.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { formatBytes, formatNumber, t } from '../core/i18n.js';
import { href, replaceRoute, route } from '../core/router.js';
import { button, buttonLink, emptyState, errorBox, icon, pageHead, segments } from '../components/parts.js';
import { toastError } from '../components/toast.js';
import { mediumIcon, nameMedium, translate } from '../components/workshop.js';
import { importModel } from './models/actions.js';
import './models/compare.js';
import './models/detail.js';
import { formatMeasured, renderTree } from './models/family.js';

/** @typedef {import('../core/shapes').Model} Model */
/** @typedef {import('../core/shapes').Node} Node */
/** @typedef {import('../core/shapes').Edge} Edge */

/** The list: one card a name, or the tree of all. */
class ModelList extends Element {
  static properties = { models: { attribute: false }, view: {}, family: { state: true }, chosen: { state: true } };

  constructor() {
    super();
    /** @type {Model[]} */
    this.models = [];
    /** @type {{nodes: Node[], edges: Edge[]} | null} */
    this.family = null;
    /** @type {'list' | 'tree'} */
    this.view = 'list';
    /** @type {string[]} */
    this.chosen = [];
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (this.view === 'tree' && (changed.has('models') || changed.has('view'))) get('models/family').then((family) => (this.family = family), toastError);
  }

  render() {
    const names = [...new Set(this.models.map((model) => model.name))];
    return html`${pageHead({ title: t('models.title'), lead: t('models.lead'), actions: html`
        ${segments({ label: t('models.view'), selected: this.view, choose: (view) => replaceRoute('models', { view: view === 'tree' ? 'tree' : '' }), items: [{ id: 'list', label: t('models.as_list'), icon: 'list' }, { id: 'tree', label: t('models.as_tree'), icon: 'waypoints' }] })}
        ${button({ label: t('models.import'), icon: 'download', run: () => importModel().catch(toastError) })}
        ${buttonLink({ label: t('models.train'), icon: 'plus', kind: 'primary', href: href('train') })}` })}
      ${this.view === 'tree' ? this.family ? renderTree(this.family.nodes, this.family.edges, { models: this.models, label: t('models.family') }) : nothing
        : html`<ul class="model-list">${repeat(names, (name) => name, (name) => html`<li>${this.renderCard(this.models.filter((model) => model.name === name))}</li>`)}</ul>`}`;
  }

  /** @param {Model[]} versions of one name */
  renderCard(versions) {
    const active = versions.find((model) => model.is_active) ?? versions[versions.length - 1];
    const can = new Set(active.can);
    return html`<article class="card panel model-card"><a class="model-head" href=${href(['models', active.ref])}>${icon(mediumIcon(active.medium))}
        <div><h2>${active.name}</h2><p class="soft">${nameMedium(active.medium)}${active.is_adapter && active.parent ? html` · ${t('models.adapter_on', { base: active.parent })}` : nothing} · ${active.parameters ? t('models.weights', { count: formatNumber(active.parameters, { notation: 'compact' }) }) : formatBytes(active.bytes)}</p></div>
        <span class="badge ${active.kind === 'taught' ? 'accent' : ''}">${translate('models.kind', active.kind)}</span></a>
      <p class="model-facts">${t('models.version', { version: active.version, n: versions.length })}${formatMeasured(active) ? html` · ${formatMeasured(active)}` : nothing} · ${t('models.outputs', { n: versions.reduce((sum, each) => sum + each.outputs, 0) })}</p>
      <div class="actions">${can.has('generate') ? buttonLink({ label: t('models.make'), icon: 'sparkles', small: true, href: href('make', { model: active.name }) }) : nothing}
        ${can.has('chat') ? buttonLink({ label: t('models.chat'), icon: 'messageSquare', small: true, href: href('chat', { model: active.name }) }) : nothing}
        ${can.has('teach') ? buttonLink({ label: t('models.teach'), icon: 'graduationCap', small: true, href: href(['teach', active.name]) }) : nothing}</div></article>`;
  }
}
customElements.define('gl-model-list', ModelList);

class ModelsPage extends Element {
  static properties = { models: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {Model[] | null} */
    this.models = null;
    /** @type {any} */
    this.fault = null;
  }

  stores() {
    return [route];
  }

  connectedCallback() {
    super.connectedCallback();
    for (const kind of ['model', 'reset']) this.onLeave(onEvent(kind, () => this.load()));
    this.load();
  }

  async load() {
    try {
      this.models = (await get('models')).data;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  render() {
    const { page, rest, query } = route.get();
    const ref = rest.join('/');
    const { models } = this;
    if (page !== 'models') return noChange; // the shell is about to take this page away
    if (this.fault) return html`${pageHead({ title: t('models.title') })}${errorBox(this.fault, () => this.load())}`;
    if (!models) return nothing;
    if (ref === 'compare') return html`<gl-model-compare .models=${models}></gl-model-compare>`;
    if (ref) return html`<gl-model-page .ref=${ref} .models=${models}></gl-model-page>`;
    if (models.length) return html`<gl-model-list .models=${models} .view=${query.get('view') === 'tree' ? 'tree' : 'list'}></gl-model-list>`;
    return html`${pageHead({ title: t('models.title'), lead: t('models.lead') })}${emptyState({ icon: 'shapes', title: t('models.none'), text: t('models.none_text'), action: buttonLink({ label: t('models.train'), kind: 'primary', href: href('train') }) })}`;
  }
}
customElements.define('gl-models', ModelsPage);
