/** <gl-prompt>: a prompt as a form, what a model wrote from it, and its texts, versions and tests. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { get, post, quote } from '../../core/api.js';
import { Element, useStyle } from '../../core/element.js';
import { onEvent } from '../../core/events.js';
import { formatAgo, loadMessages, t } from '../../core/i18n.js';
import { finishJob, jobs, startJob } from '../../core/jobs.js';
import { models, nameModel, readModels } from '../../core/models.js';
import { changes, withChanges } from '../../core/outputs.js';
import { href } from '../../core/router.js';
import { isAllowed } from '../../core/session.js';
import { createSetting } from '../../core/store.js';
import { menu } from '../../components/menu.js';
import { CHAT_MODEL, fetchButton } from '../../components/fetch-model.js';
import { button, buttonLink, emptyState, errorBox, field, icon, pageHead, segments } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';
import { translate } from '../../components/workshop.js';
import '../../components/output-card.js';
import { groupOutputs, makeGroup } from '../make/groups.js';
import { changePrompt, removePrompt } from './edit.js';
import { describe, explainVariable, nameVariable } from './words.js';

await Promise.all([loadMessages('make', 'options'), useStyle('make')]); // of the groups of outputs

/** @typedef {import('../../core/shapes').PromptDetail} PromptDetail */
/** @typedef {import('../../core/shapes').PromptVariable} Variable */
/** @typedef {import('../../core/shapes').Output} Output */
/** @typedef {import('../../core/shapes').Job} Job */

const chosenModel = createSetting('prompts.model', '');
const count = createSetting('prompts.count', 2);
const COUNTS = [1, 2, 4];
const SHOWN = 12; // texts that were written before
const LONG = new Set(['text']); // variables that take more than a line

class PromptPage extends Element {
  static properties = { name: {}, again: {}, prompt: { state: true }, fault: { state: true }, report: { state: true }, isStarting: { state: true } };

  constructor() {
    super();
    this.name = '';
    this.again = ''; // an output whose values are taken
    /** @type {PromptDetail | null} */
    this.prompt = null;
    /** @type {Record<string, string>} */
    this.values = {};
    this.length = '';
    /** @type {any} */
    this.fault = null;
    /** @type {any} the tests of the prompt with a model */
    this.report = null;
    this.isStarting = false;
    this.current = '';
    /** @type {Map<string, Output>} */
    this.outputs = new Map();
    /** Jobs that wrote from this prompt. @type {Map<string, Job>} */
    this.written = new Map();
  }

