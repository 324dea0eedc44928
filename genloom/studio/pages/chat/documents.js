/** The documents that a conversation is answered from: a dialog that chooses them, and takes more. */
import { html, nothing } from '../../vendor/lit.js';
import { del, get, post, quote } from '../../core/api.js';
import { readDrop, readField, sendFiles, suggestName } from '../../core/drops.js';
import { Element, useStyle } from '../../core/element.js';
import { onEvent } from '../../core/events.js';
import { formatAgo, t } from '../../core/i18n.js';
import { cancelJob, finishJob, isOver, jobs, startJob } from '../../core/jobs.js';
import { openDialog } from '../../components/dialog.js';
import { button, errorBox, field, icon, progressBar } from '../../components/parts.js';
import { toast, toastError } from '../../components/toast.js';

/** @typedef {import('../../core/shapes').Knowledge} Knowledge */
/** @typedef {import('../../core/drops.js').Chosen} Chosen */

/**
 * Ask which documents; undefined: the person changed nothing.
 * @param {string} chosen the name of knowledge; '': none
 * @returns {Promise<string | undefined>}
 */
export async function chooseDocuments(chosen) {
  let name = chosen;
  await Promise.all(['data', 'workshop'].map(useStyle)); // of the zone and of the choices
  return openDialog({
    title: t('chat.documents'),
    body: () => html`<gl-documents .chosen=${chosen} .choose=${(/** @type {string} */ next) => (name = next)}></gl-documents>`,
    actions: (close) => [button({ label: t('shell.cancel'), run: () => close(undefined) }), button({ label: t('chat.documents_use'), kind: 'primary', run: () => close(name) })],
  });
}

class Documents extends Element {
  static properties = { chosen: { attribute: false }, rows: { state: true }, files: { state: true }, share: { state: true }, job: { state: true }, fault: { state: true }, isOver: { state: true } };

  constructor() {
    super();
    this.chosen = '';
    /** @type {(name: string) => void} */
    this.choose = () => {};
    /** @type {Knowledge[] | null} */
    this.rows = null;
    /** Files that were dropped and are not sent yet. @type {Chosen[]} */
    this.files = [];
    this.name = '';
    /** Of the files that are being sent; null: none are. @type {number | null} */
    this.share = null;
    this.job = '';
    /** @type {any} */
    this.fault = null;
    this.isOver = false;
  }

  stores() {
    return [jobs];
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(onEvent('knowledge', () => this.read()));
    this.onLeave(() => this.sending?.abort());
    this.read();
  }

  async read() {
    try {
      this.rows = (await get('knowledge')).data;
    } catch (error) {
      this.fault = error;
    }
  }

  /** @param {string} name */
  take(name) {
    this.chosen = name;
    this.choose(name);
  }

  /** @param {Chosen[]} files */
  hold(files) {
    if (!files.length) return;
    this.files = files;
    this.fault = null;
    const grown = this.rows?.find((each) => each.name === this.chosen && each.can_grow);
    this.name = grown?.name ?? suggestName(files);
    this.updateComplete.then(() => /** @type {HTMLElement | null} */ (this.querySelector('#documents-name'))?.focus());
  }

