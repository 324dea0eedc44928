/**
 * Markdown of models, block by block: finished blocks are parsed once and stay; only the last open one is parsed again, at most every 60 ms.
 * The text is not trusted: HTML in it is text, the parser's own HTML goes through DOMPurify, pictures become links, and nothing is fetched.
 */
import { DOMPurify, MarkdownIt } from '../vendor/markdown.js';
import { copyText } from '../core/dom.js';
import { t } from '../core/i18n.js';

const EVERY = 60; // milliseconds between two parses of an open block
const LONGEST = 60000; // characters of one block that are still parsed

const markdown = new MarkdownIt({ html: false, linkify: true, typographer: false, breaks: true });
markdown.renderer.rules.image = (/** @type {any[]} */ tokens, /** @type {number} */ n) => {
  const address = markdown.utils.escapeHtml(tokens[n].attrGet('src') ?? '');
  return `<a href="${address}">${markdown.utils.escapeHtml(tokens[n].content || address)}</a>`;
};
// Columns are aligned by classes: the page's policy refuses style attributes.
for (const name of ['th_open', 'td_open']) {
  markdown.renderer.rules[name] = (/** @type {any[]} */ tokens, /** @type {number} */ n, /** @type {any} */ options, _env, /** @type {any} */ self) => {
    const side = /text-align:(\w+)/.exec(tokens[n].attrGet('style') ?? '')?.[1];
    tokens[n].attrs = side ? [['class', `align-${side}`]] : null;
    return self.renderToken(tokens, n, options);
  };
}

const CLEAN = {
  ALLOWED_TAGS: ['a', 'blockquote', 'br', 'code', 'del', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li', 'ol', 'p', 'pre', 's', 'strong', 'table', 'tbody', 'td', 'th',
    'thead', 'tr', 'ul', 'span'],
  ALLOWED_ATTR: ['href', 'class', 'start'],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  RETURN_DOM_FRAGMENT: true,
};

/** @param {string} source @returns {DocumentFragment} */
export function renderMarkdown(source) {
  const fragment = /** @type {DocumentFragment} */ (/** @type {unknown} */ (DOMPurify.sanitize(markdown.render(source), CLEAN)));
  for (const link of fragment.querySelectorAll('a')) {
    if (!link.getAttribute('href')) continue;
    link.target = '_blank';
    link.rel = 'noopener noreferrer nofollow';
    link.title = link.href;
  }
  for (const heading of fragment.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    const level = Math.min(6, Number(heading.tagName[1]) + 2); // below the headings of the page
    const lower = document.createElement(`h${level}`);
    lower.className = `md-h${heading.tagName[1]}`;
    lower.append(...heading.childNodes);
    heading.replaceWith(lower);
  }
  for (const pre of fragment.querySelectorAll('pre')) wrapCode(pre);
  for (const table of fragment.querySelectorAll('table')) {
    const box = Object.assign(document.createElement('div'), { className: 'table-wrap', tabIndex: 0 });
    box.setAttribute('role', 'region');
    box.setAttribute('aria-label', t('shell.table'));
    table.replaceWith(box);
    box.append(table);
  }
  return fragment;
}

