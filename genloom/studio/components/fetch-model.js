/** Fetching one of the models that others trained, where a page needs one: a question first, since it comes from the network. */
import { html } from '../vendor/lit.js';
import { t } from '../core/i18n.js';
import { finishJob, startJob } from '../core/jobs.js';
import { isAllowed } from '../core/session.js';
import { confirmDialog } from './dialog.js';
import { button } from './parts.js';
import { toast, toastError } from './toast.js';

/** @typedef {{name: string, megabytes: number}} Source */

export const CHAT_MODEL = /** @type {Source} */ ({ name: 'smollm2', megabytes: 98 });
export const VOICES = /** @type {Source} */ ({ name: 'kokoro', megabytes: 128 });
export const LISTENER = /** @type {Source} */ ({ name: 'whisper', megabytes: 148 });

/** A button that fetches a model; without the right to, a sentence says who has it. @param {Source} source @param {() => void} [then] */
export function fetchButton(source, then) {
  if (!isAllowed('train')) return html`<p class="help">${t('shell.fetch_not_allowed')}</p>`;
  return button({ label: t('shell.fetch', { name: source.name }), icon: 'download', kind: 'primary', run: () => fetchModel(source).then((isThere) => void (isThere && then?.()), toastError) });
}

/** Ask, fetch, and return whether the model is there. @param {Source} source @returns {Promise<boolean>} */
async function fetchModel({ name, megabytes }) {
  if (!(await confirmDialog({ title: t('shell.fetch_title', { name }), text: t('shell.fetch_text', { n: megabytes }), confirm: t('shell.fetch_confirm') }))) return false;
  const { id } = await startJob('import', { source: name });
  toast(t('shell.fetching', { name }));
  const job = await finishJob(id);
  if (job.state === 'failed') throw job.error;
  if (job.state !== 'succeeded') return false;
  toast(t('shell.fetched', { name }), { kind: 'good' });
  return true;
}
