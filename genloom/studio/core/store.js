/** State that several components share: a value, and those who are told when it changes. */

/**
 * @template T
 * @typedef {{get: () => T, set: (next: T) => void, update: (change: (now: T) => T) => void,
 *            subscribe: (listener: (now: T) => void) => () => void}} Store
 */

/**
 * @template T
 * @param {T} value
 * @returns {Store<T>}
 */
export function createStore(value) {
  /** @type {Set<(now: T) => void>} */
  const listeners = new Set();
  /** @param {T} next */
  function set(next) {
    if (Object.is(next, value)) return;
    value = next;
    for (const listener of [...listeners]) listener(value);
  }
  return {
    get: () => value,
    set,
    update: (change) => set(change(value)),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/**
 * A setting that this browser keeps.
 * @template T
 * @param {string} name
 * @param {T} fallback
 * @returns {Store<T>}
 */
export function createSetting(name, fallback) {
  const key = `genloom.${name}`;
  /** @type {T} */
  let first = fallback;
  try {
    const kept = localStorage.getItem(key);
    if (kept !== null) first = typeof fallback === 'string' ? /** @type {any} */ (kept) : JSON.parse(kept);
  } catch { /* a value of another version, or no storage */ }
  const store = createStore(first);
  store.subscribe((now) => {
    try {
      localStorage.setItem(key, typeof now === 'string' ? now : JSON.stringify(now));
    } catch { /* no storage: the setting lasts as long as the page */ }
  });
  return store;
}
