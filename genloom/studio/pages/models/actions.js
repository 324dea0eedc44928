/** What is done with a model: bring it in, export it, put it in use, delete it with undo. */
import { html } from '../../vendor/lit.js';
import { del, get, makeUrl, post, quote, upload } from '../../core/api.js';
import { download } from '../../core/dom.js';
import { t } from '../../core/i18n.js';
import { finishJob, startJob } from '../../core/jobs.js';
import { go, route } from '../../core/router.js';
import { confirmDialog, openDialog } from '../../components/dialog.js';
import { button, field } from '../../components/parts.js';
import { toast, toastError } from '../../components/toast.js';
import { inputValue, listLosses } from '../../components/workshop.js';

/** @typedef {import('../../core/shapes').Model} Model */
/** @typedef {import('../../core/shapes').ModelDetail} ModelDetail */

/** @param {string} ref @param {string} [reason] */
export async function promote(ref, reason = '') {
  const [name] = ref.split('/');
  const before = (await get('models')).data.find((/** @type {Model} */ model) => model.name === name && model.is_active)?.ref;
  await post(`models/${quote(ref)}/promote`, { reason });
  toast(t('models.in_use', { ref }), { kind: 'good', undo: before && before !== ref ? () => post(`models/${quote(before)}/promote`, { reason: '' }) : undefined });
}

/** @param {string} ref @param {boolean} [force] */
export async function remove(ref, force = false) {
  try {
    const entry = await del(`models/${quote(ref)}${force ? '?force=true' : ''}`);
    toast(t('models.deleted', { ref }), { undo: () => post(`bin/${quote(entry.id)}/restore`) });
    const shown = route.get().rest.join('/'); // a name without a version means the one in use
    if (shown && (shown === ref || shown === ref.split('/')[0])) go('models');
  } catch (error) {
    const fault = /** @type {import('../../core/api.js').ApiError} */ (error);
    if (force || !/still_needed/.test(fault.code)) return toastError(error);
    if (await confirmDialog({ title: t('models.delete_needed', { ref }), text: listLosses(fault), confirm: t('models.delete_anyway'), danger: true })) await remove(ref, true);
  }
}

/** Choose a format, wait for the file, take it. @param {ModelDetail} model */
export async function exportModel(model) {
  let format = model.export_formats[0];
  const chosen = await openDialog({
    title: t('models.export_title', { ref: model.ref }),
    size: 'small',
    body: (close, redraw) => html`<fieldset class="choices"><legend class="visually-hidden">${t('models.format')}</legend>${model.export_formats.map((each) => html`
      <label class="choice-row"><input type="radio" name="format" .checked=${each === format} @change=${() => {
        format = each;
        redraw();
      }}><span><strong>${t(`models.format_${each}`)}</strong><small>${t(`models.format_${each}_text`)}</small></span></label>`)}</fieldset>`,
    actions: (close) => [button({ label: t('shell.cancel'), run: () => close('') }), button({ label: t('models.export'), icon: 'download', kind: 'primary', run: () => close(format) })],
  });
  if (!chosen) return;
  toast(t('models.exporting', { ref: model.ref }));
  const job = await finishJob((await startJob('export', { model: model.ref, to: chosen })).id);
  if (job.state === 'failed') throw job.error;
  if (job.result?.download) download(makeUrl(job.result.download).href);
}

/** A model from outside: its name, or its file. */
export async function importModel() {
  let source = '';
  let error = '';
  const chosen = await openDialog({
    title: t('models.import_title'),
    body: (close) => html`<form class="stack" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), source && close(source))}>
      ${field({ id: 'import-source', label: t('models.import_source'), help: t('models.import_help'), control: ({ id, describedBy }) => html`<input id=${id} autofocus autocomplete="off" placeholder="smollm2" aria-describedby=${describedBy}
        @input=${(/** @type {Event} */ event) => (source = inputValue(event).trim())}>` })}
      <p class="or"><span>${t('models.or')}</span></p>
      ${field({ id: 'import-file', label: t('models.import_file'), error, control: ({ id }) => html`<input id=${id} type="file" accept=".gguf,.safetensors,.json,.model,.txt" multiple @change=${(/** @type {Event} */ event) => {
        const files = [.../** @type {any} */ (event.target).files];
        if (files.length) close(files);
      }}>` })}</form>`,
    actions: (close) => [button({ label: t('shell.cancel'), run: () => close(undefined) }), button({ label: t('models.import'), kind: 'primary', run: () => source && close(source) })],
  });
  if (!chosen) return;
  const params = typeof chosen === 'string' ? { source: chosen } : { upload: (await upload('uploads', chosen.map((/** @type {File} */ file) => ({ file })))).id };
  toast(t('models.importing'));
  const job = await finishJob((await startJob('import', params)).id);
  if (job.state === 'failed') throw job.error;
  if (job.result?.model && route.get().page === 'models') go(['models', job.result.model]); // else the reader has gone on
  toast(t('models.imported', { ref: job.result?.model ?? '' }), { kind: 'good' });
}
