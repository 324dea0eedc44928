/** What happens on the server, as it happens: one channel for all tabs, and who listens. */
import { makeUrl } from './api.js';
import { openEventStream } from './event-stream.js';
import { createStore } from './store.js';

/** Whether the server is heard at present. */
export const isOnline = createStore(true);

/** @type {Map<string, Set<(data: any, type: string) => void>>} */
const listeners = new Map();

/**
 * Listen to events: "job.text", or "job" for all kinds of them. "reset" means: events were missed, read again what you show.
 * @param {string} type @param {(data: any, type: string) => void} listener @returns {() => void} stops it
 */
export function onEvent(type, listener) {
  if (!listeners.has(type)) listeners.set(type, new Set());
  listeners.get(type)?.add(listener);
  return () => listeners.get(type)?.delete(listener);
}

/** Whether "online" was told since the last connection: `isOnline` is hopeful, so that a page does not begin with a warning. */
let isConnected = false;

/** @param {import('./event-stream.js').Message} event */
function receive({ type, data }) {
  if (!type) return; // the greeting
  if (type === 'offline') isOnline.set(isConnected = false);
  if (type === 'online') { // also the first time: what happened before, nobody has told
    if (isConnected) return;
    isOnline.set(isConnected = true);
  }
  for (const name of new Set([type, type.split('.')[0]])) {
    for (const listener of [...(listeners.get(name) ?? [])]) listener(data, type);
  }
}

/** @type {(() => void) | null} */
let stop = null;

/** Listen to the server. Tabs share a worker where the browser has one. @param {boolean} [fresh] after signing in */
export function connectEvents(fresh = false) {
  stop?.();
  isConnected = false;
  const address = makeUrl('api/events').href;
  if (!('SharedWorker' in window)) {
    stop = openEventStream(address, receive).stop;
    return;
  }
  const worker = new SharedWorker(trustUrl(new URL('./events-worker.js', import.meta.url).href), { name: 'genloom-events', type: 'module' });
  worker.port.onmessage = ({ data }) => receive(data);
  worker.port.postMessage({ address, fresh });
  stop = () => worker.port.postMessage({ leave: true });
}
addEventListener('pagehide', () => stop?.());
addEventListener('pageshow', (event) => event.persisted && connectEvents());

/** @type {any} */
let policy = null;

/** Where Trusted Types are on, the address of a script comes from a policy; this one passes our own files only. @param {string} href */
function trustUrl(href) {
  const types = /** @type {any} */ (window).trustedTypes;
  if (!types) return href;
  policy ??= types.createPolicy('genloom', {
    createScriptURL(/** @type {string} */ url) {
      if (!url.startsWith(new URL('./', import.meta.url).href)) throw new TypeError(url);
      return url;
    },
  });
  return policy.createScriptURL(href);
}
