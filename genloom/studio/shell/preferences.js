/** Preferences of this browser: appearance, language, keys. */
import { html, nothing } from '../vendor/lit.js';
import { openDialog } from '../components/dialog.js';
import { button, segments } from '../components/parts.js';
import { messagesStay } from '../components/toast.js';
import { post, signedOut } from '../core/api.js';
import { LANGUAGES, language, setLanguage, t } from '../core/i18n.js';
import { singleKeys } from '../core/keys.js';
import { chosenLanguage, theme } from '../core/preferences.js';
import { session } from '../core/session.js';

export function open() {
  const choose = async (/** @type {string} */ code, /** @type {() => void} */ redraw) => {
    await setLanguage(code);
    chosenLanguage.set(code);
    redraw();
  };
  openDialog({
    title: () => t('shell.preferences'),
    size: 'small',
    body: (close, redraw) => html`<div class="stack">
      <div class="field"><span class="label">${t('shell.appearance')}</span>${segments({ label: t('shell.appearance'), selected: theme.get(), choose: (id) => {
        theme.set(id);
        redraw();
      }, items: [{ id: 'auto', label: t('shell.theme_auto'), icon: 'monitor' }, { id: 'light', label: t('shell.theme_light'), icon: 'sun' }, { id: 'dark', label: t('shell.theme_dark'), icon: 'moon' }] })}</div>
      <div class="field"><span class="label">${t('shell.language')}</span>${segments({ label: t('shell.language'), selected: language.get(), choose: (id) => choose(id, redraw),
        items: Object.entries(LANGUAGES).map(([id, label]) => ({ id, label })) })}</div>
      <label class="switch"><input type="checkbox" .checked=${singleKeys.get()} @change=${(/** @type {any} */ event) => singleKeys.set(event.target.checked)}>
        <span>${t('shell.single_keys')}</span></label>
      <label class="switch"><input type="checkbox" .checked=${messagesStay.get()} @change=${(/** @type {any} */ event) => messagesStay.set(event.target.checked)}>
        <span>${t('shell.messages_stay')}</span></label>
      ${session.get() ? html`<p class="help">${t('shell.signed_in_as', { name: session.get()?.user.name ?? '', version: session.get()?.version ?? '' })}</p>` : nothing}
      ${session.get() && !session.get()?.user.is_local ? button({ label: t('shell.sign_out'), icon: 'logOut', run: async () => {
        await post('logout').catch(() => {});
        close();
        session.set(null);
        signedOut.set(true);
      } }) : nothing}</div>`,
  });
}
