/** Make: one box, one button, any medium; what was made stays below it, with its model, seed and a way to go on from it. */
import { html, nothing, repeat } from '../vendor/lit.js';
import { get, post, quote, upload } from '../core/api.js';
import { announce } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { loadMessages, t } from '../core/i18n.js';
import { jobs, startJob } from '../core/jobs.js';
import { bindKeys } from '../core/keys.js';
import { canEdit, findModel, models, nameMedium, nameModel, readAdditions, readModels, readOptions, readPrompts } from '../core/models.js';
import { changes, rateOutput, removeOutputs, withChanges } from '../core/outputs.js';
import { go, href, replaceRoute, route } from '../core/router.js';
import { createSetting } from '../core/store.js';
import { toast, toastError } from '../components/toast.js';
import '../components/output-card.js';
import { counts, isOpen, renderComposer, renderNoModels, renderSteps } from './make/composer.js';
import { groupOutputs, makeGroup } from './make/groups.js';
import { SourceEditor } from './make/source.js';

/** @typedef {import('../core/shapes').Output} Output */
/** @typedef {import('../core/shapes').Option} Option */
/** @typedef {import('../core/shapes').Job} Job */

const chosenModel = createSetting('make.model', '');
const knobs = createSetting('make.knobs', /** @type {Record<string, Record<string, any>>} */ ({}));
const AMOUNTS = ['strength', 'vary']; // options that say how much of a source is changed

export class Make extends Element {
  constructor() {
    super();
    this.prompt = '';
    this.seed = '';
    /** @type {Option[]} */
    this.options = [];
    /** @type {import('../core/shapes').Additions} */
    this.additions = { presets: [], adapters: [] };
    /** @type {string[]} */
    this.suggestions = [];
    /** @type {Map<string, Output>} */
    this.outputs = new Map();
    this.isRead = false;
    this.isStarting = false;
    /** What is needed before a start: the models, and the options of the one chosen last. @type {Promise<void>} */
    this.opened = Promise.resolve();
    /** @type {Promise<void>} */
    this.reading = Promise.resolve();
    /** @type {import('../core/api.js').ApiError | null} */
    this.fault = null;
    this.current = '';
    /** The jobs that this page started. @type {Set<string>} */
    this.mine = new Set();
    /** Whether models vary their outputs. @type {Map<string, boolean>} */
    this.editors = new Map();
    this.source = new SourceEditor(() => this.requestUpdate());
  }

  stores() {
    return [models, jobs, changes, counts, knobs, isOpen];
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(route.subscribe(() => this.readRoute()));
    this.onLeave(onEvent('output.created', (data) => this.addOutput(data.id)));
    this.onLeave(onEvent('reset', () => this.readOutputs()));
    this.onLeave(bindKeys(t('make.title'), [
      { key: 'Mod+Enter', label: t('make.go'), run: () => this.start(), always: true },
      { key: 'i', label: t('make.key_prompt'), run: () => this.box?.focus() },
      { key: '+ =', label: t('shell.like'), run: () => this.rate({ up: true }), when: () => Boolean(this.current) },
      { key: '-', label: t('shell.dislike'), run: () => this.rate({ up: false }), when: () => Boolean(this.current) },
      { key: '1 2 3 4 5', label: t('make.key_stars'), run: (event) => this.rate({ stars: Number(event.key) }), when: () => Boolean(this.current) },
      { key: 'ArrowRight', label: t('make.key_next'), run: () => this.move(1) },
      { key: 'ArrowLeft', label: t('make.key_previous'), run: () => this.move(-1) },
      { key: 'Delete Backspace', label: t('shell.to_bin'), run: () => this.removeCurrent(), when: () => Boolean(this.current) },
    ]));
    this.opened = this.open();
  }

  get box() {
    return /** @type {HTMLTextAreaElement | null} */ (this.querySelector('#make-prompt'));
  }

  get model() {
    const all = models.get() ?? [];
    return findModel(chosenModel.get()) ?? all.find((each) => each.is_active && each.can.includes('generate'));
  }

  get values() {
    return knobs.get()[this.model?.name ?? ''] ?? {};
  }

  get count() {
    return counts.get()[this.model?.name ?? ''] ?? 4;
  }

  async open() {
    await loadMessages('options');
    this.readOutputs();
    try {
      await readModels();
      await this.readModel();
      await this.readRoute();
    } catch (error) {
      this.fault = /** @type {any} */ (error);
    }
    this.requestUpdate();
  }

  async readModel() {
    const { model } = this;
    if (!model) return;
    readPrompts(model.ref).catch(() => []).then((prompts) => { // which are there before the options, for which the model is loaded
      if (model !== this.model) return;
      this.suggestions = prompts;
      this.requestUpdate();
    });
    const options = await readOptions(model.ref);
    if (model !== this.model) return;
    this.options = options;
    this.source.setOptions(options, this.values);
    this.additions = { presets: [], adapters: [] };
    if (isOpen.get()) this.readAdditions();
    this.requestUpdate();
  }

