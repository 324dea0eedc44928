/** System: memory and the queue, keys for other programs, people, health, storage and the bin. */
import { html, nothing, repeat } from '../vendor/lit.js';
import { del, get, post, quote, request } from '../core/api.js';
import { copyText, vars } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { formatAgo, formatBytes, formatDate, formatDuration, formatNumber, formatPercent, hasMessage, language, t } from '../core/i18n.js';
import { serverUrl } from '../core/outputs.js';
import { href, replaceRoute, route } from '../core/router.js';
import { session } from '../core/session.js';
import { confirmDialog, openDialog } from '../components/dialog.js';
import { button, buttonLink, emptyState, errorBox, facts, field, icon, pageHead, progressBar, tabs } from '../components/parts.js';
import { toast, toastError } from '../components/toast.js';
import { inputValue, translate } from '../components/workshop.js';

/** @typedef {import('../core/shapes').System} SystemState */
/** @typedef {import('../core/shapes').Storage} Storage */
/** @typedef {import('../core/shapes').Health} Health */
/** @typedef {import('../core/shapes').Key} Key */
/** @typedef {import('../core/shapes').Session} Session */
/** @typedef {{name: string, scopes: string[], created: string, email?: string}} Account */

const SCOPES = ['generate', 'read', 'rate', 'train', 'admin'];
const TABS = /** @type {const} */ (['now', 'programs', 'people', 'trust', 'storage']);
const REFRESH = 3000; // milliseconds

/** Check boxes of what a key or a person may do. @param {Set<string>} chosen @param {() => void} redraw */
const renderScopes = (chosen, redraw) => html`<fieldset class="choices"><legend class="label">${t('system.may')}</legend>${SCOPES.map((scope) => html`<label class="choice-row"><input type="checkbox" .checked=${chosen.has(scope)} @change=${(/** @type {Event} */ event) => {
  chosen[/** @type {HTMLInputElement} */ (event.target).checked ? 'add' : 'delete'](scope);
  redraw();
}}><span><strong>${t(`system.scope_${scope}`)}</strong><small>${t(`system.scope_${scope}_text`)}</small></span></label>`)}</fieldset>`;

/** What was found, in the reader's language; a rare problem stays in the words of the program. @param {Health} found */
function sayHealth({ code, values, detail, ok }) {
  const key = `system.health_${code.replaceAll('.', '_')}`;
  if (hasMessage(key)) return html`<p>${t(key, values)}</p>`;
  return html`<p>${ok || language.get() === 'en' ? nothing : html`${t('system.health_problem')} `}<span lang="en">${detail}</span></p>`;
}

/** Text to copy. @param {string} text @param {string} label */
const renderCopy = (text, label) => html`<div class="copy-line"><code tabindex="0">${text}</code>${button({ label: t('system.copy', { what: label }), icon: 'copy', alone: true, run: () => copyText(text).then(() => toast(t('shell.copied'))) })}</div>`;

class SystemPage extends Element {
  static properties = { state: { state: true }, storage: { state: true }, health: { state: true }, keys: { state: true }, accounts: { state: true }, fault: { state: true }, client: { state: true } };

  constructor() {
    super();
    /** @type {SystemState | null} */
    this.state = null;
    /** @type {Storage | null} */
    this.storage = null;
    /** @type {Health[] | null} null: not asked yet */
    this.health = null;
    /** @type {Key[]} */
    this.keys = [];
    /** @type {Account[]} */
    this.accounts = [];
    /** @type {any} */
    this.fault = null;
    this.client = '';
    this.secret = ''; // of the key that was made on this page, for the examples
  }

  stores() {
    return [route, session];
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(route.subscribe(({ page }) => page === 'system' && this.load()));
    const timer = setInterval(() => this.tab === 'now' && !document.hidden && this.load(), REFRESH);
    this.onLeave(() => clearInterval(timer));
    this.onLeave(onEvent('queue', () => this.load()));
    this.load();
  }

  /** @returns {typeof TABS[number]} */
  get tab() {
    return TABS.find((each) => each === route.get().query.get('tab')) ?? 'now';
  }

