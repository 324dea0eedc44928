/** Chat: answers as they are written, branches that stay, and the conversations beside them. */
import { html, nothing } from '../vendor/lit.js';
import { get, patch, post, upload } from '../core/api.js';
import { announce } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { loadMessages, t } from '../core/i18n.js';
import { cancelJob, isOver, jobs, keepAnswer } from '../core/jobs.js';
import { bindKeys } from '../core/keys.js';
import { findModel, models, readModels } from '../core/models.js';
import { go, href, route } from '../core/router.js';
import { createSetting } from '../core/store.js';
import { button, errorBox } from '../components/parts.js';
import { toastError } from '../components/toast.js';
import { makeActions } from './chat/actions.js';
import { renderComposer } from './chat/composer.js';
import { renderHead, renderStart } from './chat/head.js';
import './chat/list.js';
import './chat/thread.js';
import { findBranch, findLeaf, groupChildren } from './chat/tree.js';

/** @typedef {import('../core/shapes').ConversationDetail} ConversationDetail */
/** @typedef {import('../core/shapes').Turn} Turn */
/** @typedef {import('../core/shapes').Job} Job */

const chosenModel = createSetting('chat.model', '');
const lastSystem = createSetting('chat.system', '');
const chosenRival = createSetting('chat.rival', ''); // the second model, which answers too; '': one model answers

export class Chat extends Element {
  constructor() {
    super();
    this.conversationId = '';
    /** @type {ConversationDetail | null} */
    this.conversation = null;
    this.leaf = '';
    this.draft = '';
    this.isSending = false;
    /** What is needed before sending: the models, and the conversation. @type {Promise<void>} */
    this.opened = Promise.resolve();
    this.isOpened = false;
    this.asked = 0; // how often the conversation was asked for, and which answer is shown: an older one may come later
    this.answered = 0;
    /** @type {Promise<void>} */
    this.reading = Promise.resolve();
    /** @type {any} */
    this.fault = null;
    /** @type {Turn[]} */
    this.branch = [];
    /** @type {Map<string, Turn[]>} */
    this.byParent = new Map();
    /** question → jobs that answer it @type {Map<string, Job[]>} */
    this.running = new Map();
    /** @type {Map<string, boolean | null>} */
    this.ratings = new Map();
    /** @type {Set<string>} */
    this.preferred = new Set();
    /** @type {{id: string, name: string}[]} */
    this.attachments = [];
    /** For a conversation that does not exist yet. @type {{system: string, params: Record<string, any>}} */
    this.fresh = { system: lastSystem.get(), params: {} };
    this.freshKnowledge = '';
    this.isAtEnd = true;
    this.isListOpen = false;
  }

  stores() {
    return [models, chosenRival];
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(route.subscribe(() => this.readRoute()));
    this.onLeave(jobs.subscribe(() => this.readJobs()));
    this.onLeave(onEvent('conversation', (data) => data.id === this.conversationId && this.read()));
    this.onLeave(onEvent('reset', () => this.conversationId && this.read()));
    this.onLeave(bindKeys(t('chat.title'), [
      { key: 'i', label: t('chat.key_write'), run: () => this.box?.focus() },
      { key: 'n', label: t('chat.new'), run: () => go('chat') },
      { key: 'Escape', label: t('chat.stop'), run: () => this.stop(), always: true, when: () => Boolean(this.job) },
      { key: '+ =', label: t('shell.like'), run: () => this.rateLast(true) },
      { key: '-', label: t('shell.dislike'), run: () => this.rateLast(false) },
      { key: 'r', label: t('chat.retry'), run: () => this.retryLast(), when: () => !this.job },
    ]));
    this.opened = this.open();
  }

  async open() {
    await loadMessages('options');
    await readModels().catch((error) => (this.fault = error));
    this.readRoute();
    this.isOpened = true;
    this.requestUpdate();
  }

  get box() {
    return /** @type {HTMLTextAreaElement | null} */ (this.querySelector('#chat-box'));
  }

  get scroller() {
    return /** @type {HTMLElement | null} */ (this.querySelector('.chat-scroll'));
  }

  get usable() {
    return (models.get() ?? []).filter((each) => each.can.includes('chat'));
  }

  get model() {
    return findModel(this.conversation?.model || chosenModel.get()) ?? this.usable.find((each) => each.is_active) ?? this.usable[0];
  }

  /** The second model, where two answer. */
  get rival() {
    const found = chosenRival.get() ? findModel(chosenRival.get()) : undefined;
    return found && found.ref !== this.model?.ref && this.usable.some((each) => each.ref === found.ref) ? found : undefined;
  }

  /** The jobs that answer the end of the branch. */
  get workers() {
    const last = this.branch.at(-1);
    return (last && this.running.get(last.id)) ?? [];
  }

  get job() {
    return this.workers[0];
  }

