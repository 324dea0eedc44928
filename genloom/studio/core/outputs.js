/** Outputs: rating, starring, tags, the bin and its undo, the same on every page. */
import { toast, toastError } from '../components/toast.js';
import { del, get, makeUrl, patch, post } from './api.js';
import { onEvent } from './events.js';
import { t } from './i18n.js';
import { createStore } from './store.js';

/** @typedef {import('./shapes').Output} Output */

/** The newest state of outputs that were changed here or elsewhere; pages draw from it over what they read. */
export const changes = createStore(/** @type {Map<string, Partial<Output>>} */ (new Map()));

/** @template {Output} O @param {O} output @returns {O} */
export const withChanges = (output) => ({ ...output, ...changes.get().get(output.id) });

/** @param {string} id @param {Partial<Output>} change */
function note(id, change) {
  changes.update((now) => new Map(now).set(id, { ...now.get(id), ...change }));
}

async function readAgain(/** @type {{id?: string, output?: string}} */ data) {
  const id = data.output ?? data.id ?? '';
  if (!changes.get().has(id)) return;
  const { rating, tags, is_starred, folder, removed } = await get(`outputs/${id}`);
  note(id, { rating, tags, is_starred, folder, removed });
}

export function followOutputs() {
  for (const type of ['rating', 'output.changed', 'output.removed', 'output.restored']) onEvent(type, (data) => readAgain(data).catch(() => {}));
}

/**
 * Rate an output; the same rating again takes it back. Shows at once, and goes back if the server refuses.
 * @param {Output} output @param {{up?: boolean, stars?: number, note?: string}} rating
 */
export async function rateOutput(output, rating) {
  const before = withChanges(output).rating ?? null;
  const same = before && rating.note === undefined && (rating.up === undefined ? before.stars === rating.stars : before.up === rating.up);
  note(output.id, { rating: same ? null : { up: rating.up ?? null, stars: rating.stars ?? null, note: rating.note ?? '', event: '', at: '' } });
  try {
    if (same) await del(`outputs/${output.id}/rating`);
    else note(output.id, { rating: await post(`outputs/${output.id}/rating`, rating) });
  } catch (error) {
    note(output.id, { rating: before });
    toastError(error);
  }
}

/** @param {Output} output */
export async function starOutput(output) {
  const before = withChanges(output).is_starred;
  note(output.id, { is_starred: !before });
  try {
    await patch(`outputs/${output.id}`, { is_starred: !before });
  } catch (error) {
    note(output.id, { is_starred: before });
    toastError(error);
  }
}

/** @param {Output} output @param {string[]} tags */
export async function tagOutput(output, tags) {
  const before = withChanges(output).tags;
  note(output.id, { tags });
  try {
    await patch(`outputs/${output.id}`, { tags });
  } catch (error) {
    note(output.id, { tags: before });
    toastError(error);
  }
}

/** Move outputs to the bin, with undo. @param {Output[]} outputs @param {() => void} [onChange] after either */
export async function removeOutputs(outputs, onChange) {
  const now = new Date().toISOString();
  for (const output of outputs) note(output.id, { removed: now });
  onChange?.();
  try {
    await post('outputs/remove', { ids: outputs.map((output) => output.id) });
    toast(t('shell.moved_to_bin', { n: outputs.length }), { undo: () => restoreOutputs(outputs, onChange) });
  } catch (error) {
    for (const output of outputs) note(output.id, { removed: null });
    onChange?.();
    toastError(error);
  }
}

/** @param {Output[]} outputs @param {() => void} [onChange] */
export async function restoreOutputs(outputs, onChange) {
  await post('outputs/restore', { ids: outputs.map((output) => output.id) });
  for (const output of outputs) note(output.id, { removed: null });
  onChange?.();
}

/** An address that the server named. @param {string} path */
export const serverUrl = (path) => makeUrl(path).href;
/** The file of an output in another format. @param {Output} output @param {string} [format] e.g. ".png" */
export const fileUrl = (output, format) => makeUrl(`api/outputs/${output.id}/file`, { format }).href;
