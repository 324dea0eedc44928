/** The models of the workspace, what they offer, and how their options are called. */
import { get, quote } from './api.js';
import { onEvent } from './events.js';
import { formatNumber, hasMessage, language, t } from './i18n.js';
import { createStore } from './store.js';

/** @typedef {import('./shapes').Model} Model */
/** @typedef {import('./shapes').Option} Option */

export const models = createStore(/** @type {Model[] | null} */ (null));

/** @type {Promise<Model[]> | null} */
let reading = null;

/** Read the models once; they are read again when one is made or promoted. */
export function readModels() {
  if (!reading) {
    reading = get('models', { limit: 500 }).then((answer) => {
      models.set(answer.data);
      return answer.data;
    });
    reading.catch(() => (reading = null));
  }
  return reading;
}
for (const type of ['model', 'reset']) {
  onEvent(type, () => {
    if (!reading) return;
    reading = null;
    readModels().catch(() => {});
  });
}

/** A model by its name or reference. @param {string} ref */
export const findModel = (ref) => models.get()?.find((each) => each.ref === ref) ?? models.get()?.find((each) => each.name === ref && each.is_active);

/** Its name as people say it: without a version if it is the active one. @param {Model} model */
export const nameModel = (model) => (model.is_active ? model.name : model.ref);

/** @type {Map<string, Promise<any>>} */
const kept = new Map();
language.subscribe(() => kept.clear());

/** @param {string} ref @param {string} what */
function readOnce(ref, what) {
  const path = `models/${quote(ref)}${what}`;
  if (!kept.has(path)) {
    const answer = get(path);
    kept.set(path, answer);
    answer.catch(() => kept.delete(path));
  }
  return /** @type {Promise<any>} */ (kept.get(path));
}

/** @param {string} ref @returns {Promise<Option[]>} */
export const readOptions = (ref) => readOnce(ref, '/options').then((answer) => answer.data);
/** Presets and adapters. @param {string} ref @returns {Promise<import('./shapes').Additions>} */
export const readAdditions = (ref) => readOnce(ref, '/additions');
/** Prompts to try. @param {string} ref @returns {Promise<string[]>} */
export const readPrompts = (ref) => readOnce(ref, '').then((answer) => answer.prompts);

/** The name of an option for people. @param {string} name */
export function labelOption(name) {
  if (hasMessage(`options.${name}.label`)) return t(`options.${name}.label`);
  const words = name.replaceAll('_', ' ');
  return words[0].toUpperCase() + words.slice(1);
}

/** Its sentence: ours in the reader's language if there is one, else the server's, which is for the command line. @param {Option} option */
export const explainOption = (option) => (hasMessage(`options.${option.name}.help`) ? t(`options.${option.name}.help`) : option.help);

/** Whether a model makes something of a file, by its options. @param {Option[]} options */
export const canEdit = (options) => options.some((option) => option.group === 'edit' && option.type === 'file');

/** The medium's name for people; a medium of a plug-in has its own. @param {string} medium @param {number} [n] */
export const nameMedium = (medium, n = 2) => (hasMessage(`options.medium_${medium}`) ? t(`options.medium_${medium}`, { n }) : medium);

/** @type {Record<string, import('../components/parts.js').IconName>} */
const ICONS = { text: 'fileText', image: 'image', music: 'music', audio: 'volume2', video: 'circlePlay', molecule: 'network' };
/** @param {string} medium @returns {import('../components/parts.js').IconName} */
export const iconOfMedium = (medium) => ICONS[medium] ?? 'box';

/** A value as people read it. @param {unknown} value @returns {string} */
export function showValue(value) {
  if (typeof value === 'number') return formatNumber(value, { maximumFractionDigits: 4, useGrouping: false });
  if (typeof value === 'boolean') return t(value ? 'options.yes' : 'options.no');
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(showValue).join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
