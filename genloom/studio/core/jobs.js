/** Jobs: everything that takes time runs on the server; this is what the page knows of it. */
import { get, post } from './api.js';
import { onEvent } from './events.js';
import { hasMessage, t } from './i18n.js';
import { createStore } from './store.js';

/** @typedef {import('./shapes').Job} Job */

/** The jobs that wait or run, and those that ended while this page was open. */
export const jobs = createStore(/** @type {Map<string, Job>} */ (new Map()));

/** @param {Job} job */
export const isOver = (job) => job.state === 'succeeded' || job.state === 'failed' || job.state === 'cancelled';

/** The title of a job in the reader's language; the server's, which is English, where there is none. @param {Job} job */
export function nameJob(job) {
  const { name, data, model, source, prompt } = /** @type {any} */ (job.params);
  const key = `shell.job_title_${job.kind}`;
  return hasMessage(key) ? t(key, { subject: name || data || (job.kind === 'test_prompt' ? prompt : model) || source || '' }).trim() : job.title;
}

/** What a job does now, in the reader's language, or in the server's words. @param {string | null | undefined} stage */
export function nameStage(stage) {
  const key = `shell.stage_${(stage ?? '').toLowerCase().replace(/[^a-z]+/g, '_')}`;
  return hasMessage(key) ? t(key) : stage ?? '';
}

/** @param {Job} job */
function keep(job) {
  keepText(job);
  if (isOver(job)) setTimeout(() => texts.delete(job.id), 60000);
  jobs.update((now) => new Map(now).set(job.id, { ...now.get(job.id), ...job }));
}

/** What it has written so far, also where no further piece comes for a while. @param {Job} job */
function keepText(job) {
  const text = job.progress?.text;
  if (text && text.length > (texts.get(job.id)?.length ?? 0)) setText(job.id, text);
}

/** How far a job is: an answer may be older than what an event has told. @param {Job} job */
const rank = (job) => (isOver(job) ? 2 : job.state === 'running' ? 1 : 0);

/** Keep what a request answered, unless an event has told later news already. @param {Job} job */
export function keepAnswer(job) {
  const known = jobs.get().get(job.id);
  if (!known || rank(known) <= rank(job)) keep(job);
}

/** Read the jobs that wait or run, and follow all of them. */
export async function followJobs() {
  onEvent('job', (data, type) => {
    if (data.job) keep(data.job);
    else if (type === 'job.progress') change(data.id, (job) => ({ ...job, progress: { ...job.progress, ...withoutNull(data.progress) } }));
    else if (type === 'job.text') addText(data);
  });
  onEvent('reset', readJobs);
  onEvent('online', readJobs);
  await readJobs();
}

/** Progress without text or preview says nothing about them. @param {Record<string, any>} values */
const withoutNull = (values) => Object.fromEntries(Object.entries(values).filter(([key, value]) => value !== null || (key !== 'text' && key !== 'preview')));

/** @param {string} id @param {(job: Job) => Job} fn */
function change(id, fn) {
  const job = jobs.get().get(id);
  if (job) keep(fn(job));
}

/** What is being written, beside the store: pieces come so often that nobody but their reader is told. @type {Map<string, string>} */
const texts = new Map();
/** @type {Map<string, Set<(text: string) => void>>} */
const readers = new Map();

/** Text as it is written: appended if it fits to the end of what is here, else read again. @param {{id: string, start: number, text: string}} piece */
function addText({ id, start, text }) {
  const now = texts.get(id) ?? '';
  if (start > now.length) get(`jobs/${id}`).then(keepAnswer, () => {});
  else if (start === now.length) setText(id, now + text);
  else if (start + text.length > now.length || start === 0) setText(id, now.slice(0, start) + text); // start 0: the next of several outputs
}

/** @param {string} id @param {string} text */
function setText(id, text) {
  texts.set(id, text);
  for (const reader of readers.get(id) ?? []) reader(text);
}

/** Read what a job writes, from the beginning and as it goes on. @param {string} id @param {(text: string) => void} reader @returns {() => void} stops it */
export function readText(id, reader) {
  if (!readers.has(id)) readers.set(id, new Set());
  readers.get(id)?.add(reader);
  reader(texts.get(id) ?? '');
  return () => readers.get(id)?.delete(reader);
}

/** @param {string} id */
function forget(id) {
  const next = new Map(jobs.get());
  next.delete(id);
  jobs.set(next);
}

async function readJobs() {
  const [running, queued] = await Promise.all([get('jobs', { state: 'running', limit: 100 }), get('jobs', { state: 'queued', limit: 100 })]);
  const next = new Map([...running.data, ...queued.data].map((/** @type {Job} */ job) => [job.id, job]));
  next.forEach(keepText);
  for (const [id, job] of jobs.get()) {
    const answer = next.get(id);
    if (answer && rank(job) <= rank(answer)) continue;
    next.set(id, job);
    if (!answer && !isOver(job)) get(`jobs/${id}`).then(keepAnswer, () => forget(id)); // it has ended, or began after the lists
  }
  jobs.set(next);
}

/**
 * @param {string} kind @param {Record<string, any>} params
 * @returns {Promise<Job>}
 */
export async function startJob(kind, params) {
  const job = await post('jobs', { kind, params });
  keepAnswer(job);
  return job;
}

/** @param {string} id */
export async function cancelJob(id) {
  keepAnswer(await post(`jobs/${id}/cancel`));
}

/** Wait for the end of a job. @param {string} id @returns {Promise<Job>} */
export function finishJob(id) {
  return new Promise((resolve) => {
    const look = () => {
      const job = jobs.get().get(id);
      if (!job || !isOver(job)) return;
      stop();
      resolve(job);
    };
    const stop = jobs.subscribe(look);
    look();
  });
}
