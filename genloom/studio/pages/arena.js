/** Blind pairs, full screen: two answers to a prompt, one choice, the next pair; with keys, mouse or thumb. */
import { html, keyed, noChange, nothing } from '../vendor/lit.js';
import { get, post, quote } from '../core/api.js';
import { announce, isMotionReduced, vars } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { t } from '../core/i18n.js';
import { startJob } from '../core/jobs.js';
import { bindKeys } from '../core/keys.js';
import { serverUrl } from '../core/outputs.js';
import { go, href, route } from '../core/router.js';
import { createSetting } from '../core/store.js';
import { button, buttonLink, emptyState, errorBox, field, pageHead, progressBar } from '../components/parts.js';
import { toast, toastError } from '../components/toast.js';
import { viewer } from '../components/viewer.js';
import { inputValue } from '../components/workshop.js';

/** @typedef {'a' | 'b' | 'tie' | 'bad' | 'skip'} Winner */
/** @typedef {import('../core/shapes').Pair} Pair */
/** @typedef {import('../core/shapes').Arena} ArenaState */
/** @typedef {import('../core/shapes').Model} Model */

const lastModel = createSetting('arena.model', '');
const AHEAD = 4; // pairs that are read before they are shown
const FLASH = 180; // milliseconds in which the chosen side is marked

/** @type {{winner: Winner, key: string, icon?: import('../components/parts.js').IconName}[]} */
const CHOICES = [
  { winner: 'a', key: 'ArrowLeft' },
  { winner: 'tie', key: '=', icon: 'equal' },
  { winner: 'bad', key: 'x', icon: 'thumbsDown' },
  { winner: 'b', key: 'ArrowRight' },
];

/** Have pictures here before their pair is shown. @param {Pair} pair */
function preload(pair) {
  for (const answer of [pair.a, pair.b]) if (answer.mime.startsWith('image/')) new Image().src = serverUrl(answer.url);
}

/** The choices themselves. */
class ArenaSession extends Element {
  static properties = {
    model: {}, against: {}, arena: { state: true }, pairs: { state: true }, fault: { state: true }, chosen: { state: true }, goal: { state: true },
  };

  constructor() {
    super();
    this.model = '';
    /** @type {ArenaState | null} */
    this.arena = null;
    /** @type {Pair[]} */
    this.pairs = [];
    /** @type {any} */
    this.fault = null;
    /** @type {Winner | ''} */
    this.chosen = '';
    this.goal = 0; // ratings that a round takes
    this.count = 0; // choices made on this page
    /** @type {Promise<void>} choices reach the server in order */
    this.sending = Promise.resolve();
    /** @type {Set<string>} */
    this.answered = new Set();
  }

  connectedCallback() {
    super.connectedCallback();
    document.body.classList.add('full-screen');
    this.onLeave(() => document.body.classList.remove('full-screen'));
    const once = (/** @type {() => void} */ run) => (/** @type {KeyboardEvent} */ event) => event.repeat || run();
    this.onLeave(bindKeys(t('arena.title'), [
      ...CHOICES.map(({ winner, key }) => ({ key, label: t(`arena.choose_${winner}`), run: once(() => this.choose(winner)) })),
      { key: 's', label: t('arena.skip'), run: once(() => this.choose('skip')) },
      { key: 'u', label: t('arena.undo'), run: once(() => this.undo()) },
      { key: '1', label: t('arena.play_a'), run: () => this.play('a') },
      { key: '2', label: t('arena.play_b'), run: () => this.play('b') },
      { key: 'Escape', label: t('arena.leave'), run: () => go('arena') },
    ]));
    const refill = () => this.pairs.length < AHEAD && this.load();
    for (const kind of ['arena', 'job.succeeded', 'job.failed', 'job.cancelled', 'reset']) this.onLeave(onEvent(kind, refill));
    this.load();
    get(`teach/${quote(this.model)}`).then(({ ratings }) => (this.goal = ratings.train + ratings.held_out + ratings.missing), () => {});
  }

