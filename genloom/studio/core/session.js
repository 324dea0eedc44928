/** Who uses the studio, and what they may do. */
import { get, post, signedOut } from './api.js';
import { createStore } from './store.js';

/** @typedef {import('./shapes').Session} Session */

export const session = createStore(/** @type {Session | null} */ (null));

/** Exchange the one-time token of the start link, then read who is here. */
export async function openSession() {
  const token = new URLSearchParams(location.hash.replace(/^#\/?\??/, '')).get('token');
  if (token) {
    history.replaceState(null, '', location.pathname + location.search);
    await post('login', { token }).catch(() => {}); // a link that was used: the cookie may still be good
  }
  await readSession();
}

export async function readSession() {
  session.set(await get('session'));
  signedOut.set(false);
}

/** @param {string} scope */
export const isAllowed = (scope) => session.get()?.scopes.includes(scope) ?? false;
