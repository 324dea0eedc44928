/** All pages on a small screen, with what the side bar holds on a large one. */
import { html } from '../vendor/lit.js';
import { openDialog } from '../components/dialog.js';
import { button, icon } from '../components/parts.js';
import { t } from '../core/i18n.js';
import { href } from '../core/router.js';

/** @param {import('./pages.js').PageEntry[]} pages */
export function open(pages) {
  const then = (/** @type {() => void} */ close, /** @type {() => Promise<any>} */ load) => () => {
    close();
    load().then((module) => module.open());
  };
  openDialog({
    title: t('shell.more_pages'),
    size: 'small',
    body: (close) => html`<ul class="more-pages">${pages.filter((page) => !page.onPhone).map((page) => html`
        <li><a href=${href(page.name)} @click=${() => close()}>${icon(page.icon)}<span>${t(`shell.page_${page.name}`)}</span></a></li>`)}</ul>
      <div class="row">${button({ label: t('shell.activity'), icon: 'activity', run: then(close, () => import('./activity.js')) })}
        ${button({ label: t('shell.search'), icon: 'search', run: then(close, () => import('./search.js')) })}
        ${button({ label: t('shell.preferences'), icon: 'settings2', run: then(close, () => import('./preferences.js')) })}</div>`,
  });
}
