/** The conversations: search in titles and texts, folders, tags, import and export. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { del, get, makeUrl, patch, post, upload } from '../../core/api.js';
import { debounce } from '../../core/dom.js';
import { Element } from '../../core/element.js';
import { onEvent } from '../../core/events.js';
import { formatDate, t } from '../../core/i18n.js';
import { go, href } from '../../core/router.js';
import { createSetting } from '../../core/store.js';
import { askText } from '../../components/dialog.js';
import { menu } from '../../components/menu.js';
import { button, errorBox, icon } from '../../components/parts.js';
import { toast, toastError } from '../../components/toast.js';

/** @typedef {import('../../core/shapes').Conversation} Conversation */

const closedFolders = createSetting('chat.closed', /** @type {string[]} */ ([]));

export class ConversationList extends Element {
  static properties = { current: { type: String } };

  constructor() {
    super();
    this.current = '';
    this.words = '';
    this.tag = '';
    /** @type {Conversation[] | null} */
    this.rows = null;
    /** @type {string | null} */
    this.next = null;
    /** @type {any} */
    this.fault = null;
    this.search = debounce(() => this.read(), 150);
  }

  stores() {
    return [closedFolders];
  }

  connectedCallback() {
    super.connectedCallback();
    this.read();
    this.onLeave(onEvent('conversation', () => this.search()));
    this.onLeave(onEvent('reset', () => this.search()));
  }

  async read(more = false) {
    try {
      const answer = await get('conversations', { q: this.words, tag: this.tag, limit: 100, cursor: more ? this.next : null });
      this.rows = more ? [...(this.rows ?? []), ...answer.data] : answer.data;
      this.next = answer.next;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
    this.requestUpdate();
  }

  get folders() {
    return [...new Set((this.rows ?? []).map((row) => row.folder).filter(Boolean))].sort((a, b) => a.localeCompare(b));
  }

  /** @param {Conversation} row @param {Record<string, any>} change */
  async change(row, change) {
    Object.assign(row, change);
    this.requestUpdate();
    await patch(`conversations/${row.id}`, change).catch(toastError);
  }

  /** @param {Conversation} row */
  async removeRow(row) {
    try {
      await del(`conversations/${row.id}`);
      this.rows = (this.rows ?? []).filter((each) => each.id !== row.id);
      this.requestUpdate();
      if (this.current === row.id) go('chat');
      toast(t('shell.moved_to_bin', { n: 1 }), { undo: async () => {
        await post(`conversations/${row.id}/restore`);
        this.read();
        go(['chat', row.id]);
      } });
    } catch (error) {
      toastError(error);
    }
  }

  /** @param {FileList} files */
  async importFiles(files) {
    for (const file of files) {
      try {
        const answer = await upload('conversations/import', [{ file }]);
        const skipped = answer.skipped.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.count, 0);
        toast([t('chat.imported', { n: answer.conversations.length }), skipped ? t('chat.import_skipped', { n: skipped, reason: answer.skipped[0].reason }) : ''].join(' '), { kind: 'good' });
      } catch (error) {
        toastError(error);
      }
    }
    this.read();
  }

