/** The settings of a conversation: its instructions, and how its model draws. */
import { html, nothing } from '../../vendor/lit.js';
import { t } from '../../core/i18n.js';
import { readOptions } from '../../core/models.js';
import { href } from '../../core/router.js';
import { openDialog } from '../../components/dialog.js';
import { optionFields } from '../../components/options.js';
import { button, field } from '../../components/parts.js';

/** @typedef {import('../../core/shapes').Model} Model */
/** @typedef {{system: string, params: Record<string, any>}} Settings */

/**
 * Ask for them; null if nothing was changed.
 * @param {{settings: Settings, model: Model | undefined, other: Model | undefined}} chat the other model is one to compare with
 * @returns {Promise<Settings | null>}
 */
export async function editSettings({ settings, model, other }) {
  const options = model ? (await readOptions(model.ref)).filter((option) => option.group === 'sampling') : [];
  const values = { ...settings.params };
  let { system } = settings;
  const isSaved = await openDialog({
    title: t('chat.settings'),
    body: (close, redraw) => html`<div class="stack">
      ${field({ id: 'chat-system', label: t('chat.system'), help: t('chat.system_help'), control: (ids) => html`<textarea id=${ids.id} rows="5" aria-describedby=${ids.describedBy} .value=${system}
        @input=${(/** @type {any} */ event) => (system = event.target.value)}></textarea>` })}
      ${optionFields(options, values, (name, value) => {
        if (value === undefined) delete values[name];
        else values[name] = value;
        redraw();
      })}
      ${other && model ? html`<p><a class="text-link" @click=${() => close(false)} href=${href(['models', 'compare'], { first: model.ref, second: other.ref })}>${t('chat.compare')}</a></p>` : nothing}</div>`,
    actions: (close) => [button({ label: t('shell.cancel'), run: () => close(false) }), button({ label: t('chat.save'), kind: 'primary', run: () => close(true) })],
  });
  return isSaved ? { system, params: values } : null;
}
