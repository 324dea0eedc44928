/** Small things that templates need and CSP allows. */
import { Directive, directive } from '../vendor/lit.js';

class Vars extends Directive {
  /** @param {Record<string, string | number>} values */
  render(values) {
    return values;
  }

  /** @param {any} part @param {[Record<string, string | number>]} values */
  update(part, [values]) {
    for (const [name, value] of Object.entries(values)) part.element.style.setProperty(name, String(value));
  }
}

/** Style properties of an element: `<div ${vars({'--share': 0.5})}>`. A style attribute would be refused by the page's policy. */
export const vars = directive(Vars);

/** Copy text, also where the page is not on https. @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch { /* no clipboard without https */ }
  const field = Object.assign(document.createElement('textarea'), { value: text });
  field.className = 'visually-hidden';
  document.body.append(field);
  field.select();
  document.execCommand('copy');
  field.remove();
}

/** Have a screen reader say something. @param {string} text */
export function announce(text) {
  const region = document.getElementById('announcer');
  if (!region) return;
  region.textContent = '';
  setTimeout(() => (region.textContent = text), 60);
}

/** Let the browser paint and answer keys in long work. */
export function pause() {
  const scheduler = /** @type {any} */ (window).scheduler;
  return scheduler?.yield ? scheduler.yield() : new Promise((resolve) => setTimeout(resolve, 0));
}

/** Run at most once in so many milliseconds, and once more at the end. @param {() => void} run @param {number} wait */
export function throttle(run, wait) {
  let timer = 0;
  let last = 0;
  return () => {
    if (timer) return;
    const left = Math.max(0, last + wait - performance.now());
    timer = window.setTimeout(() => {
      timer = 0;
      last = performance.now();
      run();
    }, left);
  };
}

/** Run when calls have stopped for so many milliseconds. @template {any[]} A @param {(...args: A) => void} run @param {number} wait */
export function debounce(run, wait) {
  let timer = 0;
  return (/** @type {A} */ ...args) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => run(...args), wait);
  };
}

/** Offer a file to the reader. @param {string} url @param {string} [name] */
export function download(url, name = '') {
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

let counter = 0;
/** An id for labels and descriptions. */
export const makeId = (prefix = 'id') => `${prefix}-${++counter}`;

export const isMotionReduced = () => matchMedia('(prefers-reduced-motion: reduce)').matches;
