/** The box of Chat: a message, its attachments, send and stop. */
import { html, nothing } from '../../vendor/lit.js';
import { t } from '../../core/i18n.js';
import { button, errorBox, icon } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';

/** @param {import('../chat.js').Chat} page */
export function renderComposer(page) {
  const { job } = page;
  return html`<form class="chat-composer card" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), page.send())}
      @dragover=${(/** @type {DragEvent} */ event) => page.canAttach && event.preventDefault()} @drop=${(/** @type {DragEvent} */ event) => {
        if (!page.canAttach || !event.dataTransfer?.files.length) return;
        event.preventDefault();
        page.attach(event.dataTransfer.files);
      }}>
    ${page.fault && page.branch.length ? errorBox(page.fault, page.branch.at(-1)?.role === 'user' ? () => page.ask({ parent: page.branch.at(-1)?.id }).catch(toastError) : undefined) : nothing}
    ${page.attachments.length ? html`<ul class="row attachments">${page.attachments.map((each) => html`<li class="badge">${icon('paperclip')}${each.name}
      <button type="button" class="reset" aria-label="${t('chat.detach')}: ${each.name}" @click=${() => {
        page.attachments = page.attachments.filter((other) => other !== each);
        page.requestUpdate();
      }}>${icon('x')}</button></li>`)}</ul>` : nothing}
    <label class="visually-hidden" for="chat-box">${t('chat.message')}</label>
    <textarea id="chat-box" rows="1" .value=${page.draft} placeholder=${t('chat.hint')} @input=${(/** @type {any} */ event) => {
      page.draft = event.target.value;
      page.requestUpdate();
    }} @keydown=${(/** @type {KeyboardEvent} */ event) => {
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      page.send();
    }}></textarea>
    <div class="chat-composer-bar">
      ${page.canAttach ? html`${button({ label: page.knowledge ? t('chat.documents_of', { name: page.knowledge }) : t('chat.documents'), icon: 'bookOpen', alone: true, kind: 'quiet', pressed: page.knowledge ? true : undefined, run: () => page.openDocuments().catch(toastError) })}
        ${page.knowledge ? html`<span class="badge knowledge-name">${page.knowledge}</span>` : nothing}<input type="file" id="chat-file" class="visually-hidden" multiple tabindex="-1" aria-hidden="true" @change=${(/** @type {any} */ event) => page.attach(event.target.files)}>
        ${button({ label: t('chat.attach'), icon: 'paperclip', alone: true, kind: 'quiet', run: () => /** @type {HTMLInputElement} */ (page.querySelector('#chat-file')).click() })}` : nothing}
      <span class="grow help">${t('chat.enter_help')}</span>
      ${job ? button({ label: t('chat.stop'), icon: 'square', run: () => page.stop() })
        : button({ label: t('chat.send'), icon: 'arrowUp', kind: 'primary', alone: true, busy: page.isSending, disabled: !page.draft.trim(), run: () => page.send() })}
    </div></form>`;
}
