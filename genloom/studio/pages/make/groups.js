/** What was made by one press of the button: its prompt, its outputs as they come, and what can be done with all of them. */
import { html, nothing, repeat } from '../../vendor/lit.js';
import { Element } from '../../core/element.js';
import { formatAgo, formatDate, t } from '../../core/i18n.js';
import { cancelJob, isOver, nameJob, nameStage, readText } from '../../core/jobs.js';
import { findModel, nameModel } from '../../core/models.js';
import { removeOutputs } from '../../core/outputs.js';
import { go, href } from '../../core/router.js';
import { menu } from '../../components/menu.js';
import { button, errorBox, progressBar } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';
import { toItem } from '../../components/output-card.js';
import { getViewer, loadViewer, typeOf } from '../../viewers/registry.js';
import '../../components/stream-text.js';

/** @typedef {import('../../core/shapes').Output} Output */
/** @typedef {import('../../core/shapes').Job} Job */
/** @typedef {{id: string, prompt: string, model: string, created: string, outputs: Output[], job: Job | null}} Group */

/**
 * Outputs and jobs as groups, the newest first.
 * @param {Output[]} outputs @param {Job[]} jobs @returns {Group[]}
 */
export function groupOutputs(outputs, jobs) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const job of jobs) {
    if (job.kind !== 'generate') continue;
    const params = /** @type {any} */ (job.params);
    groups.set(job.id, { id: job.id, prompt: params.prompt ?? params.prompts?.join(' · ') ?? '', model: params.model, created: job.created, outputs: [], job });
  }
  for (const output of outputs) {
    if (output.removed || output.conversation) continue;
    const isTask = !output.job || groups.get(output.job)?.job; // else a job of the arena, say, with many prompts, or one that is no longer known
    const id = output.job && isTask ? output.job : `${output.job ?? output.model}|${output.prompt}|${output.job ? '' : output.created.slice(0, 16)}`;
    const group = groups.get(id) ?? { id, prompt: output.prompt, model: output.model ?? '', created: output.created, outputs: [], job: null };
    group.outputs.push(output);
    groups.set(id, group);
  }
  const shown = [...groups.values()].filter((group) => group.outputs.length || (group.job && (group.job.state !== 'succeeded' || countMissing(group))));
  for (const group of shown) group.outputs.sort((a, b) => a.created.localeCompare(b.created));
  return shown.sort((a, b) => b.created.localeCompare(a.created));
}

/** How many outputs of a job that has just ended are still on their way to the page. @param {Group} group */
function countMissing({ job, outputs }) {
  if (job?.state !== 'succeeded' || Date.now() - Date.parse(job.finished ?? '') > 5000) return 0;
  return Math.max(0, (/** @type {any} */ (job.result)?.outputs?.length ?? 0) - outputs.length);
}

const waitingCard = html`<div class="card output waiting" aria-hidden="true"><div class="output-shown"></div><div class="output-foot"></div></div>`;

/** What a running job writes or draws now. */
class Pending extends Element {
  static properties = { job: { attribute: false } };

  constructor() {
    super();
    /** @type {Job | null} */
    this.job = null;
    this.hasText = false;
  }

  connectedCallback() {
    super.connectedCallback();
    if (!this.job) return;
    this.onLeave(readText(this.job.id, (text) => {
      if (!this.hasText && text) {
        this.hasText = true;
        this.requestUpdate();
      }
      const target = /** @type {any} */ (this.querySelector('gl-stream-text'));
      if (target) target.text = text;
      this.latest = text;
    }));
  }

  updated() {
    const target = /** @type {any} */ (this.querySelector('gl-stream-text'));
    if (target && this.latest) target.text = this.latest;
  }

  render() {
    const progress = this.job?.progress;
    const params = /** @type {any} */ (this.job?.params);
    return html`<div class="card output pending"><div class="output-shown">
        ${this.hasText ? html`<div class="text-card" dir="auto"><div class="stream"><span class="text-before">${params.template ? '' : params.prompt}</span><gl-stream-text .isTail=${true}></gl-stream-text></div></div>`
          : progress?.preview ? html`<img class="picture forming" src=${progress.preview} alt=${t('make.forming')}>` : html`<div class="shimmer"></div>`}</div>
      <div class="output-foot">${progressBar({ share: progress?.share, label: this.job ? nameJob(this.job) : '', note: nameStage(progress?.stage) || t('make.starting'), secondsLeft: progress?.seconds_left })}</div></div>`;
  }
}
customElements.define('gl-pending', Pending);

/**
 * @param {Group} group
 * @param {{current: string, vary: (output: Output, strength: number) => void, canVary: (ref: string) => boolean, retry: (job: Job) => void, requestUpdate: () => void}} page
 */
