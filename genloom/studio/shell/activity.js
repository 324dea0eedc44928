/** What runs, what waits, what ended: every job, in any tab and on any device. */
import { html, nothing } from '../vendor/lit.js';
import { openDialog } from '../components/dialog.js';
import { button, emptyState, icon, progressBar } from '../components/parts.js';
import { toastError } from '../components/toast.js';
import { get, post } from '../core/api.js';
import { formatAgo, t } from '../core/i18n.js';
import { cancelJob, isOver, jobs, nameJob, nameStage } from '../core/jobs.js';
import { serverUrl } from '../core/outputs.js';
import { href } from '../core/router.js';

/** @typedef {import('../core/shapes').Job} Job */

/** Where the result of a job is seen. @param {Job} job */
function findResult(job) {
  const result = /** @type {any} */ (job.result ?? {});
  const params = /** @type {any} */ (job.params ?? {});
  if (result.outputs?.length) return href(['gallery', result.outputs[0]]);
  if (result.conversation ?? params.conversation) return href(['chat', result.conversation ?? params.conversation]);
  if (result.receipt) return href(['teach', params.model ?? '', result.receipt]);
  if (result.model) return href(['models', result.model]);
  if (result.dataset) return href(['data', result.dataset]);
  if (result.download) return serverUrl(result.download);
  return { train: href(['train', job.id]), learn: href(['teach', params.model ?? '']), arena: href(['arena', params.model ?? '']) }[/** @type {'train'} */ (job.kind)] ?? '';
}

export async function open() {
  let stop = () => {};
  let isFollowing = false;
  let ended = /** @type {Job[]} */ ([]);
  let paused = false;
  openDialog({
    title: t('shell.activity'),
    size: 'side',
    onClose: () => stop(),
    body: (close, redraw) => {
      if (!isFollowing) {
        isFollowing = true;
        stop = subscribe(redraw);
      }
      const known = [...jobs.get().values()];
      const active = known.filter((job) => !isOver(job)).sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
      const over = new Map([...ended, ...known.filter(isOver)].map((job) => [job.id, job]));
      const act = (/** @type {Promise<any>} */ work) => work.catch(toastError);
      return html`
        ${active.length || paused ? html`<div class="row">${button({ label: paused ? t('shell.queue_continue') : t('shell.queue_pause'), icon: paused ? 'play' : 'pause', small: true, run: () =>
          act(post('queue', { paused: !paused }).then((queue) => {
            paused = queue.paused;
            redraw();
          })) })}</div>` : nothing}
        ${active.length + over.size === 0 ? emptyState({ icon: 'circleCheck', title: t('shell.jobs_none'), text: t('shell.jobs_none_text') }) : nothing}
        <ul class="jobs" ?hidden=${!active.length}>${active.map((job) => html`<li class="job ${job.state}">
          <div class="job-head"><a href=${findResult(job) || nothing} @click=${() => close()}>${nameJob(job)}</a>
            ${job.state === 'queued' && (job.position ?? 0) > 1 ? button({ label: t('shell.job_first'), icon: 'arrowUp', alone: true, small: true, kind: 'quiet', run: () =>
              act(post(`jobs/${job.id}/move`, { before: active.find((each) => each.state === 'queued')?.id })) }) : nothing}
            ${job.can_cancel === false ? nothing : button({ label: t('shell.job_cancel'), icon: 'x', alone: true, small: true, kind: 'quiet', run: () => act(cancelJob(job.id)) })}</div>
          ${job.state === 'queued' ? html`<p class="help">${job.position ? t('shell.job_position', { n: job.position }) : t('shell.job_waits')}</p>`
            : progressBar({ share: job.progress?.share, label: nameJob(job), note: nameStage(job.progress?.stage), secondsLeft: job.progress?.seconds_left })}</li>`)}</ul>
        ${over.size ? html`<h3>${t('shell.jobs_ended')}</h3><ul class="jobs">${[...over.values()].sort((a, b) => (b.finished ?? '').localeCompare(a.finished ?? '')).slice(0, 30).map((job) => html`
          <li class="job ${job.state}"><div class="job-head">${icon(job.state === 'succeeded' ? 'circleCheck' : job.state === 'failed' ? 'circleAlert' : 'ban')}
            ${findResult(job) && job.state === 'succeeded' ? html`<a href=${findResult(job)} @click=${() => close()}>${nameJob(job)}</a>` : html`<span>${nameJob(job)}</span>`}
            ${job.can_retry ? button({ label: t('shell.try_again'), icon: 'refreshCw', alone: true, small: true, kind: 'quiet', run: () => act(post(`jobs/${job.id}/retry`)) }) : nothing}</div>
            <p class="help">${t(`shell.state_${job.state}`)} · ${formatAgo(job.finished ?? job.created)}</p>
            ${job.error ? html`<p class="error-line">${job.error.message}</p>` : nothing}</li>`)}</ul>` : nothing}`;
    },
  });

  /** @param {() => void} redraw */
  function subscribe(redraw) {
    get('jobs', { limit: 40 }).then((answer) => {
      ended = answer.data.filter(isOver);
      redraw();
    }, toastError);
    get('queue').then((queue) => {
      paused = queue.paused;
      redraw();
    }, () => {});
    return jobs.subscribe(redraw);
  }
}
