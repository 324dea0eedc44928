/** <gl-sources>: what an answer was given from. It marks each sentence of the answer before it with its source, or as unsupported. */
import { html, nothing } from '../../vendor/lit.js';
import { Element } from '../../core/element.js';
import { formatPercent, hasMessage, t } from '../../core/i18n.js';
import { icon } from '../../components/parts.js';

/** @typedef {import('../../core/shapes').Context} Context */
/** @typedef {import('../../core/shapes').Source} Source */
/** @typedef {import('../../core/shapes').Sentence} Sentence */

class Sources extends Element {
  static properties = { context: { attribute: false } };

  constructor() {
    super();
    /** @type {Context | null} */
    this.context = null;
  }

  updated() {
    const answer = /** @type {HTMLElement | null} */ (this.previousElementSibling);
    const { sentences, sources } = this.context?.knowledge ?? {};
    if (!sentences || !answer || answer.querySelector('.cite')) return;
    const titles = new Map((sources ?? []).map((source) => [source.number, source.title]));
    markSentences(answer, sentences, (sentence) => this.makeMark(sentence, titles));
  }

  /** @param {Sentence} sentence @param {Map<number, string>} titles */
  makeMark({ source, reason }, titles) {
    if (source === null || source === undefined) {
      const words = describeReason(reason);
      const mark = Object.assign(document.createElement('span'), { className: 'cite none', title: words });
      mark.append(Object.assign(document.createElement('span'), { className: 'visually-hidden', textContent: ` (${words})` }));
      return mark;
    }
    const label = t('chat.source', { n: source, title: titles.get(source) ?? '' });
    const mark = Object.assign(document.createElement('button'), { type: 'button', className: 'cite', title: label, textContent: String(source) });
    mark.setAttribute('aria-label', label);
    mark.addEventListener('click', () => this.show(source));
    return mark;
  }

  /** @param {number} number */
  show(number) {
    const details = /** @type {HTMLDetailsElement | null} */ (this.querySelector(`[data-source="${number}"]`));
    if (!details) return;
    const outer = /** @type {HTMLDetailsElement | null} */ (details.parentElement?.closest('details') ?? null);
    if (outer) outer.open = true;
    details.open = true;
    details.querySelector('summary')?.focus();
    details.scrollIntoView({ block: 'nearest' });
  }

  render() {
    const { knowledge, attachments } = this.context ?? {};
    return html`${attachments?.length ? html`<p class="help read-files">${icon('paperclip')}${attachments.map((each) => (each.tokens < each.of ? t('chat.read_part', { name: each.name, share: formatPercent(each.tokens / each.of) }) : each.name)).join(', ')}</p>` : nothing}
      ${knowledge ? (knowledge.is_supported ? this.renderFound(knowledge) : html`<p class="help not-supported">${icon('info')}${t('chat.not_supported', { name: knowledge.name })}</p>`) : nothing}
      ${knowledge?.warnings.map((warning) => html`<p class="help warning-line">${icon('triangleAlert')}${warning}</p>`) ?? nothing}`;
  }

  /** @param {NonNullable<Context['knowledge']>} knowledge */
  renderFound({ name, quotes, sources, sentences }) {
    const [best] = quotes;
    const used = new Set([...(sentences ?? []).map((each) => each.source), best?.source]);
    const others = sources.filter((each) => !used.has(each.number));
    const supported = (sentences ?? []).filter((each) => each.source !== null && each.source !== undefined).length;
    return html`<section class="sources" aria-label=${t('chat.sources')}>
      <p class="help">${sentences ? t('chat.supported', { n: supported, total: sentences.length, name }) : t('chat.not_compared', { name })}</p>
      ${best ? html`<blockquote class="best-quote" dir="auto"><p>${best.text}</p><footer>${sources.find((each) => each.number === best.source)?.title ?? ''}</footer></blockquote>` : nothing}
      ${sources.filter((each) => used.has(each.number)).map((each) => this.renderSource(each, sentences ?? []))}
      ${others.length ? html`<details class="more-sources"><summary>${t('chat.more_passages', { n: others.length })}</summary>${others.map((each) => this.renderSource(each, []))}</details>` : nothing}</section>`;
  }

  /** @param {Source} source @param {Sentence[]} sentences */
  renderSource(source, sentences) {
    const quotes = sentences.filter((each) => each.source === source.number && each.quote).map((each) => each.quote ?? '');
    return html`<details class="source" data-source=${source.number}><summary><span class="source-number">${source.number}</span><span>${source.title}</span></summary>
      <div class="turn-text passage" dir="auto">${highlight(source.text, quotes)}</div></details>`;
  }
}
customElements.define('gl-sources', Sources);

/** @param {string | undefined} reason */
const describeReason = (reason) => t(hasMessage(`chat.unsupported_${reason}`) ? `chat.unsupported_${reason}` : 'chat.unsupported_words');

/** A passage with the places that support an answer. @param {string} text @param {string[]} quotes */
function highlight(text, quotes) {
  const spans = quotes.map((quote) => [text.indexOf(quote), quote.length]).filter(([at]) => at >= 0).sort((a, b) => a[0] - b[0]);
  const parts = [];
  let end = 0;
  for (const [at, length] of spans) {
    if (at < end) continue;
    parts.push(text.slice(end, at), html`<mark>${text.slice(at, at + length)}</mark>`);
    end = at + length;
  }
  return [...parts, text.slice(end)];
}

/**
 * Put a mark behind each sentence of an answer. The answer is drawn from Markdown, so that only letters and digits are compared.
 * @param {HTMLElement} answer @param {Sentence[]} sentences @param {(sentence: Sentence) => Node} makeMark
 */
export function markSentences(answer, sentences, makeMark) {
  /** The letters of the answer, and where each stands. @type {{node: Text, at: number}[]} */
  const places = [];
  let letters = '';
  const walker = document.createTreeWalker(answer, NodeFilter.SHOW_TEXT);
  for (let node = /** @type {Text | null} */ (walker.nextNode()); node; node = /** @type {Text | null} */ (walker.nextNode())) {
    if (node.parentElement?.closest('pre')) continue;
    for (let at = 0; at < node.data.length; at++) {
      if (!/[\p{L}\p{N}]/u.test(node.data[at])) continue;
      letters += node.data[at];
      places.push({ node, at });
    }
  }
  const found = [];
  let from = 0;
  for (const sentence of sentences) {
    const wanted = sentence.text.replace(/[^\p{L}\p{N}]/gu, '');
    const at = wanted ? letters.indexOf(wanted, from) : -1;
    if (at < 0) continue; // such as one in a block of code
    from = at + wanted.length;
    found.push({ sentence, place: places[from - 1] });
  }
  for (const { sentence, place: { node, at } } of found.reverse()) { // from the end, so that the places before stay
    const rest = node.data.slice(at + 1);
    const end = at + 1 + (/^[.!?…:;,)\]"'”’»]+/u.exec(rest)?.[0].length ?? 0);
    const tail = node.splitText(end);
    tail.before(makeMark(sentence));
  }
}
