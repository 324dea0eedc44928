/** Chat: answers as they are written, branches that stay, and the conversations beside them. */
import { html, nothing } from '../vendor/lit.js';
import { get, patch, post, quote, upload } from '../core/api.js';
import { announce, copyText } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { loadMessages, t } from '../core/i18n.js';
import { cancelJob, isOver, jobs } from '../core/jobs.js';
import { bindKeys } from '../core/keys.js';
import { findModel, models, nameModel, readModels, readOptions } from '../core/models.js';
import { go, href, route } from '../core/router.js';
import { createSetting } from '../core/store.js';
import { openDialog } from '../components/dialog.js';
import { optionFields } from '../components/options.js';
import { button, emptyState, errorBox, field, icon } from '../components/parts.js';
import { toast, toastError } from '../components/toast.js';
import './chat/list.js';
import './chat/thread.js';
import { findBranch, findLeaf, groupChildren } from './chat/tree.js';

/** @typedef {import('../core/shapes').ConversationDetail} ConversationDetail */
/** @typedef {import('../core/shapes').Turn} Turn */
/** @typedef {import('../core/shapes').Job} Job */

const chosenModel = createSetting('chat.model', '');
const lastSystem = createSetting('chat.system', '');

class Chat extends Element {
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
    /** @type {Map<string, Job>} question → job that answers it */
    this.running = new Map();
    /** @type {Map<string, boolean | null>} */
    this.ratings = new Map();
    /** @type {Set<string>} */
    this.preferred = new Set();
    /** @type {{id: string, name: string}[]} */
    this.attachments = [];
    /** For a conversation that does not exist yet. @type {{system: string, params: Record<string, any>}} */
    this.fresh = { system: lastSystem.get(), params: {} };
    this.isAtEnd = true;
    this.isListOpen = false;
  }

  stores() {
    return [models];
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

  /** The job that answers the end of the branch. */
  get job() {
    const last = this.branch.at(-1);
    return last ? this.running.get(last.id) : undefined;
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
    this.branch = tree.length ? findBranch(tree, (leaf ? findLeaf(this.byParent, leaf) : leaf)?.id ?? this.conversation?.leaf) : [];
    this.requestUpdate();
  }

  readJobs() {
    if (!this.conversationId) return;
    const running = new Map();
    for (const job of jobs.get().values()) {
      const params = /** @type {any} */ (job.params);
      if (job.kind !== 'chat' || params?.conversation !== this.conversationId) continue;
      const question = params.question ?? params.turn ?? params.parent;
      if (!isOver(job)) running.set(question, job);
      else if (job.state === 'failed' && this.running.has(question)) this.fault = job.error;
    }
    const ended = [...this.running.keys()].filter((question) => !running.has(question));
    const isSame = running.size === this.running.size && [...running].every(([question, job]) => this.running.get(question)?.state === job.state);
    if (isSame) return;
    this.running = running;
    if (ended.length) this.read().then(() => announce(t('chat.answered')));
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
        const made = await post('conversations', { model: model.ref, system: this.fresh.system, params: this.fresh.params });
        this.conversation = made;
        this.conversationId = made.id;
        history.replaceState(null, '', href(['chat', made.id]));
        route.set({ page: 'chat', rest: [made.id], query: new URLSearchParams() });
      }
      await this.ask({ parent: this.branch.at(-1)?.id ?? null, content: text, attachments: this.attachments.map((each) => each.id) });
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

  /** @param {Record<string, any>} turn */
  async ask(turn) {
    const asked = await post(`conversations/${this.conversationId}/turns`, { ...turn, model: this.model?.ref ?? '' });
    const tree = this.conversation?.tree ?? [];
    if (this.conversation && !tree.some((each) => each.id === asked.question.id)) this.conversation = { ...this.conversation, tree: [...tree, asked.question] };
    this.leaf = asked.question.id;
    this.running = new Map(this.running).set(asked.question.id, asked.job);
    this.byParent = groupChildren(this.conversation?.tree ?? []);
    this.branch = findBranch(this.conversation?.tree ?? [], asked.question.id);
    this.isAtEnd = true;
    this.requestUpdate();
    this.scrollToEnd();
  }

  stop() {
    if (this.job) cancelJob(this.job.id).catch(toastError);
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
  actions = {
    retry: (turn) => this.ask({ parent: turn.parent }).catch(toastError),
    edit: (turn, text) => this.ask({ parent: turn.parent, content: text }).catch(toastError),
    copy: (turn) => copyText(turn.content).then(() => toast(t('shell.copied'))),
    show: (turn) => {
      this.leaf = findLeaf(this.byParent, turn).id;
      this.drawBranch();
      patch(`conversations/${this.conversationId}`, { leaf: this.leaf }).catch(() => {}); // which branch is shown is worth no message
    },
    prefer: async (turn, others) => {
      const wasPreferred = this.preferred;
      this.preferred = new Set([...wasPreferred, turn.id].filter((id) => !others.some((other) => other.id === id)));
      this.requestUpdate();
      try {
        await post(`conversations/${this.conversationId}/turns/${turn.id}/prefer`);
        toast(t('chat.preferred_toast'), { kind: 'good' });
      } catch (error) {
        this.preferred = wasPreferred;
        this.requestUpdate();
        toastError(error);
      }
    },
    rate: async (turn, up) => {
      const before = this.ratings.get(turn.id) ?? turn.rating?.up ?? null;
      const isSame = before === up;
      this.ratings = new Map(this.ratings).set(turn.id, isSame ? null : up);
      this.requestUpdate();
      try {
        const path = `outputs/${quote(turn.output ?? '')}/rating`;
        if (isSame) {
          const { del } = await import('../core/api.js');
          await del(path);
        } else {
          await post(path, { up });
        }
      } catch (error) {
        this.ratings = new Map(this.ratings).set(turn.id, before);
        this.requestUpdate();
        toastError(error);
      }
    },
  };

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
    const { model } = this;
    const options = model ? (await readOptions(model.ref)).filter((option) => option.group === 'sampling') : [];
    const at = this.conversation ?? this.fresh;
    const values = { ...at.params };
    let { system } = at;
    const save = await openDialog({
      title: t('chat.settings'),
      body: (close, redraw) => html`<div class="stack">
        ${field({ id: 'chat-system', label: t('chat.system'), help: t('chat.system_help'), control: (ids) => html`<textarea id=${ids.id} rows="5" aria-describedby=${ids.describedBy} .value=${system}
          @input=${(/** @type {any} */ event) => (system = event.target.value)}></textarea>` })}
        ${optionFields(options, values, (name, value) => {
          if (value === undefined) delete values[name];
          else values[name] = value;
          redraw();
        })}
        ${this.usable.length > 1 && model ? html`<p><a class="text-link" @click=${() => close(false)} href=${href(['models', 'compare'], { first: model.ref, second: this.usable.find((each) => each.ref !== model.ref)?.ref })}>${t('chat.compare')}</a></p>` : nothing}</div>`,
      actions: (close) => [button({ label: t('shell.cancel'), run: () => close(false) }), button({ label: t('chat.save'), kind: 'primary', run: () => close(true) })],
    });
    if (!save) return;
    if (this.conversation) {
      this.conversation = { ...this.conversation, system, params: values };
      await patch(`conversations/${this.conversationId}`, { system, params: values }).catch(toastError);
    } else {
      this.fresh = { system, params: values };
      lastSystem.set(system);
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

  render() {
    return html`<div class="chat ${this.isListOpen ? 'list-open' : ''}">
      <aside class="chat-list" aria-label=${t('chat.conversations')}><gl-conversations current=${this.conversationId}></gl-conversations></aside>
      <button type="button" class="chat-veil" tabindex="-1" aria-label=${t('shell.close')} @click=${() => this.toggleList()}></button>
      <section class="chat-main">
        <header class="chat-head">
          <span class="chat-list-button">${button({ label: t('chat.conversations'), icon: 'panelLeft', alone: true, kind: 'quiet', run: () => this.toggleList() })}</span>
          <h1 tabindex="-1">${this.conversation?.title || t(this.conversationId ? 'chat.title' : 'chat.new')}</h1>
          ${this.renderModelPicker()}
          ${button({ label: t('chat.settings'), icon: 'slidersHorizontal', alone: true, kind: 'quiet', pressed: (this.conversation ?? this.fresh).system ? true : undefined, run: () => this.openSettings().catch(toastError) })}
        </header>
        <div class="chat-scroll" tabindex="0" role="region" aria-label=${t('chat.turns')} @scroll=${(/** @type {any} */ event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.target;
          const isAtEnd = scrollHeight - scrollTop - clientHeight < 80;
          if (isAtEnd !== this.isAtEnd) {
            this.isAtEnd = isAtEnd;
            this.requestUpdate();
          }
        }}>
          ${this.fault && !this.branch.length ? errorBox(this.fault, this.conversationId ? () => this.read(true) : undefined) : nothing}
          ${this.branch.length ? html`<gl-thread .turns=${this.branch} .children_=${this.byParent} .running=${this.running} .ratings=${this.ratings} .preferred=${this.preferred} .actions=${this.actions}></gl-thread>`
            : !this.conversationId && models.get() ? this.renderStart() : nothing}
        </div>
        ${this.isAtEnd || !this.branch.length ? nothing : html`<div class="to-end">${button({ label: t('chat.to_end'), icon: 'arrowDown', alone: true, run: () => this.scrollToEnd() })}</div>`}
        ${this.usable.length ? this.renderComposer() : nothing}
      </section></div>`;
  }

  toggleList() {
    this.isListOpen = !this.isListOpen;
    this.requestUpdate();
  }

  renderModelPicker() {
    return html`<label class="chat-model"><span class="visually-hidden">${t('chat.model')}</span><select @change=${(/** @type {any} */ event) => this.chooseModel(event.target.value)} ?disabled=${!this.usable.length}>
      ${this.usable.map((each) => html`<option value=${each.ref} ?selected=${each.ref === this.model?.ref}>${nameModel(each)}</option>`)}</select></label>`;
  }

  renderStart() {
    if (!this.usable.length) {
      return emptyState({ icon: 'messagesSquare', title: t('chat.no_model'), text: t('chat.no_model_text'), action: html`<a class="button primary" href=${href('models')}>${t('chat.to_models')}</a>` });
    }
    return emptyState({ icon: 'messagesSquare', title: t('chat.start'), text: t('chat.start_text', { model: this.model ? nameModel(this.model) : '' }) });
  }

  renderComposer() {
    const { job } = this;
    return html`<form class="chat-composer card" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.send())}
        @dragover=${(/** @type {DragEvent} */ event) => this.canAttach && event.preventDefault()} @drop=${(/** @type {DragEvent} */ event) => {
          if (!this.canAttach || !event.dataTransfer?.files.length) return;
          event.preventDefault();
          this.attach(event.dataTransfer.files);
        }}>
      ${this.fault && this.branch.length ? errorBox(this.fault, this.branch.at(-1)?.role === 'user' ? () => this.ask({ parent: this.branch.at(-1)?.id }).catch(toastError) : undefined) : nothing}
      ${this.attachments.length ? html`<ul class="row attachments">${this.attachments.map((each) => html`<li class="badge">${icon('paperclip')}${each.name}
        <button type="button" class="reset" aria-label="${t('chat.detach')}: ${each.name}" @click=${() => {
          this.attachments = this.attachments.filter((other) => other !== each);
          this.requestUpdate();
        }}>${icon('x')}</button></li>`)}</ul>` : nothing}
      <label class="visually-hidden" for="chat-box">${t('chat.message')}</label>
      <textarea id="chat-box" rows="1" .value=${this.draft} placeholder=${t('chat.hint')} @input=${(/** @type {any} */ event) => {
        this.draft = event.target.value;
        this.requestUpdate();
      }} @keydown=${(/** @type {KeyboardEvent} */ event) => {
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.send();
      }}></textarea>
      <div class="chat-composer-bar">
        ${this.canAttach ? html`<input type="file" id="chat-file" class="visually-hidden" multiple tabindex="-1" aria-hidden="true" @change=${(/** @type {any} */ event) => this.attach(event.target.files)}>
          ${button({ label: t('chat.attach'), icon: 'paperclip', alone: true, kind: 'quiet', run: () => /** @type {HTMLInputElement} */ (this.querySelector('#chat-file')).click() })}` : nothing}
        <span class="grow help">${t('chat.enter_help')}</span>
        ${job ? button({ label: t('chat.stop'), icon: 'square', run: () => this.stop() })
          : button({ label: t('chat.send'), icon: 'arrowUp', kind: 'primary', alone: true, busy: this.isSending, disabled: !this.draft.trim(), run: () => this.send() })}
      </div></form>`;
  }

  get canAttach() {
    return Boolean(this.model?.can.includes('attach'));
  }

  updated() {
    const { box } = this;
    if (!box) return;
    box.style.height = 'auto';
    box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.35)}px`;
  }
}
customElements.define('gl-chat', Chat);
