/** The turns of a branch. Blocks of twenty turns are drawn when they come near; 10,000 turns are five hundred blocks, of which a few exist. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { vars } from '../../core/dom.js';
import { Element } from '../../core/element.js';
import { formatDate, t } from '../../core/i18n.js';
import { nameStage, readText } from '../../core/jobs.js';
import { findModel, nameModel } from '../../core/models.js';
import { splitReasoning } from '../../core/reasoning.js';
import { button, icon } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';
import '../../components/markdown.js';
import '../../components/stream-text.js';

/** @typedef {import('../../core/shapes').Turn} Turn */
/** @typedef {import('../../core/shapes').Job} Job */
/** @typedef {import('../../components/markdown.js').Markdown} Markdown */
/**
 * @typedef {object} Actions
 * @property {(turn: Turn) => void} retry
 * @property {(turn: Turn, text: string) => void} edit
 * @property {(turn: Turn) => void} show a sibling
 * @property {(turn: Turn, others: Turn[]) => void} prefer
 * @property {(turn: Turn, up: boolean) => void} rate
 * @property {(turn: Turn) => void} copy
 */

const SIZE = 20;
const GUESS = 150; // pixels a turn, until it was seen

export class Thread extends Element {
  static properties = { turns: { attribute: false }, children_: { attribute: false }, running: { attribute: false }, rivals: { attribute: false }, ratings: { attribute: false }, preferred: { attribute: false } };

  constructor() {
    super();
    /** @type {Turn[]} */
    this.turns = [];
    /** @type {Map<string, Turn[]>} */
    this.children_ = new Map();
    /** The turns that jobs write now: question → jobs. @type {Map<string, Job[]>} */
    this.running = new Map();
    this.rivals = ''; // the two models whose answers stand beside each other, a line each
    /** @type {Map<string, boolean | null>} */
    this.ratings = new Map();
    /** @type {Set<string>} */
    this.preferred = new Set();
    /** @type {Actions | null} */
    this.actions = null;
    this.editing = '';
    /** @type {Set<number>} */
    this.near = new Set();
    /** @type {Map<number, number>} */
    this.heights = new Map();
    this.shownFor = '';
  }

  connectedCallback() {
    super.connectedCallback();
    this.observer = new IntersectionObserver((entries) => this.onNear(entries), { root: this.closest('.chat-scroll'), rootMargin: '1200px 0px' });
    this.onLeave(() => this.observer?.disconnect());
  }

  /** @param {IntersectionObserverEntry[]} entries */
  onNear(entries) {
    let changed = false;
    for (const { target, isIntersecting, boundingClientRect } of entries) {
      const n = Number(/** @type {HTMLElement} */ (target).dataset.n);
      if (isIntersecting === this.near.has(n)) continue;
      changed = true;
      if (isIntersecting) {
        this.near.add(n);
      } else {
        this.heights.set(n, boundingClientRect.height);
        this.near.delete(n);
      }
    }
    if (changed) this.requestUpdate();
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (!changed.has('turns')) return;
    const first = this.turns[0]?.id ?? '';
    const last = Math.max(0, Math.ceil(this.turns.length / SIZE) - 1);
    if (first !== this.shownFor) {
      this.shownFor = first;
      this.heights.clear();
      this.near = new Set([last, last - 1].filter((n) => n >= 0));
      this.editing = '';
    }
    this.near.add(last);
  }

  updated() {
    for (const block of this.querySelectorAll('.turn-block')) this.observer?.observe(block);
  }

  render() {
    const blocks = Math.max(1, Math.ceil(this.turns.length / SIZE));
    const pair = this.findPair();
    const turns = pair && this.turns.at(-1)?.role === 'assistant' ? this.turns.slice(0, -1) : this.turns;
    const jobs = pair ? [] : this.running.get(this.turns.at(-1)?.id ?? '') ?? [];
    this.classList.toggle('paired', Boolean(pair));
    return html`${repeat(Array.from({ length: blocks }, (_, n) => n), (n) => `${this.shownFor}${n}`, (n) => this.near.has(n)
      ? html`<div class="turn-block" data-n=${n} ${vars({ 'min-height': '0' })}>${repeat(turns.slice(n * SIZE, (n + 1) * SIZE), (turn) => turn.id, (turn) => this.renderTurn(turn))}</div>`
      : html`<div class="turn-block" data-n=${n} ${vars({ 'min-height': `${this.heights.get(n) ?? GUESS * SIZE}px` })}></div>`)}
      ${repeat(jobs, (job) => job.id, (job) => html`<gl-answer .job=${job}></gl-answer>`)}
      ${pair ? html`<div class="pair" role="group" aria-label=${t('chat.both')}>${pair.map((side) => ('kind' in side ? html`<gl-answer .job=${side}></gl-answer>` : this.renderTurn(side, true)))}</div>` : nothing}`;
  }

