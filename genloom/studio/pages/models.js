/** Models: what there is, where each comes from, how two compare; export, promote, delete with undo. */
import { html, noChange, nothing, repeat } from '../vendor/lit.js';
import { del, get, makeUrl, post, quote, upload } from '../core/api.js';
import { download } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { formatAgo, formatBytes, formatDate, formatNumber, t } from '../core/i18n.js';
import { finishJob, isOver, jobs, startJob } from '../core/jobs.js';
import { go, href, replaceRoute, route } from '../core/router.js';
import { drawTree } from '../components/charts.js';
import { confirmDialog, openDialog } from '../components/dialog.js';
import { menu } from '../components/menu.js';
import { button, buttonLink, emptyState, errorBox, facts, field, icon, pageHead, progressBar, segments } from '../components/parts.js';
import { toast, toastError } from '../components/toast.js';
import { viewer } from '../components/viewer.js';
import { inputValue, listLosses, mediumIcon, nameMedium, translate } from '../components/workshop.js';
import { toItem } from '../components/output-card.js';

/** @typedef {import('../core/shapes').Model} Model */
/** @typedef {import('../core/shapes').ModelDetail} ModelDetail */
/** @typedef {import('../core/shapes').Node} Node */
/** @typedef {import('../core/shapes').Edge} Edge */
/** @typedef {import('../core/shapes').Output} Output */
/** @typedef {import('../core/shapes').Job} Job */

/** What was measured, as a number with its name. @param {Model} model */
const formatMeasured = (model) => (model.value === null || model.metric === null ? '' : `${formatNumber(model.value, { maximumSignificantDigits: 4 })} ${translate('models.metric', model.metric)}`);

/** The address of what a node stands for. @param {Node} node */
function hrefOf(node) {
  if (node.kind === 'model') return href(['models', node.id]);
  return node.kind === 'dataset' ? href(['data', node.label]) : href('gallery', { model: node.id.replace(/\/outputs$/, '') });
}

/** What stands in the box of a node. @param {Node} node @param {Model[]} models */
function nameNode(node, models) {
  if (node.kind === 'outputs') return { label: t('models.outputs', { n: Number(node.label) || 0 }), note: '' };
  if (node.kind === 'dataset') return { label: node.label, note: t('models.node_dataset') };
  const model = models.find((each) => each.ref === node.id);
  return { label: node.label, note: [model ? translate('models.kind', model.kind) : t('models.node_gone'), node.detail.length < 17 ? node.detail : ''].filter(Boolean).join(' · ') };
}

/** @param {Node[]} nodes @param {Edge[]} edges @param {{models: Model[], chosen?: string, label: string}} options */
function renderTree(nodes, edges, { models, chosen = '', label }) {
  const siblings = Map.groupBy(models, (model) => model.name);
  const isChoice = (/** @type {string} */ ref) => models.some((model) => model.ref === ref && model.is_active && (siblings.get(model.name)?.length ?? 0) > 1);
  const parents = new Map(edges.filter(({ how }) => how === 'taught' || how === 'tuned from').map(({ source, target }) => [target, source]));
  // Data that a model has from its parent stand there already.
  const isNew = (/** @type {Edge} */ edge) => edge.how !== 'trained on' || !edges.some((each) => each.source === edge.source && each.target === parents.get(edge.target));
  return drawTree(
    nodes.map((node) => ({ id: node.id, kind: node.kind, href: hrefOf(node), isActive: isChoice(node.id), ...nameNode(node, models) })),
    edges.filter(isNew).map(({ source, target, how }) => ({ from: source, to: target, kind: how.replaceAll(' ', '-') })),
    { label, chosen },
  );
}

/** @param {string} ref @param {string} [reason] */
async function promote(ref, reason = '') {
  const [name] = ref.split('/');
  const before = (await get('models')).data.find((/** @type {Model} */ model) => model.name === name && model.is_active)?.ref;
  await post(`models/${quote(ref)}/promote`, { reason });
  toast(t('models.in_use', { ref }), { kind: 'good', undo: before && before !== ref ? () => post(`models/${quote(before)}/promote`, { reason: '' }) : undefined });
}

/** @param {string} ref @param {boolean} [force] */
async function remove(ref, force = false) {
  try {
    const entry = await del(`models/${quote(ref)}${force ? '?force=true' : ''}`);
    toast(t('models.deleted', { ref }), { undo: () => post(`bin/${quote(entry.id)}/restore`) });
    const shown = route.get().rest.join('/'); // a name without a version means the one in use
    if (shown && (shown === ref || shown === ref.split('/')[0])) go('models');
  } catch (error) {
    const fault = /** @type {import('../core/api.js').ApiError} */ (error);
    if (force || !/still_needed/.test(fault.code)) return toastError(error);
    if (await confirmDialog({ title: t('models.delete_needed', { ref }), text: listLosses(fault), confirm: t('models.delete_anyway'), danger: true })) await remove(ref, true);
  }
}