  render() {
    const rows = this.rows ?? [];
    const tags = [...new Set(rows.flatMap((row) => row.tags))].sort();
    const byFolder = this.folders.map((folder) => ({ folder, rows: rows.filter((row) => row.folder === folder) }));
    const loose = rows.filter((row) => !row.folder);
    const starred = loose.filter((row) => row.is_starred);
    return html`<div class="chat-list-head">
        ${button({ label: t('chat.new'), icon: 'messageSquarePlus', kind: 'primary', run: () => go('chat') })}
        <input type="file" id="chat-import" class="visually-hidden" accept=".json,.zip,.jsonl" multiple tabindex="-1" aria-hidden="true" @change=${(/** @type {any} */ event) => this.importFiles(event.target.files)}>
        ${menu({ label: t('shell.more'), items: [
          { label: t('chat.import'), note: t('chat.import_note'), icon: 'fileUp', run: () => /** @type {HTMLInputElement} */ (this.querySelector('#chat-import')).click() },
          { label: t('chat.export_all'), icon: 'download', href: makeUrl('api/conversations/export', { format: 'json' }).href, download: '' },
        ] })}</div>
      <div class="chat-search">${icon('search')}<input type="search" aria-label=${t('chat.search')} placeholder=${t('chat.search')} .value=${this.words} @input=${(/** @type {any} */ event) => {
        this.words = event.target.value;
        this.search();
      }}></div>
      ${tags.length || this.tag ? html`<div class="row chat-tags" role="group" aria-label=${t('chat.tags')}>${[...new Set([...tags, this.tag].filter(Boolean))].map((tag) => html`<button type="button" class="chip"
        aria-pressed=${this.tag === tag ? 'true' : 'false'} @click=${() => {
          this.tag = this.tag === tag ? '' : tag;
          this.read();
        }}>${tag}</button>`)}</div>` : nothing}
      ${this.fault ? errorBox(this.fault, () => this.read()) : nothing}
      <div class="chat-rows">
        ${byFolder.map(({ folder, rows: inside }) => html`<details class="folder" ?open=${!closedFolders.get().includes(folder)} @toggle=${(/** @type {any} */ event) => {
          const isClosed = !event.target.open;
          closedFolders.update((now) => [...now.filter((each) => each !== folder), ...(isClosed ? [folder] : [])]);
        }}><summary>${icon('folder')}<span class="grow">${folder}</span><span class="count">${inside.length}</span></summary>${this.renderRows(inside)}</details>`)}
        ${starred.length ? html`<h3>${t('chat.starred')}</h3>${this.renderRows(starred)}` : nothing}
        ${groupByDay(loose.filter((row) => !row.is_starred)).map(([day, inside]) => html`<h3>${day}</h3>${this.renderRows(inside)}`)}
        ${this.rows?.length === 0 ? html`<p class="help chat-none">${this.words || this.tag ? t('chat.nothing_found') : t('chat.none')}</p>` : nothing}
        ${this.next ? button({ label: t('chat.older'), small: true, kind: 'quiet', run: () => this.read(true) }) : nothing}
      </div>`;
  }

  /** @param {Conversation[]} rows */
  renderRows(rows) {
    return html`<ul>${repeat(rows, (row) => row.id, (row) => html`<li class="chat-row ${row.id === this.current ? 'on' : ''}">
      <a href=${href(['chat', row.id])} aria-current=${row.id === this.current ? 'true' : 'false'}><span class="chat-title">${row.title || t('chat.untitled')}</span>
        ${row.excerpt ? html`<small>${row.excerpt}</small>` : nothing}</a>
      ${menu({ label: t('chat.actions_of', { title: row.title || t('chat.untitled') }), small: true, items: this.makeItems(row) })}</li>`)}</ul>`;
  }

  /** @param {Conversation} row @returns {import('../../components/menu.js').Item[]} */
  makeItems(row) {
    return [
      { label: t('chat.rename'), icon: 'pencil', run: async () => {
        const title = await askText({ title: t('chat.rename'), label: t('chat.title_label'), value: row.title, confirm: t('chat.save') });
        if (title) this.change(row, { title: title.slice(0, 60) });
      } },
      { label: t('chat.move'), icon: 'folder', run: async () => {
        const folder = await askText({ title: t('chat.move'), label: t('chat.folder'), value: row.folder, confirm: t('chat.save'), suggestions: this.folders, help: t('chat.folder_help') });
        if (folder !== undefined) this.change(row, { folder });
      } },
      { label: t('chat.tag'), icon: 'tag', run: async () => {
        const tags = await askText({ title: t('chat.tag'), label: t('chat.tags'), value: row.tags.join(', '), confirm: t('chat.save'), help: t('chat.tags_help') });
        if (tags !== undefined) this.change(row, { tags: [...new Set(tags.split(',').map((each) => each.trim()).filter(Boolean))] });
      } },
      { label: row.is_starred ? t('shell.unstar') : t('shell.star'), icon: 'heart', run: () => this.change(row, { is_starred: !row.is_starred }) },
      null,
      { label: t('chat.export_markdown'), icon: 'download', href: makeUrl(`api/conversations/${row.id}/export`, { format: 'markdown' }).href, download: '' },
      { label: t('chat.export_json'), icon: 'download', href: makeUrl(`api/conversations/${row.id}/export`, { format: 'json' }).href, download: '' },
      null,
      { label: t('shell.to_bin'), icon: 'trash2', danger: true, run: () => this.removeRow(row) },
    ];
  }
}
customElements.define('gl-conversations', ConversationList);

/** Rows by when they were changed: today, yesterday, this week, by month. @param {Conversation[]} rows @returns {[string, Conversation[]][]} */
function groupByDay(rows) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  /** @type {Map<string, Conversation[]>} */
  const groups = new Map();
  for (const row of rows) {
    const days = Math.ceil((midnight - new Date(row.changed).valueOf()) / 86400000);
    const name = days <= 0 ? t('chat.today') : days === 1 ? t('chat.yesterday') : days < 8 ? t('chat.this_week') : formatDate(row.changed, { month: 'long', year: 'numeric' });
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  return [...groups];
}
