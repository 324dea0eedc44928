/** Where the reader is: #/PAGE/REST?QUERY. The fragment needs nothing of the server, also behind a proxy. */
import { createStore } from './store.js';

/** @typedef {{page: string, rest: string[], query: URLSearchParams}} Route */

/** @returns {Route} */
function read() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [page = '', ...rest] = path.split('/').filter(Boolean).map(decodeURIComponent);
  return { page: page || 'make', rest, query: new URLSearchParams(query) };
}

export const route = createStore(read());
addEventListener('hashchange', () => route.set(read()));

/**
 * The address of a page.
 * @param {string | string[]} path e.g. "gallery" or ["models", "notes/2"]; each part may contain slashes
 * @param {Record<string, any>} [query] undefined, null and "" are left out
 */
export function href(path, query = {}) {
  const parts = (Array.isArray(path) ? path : [path]).map(encodeURIComponent).join('/');
  const entries = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const search = new URLSearchParams(entries.map(([key, value]) => [key, String(value)])).toString();
  return `#/${parts}${search ? `?${search}` : ''}`;
}

/** @param {string | string[]} path @param {Record<string, any>} [query] */
export function go(path, query) {
  location.hash = href(path, query);
}

/** Change the address without a step in the history: for filters. @param {string | string[]} path @param {Record<string, any>} [query] */
export function replaceRoute(path, query) {
  history.replaceState(null, '', href(path, query));
  route.set(read());
}