/** Choose a format, wait for the file, take it. @param {ModelDetail} model */
async function exportModel(model) {
  let format = model.export_formats[0];
  const chosen = await openDialog({
    title: t('models.export_title', { ref: model.ref }),
    size: 'small',
    body: (close, redraw) => html`<fieldset class="choices"><legend class="visually-hidden">${t('models.format')}</legend>${model.export_formats.map((each) => html`
      <label class="choice-row"><input type="radio" name="format" .checked=${each === format} @change=${() => {
        format = each;
        redraw();
      }}><span><strong>${t(`models.format_${each}`)}</strong><small>${t(`models.format_${each}_text`)}</small></span></label>`)}</fieldset>`,
    actions: (close) => [button({ label: t('shell.cancel'), run: () => close('') }), button({ label: t('models.export'), icon: 'download', kind: 'primary', run: () => close(format) })],
  });
  if (!chosen) return;
  toast(t('models.exporting', { ref: model.ref }));
  const job = await finishJob((await startJob('export', { model: model.ref, to: chosen })).id);
  if (job.state === 'failed') throw job.error;
  if (job.result?.download) download(makeUrl(job.result.download).href);
}

/** A model from outside: its name, or its file. */
async function importModel() {
  let source = '';
  let error = '';
  const chosen = await openDialog({
    title: t('models.import_title'),
    body: (close) => html`<form class="stack" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), source && close(source))}>
      ${field({ id: 'import-source', label: t('models.import_source'), help: t('models.import_help'), control: ({ id, describedBy }) => html`<input id=${id} autofocus autocomplete="off" placeholder="smollm2" aria-describedby=${describedBy}
        @input=${(/** @type {Event} */ event) => (source = inputValue(event).trim())}>` })}
      <p class="or"><span>${t('models.or')}</span></p>
      ${field({ id: 'import-file', label: t('models.import_file'), error, control: ({ id }) => html`<input id=${id} type="file" accept=".gguf,.safetensors,.json,.model,.txt" multiple @change=${(/** @type {Event} */ event) => {
        const files = [.../** @type {any} */ (event.target).files];
        if (files.length) close(files);
      }}>` })}</form>`,
    actions: (close) => [button({ label: t('shell.cancel'), run: () => close(undefined) }), button({ label: t('models.import'), kind: 'primary', run: () => source && close(source) })],
  });
  if (!chosen) return;
  const params = typeof chosen === 'string' ? { source: chosen } : { upload: (await upload('uploads', chosen.map((/** @type {File} */ file) => ({ file })))).id };
  toast(t('models.importing'));
  const job = await finishJob((await startJob('import', params)).id);
  if (job.state === 'failed') throw job.error;
  if (job.result?.model && route.get().page === 'models') go(['models', job.result.model]); // else the reader has gone on
  toast(t('models.imported', { ref: job.result?.model ?? '' }), { kind: 'good' });
}

/** The list: one card a name, or the tree of all. */
class ModelList extends Element {
  static properties = { models: { attribute: false }, family: { state: true }, view: { state: true }, chosen: { state: true } };