  /** What the two models answer to the last question: a turn, a job that writes it; null if one model answers. @returns {(Turn | Job)[] | null} */
  findPair() {
    const last = this.turns.at(-1);
    const question = last?.role === 'assistant' ? last.parent : last?.id;
    if (!this.rivals || !question) return null;
    const working = this.running.get(question) ?? [];
    const answers = this.children_.get(question) ?? [];
    const pair = this.rivals.split('\n').map((ref) => working.find((job) => job.params.model === ref) ?? answers.findLast((turn) => turn.model === ref));
    return pair.every((side) => side !== undefined) ? pair : null;
  }

  /** @param {Turn} turn @param {boolean} [isOfPair] beside that of another model */
  renderTurn(turn, isOfPair = false) {
    const siblings = this.children_.get(turn.parent ?? '') ?? [turn];
    const at = siblings.findIndex((each) => each.id === turn.id);
    const isUser = turn.role === 'user';
    const isShown = !isOfPair || this.turns.at(-1)?.id === turn.id;
    const name = isUser ? t('chat.you') : nameOf(turn.model);
    return html`<article class="turn ${turn.role} ${isOfPair && isShown ? 'shown' : ''}" id="turn-${turn.id}" aria-label=${t('chat.turn_of', { name })}>
      <header class="turn-head"><span class="turn-name">${name}</span><time datetime=${turn.created}>${formatDate(turn.created, { dateStyle: 'short', timeStyle: 'short' })}</time></header>
      ${this.editing === turn.id ? this.renderEditor(turn) : isUser ? html`<div class="turn-text" dir="auto">${turn.content}</div>`
        : renderAnswer(turn)}
      <footer class="turn-foot">
        ${isOfPair ? this.renderChoice(turn, siblings, isShown) : siblings.length > 1 ? html`<div class="siblings" role="group" aria-label=${t('chat.siblings')}>
          ${button({ label: t('chat.sibling_before'), icon: 'chevronLeft', alone: true, small: true, kind: 'quiet', disabled: at === 0, run: () => this.actions?.show(siblings[at - 1]) })}
          <span>${at + 1} / ${siblings.length}</span>
          ${button({ label: t('chat.sibling_after'), icon: 'chevronRight', alone: true, small: true, kind: 'quiet', disabled: at === siblings.length - 1, run: () => this.actions?.show(siblings[at + 1]) })}
          ${!isUser ? this.preferred.has(turn.id) ? html`<span class="badge good">${icon('check')}${t('chat.preferred')}</span>`
            : button({ label: t('chat.prefer'), small: true, run: () => this.actions?.prefer(turn, siblings.filter((each) => each.id !== turn.id)) }) : nothing}</div>` : nothing}
        <div class="turn-tools">
          ${button({ label: t('shell.copy_text'), icon: 'copy', alone: true, small: true, kind: 'quiet', run: () => this.actions?.copy(turn) })}
          ${isUser ? button({ label: t('chat.edit'), icon: 'pencil', alone: true, small: true, kind: 'quiet', run: () => this.startEditing(turn) })
            : button({ label: t('chat.retry'), icon: 'refreshCw', alone: true, small: true, kind: 'quiet', run: () => this.actions?.retry(turn) })}
          ${turn.output ? button({ label: t('shell.provenance'), icon: 'gitFork', alone: true, small: true, kind: 'quiet', run: () => import('../../components/output-card.js').then(({ openProvenance }) => openProvenance(turn.output ?? ''), toastError) }) : nothing}
          ${turn.output ? html`<div class="rating" role="group" aria-label=${t('shell.rating')}>${[true, false].map((up) => button({ label: t(up ? 'shell.like' : 'shell.dislike'), icon: up ? 'thumbsUp' : 'thumbsDown', alone: true,
            small: true, kind: 'quiet', pressed: (this.ratings.get(turn.id) ?? turn.rating?.up ?? null) === up, run: () => this.actions?.rate(turn, up) }))}</div>` : nothing}
        </div></footer></article>`;
  }

