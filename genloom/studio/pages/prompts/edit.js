/** Prompts are made, changed and deleted: a change is a new version, and earlier ones stay. */
import { html } from '../../vendor/lit.js';
import { del, post, quote, request } from '../../core/api.js';
import { t } from '../../core/i18n.js';
import { go } from '../../core/router.js';
import { openDialog } from '../../components/dialog.js';
import { button, errorBox, field } from '../../components/parts.js';
import { toast } from '../../components/toast.js';
import { inputValue } from '../../components/workshop.js';

/** @typedef {import('../../core/shapes').PromptDetail} PromptDetail */
/** @typedef {{name: string, prompt: string, system: string, description: string, note: string}} Draft */

/**
 * Ask for the texts of a prompt until the server takes them.
 * @param {{title: string, draft: Draft, isNew: boolean}} options
 * @returns {Promise<PromptDetail | undefined>}
 */
function editPrompt({ title, draft, isNew }) {
  /** @type {any} */
  let fault = null;
  /** @param {keyof Draft} key @param {(ids: {id: string, describedBy: string}) => unknown} control */
  const row = (key, control) => field({ id: `prompt-${key}`, label: t(`prompts.field_${key}`), help: t(`prompts.field_${key}_help`), control });
  /** @param {keyof Draft} key */
  const take = (key) => (/** @type {Event} */ event) => (draft[key] = inputValue(event));
  /** @param {keyof Draft} key @param {number} rows */
  const area = (key, rows) => row(key, ({ id, describedBy }) => html`<textarea id=${id} rows=${rows} aria-describedby=${describedBy} .value=${draft[key]} @input=${take(key)}></textarea>`);
  /** @param {keyof Draft} key */
  const line = (key) => row(key, ({ id, describedBy }) => html`<input id=${id} autocomplete="off" maxlength="200" aria-describedby=${describedBy} .value=${draft[key]} @input=${take(key)}>`);
  return openDialog({
    title,
    size: 'large',
    body: () => html`<div class="stack">${isNew ? line('name') : ''}${line('description')}${area('system', 3)}${area('prompt', 9)}${isNew ? '' : line('note')}${fault ? errorBox(fault) : ''}</div>`,
    actions: (close, redraw) => [button({ label: t('shell.cancel'), run: () => close(undefined) }),
      button({ label: t(isNew ? 'prompts.make' : 'prompts.save_version'), kind: 'primary', run: async () => {
        const { name, ...texts } = draft;
        try {
          close(await request('PUT', `prompts/${quote(name.trim())}`, { body: texts }));
        } catch (error) {
          fault = error;
          redraw();
        }
      } })],
  });
}

export async function createPrompt() {
  const draft = { name: '', prompt: t('prompts.example'), system: '', description: '', note: '' };
  const made = await editPrompt({ title: t('prompts.new'), draft, isNew: true });
  if (made) go(['prompts', made.name]);
}

/** @param {PromptDetail} prompt */
export async function changePrompt(prompt) {
  const { name, system, description } = prompt;
  const saved = await editPrompt({ title: t('prompts.change', { name }), draft: { name, prompt: prompt.prompt, system, description, note: '' }, isNew: false });
  if (!saved) return;
  const isSame = saved.version === prompt.version;
  toast(isSame ? t('prompts.unchanged') : t('prompts.saved', { ref: saved.ref }), { kind: 'good' });
}

/** @param {PromptDetail} prompt */
export async function removePrompt({ name }) {
  const entry = await del(`prompts/${quote(name)}`);
  go('prompts');
  toast(t('prompts.deleted', { name }), { undo: () => post(`bin/${quote(entry.id)}/restore`) });
}
