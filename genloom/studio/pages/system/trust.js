/** <gl-system-trust>: the keys that mark and sign outputs, the signers that are trusted, and the content rules with their decisions. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { get, makeUrl, post, request } from '../../core/api.js';
import { Element } from '../../core/element.js';
import { formatAgo, formatDate, hasMessage, t } from '../../core/i18n.js';
import { confirmDialog, openDialog } from '../../components/dialog.js';
import { button, buttonLink, errorBox, field, icon } from '../../components/parts.js';
import { toast, toastError } from '../../components/toast.js';
import { inputValue } from '../../components/workshop.js';
import '../../components/trust.js';

/** @typedef {import('../../core/shapes').TrustKey} TrustKey */
/** @typedef {import('../../core/shapes').Rules} Rules */
/** @typedef {import('../../core/shapes').Decision} Decision */
/** @typedef {import('../../core/shapes').RuleMatch} RuleMatch */

const TONES = /** @type {Record<string, string>} */ ({ refuse: 'bad', warn: 'warn', log: '' });

/** What a rule of Genloom is about, in the reader's language; "" of another. @param {{name: string, is_own: boolean}} rule */
function nameRule({ name, is_own: isOwn }) {
  const key = `trust.rule_${name.replaceAll('-', '_')}`;
  return !isOwn && hasMessage(key) ? t(key) : '';
}

class SystemTrust extends Element {
  static properties = { keys: { state: true }, rules: { state: true }, decisions: { state: true }, draft: { state: true }, applied: { state: true }, fault: { state: true }, ruleFault: { state: true } };

  constructor() {
    super();
    /** @type {TrustKey[] | null} */
    this.keys = null;
    this.canSign = true;
    /** @type {Rules | null} */
    this.rules = null;
    /** @type {Decision[]} */
    this.decisions = [];
    this.next = '';
    /** The rules as they are edited; null while they are not. @type {string | null} */
    this.draft = null;
    /** Rules that apply to the text that is tried; null: none was tried. @type {RuleMatch[] | null} */
    this.applied = null;
    /** @type {any} */
    this.fault = null;
    /** @type {any} */
    this.ruleFault = null;
    this.tried = '';
  }

  connectedCallback() {
    super.connectedCallback();
    this.load();
  }

