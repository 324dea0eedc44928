/** "?": the keys that work here. */
import { html } from '../vendor/lit.js';
import { openDialog } from '../components/dialog.js';
import { t } from '../core/i18n.js';
import { printKey, scopes, singleKeys } from '../core/keys.js';
import { PAGES } from './pages.js';

export function open() {
  if (document.querySelector('dialog.keys-help')) return;
  /** @type {Map<string, Map<string, string>>} */
  const groups = new Map();
  for (const scope of scopes.get()) {
    const rows = groups.get(scope.name) ?? new Map();
    for (const binding of scope.bindings) if (binding.label) rows.set(binding.label, binding.key);
    if (rows.size) groups.set(scope.name, rows);
  }
  const rows = (/** @type {[string, string][]} */ all) => html`<dl class="keys">${all.map(([label, key]) => html`<div><dt>${label}</dt>
    <dd>${key.split(' ').map((each) => html`<kbd>${printKey(each)}</kbd> `)}</dd></div>`)}</dl>`;
  openDialog({
    title: t('shell.keys_help'),
    body: (_, redraw) => html`<div class="keys-columns">
      ${[...groups].reverse().map(([name, all]) => html`<section><h3>${name}</h3>${rows([...all])}</section>`)}
      <section><h3>${t('shell.keys_pages')}</h3><dl class="keys">${PAGES.map((page) => html`<div><dt>${t(`shell.page_${page.name}`)}</dt>
        <dd><kbd>G</kbd> <kbd>${page.key.toUpperCase()}</kbd></dd></div>`)}</dl></section></div>
      <label class="switch"><input type="checkbox" .checked=${singleKeys.get()} @change=${(/** @type {any} */ event) => {
        singleKeys.set(event.target.checked);
        redraw();
      }}><span>${t('shell.single_keys')}</span></label>`,
    size: 'large',
  });
}