  /** What can be added to a generation; asked for when the settings are opened. */
  async readAdditions() {
    const { model } = this;
    if (!model || this.additions.presets.length) return;
    const additions = await readAdditions(model.ref).catch(() => null);
    if (!additions || model !== this.model) return;
    this.additions = additions;
    this.requestUpdate();
  }

  /** What the address asks for: a model, a prompt, the settings of an output, a source. */
  async readRoute() {
    const { page, query } = route.get();
    if (page !== 'make' && location.hash.replace(/^#\/?/, '') !== '') return;
    const model = query.get('model');
    if (model && findModel(model)) await this.chooseModel(model);
    if (query.get('prompt') !== null) this.prompt = query.get('prompt') ?? '';
    try {
      if (query.get('again') && !(await this.recall(query.get('again') ?? ''))) return;
      if (query.get('source')) await this.useAsStart(query.get('source') ?? '');
    } catch (error) {
      toastError(error);
    }
    if ([...query.keys()].length && route.get().page === 'make') { // else the reader has gone on
      replaceRoute('make');
      this.requestUpdate();
      await this.updateComplete;
      this.box?.focus();
    }
  }

  /** Take every setting of an output; false if the page of its prompt takes them. @param {string} id */
  async recall(id) {
    const output = await get(`outputs/${id}`);
    const { model, prompt, n, seed, params, given, files, template } = output.again;
    if (template) {
      go(['prompts', template.name.split('/')[0]], { again: id });
      return false;
    }
    if (!findModel(model)) {
      toast(t('make.model_gone', { model }), { kind: 'error' });
      return true;
    }
    await this.chooseModel(model);
    this.prompt = prompt ?? output.prompt;
    this.seed = seed === undefined || seed === null ? '' : String(seed);
    this.setValues({ ...params, ...given, ...(output.again.refuse_copies ? { refuse_copies: true } : {}) });
    if (n) counts.update((now) => ({ ...now, [this.model?.name ?? '']: n }));
    await this.source.recall(files ?? {});
    isOpen.set(true);
    toast(t('make.recalled'), { kind: 'good' });
    return true;
  }

  /** Start from an output: with its own model, or with the present one if it can edit the medium. @param {string} id */
  async useAsStart(id) {
    const output = await get(`outputs/${id}`);
    const model = this.model?.medium === output.medium ? this.model : findModel(output.model) ?? models.get()?.find((each) => each.is_active && each.medium === output.medium);
    if (model) await this.chooseModel(model.ref);
    if (!this.prompt) this.prompt = output.prompt;
    if (!this.source.isPossible) {
      if (output.text) this.prompt = output.text;
      else toast(t('make.cannot_edit', { model: model ? nameModel(model) : '' }), { kind: 'error' });
      return;
    }
    this.source.setOutput(output);
  }

  /** @param {string} ref */
  async chooseModel(ref) {
    const before = this.model?.medium;
    chosenModel.set(ref);
    if (this.model?.medium !== before) this.source.clear();
    this.requestUpdate();
    await (this.reading = this.readModel());
  }

  async readOutputs() {
    try {
      const answer = await get('outputs', { limit: 60, conversation: 'none', arena: false });
      this.outputs = new Map(answer.data.map((/** @type {Output} */ each) => [each.id, each]));
      this.isRead = true;
    } catch (error) {
      this.fault = /** @type {any} */ (error);
    }
    this.requestUpdate();
  }

  /** @param {string} id */
  async addOutput(id) {
    if (this.outputs.has(id)) return;
    const output = await get(`outputs/${id}`).catch(() => null);
    if (!output || output.conversation) return;
    this.outputs = new Map([[id, output], ...this.outputs]);
    if (output.job && this.mine.has(output.job)) {
      if (!this.querySelector('gl-output:focus-within, gl-output:hover')) this.current = id; // a key belongs to the output that has the focus
      announce(t('make.done_one', { prompt: output.prompt || nameMedium(output.medium, 1) }));
    }
    this.requestUpdate();
  }

  /** @param {Record<string, any>} values */
  setValues(values) {
    const name = this.model?.name;
    if (name) knobs.update((now) => ({ ...now, [name]: values }));
  }

  /** @param {string} name @param {any} value */
  setValue(name, value) {
    const { [name]: _, ...rest } = this.values;
    this.setValues(value === undefined ? rest : { ...rest, [name]: value });
  }

  async start() {
    if (this.isStarting) return;
    this.isStarting = true;
    this.fault = null;
    this.requestUpdate();
    try {
      await this.opened; // a fast reader presses Enter before the models and their options are read
      await this.reading;
      const { model } = this;
      if (!model) return;
      const names = new Set(this.options.filter((option) => option.group === 'sampling' || (option.group === 'edit' && option.is_basic)).map((option) => option.name));
      const params = Object.fromEntries(Object.entries(this.values).filter(([name]) => names.has(name)));
      const conditions = this.options.filter((option) => option.group === 'condition' && option.name !== 'prompt' && this.values[option.name] !== undefined);
      const given = Object.fromEntries(conditions.map((option) => [option.name, String(this.values[option.name])]));
      const seed = this.seed.trim() === '' ? {} : { seed: Number(this.seed) };
      const edit = await this.source.makeParams(this.values);
      const job = await startJob('generate', { model: model.ref, prompt: this.prompt, n: this.count, ...seed, given,
        params: { ...params, ...edit.params }, files: edit.files, ...this.listAdditions() });
      this.mine.add(job.id);
      announce(t('make.started'));
    } catch (error) {
      this.fault = /** @type {any} */ (error);
      if (this.fault?.param) isOpen.set(true);
    } finally {
      this.isStarting = false;
      this.requestUpdate();
    }
  }

  /** What is added to a generation: a preset, adapters, and whether copies are withheld; only what is chosen. */
  listAdditions() {
    const { preset, adapters, refuse_copies: refusesCopies } = this.values;
    const added = this.additions.adapters.filter((ref) => adapters?.includes(ref));
    return {
      ...(this.additions.presets.some(({ name }) => name === preset) ? { preset: [preset] } : {}),
      ...(added.length ? { adapters: added } : {}),
      ...(refusesCopies ? { refuse_copies: true } : {}),
    };
  }

  /** Whether a model varies what it made; its options are read when it is asked for the first time. @param {string} ref */
  canVary(ref) {
    const known = this.editors.get(ref);
    if (known === undefined && findModel(ref)) {
      this.editors.set(ref, false);
      readOptions(ref).then((options) => {
        this.editors.set(ref, canEdit(options) && AMOUNTS.some((name) => options.some((option) => option.name === name)));
        this.requestUpdate();
      }, () => {});
    }
    return known ?? false;
  }

  /** @param {Output} output @param {number} strength */
  async vary(output, strength) {
    const model = findModel(output.model ?? '');
    if (!model) return;
    try {
      const options = await readOptions(model.ref);
      const file = options.find((option) => option.group === 'edit' && option.type === 'file')?.name;
      const amount = AMOUNTS.find((name) => options.some((option) => option.name === name));
      if (!file || !amount) throw new Error(t('make.cannot_edit', { model: nameModel(model) }));
      const job = await startJob('generate', { model: model.ref, prompt: output.prompt, n: 4, params: { [amount]: strength }, files: { [file]: `output:${output.id}` } });
      this.mine.add(job.id);
      scrollTo({ top: 0, behavior: 'smooth' });
    } catch (error) {
      toastError(error);
    }
  }

  /** @param {{up?: boolean, stars?: number}} rating */
  rate(rating) {
    const output = this.outputs.get(this.current);
    if (output) rateOutput(output, rating);
  }

  removeCurrent() {
    const output = this.outputs.get(this.current);
    if (!output) return;
    this.move(1);
    removeOutputs([output]);
  }

  /** @param {number} step */
  move(step) {
    const cards = /** @type {HTMLElement[]} */ ([...this.querySelectorAll('gl-output')]);
    const now = cards.findIndex((card) => card.dataset.id === this.current);
    const next = cards[Math.max(0, Math.min(cards.length - 1, now < 0 ? 0 : now + step))];
    if (!next) return;
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
  }

  /** @param {FileList | File[]} files */
  async takeFile(files) {
    const [file] = files;
    if (!file) return;
    if (!this.options.length) await readModels().then(() => this.readModel()).catch(toastError);
    if (!this.source.isPossible) {
      toast(t('make.cannot_edit', { model: this.model ? nameModel(this.model) : '' }), { kind: 'error' });
      return;
    }
    try {
      const sent = await upload('uploads', [{ file }]);
      this.source.setUpload(sent.id, file);
    } catch (error) {
      toastError(error);
    }
  }

  render() {
    const groups = groupOutputs([...this.outputs.values()].map(withChanges), [...jobs.get().values()]);
    const isFirst = this.isRead && groups.length === 0;
    return html`<div class="make ${isFirst ? 'first' : ''}">
      <h1 class=${isFirst ? 'make-question' : 'visually-hidden'} tabindex="-1">${isFirst ? t('make.question') : t('make.title')}</h1>
      ${isFirst ? html`<p class="make-lead">${t('make.lead')}</p>` : nothing}
      ${models.get()?.length === 0 ? renderNoModels() : renderComposer(this, isFirst)}
      ${isFirst ? renderSteps(this) : nothing}
      <div class="groups">${repeat(groups, (group) => group.id, (group) => makeGroup(group, this))}</div>
      ${this.outputs.size ? html`<p class="make-all"><a class="text-link" href=${href('gallery')}>${t('make.all_in_gallery')}</a></p>` : nothing}
    </div>`;
  }

  /** @param {Job} job */
  retry(job) {
    post(`jobs/${quote(job.id)}/retry`).catch(toastError);
  }

  updated() {
    const { box } = this;
    if (!box) return;
    box.style.height = 'auto';
    box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
  }
}
customElements.define('gl-make', Make);

