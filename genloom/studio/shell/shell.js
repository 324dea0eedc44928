/** The frame around every page: navigation, what runs, messages, keys; and the sign-in page where it is needed. */
import { html, keyed, nothing } from '../vendor/lit.js';
import { signedOut } from '../core/api.js';
import { announce } from '../core/dom.js';
import { Element, useStyle } from '../core/element.js';
import { connectEvents, isOnline } from '../core/events.js';
import { language, loadMessages, t } from '../core/i18n.js';
import { followJobs, isOver, jobs } from '../core/jobs.js';
import { bindKeys } from '../core/keys.js';
import { followOutputs } from '../core/outputs.js';
import { href, route } from '../core/router.js';
import { openSession, session } from '../core/session.js';
import { brand, button, errorBox, icon } from '../components/parts.js';
import '../components/menu.js';
import { toastError } from '../components/toast.js';
import { PAGES } from './pages.js';

class Shell extends Element {
  constructor() {
    super();
    /** @type {string} */
    this.shown = '';
    /** @type {{message: string} | null} */
    this.fault = null;
    this.isFollowing = false;
    this.goesTo = false; // after "g"
  }

  stores() {
    return [route, session, signedOut, jobs, isOnline];
  }

  connectedCallback() {
    super.connectedCallback();
    this.replaceChildren();
    this.onLeave(route.subscribe(() => this.showPage()));
    this.onLeave(session.subscribe((now) => now && this.follow()));
    this.onLeave(signedOut.subscribe((is) => is && import('./sign-in.js')));
    this.onLeave(language.subscribe(() => this.bindKeys()));
    this.bindKeys();
    this.start();
  }

  async start() {
    this.fault = null;
    try {
      await openSession();
    } catch (error) {
      if (!signedOut.get()) this.fault = /** @type {Error} */ (error);
    }
    this.requestUpdate();
  }

  /** Show the page and follow what happens, once it is known who is here. */
  follow() {
    this.showPage();
    if (this.isFollowing) return;
    this.isFollowing = true;
    connectEvents();
    followOutputs();
    followJobs().catch(toastError);
  }

  bindKeys() {
    this.unbind?.();
    const open = (/** @type {() => Promise<any>} */ load) => () => load().then((module) => module.open());
    this.unbind = bindKeys(t('shell.keys_everywhere'), [
      { key: '?', label: t('shell.keys_help'), run: open(() => import('./help.js')) },
      { key: 'Mod+k /', label: t('shell.search'), run: open(() => import('./search.js')), always: true, when: () => Boolean(session.get()) },
      { key: 'g', label: t('shell.key_go'), run: () => this.waitForPage() },
      ...PAGES.map((page) => ({ key: page.key, label: '', when: () => this.goesTo, run: () => {
        this.goesTo = false;
        location.hash = href(page.name);
      } })),
    ]);
  }

  waitForPage() {
    this.goesTo = true;
    setTimeout(() => (this.goesTo = false), 5000);
  }

  get pages() {
    const scopes = session.get()?.scopes ?? [];
    return PAGES.filter((page) => scopes.includes(page.scope));
  }

  async showPage() {
    if (!session.get()) return;
    const wanted = PAGES.find((page) => page.name === route.get().page) ?? PAGES[0];
    try {
      await Promise.all([loadMessages(wanted.name), useStyle(wanted.name), wanted.load()]);
      this.fault = null;
    } catch (error) {
      this.fault = /** @type {Error} */ (error);
    }
    if (wanted.name !== (PAGES.find((page) => page.name === route.get().page) ?? PAGES[0]).name) return;
    const isNew = this.shown !== '' && this.shown !== wanted.name;
    this.shown = wanted.name;
    this.requestUpdate();
    await this.updateComplete;
    document.title = `${t(`shell.page_${wanted.name}`)} · Genloom`;
    if (!isNew) return;
    scrollTo(0, 0);
    announce(t(`shell.page_${wanted.name}`));
    /** @type {HTMLElement | null} */ (this.querySelector('h1'))?.focus({ preventScroll: true });
  }

