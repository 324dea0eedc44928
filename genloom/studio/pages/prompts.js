/** Prompts: the library of prompts, and one of them: its form, what was written from it, its texts, versions and tests. */
import { html, noChange, nothing, repeat } from '../vendor/lit.js';
import { get } from '../core/api.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { t } from '../core/i18n.js';
import { href, route } from '../core/router.js';
import { isAllowed } from '../core/session.js';
import { button, errorBox, pageHead } from '../components/parts.js';
import { toastError } from '../components/toast.js';
import '../components/workshop.js';
import { createPrompt } from './prompts/edit.js';
import { describe } from './prompts/words.js';
import './prompts/write.js';

/** @typedef {import('../core/shapes').Prompt} Prompt */

class PromptsPage extends Element {
  static properties = { prompts: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {Prompt[] | null} */
    this.prompts = null;
    /** @type {any} */
    this.fault = null;
  }

  stores() {
    return [route];
  }

  connectedCallback() {
    super.connectedCallback();
    for (const kind of ['prompt', 'reset']) this.onLeave(onEvent(kind, () => this.load()));
    this.load();
  }

  async load() {
    try {
      this.prompts = (await get('prompts')).data;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  render() {
    const { page, rest, query } = route.get();
    if (page !== 'prompts') return noChange; // the shell is about to take this page away
    const [name] = rest;
    if (name) return html`<gl-prompt .name=${name} .again=${query.get('again') ?? ''}></gl-prompt>`;
    return html`${pageHead({ title: t('prompts.title'), lead: t('prompts.lead'), actions: isAllowed('train') ? button({ label: t('prompts.new'), icon: 'plus', kind: 'primary', run: () => createPrompt().catch(toastError) }) : nothing })}
      ${this.fault ? errorBox(this.fault, () => this.load()) : nothing}
      <ul class="prompt-list">${repeat(this.prompts ?? [], (each) => each.name, (each) => html`<li><a class="card panel prompt-card" href=${href(['prompts', each.name])}>
        <h2>${each.name}</h2><p class="soft">${describe(each)}</p>
        <p class="help">${each.version ? t('prompts.version', { n: each.version }) : t('prompts.built_in')}${each.tests ? ` · ${t('prompts.tests_count', { n: each.tests })}` : ''}</p></a></li>`)}</ul>`;
  }
}
customElements.define('gl-prompts', PromptsPage);