  /** Of two models' answers: which is better, and with which the conversation goes on. @param {Turn} turn @param {Turn[]} siblings @param {boolean} isShown */
  renderChoice(turn, siblings, isShown) {
    const prefer = () => {
      this.actions?.prefer(turn, siblings.filter((each) => each.id !== turn.id));
      this.actions?.show(turn);
    };
    return html`<div class="siblings">${this.preferred.has(turn.id) ? html`<span class="badge good">${icon('check')}${t('chat.preferred')}</span>` : button({ label: t('chat.prefer'), small: true, run: prefer })}
      ${isShown ? html`<span class="badge">${t('chat.goes_on')}</span>` : button({ label: t('chat.go_on'), small: true, kind: 'quiet', run: () => this.actions?.show(turn) })}</div>`;
  }

  /** @param {Turn} turn */
  startEditing(turn) {
    this.editing = turn.id;
    this.requestUpdate();
    this.updateComplete.then(() => /** @type {HTMLTextAreaElement | null} */ (this.querySelector('.turn-edit textarea'))?.focus());
  }

  /** @param {Turn} turn */
  renderEditor(turn) {
    const take = () => {
      const text = /** @type {HTMLTextAreaElement} */ (this.querySelector('.turn-edit textarea')).value.trim();
      this.editing = '';
      this.requestUpdate();
      if (text && text !== turn.content) this.actions?.edit(turn, text);
    };
    const cancel = () => {
      this.editing = '';
      this.requestUpdate();
    };
    return html`<div class="turn-edit stack"><textarea rows="4" aria-label=${t('chat.edit')} .value=${turn.content} @keydown=${(/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) take();
      if (event.key === 'Escape') cancel();
    }}></textarea><p class="help">${t('chat.edit_help')}</p>
    <div class="row">${button({ label: t('chat.edit_send'), kind: 'primary', small: true, run: take })}${button({ label: t('shell.cancel'), small: true, run: cancel })}</div></div>`;
  }
}
customElements.define('gl-thread', Thread);

/** @param {string | null | undefined} ref */
function nameOf(ref) {
  const model = ref ? findModel(ref) : undefined;
  return model ? nameModel(model) : ref || t('chat.model');
}

/** A whole answer, below the reasoning that led to it, which is folded, and above what it was given from. @param {Turn} turn */
function renderAnswer({ content, context }) {
  const { reasoning, answer } = splitReasoning(content);
  if (context) import('./sources.js').catch(toastError); // few answers have sources: the page is quicker without
  return html`${reasoning ? html`<details class="reasoning"><summary>${t('chat.reasoning')}</summary><div class="turn-text" dir="auto">${reasoning}</div></details>` : nothing}
    <gl-markdown class="md" dir="auto" .text=${answer}></gl-markdown>${context ? html`<gl-sources .context=${context}></gl-sources>` : nothing}`;
}

/** An answer while it is written. */
class Answer extends Element {
  static properties = { job: { attribute: false } };

  constructor() {
    super();
    /** @type {import('../../core/shapes').Job | null} */
    this.job = null;
    this.hasText = false;
    this.reasoning = '';
    this.isReasoning = false;
    this.read = '';
  }

  /** @param {Map<string, any>} changed */
  updated(changed) {
    if (changed.has('job') && this.job && this.read !== this.job.id) {
      this.read = this.job.id;
      this.stop?.();
      this.stop = readText(this.job.id, (text) => this.write(text));
      this.onLeave(this.stop);
    }
  }

  /** @param {string} text */
  write(text) {
    const target = /** @type {Markdown | null} */ (this.querySelector('gl-markdown'));
    if (!target) return;
    const { reasoning, answer, isOpen } = splitReasoning(text, false);
    if (answer) target.stream(answer);
    if (this.hasText === Boolean(answer) && this.reasoning === reasoning && this.isReasoning === isOpen) return;
    this.hasText = Boolean(answer);
    this.reasoning = reasoning;
    this.isReasoning = isOpen;
    this.requestUpdate();
  }

  render() {
    const model = /** @type {any} */ (this.job?.params)?.model;
    return html`<article class="turn assistant writing" aria-busy="true" aria-label=${t('chat.turn_of', { name: nameOf(model) })}>
      <header class="turn-head"><span class="turn-name">${nameOf(model)}</span></header>
      ${this.reasoning ? html`<details class="reasoning"><summary>${t(this.isReasoning ? 'chat.reasoning_now' : 'chat.reasoning')}</summary><gl-stream-text class="turn-text" dir="auto" .text=${this.reasoning}></gl-stream-text></details>` : nothing}
      <gl-markdown class="md" dir="auto"></gl-markdown>
      ${this.hasText || this.reasoning ? nothing : html`<p class="help thinking"><span class="spinner" aria-hidden="true"></span>${this.job?.state === 'queued' ? t('shell.job_waits') : nameStage(this.job?.progress?.stage) || t('chat.reading')}</p>`}</article>`;
  }
}
customElements.define('gl-answer', Answer);