  async load() {
    const { tab } = this;
    try {
      if (tab === 'now') {
        if (!this.health) this.readHealth();
        this.state = await get('system');
      }
      if (tab === 'programs') this.keys = (await get('keys')).data;
      if (tab === 'people') this.accounts = (await get('accounts')).data;
      if (tab === 'trust') await import('./system/trust.js');
      if (tab === 'storage') this.storage = await get('system/storage');
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  /** The checks read a lot, so they take their time. */
  async readHealth() {
    this.health = [];
    try {
      this.health = (await get('system/health')).data;
    } catch (error) {
      toastError(error);
    }
  }

  render() {
    return html`${pageHead({ title: t('system.title'), lead: t('system.lead') })}
      ${tabs({ label: t('system.title'), selected: this.tab, panel: 'system-panel', choose: (tab) => replaceRoute('system', { tab: tab === 'now' ? '' : tab }), items: TABS.map((id) => ({ id, label: t(`system.tab_${id}`) })) })}
      ${this.fault ? errorBox(this.fault, () => this.load()) : nothing}
      <div id="system-panel" role="tabpanel" aria-label=${t(`system.tab_${this.tab}`)} tabindex="-1">${this.tab === 'now' ? this.renderNow() : this.tab === 'programs' ? this.renderPrograms() : this.tab === 'people' ? this.renderPeople() : this.tab === 'trust' ? html`<gl-system-trust></gl-system-trust>` : this.renderStorage()}</div>`;
  }

  // Now

  renderNow() {
    const { state } = this;
    if (!state) return nothing;
    const models = /** @type {any[]} */ (state.engine.models ?? []);
    return html`<div class="system-columns">${renderMemory(state)}
      <section class="card panel"><h2>${t('system.work')}</h2>${facts([
        [t('system.load'), t('system.load_of', { load: formatNumber(state.load, { maximumFractionDigits: 1 }), n: state.processors })],
        [t('system.accelerator'), state.accelerator ?? t('system.no_accelerator')],
        [t('system.queue'), state.queue.paused ? t('system.queue_paused') : t('system.queue_state', { running: state.queue.running, queued: state.queue.queued })],
        [t('system.uptime'), formatDuration(state.uptime_seconds)],
        [t('system.version'), `Genloom ${state.version}`],
        [t('system.workspace'), html`<code>${state.workspace}</code>`],
      ])}<div class="actions">${button({ label: t(state.queue.paused ? 'shell.queue_continue' : 'shell.queue_pause'), icon: state.queue.paused ? 'play' : 'pause', small: true, run: () => post('queue', { paused: !state.queue.paused }).then(() => this.load(), toastError) })}
        ${buttonLink({ label: t('system.see_queue'), kind: 'quiet', small: true, href: href('train') })}</div></section></div>
      <section class="card panel"><h2>${t('system.loaded')}</h2><p class="help">${t('system.loaded_help')}</p>${models.length ? html`<div class="table-wrap"><table class="table"><thead><tr><th scope="col">${t('system.model')}</th><th scope="col" class="number">${t('system.memory')}</th><th scope="col">${t('system.last_used')}</th></tr></thead>
        <tbody>${models.map((model) => html`<tr><th scope="row"><a class="text-link" href=${href(['models', model.ref])}>${model.ref}</a>${model.active ? html` <span class="badge accent">${t('system.busy')}</span>` : nothing}</th><td class="number">${formatBytes(model.bytes ?? 0)}</td><td>${model.active ? t('shell.just_now') : formatAgo(new Date(Date.now() - 1000 * (model.idle_seconds ?? 0)).toISOString())}</td></tr>`)}</tbody></table></div>` : html`<p class="soft">${t('system.nothing_loaded')}</p>`}</section>
      <section class="card panel"><h2>${t('system.health')}</h2>${this.health?.length ? nothing : progressBar({ share: null, label: t('system.checking'), note: t('system.checking') })}<ul class="health">${[...(this.health ?? [])].sort((a, b) => Number(a.ok) - Number(b.ok)).map((each) => html`<li class=${each.ok ? 'ok' : 'wrong'}>${icon(each.ok ? 'circleCheck' : 'triangleAlert')}
        <div><strong>${translate('system.check', each.name)}</strong><span class="visually-hidden">${t(each.ok ? 'system.ok' : 'system.wrong')}</span>${sayHealth(each)}${each.cure ? html`<p class="cure"><span>${t('system.cure')}</span> <code>${each.cure}</code></p>` : nothing}</div></li>`)}</ul></section>`;
  }

  // Programs

  renderPrograms() {
    const now = session.get();
    const snippets = now?.snippets ?? [];
    const chosen = snippets.find(({ client }) => client === this.client) ?? snippets[0];
    const address = `${now?.address ?? location.origin}/v1`;
    return html`<section class="card panel"><h2>${t('system.connect')}</h2><p class="soft">${t('system.connect_text')}</p>
        <div class="address"><div><span class="label">${t('system.address')}</span>${renderCopy(address, t('system.address'))}</div></div>
        ${chosen ? html`${tabs({ label: t('system.clients'), selected: chosen.client, panel: 'snippet', choose: (client) => (this.client = client), items: snippets.map(({ client }) => ({ id: client, label: client })) })}
        <div id="snippet" role="tabpanel" aria-label=${chosen.client} class="snippet"><pre tabindex="0"><code>${this.withKey(chosen.text)}</code></pre>${button({ label: t('system.copy', { what: chosen.client }), icon: 'copy', alone: true, run: () => copyText(this.withKey(chosen.text)).then(() => toast(t('shell.copied'))) })}</div>
        ${this.secret ? nothing : html`<p class="help">${t('system.snippet_help')}</p>`}` : nothing}</section>
      <section class="card panel"><div class="section-head"><h2>${t('system.keys')}</h2>${button({ label: t('system.new_key'), icon: 'plus', kind: 'primary', run: () => this.createKey().catch(toastError) })}</div>
        ${this.keys.length ? html`<ul class="rows">${repeat(this.keys, (key) => key.id, (key) => html`<li class="list-row key-row">${icon('key')}<div><strong>${key.name}</strong> <code>${key.prefix}…</code><p class="soft">${key.scopes.map((scope) => t(`system.scope_${scope}`)).join(', ')} · ${t('system.created', { when: formatAgo(key.created) })}${key.last_used ? ` · ${t('system.used', { when: formatAgo(key.last_used) })}` : ''}${key.expires ? ` · ${t('system.expires', { date: formatDate(key.expires, { dateStyle: 'medium' }) })}` : ''}</p></div>
          <span class="row-actions">${button({ label: t('system.revoke_key', { name: key.name }), icon: 'trash2', alone: true, kind: 'quiet', run: () => this.revokeKey(key).catch(toastError) })}</span></li>`)}</ul>`
          : emptyState({ icon: 'key', title: t('system.no_keys'), text: t('system.no_keys_text') })}</section>
      <section class="card panel"><h2>${t('system.device')}</h2><p class="soft">${t('system.device_text')}</p><div class="actions">${button({ label: t('system.make_link'), icon: 'link', run: () => this.makeLink().catch(toastError) })}</div></section>`;
  }

  /** @param {string} text */
  withKey(text) {
    return this.secret ? text.replaceAll('$GENLOOM_KEY', this.secret) : text;
  }

  async createKey() {
    let name = '';
    const scopes = new Set(['generate', 'read', 'rate']);
    let days = 0;
    const key = await openDialog({
      title: t('system.new_key'),
      body: (_, redraw) => html`<div class="stack">${field({ id: 'key-name', label: t('system.key_name'), help: t('system.key_name_help'), control: ({ id, describedBy }) => html`<input id=${id} autofocus autocomplete="off" maxlength="200" aria-describedby=${describedBy} @input=${(/** @type {Event} */ event) => {
          name = inputValue(event).trim();
          redraw();
        }}>` })}${renderScopes(scopes, redraw)}
        ${field({ id: 'key-days', label: t('system.key_days'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {Event} */ event) => (days = Number(inputValue(event)))}>${[0, 7, 30, 90, 365].map((each) => html`<option value=${each}>${each ? t('system.days', { n: each }) : t('system.never')}</option>`)}</select>` })}</div>`,
      actions: (close) => [button({ label: t('shell.cancel'), run: () => close(undefined) }),
        button({ label: t('system.make_key'), kind: 'primary', disabled: !name || !scopes.size, run: () => post('keys', { name, scopes: [...scopes], days }).then(close, toastError) })],
    });
    if (!key) return;
    this.secret = key.secret;
    await this.load();
    await openDialog({
      title: t('system.key_made', { name: key.name }),
      body: () => html`<p>${t('system.key_once')}</p>${renderCopy(key.secret, t('system.key'))}`,
      actions: (close) => button({ label: t('system.key_kept'), kind: 'primary', run: () => close(true) }),
    });
  }

  /** @param {Key} key */
  async revokeKey(key) {
    if (!(await confirmDialog({ title: t('system.revoke_title', { name: key.name }), text: t('system.revoke_text'), confirm: t('system.revoke'), danger: true }))) return;
    await del(`keys/${quote(key.id)}`);
    await this.load();
    toast(t('system.revoked', { name: key.name }));
  }

  async makeLink() {
    const { urls } = await post('links', {});
    const usable = urls.filter((/** @type {string} */ url) => !/\/\/(127\.|localhost|\[::1\])/.test(url));
    await openDialog({
      title: t('system.device'),
      body: () => usable.length ? html`<p>${t('system.link_text')}</p>${usable.map((/** @type {string} */ url) => renderCopy(url, t('system.link')))}`
        : html`<p>${t('system.link_local')}</p>${renderCopy('genloom serve --host 0.0.0.0', t('system.command'))}`,
    });
  }

  // People

  renderPeople() {
    return html`<section class="card panel"><div class="section-head"><h2>${t('system.people')}</h2>${button({ label: t('system.new_person'), icon: 'plus', kind: 'primary', run: () => this.addPerson().catch(toastError) })}</div>
      <p class="soft">${t('system.people_text')}</p>
      ${this.accounts.length ? html`<ul class="rows">${repeat(this.accounts, (each) => each.name, (each) => html`<li class="list-row">${icon('user')}<div><strong>${each.name}</strong>${each.email ? html` <span class="soft">${each.email}</span>` : nothing}<p class="soft">${each.scopes.map((scope) => t(`system.scope_${scope}`)).join(', ')} · ${t('system.created', { when: formatAgo(each.created) })}</p></div>
        <span class="row-actions">${button({ label: t('system.remove_person', { name: each.name }), icon: 'trash2', alone: true, kind: 'quiet', run: () => this.removePerson(each).catch(toastError) })}</span></li>`)}</ul>`
        : emptyState({ icon: 'users', title: t('system.no_people'), text: t('system.no_people_text') })}</section>`;
  }

  async addPerson() {
    let [name, password, email] = ['', '', ''];
    const scopes = new Set(['generate', 'read', 'rate']);
    const added = await openDialog({
      title: t('system.new_person'),
      body: (_, redraw) => html`<div class="stack">${field({ id: 'person-name', label: t('shell.name'), control: ({ id }) => html`<input id=${id} autofocus autocomplete="off" @input=${(/** @type {Event} */ event) => {
          name = inputValue(event).trim();
          redraw();
        }}>` })}${field({ id: 'person-password', label: t('shell.password'), help: t('system.password_help'), control: ({ id, describedBy }) => html`<input id=${id} type="password" autocomplete="new-password" aria-describedby=${describedBy} @input=${(/** @type {Event} */ event) => {
          password = inputValue(event);
          redraw();
        }}>` })}${field({ id: 'person-email', label: t('system.email'), help: t('system.email_help'), control: ({ id, describedBy }) => html`<input id=${id} type="email" autocomplete="off" aria-describedby=${describedBy} @input=${(/** @type {Event} */ event) => {
          email = inputValue(event).trim();
          redraw();
        }}>` })}${renderScopes(scopes, redraw)}</div>`,
      actions: (close) => [button({ label: t('shell.cancel'), run: () => close(false) }),
        button({ label: t('system.add'), kind: 'primary', disabled: !name || !(password || email) || !scopes.size, run: () => request('PUT', 'accounts', { body: { name, password, scopes: [...scopes], ...(email ? { email } : {}) } }).then(() => close(true), toastError) })],
    });
    if (added) await this.load();
  }

  /** @param {Account} account */
  async removePerson(account) {
    if (!(await confirmDialog({ title: t('system.remove_person', { name: account.name }), text: t('system.remove_person_text'), confirm: t('system.remove'), danger: true }))) return;
    await del(`accounts/${quote(account.name)}`);
    await this.load();
  }

  // Storage

  renderStorage() {
    const { storage } = this;
    if (!storage) return nothing;
    const largest = Math.max(1, ...storage.items.map((item) => item.bytes));
    const freeable = storage.bin.reduce((sum, item) => sum + item.bytes, 0);
    return html`<section class="card panel"><h2>${t('system.disk')}</h2><p class="figure">${formatBytes(storage.disk.free)} <small>${t('system.free_of', { total: formatBytes(storage.disk.total) })}</small></p>
        <div class="bar" ${vars({ '--share': 1 - storage.disk.free / (storage.disk.total || 1) })} role="img" aria-label=${t('system.disk_used', { share: formatPercent(1 - storage.disk.free / (storage.disk.total || 1)) })}></div></section>
      <section class="card panel"><h2>${t('system.holds')}</h2><ul class="bars storage">${[...storage.items].sort((a, b) => b.bytes - a.bytes).map((item) => html`<li><span>${translate('system.kind', item.kind)} <small class="soft">${formatNumber(item.count)}</small></span>
        <span class="bar" ${vars({ '--share': item.bytes / largest })} aria-hidden="true"></span><span class="number">${formatBytes(item.bytes)}</span></li>`)}</ul><p class="help">${t('system.runs_help')}</p></section>
      ${storage.exports.length ? this.renderExports(storage) : nothing}
      ${session.get()?.user.is_local ? html`<section class="card panel"><h2>${t('system.backup')}</h2><p class="soft">${t('system.backup_text')}</p><div class="actions">${buttonLink({ label: t('system.backup_download'), icon: 'download', href: 'api/backup', download: '' })}</div></section>` : nothing}
      <section class="card panel"><div class="section-head"><h2>${t('system.bin')}</h2>${storage.bin.length ? button({ label: t('system.empty_bin', { size: formatBytes(freeable) }), icon: 'trash2', kind: 'danger', run: () => this.emptyBin(freeable).catch(toastError) }) : nothing}</div>
        ${storage.bin.length ? html`<ul class="rows">${repeat(storage.bin, (item) => item.id, (item) => html`<li class="list-row"><span class="badge">${translate('system.kind', item.kind)}</span><div><strong>${item.name}</strong><p class="soft">${formatBytes(item.bytes)} · ${t('system.removed', { when: formatAgo(item.removed) })}</p></div>
          <span class="row-actions">${button({ label: t('system.restore'), icon: 'archiveRestore', small: true, run: () => this.restore(item).catch(toastError) })}</span></li>`)}</ul>` : html`<p class="soft">${t('system.bin_empty')}</p>`}</section>`;
  }

  /** Exported models that wait for their download. @param {Storage} storage */
  renderExports({ exports, export_days: days }) {
    return html`<section class="card panel"><h2>${t('system.exports')}</h2><p class="soft">${t('system.exports_text', { n: days })}</p>
      <ul class="rows">${repeat(exports, (each) => each.id, (each) => html`<li class="list-row">${icon('package')}<div><strong>${each.file}</strong><p class="soft">${each.model} · ${formatBytes(each.bytes)} · ${formatAgo(each.created)}</p></div>
        <span class="row-actions">${buttonLink({ label: t('shell.download'), icon: 'download', small: true, href: serverUrl(each.url), download: each.file })}
          ${button({ label: t('system.delete_export', { name: each.file }), icon: 'trash2', alone: true, kind: 'quiet', run: () => this.deleteExport(each).catch(toastError) })}</span></li>`)}</ul></section>`;
  }

  /** @param {import('../core/shapes').Export} found */
  async deleteExport({ id, file }) {
    if (!(await confirmDialog({ title: t('system.delete_export_title', { name: file }), text: t('system.delete_export_text'), confirm: t('system.delete_file'), danger: true }))) return;
    const freed = await del(`jobs/${quote(id)}/download`);
    await this.load();
    toast(t('system.freed', { size: formatBytes(freed.bytes) }), { kind: 'good' });
  }

  /** @param {import('../core/shapes').BinItem} item */
  async restore(item) {
    await post(`bin/${quote(item.id)}/restore`);
    await this.load();
    toast(t('system.restored', { name: item.name }), { kind: 'good' });
  }

  /** @param {number} bytes */
  async emptyBin(bytes) {
    if (!(await confirmDialog({ title: t('system.empty_title'), text: t('system.empty_text', { size: formatBytes(bytes) }), confirm: t('system.delete_forever'), danger: true }))) return;
    const freed = await post('bin/empty');
    await this.load();
    toast(t('system.freed', { size: formatBytes(freed.bytes) }), { kind: 'good' });
  }
}
customElements.define('gl-system', SystemPage);

/** Memory of this machine: what Genloom takes, what others take, what is free. @param {SystemState} state */
function renderMemory({ memory }) {
  const own = memory.processes.reduce((sum, each) => sum + each.bytes, 0);
  const others = Math.max(0, memory.total - memory.available - own);
  const byLabel = Map.groupBy(memory.processes, (each) => translate('system.process', each.name));
  const parts = [...[...byLabel].map(([label, group]) => ({ label, bytes: group.reduce((sum, each) => sum + each.bytes, 0) })), { label: t('system.others'), bytes: others }, { label: t('system.free'), bytes: memory.available }];
  return html`<section class="card panel"><h2>${t('system.memory')}</h2><p class="figure">${formatBytes(memory.available)} <small>${t('system.free_of', { total: formatBytes(memory.total) })}</small></p>
    <div class="memory-bar" aria-hidden="true">${parts.map((part, n) => html`<span class="part-${n === parts.length - 1 ? 'free' : n === parts.length - 2 ? 'others' : n}" ${vars({ '--share': part.bytes / memory.total })}></span>`)}</div>
    <dl class="legend">${parts.map((part, n) => html`<div class="part-${n === parts.length - 1 ? 'free' : n === parts.length - 2 ? 'others' : n}"><dt>${part.label}</dt><dd>${formatBytes(part.bytes)}</dd></div>`)}</dl></section>`;
}
