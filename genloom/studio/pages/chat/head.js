/** The top of a conversation: its title, its model, a second model that answers beside it, and its settings. */
import { html, nothing } from '../../vendor/lit.js';
import { t } from '../../core/i18n.js';
import { nameModel } from '../../core/models.js';
import { href } from '../../core/router.js';
import { CHAT_MODEL, fetchButton } from '../../components/fetch-model.js';
import { button, buttonLink, emptyState } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';

/** @typedef {import('../chat.js').Chat} Chat */
/** @typedef {import('../../core/shapes').Model} Model */

/** @param {Chat} page */
export function renderHead(page) {
  return html`<header class="chat-head ${page.rival ? 'two' : ''}">
    <span class="chat-list-button">${button({ label: t('chat.conversations'), icon: 'panelLeft', alone: true, kind: 'quiet', run: () => page.toggleList() })}</span>
    <h1 tabindex="-1">${page.conversation?.title || t(page.conversationId ? 'chat.title' : 'chat.new')}</h1>
    ${renderPicker(t('chat.model'), page.usable, page.model, (ref) => page.chooseModel(ref))}
    ${page.rival ? renderPicker(t('chat.second'), page.usable.filter((each) => each.ref !== page.model?.ref), page.rival, (ref) => page.chooseRival(ref)) : nothing}
    ${page.usable.length > 1 ? button({ label: t('chat.two'), icon: 'gitCompare', alone: true, kind: 'quiet', pressed: Boolean(page.rival), run: () => page.chooseRival(page.rival ? '' : page.usable.find((each) => each.ref !== page.model?.ref)?.ref ?? '') }) : nothing}
    ${button({ label: t('chat.settings'), icon: 'slidersHorizontal', alone: true, kind: 'quiet', pressed: (page.conversation ?? page.fresh).system ? true : undefined, run: () => page.openSettings().catch(toastError) })}
  </header>`;
}

/** @param {string} label @param {Model[]} usable @param {Model | undefined} chosen @param {(ref: string) => void} choose */
function renderPicker(label, usable, chosen, choose) {
  return html`<label class="chat-model"><span class="visually-hidden">${label}</span><select @change=${(/** @type {any} */ event) => choose(event.target.value)} ?disabled=${!usable.length}>
    ${usable.map((each) => html`<option value=${each.ref} ?selected=${each.ref === chosen?.ref}>${nameModel(each)}</option>`)}</select></label>`;
}

/** What stands in a conversation that has not begun. @param {Chat} page */
export function renderStart(page) {
  if (!page.usable.length) {
    return emptyState({ icon: 'messagesSquare', title: t('chat.no_model'), text: t('chat.no_model_text'), action: html`${fetchButton(CHAT_MODEL)}${buttonLink({ label: t('chat.to_models'), href: href('models') })}` });
  }
  return emptyState({ icon: 'messagesSquare', title: t('chat.start'), text: t('chat.start_text', { model: page.model ? nameModel(page.model) : '' }) });
}