  constructor() {
    super();
    /** @type {Model[]} */
    this.models = [];
    /** @type {{nodes: Node[], edges: Edge[]} | null} */
    this.family = null;
    this.view = route.get().query.get('view') === 'tree' ? 'tree' : 'list';
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
        ${segments({ label: t('models.view'), selected: this.view, choose: (view) => {
          this.view = view;
          replaceRoute('models', { view: view === 'tree' ? 'tree' : '' });
        }, items: [{ id: 'list', label: t('models.as_list'), icon: 'list' }, { id: 'tree', label: t('models.as_tree'), icon: 'waypoints' }] })}
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
        <div><h2>${active.name}</h2><p class="soft">${nameMedium(active.medium)} · ${active.parameters ? t('models.weights', { count: formatNumber(active.parameters, { notation: 'compact' }) }) : formatBytes(active.bytes)}</p></div>
        <span class="badge ${active.kind === 'taught' ? 'accent' : ''}">${translate('models.kind', active.kind)}</span></a>
      <p class="model-facts">${t('models.version', { version: active.version, n: versions.length })}${formatMeasured(active) ? html` · ${formatMeasured(active)}` : nothing} · ${t('models.outputs', { n: versions.reduce((sum, each) => sum + each.outputs, 0) })}</p>
      <div class="actions">${can.has('generate') ? buttonLink({ label: t('models.make'), icon: 'sparkles', small: true, href: href('make', { model: active.name }) }) : nothing}
        ${can.has('chat') ? buttonLink({ label: t('models.chat'), icon: 'messageSquare', small: true, href: href('chat', { model: active.name }) }) : nothing}
        ${can.has('teach') ? buttonLink({ label: t('models.teach'), icon: 'graduationCap', small: true, href: href(['teach', active.name]) }) : nothing}</div></article>`;
  }
}
customElements.define('gl-model-list', ModelList);

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
    import('../components/reports.js').then(() => (this.canShowTrust = true), toastError);
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
    if (this.fault) return html`${renderCrumbs()}${errorBox(this.fault, () => this.load())}`;
    if (!model) return nothing;
    const can = new Set(model.can);
    const versions = this.models.filter((each) => each.name === model.name).sort((a, b) => b.version - a.version);
    return html`${renderCrumbs()}
      ${pageHead({ title: model.ref, lead: html`<span class="badge">${translate('models.kind', model.kind)}</span> ${model.is_active ? html`<span class="badge good">${t('models.active')}</span>` : nothing} ${nameMedium(model.medium)}`, actions: html`
        ${can.has('generate') ? buttonLink({ label: t('models.make'), icon: 'sparkles', kind: 'primary', href: href('make', { model: model.ref }) }) : nothing}
        ${model.is_active ? nothing : button({ label: t('models.use'), icon: 'check', run: () => promote(model.ref).catch(toastError) })}
        ${menu({ label: t('models.more'), items: /** @type {import('../components/menu.js').Item[]} */ ([
          can.has('teach') ? { label: t('models.teach'), icon: 'graduationCap', href: href(['teach', model.name]) } : null,
          can.has('tune') ? { label: t('models.tune'), icon: 'trendingUp', href: href('train', { from: model.ref }) } : null,
          can.has('export') && model.export_formats.length ? { label: t('models.export'), icon: 'download', run: () => exportModel(model).catch(toastError) } : null,
          can.has('delete') ? { label: t('models.delete'), icon: 'trash2', danger: true, run: () => remove(model.ref) } : null,
        ]).filter((item) => item !== null) })}` })}
      <section aria-labelledby="family-title"><h2 id="family-title">${t('models.family')}</h2><p class="help">${t('models.family_help')}</p>
        ${renderTree(model.nodes, model.edges, { models: this.models, chosen: model.ref, label: t('models.family') })}</section>
      <div class="model-columns"><section class="card panel"><h2>${t('models.facts')}</h2>${renderFacts(model)}</section>
        ${versions.length > 1 ? this.renderVersions(model, versions) : nothing}</div>
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
}
customElements.define('gl-model-page', ModelPage);

const renderCrumbs = () => html`<nav class="crumbs" aria-label=${t('models.title')}><a class="text-link" href=${href('models')}>${t('models.title')}</a><span aria-hidden="true">/</span></nav>`;

/** @param {ModelDetail} model */
function renderFacts(model) {
  return facts([
    [t('models.fact_measured'), formatMeasured(model)],
    [t('models.fact_weights'), model.parameters ? formatNumber(model.parameters) : ''],
    [t('models.fact_size'), formatBytes(model.bytes)],
    [t('models.fact_data'), model.data ? html`<a class="text-link" href=${href(['data', model.data.name])}>${model.data.name}</a>` : ''],
    [t('models.fact_parent'), model.parent ? html`<a class="text-link" href=${href(['models', model.parent])}>${model.parent}</a>` : ''],
    [t('models.fact_receipt'), model.receipt ? html`<a class="text-link" href=${href(['teach', model.name, model.receipt])}>${t('models.receipt')}</a>` : ''],
    [t('models.fact_licences'), model.licences.join(', ')],
    [t('models.fact_adapter'), model.is_adapter ? t('models.yes_adapter') : ''],
    [t('models.fact_outputs'), formatNumber(model.outputs)],
    [t('models.fact_created'), formatDate(model.created)],
    [t('models.fact_digest'), html`<code>${model.digest.slice(0, 16)}…</code>`],
  ]);
}

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
        ${job && !isOver(job) ? progressBar({ share: job.progress.share, label: t('models.measuring'), note: job.progress.stage, secondsLeft: job.progress.seconds_left })
          : button({ label: t('models.measure'), icon: 'scale', disabled: !isReady, run: () => this.measure() })}
        ${this.report ? html`<p class="verdict-line">${translate('models.verdict', this.report.verdict)}</p><pre class="report" lang="en" tabindex="0">${this.report.lines.join('\n')}</pre>` : nothing}</section>`;
  }
}
customElements.define('gl-model-compare', ModelCompare);

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
    const { page, rest } = route.get();
    const ref = rest.join('/');
    const { models } = this;
    if (page !== 'models') return noChange; // the shell is about to take this page away
    if (this.fault) return html`${pageHead({ title: t('models.title') })}${errorBox(this.fault, () => this.load())}`;
    if (!models) return nothing;
    if (ref === 'compare') return html`<gl-model-compare .models=${models}></gl-model-compare>`;
    if (ref) return html`<gl-model-page .ref=${ref} .models=${models}></gl-model-page>`;
    if (models.length) return html`<gl-model-list .models=${models}></gl-model-list>`;
    return html`${pageHead({ title: t('models.title'), lead: t('models.lead') })}${emptyState({ icon: 'shapes', title: t('models.none'), text: t('models.none_text'), action: buttonLink({ label: t('models.train'), kind: 'primary', href: href('train') }) })}`;
  }
}
customElements.define('gl-models', ModelsPage);
