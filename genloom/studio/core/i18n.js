/** Words in the reader's language: one catalogue a page in messages/LANGUAGE/PAGE.json, and numbers and dates by Intl. */
import { createStore } from './store.js';

/** @typedef {string | {[plural: string]: string}} Message */
/** @typedef {{[key: string]: Message}} Catalogue */

export const LANGUAGES = { en: 'English', de: 'Deutsch' };
export const language = createStore('en');

/** @type {Map<string, Catalogue>} */
const catalogues = new Map();
/** @type {Set<string>} */
const names = new Set();

/** @param {string} code @param {string} name */
async function fetchCatalogue(code, name) {
  const answer = await fetch(new URL(`../messages/${code}/${name}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`messages/${code}/${name}.json: ${answer.status}`);
  return /** @type {Promise<Catalogue>} */ (answer.json());
}

/** Load catalogues in the present language; `t` finds their messages afterwards. @param {...string} wanted */
export async function loadMessages(...wanted) {
  const missing = wanted.filter((name) => !names.has(name));
  const loaded = await Promise.all(missing.map((name) => fetchCatalogue(language.get(), name)));
  missing.forEach((name, n) => {
    names.add(name);
    catalogues.set(name, loaded[n]);
  });
}

/** @param {string} code */
export async function setLanguage(code) {
  const known = code in LANGUAGES ? code : 'en';
  const loaded = await Promise.all([...names].map(async (name) => /** @type {const} */ ([name, await fetchCatalogue(known, name)])));
  for (const [name, catalogue] of loaded) catalogues.set(name, catalogue);
  document.documentElement.lang = known;
  language.set(known);
}

/**
 * The message PAGE.KEY with its values; a value `n` chooses the plural.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const [name, ...rest] = key.split('.');
  let message = catalogues.get(name)?.[rest.join('.')];
  if (message === undefined) return key;
  if (typeof message !== 'string') message = message[new Intl.PluralRules(language.get()).select(Number(values.n))] ?? message.other;
  return message.replace(/\{(\w+)\}/g, (whole, value) => {
    const given = values[value];
    return given === undefined ? whole : typeof given === 'number' ? formatNumber(given) : given;
  });
}

/** Whether a message exists: for words that the server may send. @param {string} key */
export function hasMessage(key) {
  const [name, ...rest] = key.split('.');
  return catalogues.get(name)?.[rest.join('.')] !== undefined;
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function formatNumber(value, options = { maximumFractionDigits: 2 }) {
  return new Intl.NumberFormat(language.get(), options).format(value);
}

/** @param {number} share */
export function formatPercent(share, digits = 0) {
  return formatNumber(share, { style: 'percent', maximumFractionDigits: digits });
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return formatNumber(value, { style: 'unit', unit: units[power], unitDisplay: power ? 'short' : 'long', maximumFractionDigits: value < 10 && power ? 1 : 0 });
}

/** @param {number} seconds */
export function formatDuration(seconds) {
  const unit = /** @param {number} value @param {string} name */ (value, name, digits = 0) =>
    formatNumber(value, { style: 'unit', unit: name, unitDisplay: 'short', maximumFractionDigits: digits });
  if (seconds < 10) return unit(seconds, 'second', 1);
  if (seconds < 90) return unit(Math.round(seconds), 'second');
  if (seconds < 5400) return unit(Math.round(seconds / 60), 'minute');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.round((seconds % 3600) / 60);
  if (hours < 48) return minutes ? `${unit(hours, 'hour')} ${unit(minutes, 'minute')}` : unit(hours, 'hour');
  return unit(Math.round(hours / 24), 'day');
}

/** A position in a sound, as players write it. @param {number} seconds */
export function formatTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** @param {string} time ISO 8601 @param {Intl.DateTimeFormatOptions} [options] */
export function formatDate(time, options = { dateStyle: 'medium', timeStyle: 'short' }) {
  const date = new Date(time);
  return Number.isNaN(date.valueOf()) ? '' : new Intl.DateTimeFormat(language.get(), options).format(date);
}

/** A time as people say it: "5 minutes ago". @param {string} time ISO 8601 */
export function formatAgo(time) {
  const seconds = (Date.now() - new Date(time).valueOf()) / 1000;
  if (Number.isNaN(seconds)) return '';
  if (seconds < 45) return t('shell.just_now');
  const format = new Intl.RelativeTimeFormat(language.get(), { numeric: 'auto' });
  if (seconds < 2700) return format.format(-Math.round(seconds / 60), 'minute');
  if (seconds < 64800) return format.format(-Math.round(seconds / 3600), 'hour');
  if (seconds < 2592000) return format.format(-Math.round(seconds / 86400), 'day');
  return formatDate(time, { dateStyle: 'medium' });
}