  async load() {
    try {
      const [keys, rules] = await Promise.all([get('trust/keys'), get('trust/policy'), this.readDecisions()]);
      this.keys = keys.keys;
      this.canSign = keys.can_sign;
      this.rules = rules;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  async readDecisions(cursor = '') {
    const answer = await get('trust/decisions', { cursor, limit: 20 });
    this.decisions = cursor ? [...this.decisions, ...answer.data] : answer.data;
    this.next = answer.next ?? '';
  }

  /** @param {'marking' | 'signing'} kind */
  async rotate(kind) {
    if (!(await confirmDialog({ title: t(`trust.rotate_${kind}_title`), text: t(`trust.rotate_${kind}_text`), confirm: t('trust.rotate') }))) return;
    await post('trust/keys', { kind });
    await this.load();
    toast(t('trust.rotated'), { kind: 'good' });
  }

  /** A new authority, whose name readers of files see. */
  async rename() {
    let name = '';
    const chosen = await openDialog({
      title: t('trust.signer_new'),
      size: 'small',
      body: (close, redraw) => html`<form @submit=${(/** @type {Event} */ event) => (event.preventDefault(), name && close(name))}>${field({ id: 'signer-name', label: t('trust.signer_name'), help: t('trust.signer_new_help'), control: ({ id, describedBy }) => html`
        <input id=${id} autofocus autocomplete="off" maxlength="100" aria-describedby=${describedBy} @input=${(/** @type {Event} */ event) => {
          name = inputValue(event).trim();
          redraw();
        }}>` })}</form>`,
      actions: (close) => [button({ label: t('shell.cancel'), run: () => close('') }), button({ label: t('trust.signer_new'), kind: 'primary', disabled: !name, run: () => close(name) })],
    });
    if (!chosen) return;
    await post('trust/keys', { kind: 'signing', name: chosen });
    await this.load();
    toast(t('trust.rotated'), { kind: 'good' });
  }

  /** @param {Event} event */
  async trustFile(event) {
    const field_ = /** @type {HTMLInputElement} */ (event.target);
    const [file] = field_.files ?? [];
    field_.value = '';
    if (!file) return;
    const answer = await post('trust/certificates', { pem: await file.text() });
    await this.load();
    toast(t('trust.certificate_trusted', { name: answer.data[0]?.name ?? '' }), { kind: 'good' });
  }

  async saveRules() {
    this.ruleFault = null;
    try {
      this.rules = await request('PUT', 'trust/policy', { body: { text: this.draft ?? '' } });
      this.draft = null;
      toast(t('trust.rules_saved'), { kind: 'good' });
    } catch (error) {
      this.ruleFault = error;
    }
  }

  /** @param {Event} event */
  async tryText(event) {
    event.preventDefault();
    this.applied = this.tried.trim() ? (await post('trust/policy/check', { text: this.tried })).data : null;
  }

  render() {
    if (this.fault) return errorBox(this.fault, () => this.load());
    if (!this.keys || !this.rules) return nothing;
    return html`${this.renderKeys(this.keys)}${this.renderRules(this.rules)}${this.renderDecisions()}`;
  }

  /** @param {TrustKey[]} keys */
  renderKeys(keys) {
    return html`<section class="card panel"><div class="section-head"><h2>${t('trust.keys')}</h2></div><p class="help">${t('trust.keys_help')}</p>
      ${this.canSign ? nothing : html`<p class="notice">${icon('triangleAlert')}${t('trust.unavailable')}</p>`}
      ${keys.length ? html`<ul class="rows">${repeat(keys, (key) => `${key.kind}${key.id}${key.created}`, (key) => html`<li class="list-row">${icon(key.kind === 'trusted' ? 'badgeCheck' : 'key')}
        <div><strong>${key.name || t(`trust.key_${key.kind}`)}</strong> ${key.kind === 'trusted' ? nothing : html`<span class="badge ${key.is_active ? 'good' : ''}">${t(key.is_active ? 'trust.key_active' : 'trust.key_old')}</span>`}
          <p class="soft">${[key.name ? t(`trust.key_${key.kind}`) : '', key.created ? formatDate(key.created, { dateStyle: 'medium' }) : '', key.expires ? t('trust.key_expires', { date: formatDate(key.expires, { dateStyle: 'medium' }) }) : ''].filter(Boolean).join(' · ')} · <code>${key.id.slice(0, 24)}</code></p></div>
        ${key.is_active && key.kind !== 'trusted' ? html`<span class="row-actions">${button({ label: t('trust.rotate'), icon: 'refreshCw', small: true, kind: 'quiet', run: () => this.rotate(/** @type {'marking' | 'signing'} */ (key.kind)).catch(toastError) })}</span>` : nothing}</li>`)}</ul>`
        : html`<p class="soft">${t('trust.keys_none')}</p>`}
      <div class="actions">${this.canSign ? html`${buttonLink({ label: t('trust.certificate_export'), icon: 'download', small: true, href: makeUrl('api/trust/certificate').href, download: '' })}
        ${button({ label: t('trust.certificate_trust'), icon: 'badgeCheck', small: true, run: () => /** @type {HTMLElement | null} */ (this.querySelector('#trust-file'))?.click() })}
        ${button({ label: t('trust.signer_new'), icon: 'pencil', small: true, kind: 'quiet', run: () => this.rename().catch(toastError) })}` : nothing}
        <input id="trust-file" type="file" accept=".pem,.crt,.cer" hidden @change=${(/** @type {Event} */ event) => this.trustFile(event).catch(toastError)}></div>
      <p class="help">${t('trust.certificate_export_help')}</p></section>`;
  }

  /** @param {Rules} rules */
  renderRules(rules) {
    return html`<section class="card panel"><div class="section-head"><h2>${t('trust.rules')}</h2>${this.draft === null ? button({ label: t('trust.rules_edit'), icon: 'pencil', small: true, run: () => (this.draft = rules.text || rules.example) }) : nothing}</div>
      <p class="help">${t('trust.rules_help')}</p>
      <ul class="rows">${rules.rules.map((rule) => html`<li class="list-row"><span class="badge ${TONES[rule.action]}">${t(`trust.act_${rule.action}`)}</span>
        <div><strong lang=${nameRule(rule) ? nothing : 'en'}>${nameRule(rule) || rule.reason}</strong><p class="soft"><code>${rule.name}</code>${rule.is_fixed ? ` · ${t('trust.rule_fixed')}` : rule.is_own ? ` · ${t('trust.rule_own')}` : ''}</p></div></li>`)}</ul>
      ${this.draft === null ? nothing : html`<form class="stack" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.saveRules())}>
        ${field({ id: 'rules-text', label: t('trust.rules_text'), help: t('trust.rules_text_help'), error: this.ruleFault?.message, control: ({ id, describedBy }) => html`<textarea id=${id} class="rules-text" spellcheck="false" rows="14" aria-describedby=${describedBy} .value=${this.draft}
          @input=${(/** @type {Event} */ event) => (this.draft = inputValue(event))}></textarea>` })}
        <div class="actions"><button class="button primary">${icon('check')}<span>${t('trust.rules_save')}</span></button>${button({ label: t('trust.rules_reset'), kind: 'quiet', run: () => {
          this.draft = null;
          this.ruleFault = null;
        } })}</div></form>`}
      <form class="stack" @submit=${(/** @type {Event} */ event) => this.tryText(event).catch(toastError)}>${field({ id: 'rules-try', label: t('trust.rules_check'), control: ({ id }) => html`<input id=${id} autocomplete="off" .value=${this.tried} @input=${(/** @type {Event} */ event) => (this.tried = inputValue(event))}>` })}</form>
      ${this.applied === null ? nothing : html`<p role="status">${this.applied.length ? this.applied.map((match) => html`<span class="badge ${TONES[match.action]}">${t(`trust.act_${match.action}`)}: ${match.rule} (${match.words.join(', ')})</span> `) : t('trust.rules_check_none')}</p>`}</section>`;
  }

  renderDecisions() {
    return html`<section class="card panel"><h2>${t('trust.decisions')}</h2><p class="help">${t('trust.decisions_help')}</p>
      ${this.decisions.length ? html`<ul class="rows">${repeat(this.decisions, (each) => each.id, (each) => html`<li class="list-row"><span class="badge ${TONES[each.action] ?? ''}">${t(`trust.act_${each.action}`)}</span>
        <div><strong><code>${each.rule}</code></strong><p class="soft">${each.model} · ${formatAgo(each.at)}${each.text ? html` · <span dir="auto">${each.text}</span>` : html` · <code>${each.sha256.slice(0, 12)}…</code>`}</p></div></li>`)}</ul>
        ${this.next ? html`<div class="actions">${button({ label: t('trust.decisions_more'), small: true, run: () => this.readDecisions(this.next).catch(toastError) })}</div>` : nothing}`
        : html`<p class="soft">${t('trust.decisions_none')}</p>`}</section>`;
  }
}
customElements.define('gl-system-trust', SystemTrust);