  stores() {
    return [models, jobs, changes, chosenModel, count];
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(onEvent('prompt', (data) => data.name === this.name && this.read().catch(toastError)));
    this.onLeave(onEvent('output.created', (data) => this.addOutput(data)));
    readModels().catch(toastError);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('name')) {
      this.prompt = null;
      this.report = null;
      this.values = {};
      this.read().then(() => this.readOutputs(), (error) => (this.fault = error));
    }
    if (changed.has('again') && this.again) this.recall(this.again).catch(toastError);
  }

  async read() {
    const { name } = this;
    const found = await get(`prompts/${quote(name)}`);
    if (name !== this.name) return;
    this.prompt = found;
    this.fault = null;
  }

  /** What was written from this prompt before. */
  async readOutputs() {
    const { data } = await get('jobs', { kind: 'generate', limit: 100 });
    this.written = new Map(data.filter((/** @type {Job} */ job) => this.isOwn(job)).map((/** @type {Job} */ job) => [job.id, job]));
    const ids = [...this.written.values()].flatMap((job) => /** @type {any} */ (job.result)?.outputs ?? []).slice(0, SHOWN);
    const found = await Promise.all(ids.map((id) => get(`outputs/${id}`).catch(() => null)));
    for (const output of found) if (output) this.outputs.set(output.id, output);
    this.requestUpdate();
  }

  /** @param {Job} job */
  isOwn(job) {
    const ref = /** @type {any} */ (job.params)?.template?.name ?? '';
    return job.kind === 'generate' && ref.split('/')[0] === this.name;
  }

  /** @param {{id: string, job?: string}} created */
  async addOutput({ id, job }) {
    const known = job && (jobs.get().get(job) ?? this.written.get(job));
    if (!known || !this.isOwn(known)) return;
    const output = await get(`outputs/${id}`).catch(() => null);
    if (output) this.outputs.set(id, output);
    this.requestUpdate();
  }

  /** Take the values of what was written before. @param {string} id */
  async recall(id) {
    const { template } = (await get(`outputs/${id}`)).again;
    if (!template) return;
    this.values = Object.fromEntries(Object.entries(template.given).map(([name, value]) => [name, Array.isArray(value) ? value.join('\n') : value]));
    this.length = template.length;
    this.requestUpdate();
  }

  get usable() {
    return (models.get() ?? []).filter((each) => each.can.includes('chat'));
  }

  get model() {
    return this.usable.find((each) => each.ref === chosenModel.get()) ?? this.usable.find((each) => each.is_active) ?? this.usable[0];
  }

  /** The values as the server takes them: those of a list by lines. */
  get given() {
    const filled = (this.prompt?.variables ?? []).filter(({ name }) => (this.values[name] ?? '').trim());
    return Object.fromEntries(filled.map(({ name, is_list: isList }) => [name, isList ? this.values[name].split('\n').map((line) => line.trim()).filter(Boolean) : this.values[name].trim()]));
  }

  async start() {
    const { model, prompt } = this;
    if (!model || !prompt || this.isStarting) return;
    this.isStarting = true;
    this.fault = null;
    try {
      await startJob('generate', { model: model.ref, n: count.get(), template: { name: prompt.ref, given: this.given, length: this.length } });
    } catch (error) {
      this.fault = error;
    } finally {
      this.isStarting = false;
    }
  }

  async test() {
    const { model, prompt } = this;
    if (!model || !prompt) return;
    const job = await finishJob((await startJob('test_prompt', { prompt: prompt.ref, model: model.ref })).id);
    if (job.state === 'failed') throw job.error;
    if (job.state === 'succeeded') this.report = (await get(`jobs/${job.id}`)).result.report; // lists of jobs are brief
  }

  // What groups of outputs ask of their page

  canVary() {
    return false;
  }

  vary() {}

  /** @param {Job} job */
  retry(job) {
    post(`jobs/${quote(job.id)}/retry`).catch(toastError);
  }

  render() {
    const { prompt } = this;
    const crumbs = html`<nav class="crumbs" aria-label=${t('prompts.title')}><a class="text-link" href=${href('prompts')}>${t('prompts.title')}</a><span aria-hidden="true">/</span></nav>`;
    if (!prompt) return html`${crumbs}${pageHead({ title: this.name })}${this.fault ? errorBox(this.fault) : nothing}`;
    const isOwn = prompt.versions > (prompt.history.some(({ version }) => version === 0) ? 1 : 0);
    const known = [...this.written.values(), ...jobs.get().values()].filter((job) => this.isOwn(job)); // the newest state of each last
    const groups = groupOutputs([...this.outputs.values()].map(withChanges), known);
    return html`${crumbs}
      ${pageHead({ title: prompt.name, lead: describe(prompt), actions: isAllowed('train') ? html`${button({ label: t('prompts.edit'), icon: 'pencil', run: () => changePrompt(prompt).catch(toastError) })}
        ${isOwn ? menu({ label: t('shell.more'), items: [{ label: t('prompts.delete'), icon: 'trash2', danger: true, run: () => removePrompt(prompt).catch(toastError) }] }) : nothing}` : nothing })}
      ${this.usable.length || !models.get() ? this.renderForm(prompt) : emptyState({ icon: 'messagesSquare', title: t('prompts.no_model'), text: t('prompts.no_model_text'), action: html`${fetchButton(CHAT_MODEL)}${buttonLink({ label: t('prompts.to_models'), href: href('models') })}` })}
      ${groups.length ? html`<div class="groups">${repeat(groups, (group) => group.id, (group) => makeGroup(group, this))}</div>` : nothing}
      ${this.renderTexts(prompt)}`;
  }

  /** @param {PromptDetail} prompt */
  renderForm(prompt) {
    const required = prompt.variables.filter((each) => each.is_required);
    const optional = prompt.variables.filter((each) => !each.is_required);
    const [first, rest] = required.length ? [required, optional] : [optional.slice(0, 2), optional.slice(2)];
    const lengths = Object.keys(prompt.lengths);
    return html`<form class="card panel stack prompt-form" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.start())}>
      <div class="field-row">${first.map((each) => this.renderVariable(each))}</div>
      ${rest.length ? html`<details ?open=${rest.some(({ name }) => this.values[name])}><summary>${t('prompts.more_fields', { n: rest.length })}</summary><div class="field-row">${rest.map((each) => this.renderVariable(each))}</div></details>` : nothing}
      ${lengths.length ? segments({ label: t('prompts.length'), selected: this.length || (lengths.includes('medium') ? 'medium' : ''), choose: (length) => {
        this.length = length;
        this.requestUpdate();
      }, items: lengths.map((id) => ({ id, label: t('prompts.words', { name: translate('prompts.length', id), n: prompt.lengths[id] }) })) }) : nothing}
      ${this.fault ? errorBox(this.fault) : nothing}
      <div class="actions"><label><span class="visually-hidden">${t('make.model')}</span><select @change=${(/** @type {any} */ event) => chosenModel.set(event.target.value)}>
          ${this.usable.map((each) => html`<option value=${each.ref} ?selected=${each.ref === this.model?.ref}>${nameModel(each)}</option>`)}</select></label>
        <label><span class="visually-hidden">${t('make.count_label')}</span><select @change=${(/** @type {any} */ event) => count.set(Number(event.target.value))}>
          ${COUNTS.map((n) => html`<option value=${n} ?selected=${n === count.get()}>${t('prompts.variants', { n })}</option>`)}</select></label>
        <span class="grow"></span><button class="button primary" ?disabled=${this.isStarting || !this.model}>${icon('sparkles')}<span>${t('prompts.write')}</span></button></div></form>`;
  }

  /** @param {Variable} variable */
  renderVariable(variable) {
    const { name, is_required: isRequired, is_list: isList, is_closed: isClosed, choices, default: standard } = variable;
    const take = (/** @type {any} */ event) => (this.values[name] = event.target.value);
    const value = this.values[name] ?? '';
    return field({ id: `value-${name}`, label: nameVariable(variable), help: [explainVariable(variable), isList ? t('prompts.by_lines') : ''].filter(Boolean).join(' '), control: ({ id, describedBy }) =>
      isClosed ? html`<select id=${id} ?required=${isRequired} aria-describedby=${describedBy} @change=${take}><option value=""></option>${choices.map((each) => html`<option ?selected=${each === value}>${each}</option>`)}</select>`
        : isList || LONG.has(name) ? html`<textarea id=${id} rows=${isList ? 2 : 5} ?required=${isRequired} aria-describedby=${describedBy} .value=${value} @input=${take}></textarea>`
          : html`<input id=${id} autocomplete="off" ?required=${isRequired} aria-describedby=${describedBy} placeholder=${standard} .value=${value} @input=${take}>` });
  }

  /** @param {PromptDetail} prompt */
  renderTexts(prompt) {
    const { report } = this;
    const testing = [...jobs.get().values()].find((job) => job.kind === 'test_prompt' && (job.state === 'running' || job.state === 'queued') && /** @type {any} */ (job.params).prompt === prompt.ref);
    return html`<div class="prompt-columns"><section class="card panel stack"><h2>${t('prompts.texts')}</h2>
        ${prompt.system ? html`<div><h3 class="label">${t('prompts.field_system')}</h3><pre class="template" tabindex="0">${prompt.system}</pre></div>` : nothing}
        <div><h3 class="label">${t('prompts.field_prompt')}</h3><pre class="template" tabindex="0">${prompt.prompt}</pre></div>
        ${prompt.examples ? html`<p class="help">${t('prompts.examples', { n: prompt.examples })}</p>` : nothing}</section>
      <section class="card panel"><h2>${t('prompts.history')}</h2><ul class="rows">${repeat(prompt.history, ({ version }) => version, (each) => html`<li class="list-row"><div><strong>${each.version ? t('prompts.version', { n: each.version }) : t('prompts.built_in')}</strong>
          <p class="soft">${[each.note, each.owner, each.created ? formatAgo(each.created) : ''].filter(Boolean).join(' · ')}</p></div>
          ${each.up + each.down ? html`<span class="number" aria-label=${t('prompts.rated', { up: each.up, down: each.down })}>${icon('thumbsUp')} ${each.up} ${icon('thumbsDown')} ${each.down}</span>` : nothing}</li>`)}</ul></section>
      ${prompt.tests ? html`<section class="card panel stack"><div class="section-head"><h2>${t('prompts.tests')}</h2>${isAllowed('train') ? button({ label: t('prompts.try_tests'), icon: 'check', small: true, busy: Boolean(testing), disabled: !this.model || Boolean(testing), run: () => this.test().catch(toastError) }) : nothing}</div>
        <p class="help">${t('prompts.tests_help', { n: prompt.tests })}</p>
        ${report ? html`<p role="status">${t('prompts.passed', { passed: report.passed, n: report.tests.length, model: report.model })}</p><ul class="rows">${report.tests.map((/** @type {any} */ each) => html`<li class="list-row">${icon(each.failures.length ? 'circleAlert' : 'circleCheck')}<div>
          <strong>${Object.values(each.given).flat().join(' · ')}</strong>${each.failures.map((/** @type {any} */ failure) => html`<p class="error-line" lang="en">${failure.check}: ${failure.reason}</p>`)}
          <details><summary>${t('prompts.answer')}</summary><p class="text-card">${each.answer}</p></details></div></li>`)}</ul>` : nothing}</section>` : nothing}</div>`;
  }
}
customElements.define('gl-prompt', PromptPage);
