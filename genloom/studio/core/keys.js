/** Keys: bound while a component is on the page, shown by "?", and never taken from someone who types. */
import { createSetting, createStore } from './store.js';

/**
 * @typedef {object} Binding
 * @property {string} key as KeyboardEvent.key, with "Mod+", "Shift+" or "Alt+" before it; several: "ArrowLeft a"
 * @property {string} label what it does, as the help says it
 * @property {(event: KeyboardEvent) => void} run
 * @property {() => boolean} [when]
 * @property {boolean} [always] also while someone types
 */
/** @typedef {{name: string, bindings: Binding[]}} Scope */

/** Keys without Ctrl or Alt can be switched off, for those whose tools type letters (WCAG 2.1.4). */
export const singleKeys = createSetting('single_keys', true);

/** The scopes in use, the newest last: it gets a key first. */
export const scopes = createStore(/** @type {Scope[]} */ ([]));

/**
 * @param {string} name heading in the help
 * @param {Binding[]} bindings
 * @returns {() => void} removes them
 */
export function bindKeys(name, bindings) {
  const scope = { name, bindings };
  scopes.update((now) => [...now, scope]);
  return () => scopes.update((now) => now.filter((each) => each !== scope));
}

/** @param {KeyboardEvent} event */
function nameKey(event) {
  const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || /[a-z]/i.test(event.key)) ? 'Shift+' : '';
  return `${event.ctrlKey || event.metaKey ? 'Mod+' : ''}${event.altKey ? 'Alt+' : ''}${shift}${letter === ' ' ? 'Space' : letter}`;
}

/** Whether keys belong to the element that has the focus. @param {EventTarget | null} target */
function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !['button', 'checkbox', 'radio', 'range', 'submit', 'file'].includes(target.type);
}

document.addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  const key = nameKey(event);
  const typing = isTyping(event.target);
  const dialog = document.querySelector('dialog[open]');
  for (const scope of [...scopes.get()].reverse()) {
    for (const binding of scope.bindings) {
      if (!binding.key.split(' ').includes(key)) continue;
      if (typing && !binding.always) continue;
      if (dialog && !binding.always && !(event.target instanceof Node && dialog.contains(event.target))) continue;
      if (!singleKeys.get() && !/Mod\+|Alt\+|Arrow|Escape|Enter/.test(key)) continue;
      if (binding.when && !binding.when()) continue;
      if (['Enter', 'Space'].includes(key) && event.target instanceof HTMLElement && event.target.closest('button, a, summary, [role=option]')) continue;
      event.preventDefault();
      binding.run(event);
      return;
    }
  }
});

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
/** @type {Record<string, string>} */
const SIGNS = { ArrowLeft: '←', ArrowRight: '→', ArrowUp: '↑', ArrowDown: '↓', Escape: 'Esc', Enter: '↵', Space: '␣', Delete: 'Del' };

/** A key as it is printed on buttons and in the help. @param {string} key */
export function printKey(key) {
  return key.split('+').map((part, n, all) => {
    if (part === '' && n === all.length - 1) return '+';
    if (part === 'Mod') return isMac ? '⌘' : 'Ctrl';
    if (part === 'Shift') return '⇧';
    return SIGNS[part] ?? part.toUpperCase();
  }).filter(Boolean).join(' ');
}