  async load() {
    await this.sending;
    try {
      const arena = await get(`arena/${quote(this.model)}`, { count: AHEAD });
      const known = new Set([...this.pairs.map((pair) => pair.id), ...this.answered]);
      this.arena = arena;
      const more = arena.pairs.filter((/** @type {Pair} */ pair) => !known.has(pair.id));
      this.pairs = [...this.pairs, ...more];
      more.forEach(preload);
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  /** @param {Winner} winner */
  choose(winner) {
    const [pair] = this.pairs;
    if (!pair || this.chosen || !this.arena) return;
    this.chosen = winner;
    this.answered.add(pair.id);
    const turned = new Promise((resolve) => setTimeout(resolve, isMotionReduced() || winner === 'skip' ? 0 : FLASH)).then(() => {
      this.chosen = '';
      this.pairs = this.pairs.filter((each) => each !== pair);
      if (this.pairs.length < AHEAD) this.load();
      const next = this.pairs[0];
      announce([t('arena.chosen', { choice: t(`arena.choose_${winner}`) }), next && t('arena.next_pair', { prompt: next.prompt })].filter(Boolean).join(' '));
    });
    this.sending = this.sending.then(() => this.send(pair, winner, turned));
  }

  /** @param {Pair} pair @param {Winner} winner @param {Promise<void>} turned when the next pair is shown */
  async send(pair, winner, turned) {
    try {
      const { answered, total, missing } = await post(`arena/${quote(this.model)}/choices`, { pair: pair.id, winner });
      if (winner !== 'skip') this.count++;
      if (this.arena) this.arena = { ...this.arena, answered, total, missing, can_undo: true };
    } catch (error) {
      await turned;
      this.answered.delete(pair.id);
      this.pairs = [pair, ...this.pairs.filter((each) => each.id !== pair.id)];
      toast(t('arena.not_saved', { message: /** @type {Error} */ (error).message }), { kind: 'error' });
    }
  }

  async undo() {
    await this.sending;
    try {
      const { pair, answered, total, missing } = await post(`arena/${quote(this.model)}/undo`);
      if (!pair || !this.arena) return void toast(t('arena.nothing_to_undo'));
      this.answered.delete(pair.id);
      this.arena = { ...this.arena, answered, total, missing, can_undo: answered > 0 };
      this.pairs = [pair, ...this.pairs.filter((each) => each.id !== pair.id)];
      this.count = Math.max(0, this.count - 1);
      announce(t('arena.taken_back'));
    } catch (error) {
      toastError(error);
    }
  }

  /** Play what has a sound. @param {'a' | 'b'} side */
  play(side) {
    /** @type {HTMLElement | null} */ (this.querySelector(`.answer-${side} gl-player button`))?.click();
  }

  render() {
    const pair = this.pairs[0];
    return html`<section class="arena-session" aria-label=${t('arena.title')}>
      ${this.renderHead(pair)}
      ${this.fault && !pair ? errorBox(this.fault, () => this.load()) : pair ? keyed(pair.id, this.renderPair(pair)) : this.renderRest()}
    </section>`;
  }

  /** @param {Pair | undefined} pair */
  renderHead(pair) {
    const arena = this.arena;
    const share = arena && this.goal ? 1 - arena.missing / Math.max(this.goal, arena.missing) : 0;
    const words = !arena ? '' : arena.missing ? t('arena.missing', { n: arena.missing }) : t('arena.enough');
    return html`<header class="arena-head">
      ${button({ label: t('arena.leave'), icon: 'x', alone: true, kind: 'quiet', key: 'Escape', run: () => go('arena') })}
      <div class="arena-goal ${arena && !arena.missing ? 'reached' : ''}">
        <div class="bar" ${vars({ '--share': share })} aria-hidden="true"></div>
        <p><span>${words}</span>${pair && arena ? html`<span class="soft">${t('arena.position', { position: arena.answered + 1, count: arena.total })}</span>` : nothing}</p>
      </div>
      ${arena && !arena.missing ? buttonLink({ label: t('arena.teach_now'), icon: 'graduationCap', kind: 'primary', small: true, href: href(['teach', this.model]) }) : nothing}
    </header>`;
  }

  /** @param {Pair} pair */
  renderPair(pair) {
    const given = Object.entries(pair.given ?? {}).map(([name, value]) => `${name} ${value}`);
    return html`<div class="arena-prompt"><p class="eyebrow">${t('arena.prompt')}</p>
        <h1 tabindex="-1">${pair.prompt || (given.length ? given.join(', ') : t('arena.no_prompt'))}</h1>
        ${pair.prompt && given.length ? html`<p class="soft">${given.join(', ')}</p>` : nothing}</div>
      <div class="arena-pair ${pair.a.text === null ? 'shown' : 'read'}">${this.renderAnswer(pair, 'a')}${this.renderAnswer(pair, 'b')}</div>
      <footer class="arena-choices">
        <div class="arena-main" role="group" aria-label=${t('arena.question')}>${CHOICES.map(({ winner, key, icon }) => html`<div class="choice choice-${winner}">
          ${button({ label: t(`arena.choose_${winner}`), icon, key, kind: winner === 'a' || winner === 'b' ? 'primary' : '', pressed: this.chosen === winner, run: () => this.choose(winner) })}</div>`)}</div>
        <div class="arena-more">
          ${button({ label: t('arena.undo'), icon: 'undo2', key: 'u', kind: 'quiet', small: true, disabled: !this.arena?.can_undo, run: () => this.undo() })}
          ${button({ label: t('arena.skip'), icon: 'skipForward', key: 's', kind: 'quiet', small: true, run: () => this.choose('skip') })}
        </div>
      </footer>`;
  }

  /** @param {Pair} pair @param {'a' | 'b'} side */
  renderAnswer(pair, side) {
    const answer = pair[side];
    const state = this.chosen === side || this.chosen === 'tie' ? 'chosen' : this.chosen ? 'passed' : '';
    return html`<article class="arena-answer answer-${side} ${state}" aria-label=${t(`arena.answer_${side}`)}>
      <span class="letter" aria-hidden="true">${side.toUpperCase()}</span>
      ${viewer({ ...answer, label: t(`arena.answer_${side}`) }, 'full')}
    </article>`;
  }

  /** No pair to show: they are being made, or that was all. */
  renderRest() {
    const arena = this.arena;
    if (!arena) return html`<div class="arena-rest"><span class="spinner" aria-hidden="true"></span></div>`;
    if (arena.making) {
      const { done, total } = arena.making;
      return html`<div class="arena-rest"><h1 tabindex="-1">${t('arena.waiting')}</h1>
        ${progressBar({ share: total ? done / total : null, label: t('arena.waiting'), note: t('arena.ready', { done, total }) })}</div>`;
    }
    return html`<div class="arena-rest"><h1 tabindex="-1">${t('arena.done')}</h1>
      <p>${this.count ? t('arena.done_count', { n: this.count }) : t('arena.done_none')} ${arena.missing ? t('arena.missing', { n: arena.missing }) : t('arena.enough')}.</p>
      <div class="actions">
        ${buttonLink({ label: t('arena.teach_now'), icon: 'graduationCap', kind: arena.missing ? '' : 'primary', href: href(['teach', this.model]) })}
        ${buttonLink({ label: t('arena.more'), icon: 'plus', kind: arena.missing ? 'primary' : '', href: href('arena', { model: this.model }) })}
        ${button({ label: t('arena.undo'), icon: 'undo2', key: 'u', kind: 'quiet', disabled: !arena.can_undo, run: () => this.undo() })}
      </div></div>`;
  }
}
customElements.define('gl-arena-session', ArenaSession);

/** How many pairs of each prompt reach a round of learning; some more, since chance decides which prompts are held back. @param {number} missing @param {number} prompts */
const suggestRepeats = (missing, prompts) => Math.min(5, Math.max(1, Math.ceil((1.3 * missing) / Math.max(1, prompts))));

/** Which model answers what. */
class ArenaStart extends Element {
  static properties = { models: { state: true }, name: { state: true }, arena: { state: true }, fault: { state: true }, isBusy: { state: true }, prompts: { state: true } };

  constructor() {
    super();
    /** @type {Model[] | null} */
    this.models = null;
    this.name = route.get().query.get('model') ?? lastModel.get();
    /** @type {ArenaState | null} */
    this.arena = null;
    this.against = '';
    /** @type {any} */
    this.fault = null;
    this.isBusy = false;
    this.prompts = '';
    this.repeats = 1;
  }

  connectedCallback() {
    super.connectedCallback();
    this.load();
  }

  async load() {
    try {
      const { data } = await get('models');
      this.models = data.filter((/** @type {Model} */ model) => model.can.includes('generate'));
      const names = this.names;
      await this.choose(names.includes(this.name) ? this.name : (names[0] ?? ''));
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  get names() {
    return [...new Set((this.models ?? []).map((model) => model.name))];
  }

  /** @param {string} name */
  async choose(name) {
    this.name = name;
    lastModel.set(name);
    this.against = '';
    if (!name) return;
    const arena = await get(`arena/${quote(name)}`, { count: 1 });
    if (this.name !== name) return;
    this.arena = arena;
    this.prompts = arena.suggested_prompts.join('\n');
    this.repeats = suggestRepeats(arena.missing, arena.suggested_prompts.length);
  }

  async start() {
    const prompts = this.prompts.split('\n').map((line) => line.trim()).filter(Boolean);
    this.isBusy = true;
    try {
      await startJob('arena', { model: this.name, ...(this.against ? { against: this.against } : {}), ...(prompts.length ? { prompts } : {}), count: this.repeats });
      if (this.isConnected) go(['arena', this.name]); // else the reader has gone on
    } catch (error) {
      this.fault = error;
    } finally {
      this.isBusy = false;
    }
  }

  render() {
    return html`${pageHead({ title: t('arena.title'), lead: t('arena.lead') })}
      ${this.fault ? errorBox(this.fault, () => this.load()) : nothing}
      ${!this.models ? nothing : this.names.length ? this.renderForm() : emptyState({
        icon: 'scale', title: t('arena.no_model'), text: t('arena.no_model_text'), action: buttonLink({ label: t('arena.to_models'), href: href('models'), kind: 'primary' }),
      })}`;
  }

  renderForm() {
    const waiting = this.arena ? this.arena.total - this.arena.answered : 0;
    const isReady = waiting > 0 || Boolean(this.arena?.making);
    return html`<div class="arena-start">
      <div class="card panel">${field({ id: 'arena-model', label: t('arena.model'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {Event} */ event) => this.choose(inputValue(event)).catch(toastError)}>
          ${this.names.map((name) => html`<option value=${name} ?selected=${name === this.name}>${name}</option>`)}</select>` })}
        ${this.arena ? html`<p class="arena-state">${this.arena.missing ? t('arena.missing', { n: this.arena.missing }) : t('arena.enough')}</p>` : nothing}
        ${isReady ? html`<div class="actions">${buttonLink({ label: waiting ? t('arena.continue', { n: waiting }) : t('arena.continue_soon'), icon: 'play', kind: 'primary', href: href(['arena', this.name]) })}
          ${this.arena?.missing === 0 ? buttonLink({ label: t('arena.teach_now'), icon: 'graduationCap', href: href(['teach', this.name]) }) : nothing}</div>` : nothing}</div>
      ${isReady ? html`<details class="card panel"><summary>${t('arena.make_pairs')}</summary>${this.renderPrompts('')}</details>` : html`<div class="card panel">${this.renderPrompts('primary')}</div>`}</div>`;
  }

  /** @param {string} kind of the button */
  renderPrompts(kind) {
    const versions = (this.models ?? []).filter((model) => model.name === this.name && !model.is_active);
    return html`<form class="stack" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.start())}>
      ${field({ id: 'arena-prompts', label: t('arena.prompts'), help: t('arena.prompts_help'), control: ({ id, describedBy }) => html`
        <textarea id=${id} rows="7" aria-describedby=${describedBy} .value=${this.prompts} @input=${(/** @type {Event} */ event) => (this.prompts = inputValue(event))}></textarea>` })}
      <div class="field-row">
        ${field({ id: 'arena-count', label: t('arena.count'), control: ({ id }) => html`<input id=${id} type="number" min="1" max="20" .value=${String(this.repeats)} @change=${(/** @type {Event} */ event) => (this.repeats = Number(inputValue(event)) || 1)}>` })}
        ${versions.length ? field({ id: 'arena-against', label: t('arena.against'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {Event} */ event) => (this.against = inputValue(event))}>
          <option value="">${t('arena.itself')}</option>${versions.map(({ ref }) => html`<option value=${ref} ?selected=${ref === this.against}>${ref}</option>`)}</select>` }) : nothing}
      </div>
      <div class="actions"><button class="button ${kind}" ?disabled=${this.isBusy} aria-busy=${this.isBusy ? 'true' : 'false'}>${kind ? t('arena.start') : t('arena.more')}</button></div>
    </form>`;
  }
}
customElements.define('gl-arena-start', ArenaStart);

class ArenaPage extends Element {
  stores() {
    return [route];
  }

  render() {
    const { page, rest: [model] } = route.get();
    if (page !== 'arena') return noChange; // the shell is about to take this page away
    return model ? keyed(model, html`<gl-arena-session .model=${model}></gl-arena-session>`) : html`<gl-arena-start></gl-arena-start>`;
  }
}
customElements.define('gl-arena', ArenaPage);
