/** Ctrl+K: search in everything that was made, and go to any page. */
import { html, nothing } from '../vendor/lit.js';
import { openDialog } from '../components/dialog.js';
import { icon } from '../components/parts.js';
import { get } from '../core/api.js';
import { debounce } from '../core/dom.js';
import { formatAgo, t } from '../core/i18n.js';
import { go } from '../core/router.js';
import { serverUrl } from '../core/outputs.js';
import { session } from '../core/session.js';
import { PAGES } from './pages.js';

/** @typedef {{id: string, title: string, note: string, icon: import('../components/parts.js').IconName, thumbnail?: string | null, path: string[]}} Entry */

/** @type {Record<string, {icon: import('../components/parts.js').IconName, page: string}>} */
const KINDS = {
  output: { icon: 'image', page: 'gallery' },
  conversation: { icon: 'messagesSquare', page: 'chat' },
  model: { icon: 'shapes', page: 'models' },
  dataset: { icon: 'database', page: 'data' },
  job: { icon: 'activity', page: 'train' },
};

export function open() {
  if (document.querySelector('.search-box')) return;
  let words = '';
  let at = 0;
  let isBusy = false;
  let fault = '';
  /** @type {Entry[]} */
  let found = [];
  let stopping = new AbortController();

  const pages = () => PAGES.filter((page) => session.get()?.scopes.includes(page.scope)).map((page) => /** @type {Entry} */ ({
    id: `page-${page.name}`, title: t(`shell.page_${page.name}`), note: t('shell.search_page'), icon: page.icon, path: [page.name],
  })).filter((entry) => entry.title.toLowerCase().includes(words.toLowerCase()));

  const search = debounce(async (/** @type {() => void} */ redraw) => {
    stopping.abort();
    stopping = new AbortController();
    if (!words.trim()) {
      found = [];
      isBusy = false;
      return redraw();
    }
    try {
      const answer = await get('search', { q: words, limit: 30 }, stopping.signal);
      found = answer.data.map((/** @type {import('../core/shapes').Hit} */ hit) => ({
        id: `${hit.kind}-${hit.id}`, title: hit.title || hit.excerpt, note: [t(`shell.kind_${hit.kind}`), hit.excerpt, hit.at && formatAgo(hit.at)].filter(Boolean).join(' · '),
        icon: KINDS[hit.kind]?.icon ?? 'file', thumbnail: hit.thumbnail, path: [KINDS[hit.kind]?.page ?? 'gallery', hit.id],
      }));
      fault = '';
    } catch (error) {
      if (stopping.signal.aborted) return;
      fault = /** @type {Error} */ (error).message;
    }
    isBusy = false;
    redraw();
  }, 120);

  openDialog({
    title: t('shell.search'),
    hideTitle: true,
    size: 'medium',
    body: (close, redraw) => {
      const entries = [...found, ...pages()];
      at = Math.min(at, Math.max(0, entries.length - 1));
      const take = (/** @type {Entry | undefined} */ entry) => {
        if (!entry) return;
        close();
        go(entry.path);
      };
      return html`<div class="search-box">
        <div class="search-field">${icon('search')}<input type="text" role="combobox" aria-expanded="true" aria-controls="search-found" aria-autocomplete="list" autofocus
          aria-activedescendant=${entries[at]?.id ?? nothing} aria-label=${t('shell.search')} placeholder=${t('shell.search_hint')} autocomplete="off" spellcheck="false"
          @input=${(/** @type {any} */ event) => {
            words = event.target.value;
            isBusy = true;
            at = 0;
            search(redraw);
            redraw();
          }} @keydown=${(/** @type {KeyboardEvent} */ event) => {
            const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
            if (step) {
              event.preventDefault();
              at = (at + step + entries.length) % Math.max(1, entries.length);
              redraw();
              document.getElementById(entries[at]?.id)?.scrollIntoView({ block: 'nearest' });
            } else if (event.key === 'Enter') {
              event.preventDefault();
              take(entries[at]);
            }
          }}>${isBusy ? html`<span class="spinner" aria-hidden="true"></span>` : nothing}</div>
        ${fault ? html`<p class="error-line">${fault}</p>` : nothing}
        <ul id="search-found" role="listbox" aria-label=${t('shell.search_found')}>${entries.map((entry, n) => html`
          <li role="option" id=${entry.id} aria-selected=${n === at ? 'true' : 'false'} @click=${() => take(entry)}>
            ${entry.thumbnail ? html`<img src=${serverUrl(entry.thumbnail)} alt="">` : icon(entry.icon)}
            <span class="search-title">${entry.title}<small>${entry.note}</small></span></li>`)}</ul>
        ${entries.length ? nothing : html`<p class="help search-none" role="status">${isBusy ? '' : t('shell.search_nothing', { words })}</p>`}
      </div>`;
    },
  });
}