  readRoute() {
    const { page, rest, query } = route.get();
    if (page !== 'chat') return;
    if (query.get('model')) chosenModel.set(query.get('model') ?? '');
    const id = rest[0] ?? '';
    if (id === this.conversationId && (id === '' || this.conversation)) return;
    this.conversationId = id;
    this.conversation = null;
    this.fault = null;
    this.leaf = '';
    this.isListOpen = false;
    this.running = new Map();
    this.preferred = new Set();
    this.ratings = new Map();
    this.drawBranch();
    if (id) this.reading = this.read(true);
  }

  async read(isFirst = false) {
    const id = this.conversationId;
    const asked = ++this.asked;
    try {
      const answer = await get(`conversations/${id}`);
      if (id !== this.conversationId || asked < this.answered) return;
      this.answered = asked;
      this.conversation = answer;
      if (isFirst || !this.leaf) this.leaf = answer.leaf ?? '';
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
    this.drawBranch();
    this.readJobs();
    if (isFirst) this.scrollToEnd();
  }

  /** The branch of the leaf, with the answer that follows it if there is one. */
  drawBranch() {
    const tree = this.conversation?.tree ?? [];
    this.byParent = groupChildren(tree);
    const leaf = tree.find((turn) => turn.id === this.leaf);
    this.branch = tree.length ? findBranch(tree, (leaf && this.findEnd(leaf))?.id ?? this.conversation?.leaf) : [];
    this.requestUpdate();
  }

  /** Where the branch of a turn ends: a question that is being answered has no end yet. @param {Turn} turn */
  findEnd(turn) {
    if (this.running.has(turn.id)) return turn;
    const own = this.rival ? this.byParent.get(turn.id)?.findLast((each) => each.model === this.model?.ref) : undefined; // of two answers, the first model's
    return findLeaf(this.byParent, own ?? turn);
  }

  readJobs() {
    if (!this.conversationId) return;
    const running = new Map();
    for (const job of jobs.get().values()) {
      const params = /** @type {any} */ (job.params);
      if (job.kind !== 'chat' || params?.conversation !== this.conversationId) continue;
      const question = params.question ?? params.turn ?? params.parent;
      if (!isOver(job)) running.set(question, [...(running.get(question) ?? []), job]);
      else if (job.state === 'failed' && this.running.has(question)) this.fault = job.error;
    }
    const ended = [...this.running].some(([question, before]) => before.length > (running.get(question)?.length ?? 0));
    if (printJobs(running) === printJobs(this.running)) return;
    this.running = running;
    if (ended) this.read().then(() => announce(t('chat.answered')));
    else this.drawBranch(); // a question that is being answered again is the end of its branch
    this.requestUpdate();
  }

  async send() {
    const text = this.draft.trim();
    if (!text || this.isSending) return;
    this.isSending = true;
    this.fault = null;
    this.requestUpdate();
    try {
      // A fast reader presses Enter before the models and the conversation are read.
      if (!this.isOpened) await this.opened;
      if (this.conversationId && !this.conversation) await this.reading;
      const { model } = this;
      if (this.job || !model) return;
      if (!this.conversation) {
        const made = await post('conversations', { model: model.ref, system: this.fresh.system, params: this.fresh.params, knowledge: this.freshKnowledge });
        this.conversation = made;
        this.conversationId = made.id;
        history.replaceState(null, '', href(['chat', made.id]));
        route.set({ page: 'chat', rest: [made.id], query: new URLSearchParams() });
      }
      await this.askAll({ parent: this.branch.at(-1)?.id ?? null, content: text, attachments: this.attachments.map((each) => each.id) });
      this.draft = '';
      this.attachments = [];
    } catch (error) {
      this.fault = error;
    } finally {
      this.isSending = false;
      this.requestUpdate();
      this.box?.focus();
    }
  }

  /** Let the model answer, and the second one if there is one. @param {Record<string, any>} turn */
  async askAll(turn) {
    await this.ask(turn);
    if (this.rival) await this.ask({ parent: this.leaf, model: this.rival.ref });
  }

  /** @param {Record<string, any>} turn */
  async ask(turn) {
    const asked = await post(`conversations/${this.conversationId}/turns`, { model: this.model?.ref ?? '', ...turn });
    const tree = this.conversation?.tree ?? [];
    if (this.conversation && !tree.some((each) => each.id === asked.question.id)) this.conversation = { ...this.conversation, tree: [...tree, asked.question] };
    this.leaf = asked.question.id;
    this.running = new Map(this.running).set(asked.question.id, [...(this.running.get(asked.question.id) ?? []).filter((job) => job.id !== asked.job.id), asked.job]);
    this.byParent = groupChildren(this.conversation?.tree ?? []);
    this.branch = findBranch(this.conversation?.tree ?? [], asked.question.id);
    keepAnswer(asked.job);
    this.readJobs(); // it may have ended already
    this.isAtEnd = true;
    this.requestUpdate();
    this.scrollToEnd();
  }

  stop() {
    for (const job of this.workers) cancelJob(job.id).catch(toastError);
  }

  retryLast() {
    const last = this.branch.findLast((turn) => turn.role === 'assistant');
    if (last) this.actions.retry(last);
  }

  /** @param {boolean} up */
  rateLast(up) {
    const last = this.branch.findLast((turn) => turn.role === 'assistant');
    if (last) this.actions.rate(last, up);
  }

  /** @type {import('./chat/thread.js').Actions} */
  actions = makeActions(this);

  /** Keep the end in view while an answer grows, unless the reader went up. */
  followEnd() {
    const { scroller } = this;
    if (!scroller) return;
    if (this.isAtEnd && this.job) scroller.scrollTop = scroller.scrollHeight;
    if (this.isConnected) requestAnimationFrame(() => setTimeout(() => this.isConnected && this.job && this.followEnd(), 80));
  }

  scrollToEnd() {
    this.isAtEnd = true;
    const down = () => {
      if (this.scroller) this.scroller.scrollTop = this.scroller.scrollHeight;
    };
    this.updateComplete.then(() => {
      down();
      requestAnimationFrame(() => requestAnimationFrame(down));
      this.followEnd();
    });
  }

  /** @param {FileList | File[]} files */
  async attach(files) {
    for (const file of files) {
      try {
        const sent = await upload('uploads', [{ file }]);
        this.attachments = [...this.attachments, { id: sent.id, name: file.name }];
      } catch (error) {
        toastError(error);
      }
    }
    this.requestUpdate();
  }

  async openSettings() {
    const other = this.usable.find((each) => each.ref !== this.model?.ref);
    const { editSettings } = await import('./chat/settings.js'); // with its dialog, which few open
    const saved = await editSettings({ settings: this.conversation ?? this.fresh, model: this.model, other });
    if (!saved) return;
    if (this.conversation) {
      this.conversation = { ...this.conversation, ...saved };
      await patch(`conversations/${this.conversationId}`, saved).catch(toastError);
    } else {
      this.fresh = saved;
      lastSystem.set(saved.system);
    }
    this.requestUpdate();
  }

  /** @param {string} ref */
  chooseModel(ref) {
    chosenModel.set(ref);
    if (this.conversation) {
      this.conversation = { ...this.conversation, model: ref };
      patch(`conversations/${this.conversationId}`, { model: ref }).catch(toastError);
    }
    this.requestUpdate();
  }

  /** The documents that the conversation is answered from; '': none. */
  get knowledge() {
    return this.conversation ? this.conversation.knowledge : this.freshKnowledge;
  }

  async openDocuments() {
    const { chooseDocuments } = await import('./chat/documents.js');
    const name = await chooseDocuments(this.knowledge);
    if (name === undefined || name === this.knowledge) return;
    if (this.conversation) {
      this.conversation = { ...this.conversation, knowledge: name };
      await patch(`conversations/${this.conversationId}`, { knowledge: name });
    } else {
      this.freshKnowledge = name;
    }
    this.requestUpdate();
  }

  /** @param {string} ref '': one model answers */
  chooseRival(ref) {
    chosenRival.set(ref);
    this.drawBranch();
  }

  render() {
    return html`<div class="chat ${this.isListOpen ? 'list-open' : ''}">
      <aside class="chat-list" aria-label=${t('chat.conversations')}><gl-conversations current=${this.conversationId}></gl-conversations></aside>
      <button type="button" class="chat-veil" tabindex="-1" aria-label=${t('shell.close')} @click=${() => this.toggleList()}></button>
      <section class="chat-main">
        ${renderHead(this)}
        <div class="chat-scroll" tabindex="0" role="region" aria-label=${t('chat.turns')} @scroll=${(/** @type {any} */ event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.target;
          const isAtEnd = scrollHeight - scrollTop - clientHeight < 80;
          if (isAtEnd !== this.isAtEnd) {
            this.isAtEnd = isAtEnd;
            this.requestUpdate();
          }
        }}>
          ${this.fault && !this.branch.length ? errorBox(this.fault, this.conversationId ? () => this.read(true) : undefined) : nothing}
          ${this.branch.length ? html`<gl-thread .turns=${this.branch} .children_=${this.byParent} .running=${this.running} .rivals=${this.rival ? `${this.model?.ref}\n${this.rival.ref}` : ''} .ratings=${this.ratings} .preferred=${this.preferred} .actions=${this.actions}></gl-thread>`
            : !this.conversationId && models.get() ? renderStart(this) : nothing}
        </div>
        ${this.isAtEnd || !this.branch.length ? nothing : html`<div class="to-end">${button({ label: t('chat.to_end'), icon: 'arrowDown', alone: true, run: () => this.scrollToEnd() })}</div>`}
        ${this.usable.length ? renderComposer(this) : nothing}
      </section></div>`;
  }

  toggleList() {
    this.isListOpen = !this.isListOpen;
    this.requestUpdate();
  }

  get canAttach() {
    return Boolean(this.model);
  }

  updated() {
    const { box } = this;
    if (!box) return;
    box.style.height = 'auto';
    box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.35)}px`;
  }
}
customElements.define('gl-chat', Chat);

/** The jobs as text, to see whether they changed. @param {Map<string, Job[]>} running */
const printJobs = (running) => JSON.stringify([...running].map(([question, working]) => [question, ...working.map((job) => `${job.id} ${job.state}`)]));
