/** Who uses the studio, and what they may do. */
import { get, post, signedOut } from './api.js';
import { createStore } from './store.js';

/** @typedef {import('./shapes').Session} Session */

export const session = createStore(/** @type {Session | null} */ (null));

/** Why a sign-in with a provider failed. */
export const providerFault = createStore(/** @type {Error | null} */ (null));

/** Exchange the one-time token of the start link, or the code of a provider, then read who is here. */
export async function openSession() {
  const token = new URLSearchParams(location.hash.replace(/^#\/?\??/, '')).get('token');
  if (token) {
    history.replaceState(null, '', location.pathname + location.search);
    await post('login', { token }).catch(() => {}); // a link that was used: the cookie may still be good
  }
  const answer = new URLSearchParams(location.search);
  if (answer.has('state')) {
    history.replaceState(null, '', location.pathname + location.hash);
    await post('login', { code: answer.get('code') || 'none', state: answer.get('state') }).catch((error) => providerFault.set(error));
  }
  await readSession();
}

export async function readSession() {
  session.set(await get('session'));
  signedOut.set(false);
}

/** @param {string} scope */
export const isAllowed = (scope) => session.get()?.scopes.includes(scope) ?? false;