  render() {
    if (signedOut.get()) return html`<gl-sign-in></gl-sign-in><gl-toasts></gl-toasts>`;
    return html`
      <a class="skip" href="#main" @click=${(/** @type {Event} */ event) => {
        event.preventDefault();
        /** @type {HTMLElement | null} */ (this.querySelector('#main'))?.focus();
      }}>${t('shell.skip')}</a>
      ${this.renderNavigation()}
      <main id="main" tabindex="-1" class="main page-${this.shown}">
        ${isOnline.get() ? nothing : html`<p class="offline" role="status"><span class="spinner" aria-hidden="true"></span>${t('shell.offline')}</p>`}
        ${this.fault ? errorBox(this.fault, () => (session.get() ? this.showPage() : this.start())) : this.renderPage()}
      </main>
      ${this.renderPhoneBar()}
      <gl-toasts></gl-toasts>
      <div id="announcer" class="visually-hidden" aria-live="polite"></div>`;
  }

  renderPage() {
    const page = PAGES.find((each) => each.name === this.shown);
    if (!page || !session.get()) return html`<div class="page-loading" aria-busy="true"></div>`;
    return keyed(page.tag, makeElement(page.tag));
  }

  renderNavigation() {
    const groups = /** @type {const} */ (['create', 'learn', 'build', 'machine']);
    return html`<nav class="side" aria-label=${t('shell.navigation')}>
      <a class="brand" href=${href('make')}>${brand}<span>Genloom</span></a>
      ${groups.map((group) => {
        const pages = this.pages.filter((page) => page.group === group);
        return pages.length ? html`<ul class="side-group" aria-label=${t(`shell.group_${group}`)}>${pages.map((page) => html`
          <li><a href=${href(page.name)} aria-current=${this.shown === page.name ? 'page' : 'false'} title=${t(`shell.page_${page.name}`)}>
            ${icon(page.icon)}<span>${t(`shell.page_${page.name}`)}</span></a></li>`)}</ul>` : nothing;
      })}
      <div class="side-foot">
        ${this.renderActivity()}
        <div class="side-tools">
          ${button({ label: t('shell.search'), icon: 'search', alone: true, kind: 'quiet', key: 'Mod+k', run: () => import('./search.js').then((module) => module.open()) })}
          ${button({ label: t('shell.preferences'), icon: 'settings2', alone: true, kind: 'quiet', run: () => import('./preferences.js').then((module) => module.open()) })}
          ${button({ label: t('shell.keys_help'), icon: 'keyboard', alone: true, kind: 'quiet', key: '?', run: () => import('./help.js').then((module) => module.open()) })}
        </div>
      </div>
    </nav>`;
  }

  renderActivity() {
    const active = [...jobs.get().values()].filter((job) => !isOver(job));
    const running = active.find((job) => job.state === 'running');
    const share = running?.progress?.share;
    const text = active.length ? t('shell.jobs_active', { n: active.length }) : t('shell.jobs_none');
    return html`<button type="button" class="activity ${active.length ? 'active' : ''}" @click=${() => import('./activity.js').then((module) => module.open())}>
      ${active.length ? html`<svg class="ring ${typeof share === 'number' ? '' : 'unknown'}" viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="9"/>
        <circle class="ring-done" cx="12" cy="12" r="9" pathLength="100" stroke-dasharray="${Math.round((share ?? 0.25) * 100)} 100"/></svg>` : icon('circleCheck')}
      <span>${text}</span></button>`;
  }

  renderPhoneBar() {
    const pages = this.pages.filter((page) => page.onPhone);
    return html`<nav class="phone-bar" aria-label=${t('shell.navigation_short')}>
      ${pages.map((page) => html`<a href=${href(page.name)} aria-current=${this.shown === page.name ? 'page' : 'false'}>
        ${icon(page.icon)}<span>${t(`shell.page_${page.name}`)}</span></a>`)}
      <button type="button" @click=${() => import('./more.js').then((module) => module.open(this.pages))}>${icon('menu')}<span>${t('shell.more_pages')}</span></button>
    </nav>`;
  }
}

/** @type {Map<string, HTMLElement>} */
const elements = new Map();

/** The element of a page; it is kept while it is shown. @param {string} tag */
function makeElement(tag) {
  const known = elements.get(tag);
  if (known?.isConnected) return known;
  const made = document.createElement(tag);
  made.classList.add('page');
  elements.clear();
  elements.set(tag, made);
  return made;
}

customElements.define('gl-shell', Shell);
