/** The page for those whom the server does not know: a start link was not used here, or a session ended. */
import { html, nothing } from '../vendor/lit.js';
import { brand, button, errorBox, field } from '../components/parts.js';
import { get, post, signedOut } from '../core/api.js';
import { Element } from '../core/element.js';
import { connectEvents } from '../core/events.js';
import { t } from '../core/i18n.js';
import { providerFault, readSession } from '../core/session.js';

class SignIn extends Element {
  constructor() {
    super();
    /** @type {{message: string} | null} */
    this.fault = providerFault.get();
    this.isBusy = false;
    /** The name of a provider to sign in with, if there is one. @type {string | null} */
    this.provider = null;
  }

  connectedCallback() {
    super.connectedCallback();
    get('login').then((ways) => {
      this.provider = ways.provider;
      this.requestUpdate();
    }, () => {}); // a name and a password will do
  }

  /** Leave for the provider, which leads back here. */
  async goToProvider() {
    try {
      location.assign((await post('login/provider', {})).url);
    } catch (error) {
      this.fault = /** @type {Error} */ (error);
      this.requestUpdate();
    }
  }

  /** @param {Event} [event] */
  async signIn(event) {
    event?.preventDefault();
    const form = /** @type {HTMLFormElement} */ (this.querySelector('form'));
    const { name, password, token } = Object.fromEntries(new FormData(form));
    this.isBusy = true;
    this.requestUpdate();
    try {
      await post('login', token ? { token: String(token).replace(/^.*token=/, '').trim() } : { name, password });
      await readSession();
      signedOut.set(false);
      connectEvents(true);
    } catch (error) {
      this.fault = /** @type {Error} */ (error);
    }
    this.isBusy = false;
    this.requestUpdate();
  }

  render() {
    const input = (/** @type {string} */ name, /** @type {string} */ type, /** @type {string} */ complete) => (/** @type {{id: string, describedBy: string}} */ ids) =>
      html`<input id=${ids.id} name=${name} type=${type} autocomplete=${complete} aria-describedby=${ids.describedBy || nothing}>`;
    return html`<main class="sign-in"><form class="card stack" @submit=${this.signIn}>
      <div class="sign-in-brand">${brand}</div><h1>${t('shell.sign_in_title')}</h1><p class="help">${t('shell.sign_in_text')}</p>
      ${this.fault ? errorBox(this.fault) : nothing}
      ${this.provider ? html`${button({ label: t('shell.sign_in_with', { provider: this.provider }), icon: 'key', run: () => this.goToProvider() })}<p class="or"><span>${t('shell.sign_in_or')}</span></p>` : nothing}
      ${field({ id: 'sign-in-name', label: t('shell.name'), control: input('name', 'text', 'username') })}
      ${field({ id: 'sign-in-password', label: t('shell.password'), control: input('password', 'password', 'current-password') })}
      <details><summary>${t('shell.sign_in_token')}</summary>
        ${field({ id: 'sign-in-token', label: t('shell.token'), help: t('shell.token_help'), control: input('token', 'password', 'off') })}</details>
      ${button({ label: t('shell.sign_in'), kind: 'primary', busy: this.isBusy, run: () => this.signIn() })}
      <input type="submit" class="visually-hidden" tabindex="-1" aria-hidden="true">
    </form></main>`;
  }
}
customElements.define('gl-sign-in', SignIn);