export function makeGroup(group, page) {
  const { job, outputs } = group;
  const isRunning = job && !isOver(job);
  const model = findModel(group.model);
  const [first] = outputs;
  const seed = /** @type {any} */ (job?.params)?.seed ?? (outputs.length === 1 ? first.seed : null);
  const items = /** @type {import('../../components/menu.js').Item[]} */ ([
    /** @type {any} */ (job?.params)?.template ? null : { label: t('make.edit_prompt'), icon: 'pencil', run: () => go('make', { prompt: group.prompt, model: group.model }) },
    first ? { label: t('shell.again'), icon: 'repeat', run: () => go('make', { again: first.id }) } : null,
    outputs.length ? { label: t('make.remove_all', { n: outputs.length }), icon: 'trash2', danger: true, run: () => removeOutputs(outputs, () => page.requestUpdate()) } : null,
  ].filter((item) => item !== null));
  const count = job ? /** @type {any} */ (job.params).n * (/** @type {any} */ (job.params).prompts?.length || 1) : 0;
  const withheld = /** @type {any} */ (job?.result)?.withheld ?? 0;
  const isWide = isGroupWide(group, () => page.requestUpdate());
  return html`<section class="group" aria-label=${group.prompt || t('make.without_prompt')}>
    <header class="group-head"><div class="grow"><h2 dir="auto">${group.prompt || t('make.without_prompt')}</h2>
      <p class="help"><a href=${href(['models', group.model])}>${model ? nameModel(model) : group.model}</a>
        ${seed === null || seed === undefined ? nothing : html` · ${t('make.seed_is', { seed: String(seed) })}`}
        · <time datetime=${group.created} title=${formatDate(group.created)}>${formatAgo(group.created)}</time>
        ${first?.seconds ? html` · ${t('make.took', { seconds: first.seconds.toFixed(1) })}` : nothing}</p></div>
      ${isRunning ? button({ label: t('make.stop'), icon: 'square', small: true, run: () => cancelJob(job.id).catch(toastError) }) : nothing}
      ${menu({ label: t('shell.more'), small: true, items })}</header>
    ${job?.state === 'failed' ? errorBox(job.error ?? { message: t('shell.state_failed') }, job.can_retry ? () => page.retry(job) : undefined) : nothing}
    ${job?.state === 'cancelled' ? html`<p class="help">${t('make.stopped', { n: outputs.length })}</p>` : nothing}
    ${withheld ? html`<p class="help">${t('make.withheld', { n: withheld })}</p>` : nothing}
    ${job?.state === 'queued' ? html`<p class="help">${job.position ? t('shell.job_position', { n: job.position }) : t('shell.job_waits')}</p>` : nothing}
    <div class="group-grid ${isWide ? 'wide' : ''}">
      ${repeat(outputs, (output) => output.id, (output) => html`<gl-output tabindex="0" data-id=${output.id} class=${page.current === output.id ? 'current' : ''} .output=${output} draggable="true" compact keys
        .extra=${page.canVary(group.model) ? [
          { label: t('make.vary_little'), icon: 'shuffle', run: () => page.vary(output, 0.35) },
          { label: t('make.vary_much'), icon: 'shuffle', run: () => page.vary(output, 0.7) }] : []}
        @dragstart=${(/** @type {DragEvent} */ event) => event.dataTransfer?.setData('text/genloom-output', output.id)}
        @click=${(/** @type {MouseEvent} */ event) => /** @type {HTMLElement} */ (event.target).closest('.output-shown') && !/** @type {HTMLElement} */ (event.target).closest('button, input, a') && go(['gallery', output.id])}
        @focusin=${() => take(page, output)} @pointerenter=${() => take(page, output)}
        @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === 'Enter' && !event.ctrlKey && !event.metaKey && event.target === event.currentTarget && go(['gallery', output.id])}></gl-output>`)}
      ${job?.state === 'running' ? html`<gl-pending .job=${job}></gl-pending>
        ${Array.from({ length: Math.max(0, count - outputs.length - 1) }, () => waitingCard)}` : Array.from({ length: countMissing(group) }, () => waitingCard)}
    </div></section>`;
}

/** Viewers that are being loaded. @type {Set<string>} */
const asked = new Set();

/** Whether its outputs are shown wide, as their viewer says. @param {Group} group @param {() => void} redraw */
function isGroupWide(group, redraw) {
  const [first] = group.outputs;
  if (!first) return Boolean(group.job && /** @type {any} */ (group.job.progress)?.text);
  const mime = typeOf(toItem(first));
  const viewer = getViewer(mime);
  if (!viewer && !asked.has(mime)) {
    asked.add(mime); // one redraw for all groups that wait for this viewer
    loadViewer(mime).then(redraw);
  }
  return Boolean(viewer?.isWide);
}

/** @param {{current: string, requestUpdate: () => void}} page @param {Output} output */
function take(page, output) {
  if (page.current === output.id) return;
  page.current = output.id;
  page.requestUpdate();
}