  async send() {
    const { name, files } = this;
    this.fault = null;
    this.share = 0;
    this.sending = new AbortController();
    try {
      const sent = await sendFiles(files, (share) => (this.share = share), this.sending.signal);
      const job = await startJob('knowledge', { upload: sent.id, name });
      this.share = null;
      this.job = job.id;
      const ended = await finishJob(job.id);
      if (ended.state === 'failed') this.fault = ended.error;
      if (ended.state === 'succeeded') {
        await this.read();
        this.take(name);
        this.files = [];
        toast([t('chat.documents_ready', { name }), ...(ended.result?.notes ?? [])].join(' '), { kind: 'good' });
      }
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'AbortError') this.fault = error;
    } finally {
      this.share = null;
      this.job = '';
    }
  }

  /** @param {string} name */
  async discard(name) {
    try {
      await del(`knowledge/${quote(name)}`);
      if (this.chosen === name) this.take('');
      await this.read();
      toast(t('chat.documents_deleted', { name }), { undo: () => post(`knowledge/${quote(name)}/restore`).then(() => this.read()) });
    } catch (error) {
      toastError(error);
    }
  }

  render() {
    const isBusy = this.share !== null || Boolean(this.job);
    return html`<p class="soft">${t('chat.documents_help')}</p>
      <fieldset class="choices documents"><legend class="visually-hidden">${t('chat.documents')}</legend>
        ${this.renderChoice('', t('chat.documents_none'), t('chat.documents_none_help'))}
        ${(this.rows ?? []).map((row) => this.renderChoice(row.name, row.name, `${t('chat.documents_files', { n: row.files })} · ${formatAgo(row.changed)}`,
          button({ label: t('chat.documents_delete', { name: row.name }), icon: 'trash2', alone: true, small: true, kind: 'quiet', run: () => this.discard(row.name) })))}
      </fieldset>
      ${this.fault ? errorBox(this.fault) : nothing}
      <section class="stack" aria-live="polite"><h3>${t('chat.documents_add')}</h3>${isBusy ? this.renderProgress() : this.files.length ? this.renderName() : this.renderZone()}</section>`;
  }

  /** @param {string} name @param {string} label @param {string} help @param {unknown} [action] */
  renderChoice(name, label, help, action = nothing) {
    return html`<div class="document-row"><label class="choice-row"><input type="radio" name="documents" .checked=${this.chosen === name} @change=${() => this.take(name)}>
      <span><strong>${label}</strong><small class="help">${help}</small></span></label>${action}</div>`;
  }

  renderZone() {
    const set = (/** @type {boolean} */ value) => (/** @type {Event} */ event) => {
      event.preventDefault();
      this.isOver = value;
    };
    const pick = (/** @type {string} */ id) => () => /** @type {HTMLElement | null} */ (this.querySelector(id))?.click();
    return html`<div class="drop-zone small ${this.isOver ? 'drop-target' : ''}" @dragenter=${set(true)} @dragover=${set(true)} @dragleave=${set(false)} @drop=${async (/** @type {DragEvent} */ event) => {
      set(false)(event);
      if (event.dataTransfer) this.hold(await readDrop(event.dataTransfer));
    }}>${icon('upload')}<p class="help">${t('chat.documents_add_help')}</p>
      <div class="actions">${button({ label: t('chat.documents_choose_files'), icon: 'fileUp', run: pick('#documents-files') })}${button({ label: t('chat.documents_choose_folder'), icon: 'folderOpen', run: pick('#documents-folder') })}</div>
      <input id="documents-files" type="file" multiple hidden @change=${(/** @type {Event} */ event) => this.hold(readField(event))}><input id="documents-folder" type="file" webkitdirectory hidden @change=${(/** @type {Event} */ event) => this.hold(readField(event))}></div>`;
  }

  renderName() {
    return html`<form class="stack" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.send())}>
      ${field({ id: 'documents-name', label: t('chat.documents_name'), help: t('chat.documents_name_help'), control: ({ id, describedBy }) => html`
        <input id=${id} required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" maxlength="60" autocomplete="off" title=${t('chat.documents_name_help')} aria-describedby=${describedBy} .value=${this.name}
          @input=${(/** @type {any} */ event) => (this.name = event.target.value)}>` })}
      <div class="actions"><button class="button primary">${icon('check')}<span>${t('chat.documents_read', { n: this.files.length })}</span></button>
        ${button({ label: t('shell.cancel'), kind: 'quiet', run: () => (this.files = []) })}</div></form>`;
  }

  renderProgress() {
    const job = jobs.get().get(this.job);
    const isSending = this.share !== null;
    const stop = () => (isSending ? this.sending?.abort() : job && !isOver(job) && cancelJob(job.id).catch(toastError));
    return html`${progressBar({ share: isSending ? this.share : job?.progress?.share ?? null, label: t(isSending ? 'chat.documents_sending' : 'chat.documents_reading'), note: t(isSending ? 'chat.documents_sending' : 'chat.documents_reading'), secondsLeft: job?.progress?.seconds_left })}
      <div class="actions">${button({ label: t('shell.cancel'), small: true, run: stop })}</div>`;
  }
}
customElements.define('gl-documents', Documents);