/** A box around code: its language, a button that copies it. @param {HTMLPreElement} pre */
function wrapCode(pre) {
  const code = /** @type {HTMLElement} */ (pre.querySelector('code') ?? pre);
  const name = /language-([\w+#-]+)/.exec(code.className)?.[1] ?? '';
  const box = Object.assign(document.createElement('div'), { className: 'code-box' });
  const head = Object.assign(document.createElement('div'), { className: 'code-head' });
  const copy = Object.assign(document.createElement('button'), { type: 'button', className: 'button quiet small', textContent: t('shell.copy') });
  copy.addEventListener('click', async () => {
    await copyText(code.textContent ?? '');
    copy.textContent = t('shell.copied');
    setTimeout(() => (copy.textContent = t('shell.copy')), 1500);
  });
  head.append(Object.assign(document.createElement('span'), { textContent: name }), copy);
  pre.tabIndex = 0;
  pre.replaceWith(box);
  box.append(head, pre);
}

/** Colour the code of finished blocks, when the browser has time. @param {ParentNode} parent */
function colourCode(parent) {
  const blocks = [...parent.querySelectorAll('pre > code[class*="language-"]')];
  if (!blocks.length) return;
  import('../vendor/highlight.js').then(({ highlight }) => {
    for (const code of blocks) {
      const name = /language-([\w+#-]+)/.exec(code.className)?.[1] ?? '';
      const text = code.textContent ?? '';
      if (!highlight.getLanguage(name) || text.length > 20000) continue;
      const coloured = DOMPurify.sanitize(highlight.highlight(text, { language: name, ignoreIllegals: true }).value,
        { ALLOWED_TAGS: ['span'], ALLOWED_ATTR: ['class'], RETURN_DOM_FRAGMENT: true });
      code.replaceChildren(/** @type {any} */ (coloured));
    }
  }, () => {});
}

/** Where the last block of a text begins, the only one that what follows can change. @param {string} source @returns {number} */
function findOpenBlock(source) {
  let fence = '';
  let open = 0;
  let at = 0;
  let isBlank = true;
  for (const line of source.split('\n')) {
    const end = at + line.length + 1;
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence) {
      if (mark && mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark && end <= source.length) {
        fence = '';
        open = end;
        isBlank = true;
      }
    } else if (mark) {
      fence = mark;
      if (isBlank) open = at;
    } else if (line.trim() === '') {
      isBlank = true;
    } else {
      // After a blank line a block begins, unless it goes on with a list or quote of before.
      if (isBlank && !/^(\s{2,}|\s{0,3}([-*+>]|\d{1,9}[.)]))/.test(line)) open = at;
      isBlank = false;
    }
    at = end;
  }
  return Math.min(open, source.length);
}

export class Markdown extends HTMLElement {
  #source = '';
  #closed = 0; // characters in finished blocks
  #timer = 0;
  #next = 0;
  #cost = 0;
  /** @type {HTMLElement | null} */
  #open = null;
  #openText = '';
  isStreaming = false;

  get text() {
    return this.#source;
  }

  /** All of a text that does not grow. @param {string} text */
  set text(text) {
    if (text === this.#source && !this.isStreaming && this.childNodes.length) return;
    this.isStreaming = false;
    this.#reset();
    this.#source = text;
    this.#finish();
  }

  /** A text as it grows. @param {string} text */
  stream(text) {
    if (!text.startsWith(this.#source)) this.#reset();
    this.isStreaming = true;
    this.#source = text;
    if (this.#timer) return;
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      this.#draw();
    }, Math.max(0, this.#next - performance.now()));
  }

  /** The text is whole. */
  end() {
    if (!this.isStreaming) return;
    this.isStreaming = false;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#finish();
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #reset() {
    this.replaceChildren();
    this.#source = this.#openText = '';
    this.#closed = 0;
    this.#open = null;
  }

  #draw() {
    const begin = performance.now();
    this.#closeBlocks();
    const rest = this.#source.slice(this.#closed);
    if (rest !== this.#openText) this.#drawOpen(rest);
    this.#cost = performance.now() - begin;
    this.#next = performance.now() + Math.max(EVERY, this.#cost * 8); // at most an eighth of the time is spent here
  }

  /** Freeze the blocks that are whole, some of them at a time. */
  #closeBlocks() {
    let rest = this.#source.slice(this.#closed);
    const end = findOpenBlock(rest);
    if (!end) return;
    rest = rest.slice(0, end);
    const block = document.createElement('div');
    block.append(rest.length > LONGEST ? makePlain(rest) : renderMarkdown(rest));
    colourCode(block);
    if (this.#open) this.#open.before(block);
    else this.append(block);
    this.#closed += end;
    this.#open?.remove();
    this.#open = null;
    this.#openText = '';
  }

  /** @param {string} rest */
  #drawOpen(rest) {
    this.#open ??= this.appendChild(document.createElement('div'));
    const code = /** @type {HTMLElement | null} */ (this.#open.querySelector('pre > code'));
    const fence = /^ {0,3}(`{3,}|~{3,})[^\n]*\n/.exec(rest);
    if (fence && code && this.#openText.length > fence[0].length && rest.startsWith(this.#openText)) {
      code.append(rest.slice(this.#openText.length)); // an open fence: its text only grows
    } else if (rest.length > 4000) {
      // A very long paragraph: what is new is appended as text, and parsed when the block is whole.
      if (rest.startsWith(this.#openText) && this.#openText.length > 4000) this.#open.lastElementChild?.append(rest.slice(this.#openText.length));
      else this.#open.replaceChildren(makePlain(rest));
    } else {
      this.#open.replaceChildren(renderMarkdown(rest));
    }
    this.#openText = rest;
  }

  #finish() {
    const rest = this.#source.slice(this.#closed);
    this.#open?.remove();
    this.#open = null;
    this.#openText = '';
    if (rest) {
      const block = document.createElement('div');
      block.append(rest.length > LONGEST ? makePlain(rest) : renderMarkdown(rest));
      colourCode(block);
      this.append(block);
    }
    this.#closed = this.#source.length;
  }
}

/** @param {string} text */
function makePlain(text) {
  return Object.assign(document.createElement('p'), { className: 'plain', textContent: text });
}

customElements.define('gl-markdown', Markdown);
