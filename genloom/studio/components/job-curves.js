/** <gl-job-curves .job=ID>: what a training or a round reports while it runs: curves, samples, notes; as tables too. */
import { html, nothing } from '../vendor/lit.js';
import { get } from '../core/api.js';
import { throttle } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { t } from '../core/i18n.js';
import { viewer } from './viewer.js';
import { translate } from './workshop.js';
import './line-chart.js';

/** @typedef {import('../core/shapes').JobLog} JobLog */
/** @typedef {import('./line-chart.js').Series} Series */

const WINDOW = 0.06; // of the line: what the mean of a point reads, half of it on either side
const WAIT = 2000; // milliseconds between two readings

/** The name of a loss or a measurement in the reader's language. @param {string} name */
const nameOf = (name) => translate('workshop.measure', name).replaceAll('_', ' ');

/** The mean of each point's neighbours: fewer towards the ends, so that the line lags behind nowhere. @param {[number, number][]} points @returns {[number, number][]} */
export function smooth(points) {
  const sums = [0];
  for (const [, y] of points) sums.push(sums[sums.length - 1] + y);
  const half = Math.ceil((points.length * WINDOW) / 2);
  return points.map(([x], n) => {
    const reach = Math.min(half, n, points.length - 1 - n);
    return [x, (sums[n + reach + 1] - sums[n - reach]) / (2 * reach + 1)];
  });
}

class JobCurves extends Element {
  static properties = { job: {}, log: { state: true } };

  constructor() {
    super();
    this.job = '';
    /** @type {JobLog} */
    this.log = { points: [], samples: [], notes: [], estimate: null, next: 0 };
    this.isReading = false;
    this.readSoon = throttle(() => this.read(), WAIT);
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(onEvent('job.progress', ({ id }) => id === this.job && this.readSoon()));
    for (const kind of ['job.succeeded', 'job.failed', 'job.cancelled']) this.onLeave(onEvent(kind, ({ job }) => job.id === this.job && this.readSoon()));
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (!changed.has('job')) return;
    this.log = { points: [], samples: [], notes: [], estimate: null, next: 0 };
    if (this.job) this.read();
  }

  async read() {
    if (this.isReading) return;
    this.isReading = true;
    const { job } = this;
    try {
      const more = await get(`jobs/${job}/log`, { after: this.log.next });
      if (job !== this.job) return;
      const { log } = this;
      this.log = {
        points: [...log.points, ...more.points], samples: [...log.samples, ...more.samples], notes: [...log.notes, ...more.notes],
        estimate: more.estimate ?? log.estimate, next: more.next,
      };
      this.dispatchEvent(new CustomEvent('log', { detail: this.log }));
    } catch { /* the next event reads again; the page shows that the server is away */ } finally {
      this.isReading = false;
    }
  }

  /** @param {'losses' | 'measured'} kind @returns {Map<string, [number, number][]>} */
  collect(kind) {
    const lines = new Map();
    for (const point of this.log.points) {
      for (const [name, value] of Object.entries(point[kind] ?? {})) {
        if (!Number.isFinite(value)) continue;
        if (!lines.has(name)) lines.set(name, []);
        lines.get(name).push([point.step, value]);
      }
    }
    return lines;
  }

  /** What was promised of a measurement. @param {string} name @returns {import('./line-chart.js').Band | null} */
  findForecast(name) {
    const { estimate } = this.log;
    const value = estimate?.[name];
    if (typeof value !== 'number') return null;
    const error = estimate?.error ?? 0;
    return { value, low: value * (1 - error), high: value * (1 + error) };
  }

  render() {
    const losses = [...this.collect('losses')];
    const measured = [...this.collect('measured')];
    if (!losses.length && !measured.length && !this.log.samples.length) return nothing;
    /** @type {Series[]} */
    const lossSeries = losses.map(([name, points], n) => ({ label: nameOf(name), points: smooth(points), faint: points, tone: n }));
    return html`<div class="curves">
      ${losses.length ? html`<gl-line-chart label=${t('workshop.chart_loss')} help=${t('workshop.chart_loss_help')} .series=${lossSeries}></gl-line-chart>` : nothing}
      ${measured.map(([name, points], n) => html`<gl-line-chart label=${t('workshop.chart_measured', { measure: nameOf(name) })} help=${t('workshop.chart_measured_help')}
        .series=${[{ label: nameOf(name), points, tone: 2 + n, isMarked: true }]} .band=${this.findForecast(name)}></gl-line-chart>`)}
    </div>
    ${this.log.samples.length ? html`<section class="log-samples"><h3>${t('workshop.samples')}</h3><p class="help">${t('workshop.samples_help')}</p>
      <ol>${[...this.log.samples].reverse().slice(0, 6).map((sample) => html`<li>${sample.step === null ? nothing : html`<p class="eyebrow">${t('workshop.at_step', { step: sample.step })}</p>`}
        ${sample.text === null ? viewer({ mime: 'image/png', label: t('workshop.sample'), thumbnail: `/api/outputs/${sample.output}/thumbnail`, url: `/api/outputs/${sample.output}/file` })
          : html`<p class="sample-text" dir="auto">${sample.text}</p>`}</li>`)}</ol></section>` : nothing}`;
  }
}
customElements.define('gl-job-curves', JobCurves);

