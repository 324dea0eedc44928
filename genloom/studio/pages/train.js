/** Train: minutes in, a forecast out; the runs that wait, run and ended, with their curves; stop and go on. */
import { html, keyed, noChange, nothing, repeat } from '../vendor/lit.js';
import { get, post, quote } from '../core/api.js';
import { announce, debounce, throttle, vars } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { formatAgo, formatBytes, formatDate, formatDuration, formatNumber, formatPercent, hasMessage, t } from '../core/i18n.js';
import { cancelJob, isOver, jobs, nameJob, nameStage, startJob } from '../core/jobs.js';
import { go, href, route } from '../core/router.js';
import { button, buttonLink, emptyState, errorBox, facts, field, icon, pageHead, progressBar } from '../components/parts.js';
import { toast, toastError } from '../components/toast.js';
import { countItems, inputValue, translate } from '../components/workshop.js';
import '../components/job-curves.js';

/** @typedef {import('../core/shapes').Forecast} Forecast */
/** @typedef {import('../core/shapes').Dataset} Dataset */
/** @typedef {import('../core/shapes').Model} Model */
/** @typedef {import('../core/shapes').Job} Job */

const STOPS = [1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440];
const EPSILONS = [8, 3, 1];

/** A new training: what, from what, how long. */
class TrainForm extends Element {
  static properties = { datasets: { attribute: false }, models: { attribute: false }, forecast: { state: true }, fault: { state: true }, stop: { state: true }, isBusy: { state: true }, isAsking: { state: true } };

  constructor() {
    super();
    /** @type {Dataset[]} */
    this.datasets = [];
    /** @type {Model[]} */
    this.models = [];
    const { query } = route.get();
    this.data = query.get('data') ?? '';
    this.from = query.get('from') ?? '';
    this.method = 'lora';
    this.epsilon = 0; // of private tuning; 0: it is not private
    this.name = '';
    this.stop = STOPS.indexOf(10);
    /** @type {Forecast | null} */
    this.forecast = null;
    /** @type {any} */
    this.fault = null;
    this.isBusy = false;
    this.isAsking = false;
    /** @type {Map<string, Forecast>} */
    this.known = new Map();
    /** @type {Set<string>} what the whole dial was asked for */
    this.asked = new Set();
    this.askSoon = debounce(() => this.ask(), 250);
  }

  get minutes() {
    return STOPS[this.stop];
  }

  get params() {
    return { data: this.data, minutes: this.minutes, ...(this.from ? { from: this.from, method: this.method, ...(this.epsilon ? { private: true, epsilon: this.epsilon } : {}) } : {}) };
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (!changed.has('datasets') || !this.datasets.length) return;
    const base = this.models.find((model) => model.ref === this.from || model.name === this.from);
    const suitable = this.datasets.filter((dataset) => !base || dataset.medium === base.medium);
    if (!this.datasets.some(({ name }) => name === this.data)) this.data = (suitable[0] ?? this.datasets[0]).name;
    this.ask();
  }

  get chosenSet() {
    return this.datasets.find(({ name }) => name === this.data);
  }

  get bases() {
    return this.models.filter((model) => model.medium === this.chosenSet?.medium && model.can.includes('tune') && model.is_active);
  }

  async ask() {
    const key = JSON.stringify(this.params);
    const known = this.known.get(key);
    this.fault = null;
    if (known) return void (this.forecast = known);
    this.isAsking = true;
    try {
      const forecast = await post('forecast', { kind: 'train', params: this.params });
      this.known.set(key, forecast);
      if (key === JSON.stringify(this.params)) this.forecast = forecast;
      this.askForOthers();
    } catch (error) {
      if (key === JSON.stringify(this.params)) {
        this.fault = error;
        this.forecast = null;
      }
    } finally {
      this.isAsking = false;
    }
  }

  /** The other stops of the dial, once this machine is measured: they come at once. */
  async askForOthers() {
    const { params } = this;
    const key = JSON.stringify({ ...params, minutes: 0 });
    if (this.asked.has(key)) return;
    this.asked.add(key);
    try {
      const { data } = await post('forecast', { kind: 'train', params: { ...params, minutes: STOPS } });
      for (const each of data) this.known.set(JSON.stringify({ ...params, minutes: each.minutes }), each);
      this.requestUpdate();
    } catch { /* each stop is asked for when the dial gets there */ }
  }

  /** What more time would bring: "With 30 min: 1.72". */
  renderMore() {
    const others = [3, 6].map((step) => STOPS[this.stop + step]).filter(Boolean).map((minutes) => this.known.get(JSON.stringify({ ...this.params, minutes })));
    const words = others.filter((each) => each && each.expected !== null && each.fits).map((each) => t('train.with_time', { time: formatMinutes(/** @type {Forecast} */ (each).minutes), value: formatNumber(Number(each?.expected), { maximumSignificantDigits: 3 }) }));
    return words.length ? html`<p class="help">${words.join(' · ')}</p>` : nothing;
  }

  /** @param {() => void} change */
  change(change) {
    change();
    this.forecast = this.known.get(JSON.stringify(this.params)) ?? this.forecast;
    this.requestUpdate();
    this.askSoon();
  }

  async start() {
    this.isBusy = true;
    try {
      const job = await startJob('train', { ...this.params, ...(this.name ? { name: this.name } : {}) });
      toast(job.state === 'queued' && (job.position ?? 1) > 1 ? t('train.queued') : t('train.started'), { kind: 'good' });
      if (this.isConnected) go(['train', job.id]); // else the reader has gone on
    } catch (error) {
      this.fault = error;
    } finally {
      this.isBusy = false;
    }
  }

  render() {
    const { forecast } = this;
    const base = this.bases.some(({ ref, name }) => ref === this.from || name === this.from) ? this.from : '';
    return html`<form class="card train-form" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.start())}>
      <h2>${t('train.new')}</h2>
      <div class="field-row">
        ${field({ id: 'train-data', label: t('train.data'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {Event} */ event) => this.change(() => {
          this.data = inputValue(event);
          this.from = '';
        })}>${this.datasets.map(({ name, documents, medium }) => html`<option value=${name} ?selected=${name === this.data}>${t('train.data_option', { name, items: countItems(medium, documents) })}</option>`)}</select>` })}
        ${field({ id: 'train-from', label: t('train.from'), help: base ? t('train.from_help') : t('train.new_help'), control: ({ id, describedBy }) => html`<select id=${id} aria-describedby=${describedBy}
          @change=${(/** @type {Event} */ event) => this.change(() => (this.from = inputValue(event)))}><option value="">${t('train.from_nothing')}</option>
          ${this.bases.map(({ ref, name }) => html`<option value=${ref} ?selected=${ref === this.from || name === this.from}>${name}</option>`)}</select>` })}
      </div>
      <div class="dial"><label for="train-minutes">${t('train.minutes')}</label><output for="train-minutes">${formatMinutes(this.minutes)}</output>
        <input id="train-minutes" type="range" min="0" max=${STOPS.length - 1} step="1" .value=${String(this.stop)} aria-valuetext=${formatMinutes(this.minutes)} ${vars({ '--share': this.stop / (STOPS.length - 1) })}
          @input=${(/** @type {Event} */ event) => this.change(() => (this.stop = Number(inputValue(event))))}>
        <div class="dial-ends" aria-hidden="true"><span>${t('train.a_minute')}</span><span>${t('train.a_day')}</span></div></div>
      <div class="contract ${this.isAsking ? 'asking' : ''}" aria-live="polite" aria-busy=${this.isAsking ? 'true' : 'false'}>
        ${this.fault ? errorBox(this.fault, () => this.ask()) : forecast ? html`${renderForecast(forecast)}${this.renderMore()}` : html`<p class="soft">${t('train.asking')}</p>${progressBar({ share: null, label: t('train.asking') })}`}</div>
      <details class="knobs"><summary>${t('train.options')}</summary><div class="field-row">
        ${field({ id: 'train-name', label: t('train.name'), help: t('train.name_help'), control: ({ id, describedBy }) => html`<input id=${id} aria-describedby=${describedBy} autocomplete="off" placeholder=${this.data} @input=${(/** @type {Event} */ event) => (this.name = inputValue(event).trim())}>` })}
        ${base ? field({ id: 'train-method', label: t('train.method'), help: t('train.method_help'), control: ({ id, describedBy }) => html`<select id=${id} aria-describedby=${describedBy} @change=${(/** @type {Event} */ event) => this.change(() => (this.method = inputValue(event)))}>
          ${['lora', 'full'].map((method) => html`<option value=${method} ?selected=${method === this.method}>${t(`train.method_${method}`)}</option>`)}</select>` }) : nothing}
        ${base ? field({ id: 'train-private', label: t('train.private'), help: t('train.private_help'), control: ({ id, describedBy }) => html`<select id=${id} aria-describedby=${describedBy} @change=${(/** @type {Event} */ event) => this.change(() => (this.epsilon = Number(inputValue(event))))}>
          <option value="0">${t('train.private_no')}</option>${EPSILONS.map((epsilon) => html`<option value=${epsilon} ?selected=${epsilon === this.epsilon}>${t(`train.private_${epsilon}`)}</option>`)}</select>` }) : nothing}</div></details>
      <div class="actions"><button class="button primary" ?disabled=${this.isBusy || forecast?.fits === false} aria-busy=${this.isBusy ? 'true' : 'false'}>${icon('play')}<span>${t('train.start')}</span></button></div>
    </form>`;
  }
}
customElements.define('gl-train-form', TrainForm);

/** What a training promises: time, memory, quality, size. @param {Forecast} forecast */
function renderForecast(forecast) {
  const quality = forecast.expected === null || forecast.expected === undefined ? null : forecast.expected;
  const end = new Date(Date.now() + 1000 * (forecast.seconds + forecast.setup_seconds)).toISOString();
  const share = forecast.memory_available ? forecast.memory_bytes / forecast.memory_available : 1;
  return html`${forecast.fits ? nothing : html`<div class="error-box" role="alert">${icon('ban')}<p>${forecast.why_not}</p></div>`}
    <dl class="tiles">
      <div class="tile"><dt>${icon('clock')}${t('train.time')}</dt><dd><strong>${formatDuration(forecast.seconds + forecast.setup_seconds)}</strong><small>${t('train.ready_at', { time: formatDate(end, forecast.seconds > 64800 ? undefined : { timeStyle: 'short' }) })}</small></dd></div>
      <div class="tile ${forecast.fits ? '' : 'wrong'}"><dt>${icon('cpu')}${t('train.memory')}</dt><dd><strong>${formatBytes(forecast.memory_bytes)}</strong>
        <span class="bar" ${vars({ '--share': Math.min(1, share) })}></span><small>${t('train.of_memory', { share: formatPercent(share), available: formatBytes(forecast.memory_available) })}</small></dd></div>
      <div class="tile"><dt>${icon('gauge')}${t('train.quality')}</dt><dd>${quality === null
        ? html`<strong>${forecast.before === null || forecast.before === undefined ? t('train.unknown') : t('train.now', { value: formatNumber(forecast.before, { maximumSignificantDigits: 3 }) })}</strong><small>${t('train.no_forecast', { measure: translate('workshop.measure', forecast.metric) })}</small>`
        : html`<strong>${formatNumber(quality, { maximumSignificantDigits: 3 })}${forecast.high === null ? nothing : html` <span class="soft">± ${formatNumber(((forecast.high ?? 0) - (forecast.low ?? 0)) / 2, { maximumSignificantDigits: 1 })}</span>`}</strong><small>${t('train.lower_is_better', { measure: translate('workshop.measure', forecast.metric) })}</small>`}</dd></div>
      <div class="tile"><dt>${icon('box')}${t('train.size')}</dt><dd><strong>${formatNumber(forecast.parameters, { notation: 'compact' })}</strong><small>${t('train.weights', { steps: formatNumber(forecast.steps) })}</small></dd></div>
    </dl>
    ${forecast.level ? html`<p class="forecast-words">${icon('info')}${t(`train.level_${forecast.level}`)}</p>` : nothing}`;
}

/** The runs that wait and run, in their order. */
class TrainPage extends Element {
  static properties = { datasets: { state: true }, models: { state: true }, rows: { state: true }, queue: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {Dataset[] | null} */
    this.datasets = null;
    /** @type {Model[]} */
    this.models = [];
    /** @type {Job[]} */
    this.rows = [];
    this.queue = { paused: false, running: 0, queued: 0 };
    /** @type {any} */
    this.fault = null;
    /** @type {Map<string, Record<string, any>>} what each run promised */
    this.estimates = new Map();
    this.readSoon = throttle(() => this.readJobs(), 400);
  }

  stores() {
    return [route, jobs];
  }

  connectedCallback() {
    super.connectedCallback();
    for (const kind of ['job.queued', 'job.running', 'job.succeeded', 'job.failed', 'job.cancelled', 'job.moved', 'queue.changed', 'reset']) this.onLeave(onEvent(kind, this.readSoon));
    for (const kind of ['dataset.created', 'model.created']) this.onLeave(onEvent(kind, () => this.load()));
    this.load();
  }

  async load() {
    try {
      const [datasets, models] = await Promise.all([get('datasets'), get('models'), this.readJobs()]);
      this.models = models.data;
      this.datasets = datasets.data;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  async readJobs() {
    try {
      const [answer, queue] = await Promise.all([get('jobs', { limit: 100 }), get('queue')]);
      this.rows = answer.data;
      this.queue = queue;
    } catch { /* the shell says that the server is away */ }
  }

  /** @param {string} id @param {import('../core/shapes').JobLog} log */
  onLog(id, { estimate }) {
    if (!estimate || this.estimates.has(id)) return;
    this.estimates.set(id, estimate);
    this.requestUpdate();
  }

  /** The rows with what was heard since. */
  get list() {
    return this.rows.map((row) => ({ ...row, ...(jobs.get().get(row.id) ?? {}) }));
  }

  /** @param {Job} job @param {number} step -1: earlier, 1: later */
  async move(job, step) {
    const queued = this.list.filter((each) => each.state === 'queued');
    const at = queued.findIndex((each) => each.id === job.id);
    const before = step < 0 ? queued[at - 1]?.id : (queued[at + 2]?.id ?? null);
    if (at + step < 0 || at + step >= queued.length) return;
    await post(`jobs/${job.id}/move`, { before });
    await this.readJobs();
    announce(t('train.moved', { title: nameJob(job), position: at + step + 1 }));
  }

  /** @param {Job} job */
  async stop(job) {
    await cancelJob(job.id);
    await this.readJobs();
    toast(t(job.kind === 'train' ? 'train.stopped' : 'train.cancelled', { title: nameJob(job) }), { undo: () => this.retry(job) });
  }

  /** @param {Job} job */
  async retry(job) {
    const next = await post(`jobs/${job.id}/retry`);
    await this.readJobs();
    if (next.id !== job.id && this.isConnected) go(['train', next.id]);
  }

  render() {
    const { page, rest: [id] } = route.get();
    if (page !== 'train') return noChange; // the shell is about to take this page away
    const list = this.list;
    const running = list.filter((job) => job.state === 'running' && job.kind !== 'generate' && job.kind !== 'chat');
    const queued = list.filter((job) => job.state === 'queued');
    const over = list.filter((job) => job.kind === 'train' && isOver(job));
    const chosen = list.find((job) => job.id === id);
    const hasData = Boolean(this.datasets?.length);
    return html`${pageHead({ title: t('train.title'), lead: t('train.lead') })}
      ${this.fault ? errorBox(this.fault, () => this.load()) : nothing}
      ${id ? this.renderChosen(chosen) : nothing}
      ${running.filter((job) => job !== chosen).map((job) => keyed(job.id, this.renderRunning(job, !id)))}
      ${queued.length || this.queue.paused ? this.renderQueue(queued) : nothing}
      ${id ? html`<div class="actions">${buttonLink({ label: t('train.new'), icon: 'plus', href: href('train') })}</div>` : this.datasets && !hasData ? emptyState({
        icon: 'database', title: t('train.no_data'), text: t('train.no_data_text'), action: buttonLink({ label: t('train.to_data'), icon: 'database', kind: 'primary', href: href('data') }),
      }) : hasData ? html`<gl-train-form .datasets=${this.datasets} .models=${this.models}></gl-train-form>` : nothing}
      ${over.length ? html`<section><h2>${t('train.earlier')}</h2><ul class="rows">${repeat(over, (job) => job.id, (job) => html`<li>${this.renderRow(job)}</li>`)}</ul></section>` : nothing}`;
  }

  /** @param {Job | undefined} job */
  renderChosen(job) {
    if (!job) return this.rows.length ? html`<p class="soft">${t('train.no_such_run')}</p>` : nothing;
    if (job.state === 'running') return this.renderRunning(job);
    if (job.state === 'queued') return nothing;
    return html`<section class="card run" aria-labelledby="run-title"><h2 id="run-title">${nameJob(job)}</h2>
      ${job.state === 'failed' && job.error ? errorBox(job.error) : html`<p class="badge ${job.state === 'succeeded' ? 'good' : ''}">${t(`train.state_${job.state}`)}</p>`}
      ${renderContract(job)}
      <gl-job-curves .job=${job.id}></gl-job-curves>
      <div class="actions">${job.state === 'succeeded' && job.result?.model ? html`
          ${buttonLink({ label: t('train.use'), icon: 'sparkles', kind: 'primary', href: href('make', { model: job.result.model }) })}
          ${buttonLink({ label: t('train.see_model'), icon: 'box', href: href(['models', job.result.model]) })}` : nothing}
        ${job.can_resume || job.can_retry ? button({ label: t(job.can_resume ? 'train.resume' : 'train.retry'), icon: 'play', kind: 'primary', run: () => this.retry(job).catch(toastError) }) : nothing}</div>
    </section>`;
  }

  /** @param {Job} job @param {boolean} [isFull] with its curves */
  renderRunning(job, isFull = true) {
    const { progress } = job;
    const words = progress.step && progress.steps ? t('train.step_of', { step: progress.step, steps: progress.steps }) : nameStage(progress.stage);
    return html`<section class="card run" aria-labelledby="run-${job.id}"><div class="run-head"><h2 id="run-${job.id}">${isFull ? nameJob(job) : html`<a href=${href(['train', job.id])}>${nameJob(job)}</a>`}</h2>
        ${button({ label: t('train.stop'), icon: 'square', run: () => this.stop(job).catch(toastError) })}</div>
      ${progressBar({ share: progress.share, label: nameJob(job), note: words, secondsLeft: progress.seconds_left })}
      ${progress.note && job.kind !== 'train' ? html`<p class="soft" lang="en">${progress.note}</p>` : nothing}
      ${isFull ? html`${renderPromise(this.estimates.get(job.id))}<gl-job-curves .job=${job.id} @log=${(/** @type {CustomEvent} */ event) => this.onLog(job.id, event.detail)}></gl-job-curves>${job.kind === 'train' ? html`<p class="help">${t('train.stop_help')}</p>` : nothing}` : nothing}</section>`;
  }

  /** @param {Job[]} queued */
  renderQueue(queued) {
    return html`<section class="card queue" aria-labelledby="queue-title"><div class="run-head"><h2 id="queue-title">${t('train.queue')}</h2>
        ${button({ label: t(this.queue.paused ? 'train.go_on' : 'train.pause'), icon: this.queue.paused ? 'play' : 'pause', pressed: this.queue.paused, run: () => post('queue', { paused: !this.queue.paused }).then((queue) => (this.queue = queue)).catch(toastError) })}</div>
      ${this.queue.paused ? html`<p class="notice">${icon('pause')}${t('train.paused')}</p>` : nothing}
      <ol class="rows">${repeat(queued, (job) => job.id, (job, n) => html`<li class="list-row"><span class="position">${n + 1}</span><strong>${nameJob(job)}</strong><span class="soft">${describeJob(job)}</span>
        <span class="row-actions">${button({ label: t('train.earlier_in_queue', { title: nameJob(job) }), icon: 'arrowUp', alone: true, small: true, kind: 'quiet', disabled: n === 0, run: () => this.move(job, -1).catch(toastError) })}
          ${button({ label: t('train.later_in_queue', { title: nameJob(job) }), icon: 'arrowDown', alone: true, small: true, kind: 'quiet', disabled: n === queued.length - 1, run: () => this.move(job, 1).catch(toastError) })}
          ${button({ label: t('train.cancel', { title: nameJob(job) }), icon: 'x', alone: true, small: true, kind: 'quiet', run: () => this.stop(job).catch(toastError) })}</span></li>`)}</ol></section>`;
  }

  /** @param {Job} job */
  renderRow(job) {
    return html`<a class="list-row" href=${href(['train', job.id])} aria-current=${job.id === route.get().rest[0] ? 'true' : nothing}>
      <span class="badge ${job.state === 'succeeded' ? 'good' : job.state === 'failed' ? 'bad' : ''}">${t(`train.state_${job.state}`)}</span><strong>${nameJob(job)}</strong>
      <span class="soft">${job.state === 'failed' ? job.error?.message : describeJob(job)}</span><span class="soft when">${formatAgo(job.finished ?? job.created)}</span></a>`;
  }
}
customElements.define('gl-train', TrainPage);

/** @param {number} minutes */
const formatMinutes = (minutes) => (minutes < 90 ? formatNumber(minutes, { style: 'unit', unit: 'minute' }) : formatDuration(60 * minutes));

/** @param {Job} job */
function describeJob(job) {
  const { minutes, from, data } = job.params;
  return [data, from && t('train.tuned_from', { from }), minutes && formatMinutes(minutes)].filter(Boolean).join(' · ');
}

/** What a run that goes on has promised. @param {Record<string, any> | undefined} estimate */
function renderPromise(estimate) {
  if (!estimate) return nothing;
  const quality = Object.keys(estimate).find((name) => /^bits_per|_loss$/.test(name));
  const words = [formatDuration(estimate.seconds), formatBytes(estimate.memory_bytes), quality && t('train.promise_quality', { value: formatNumber(estimate[quality], { maximumSignificantDigits: 3 }), measure: translate('workshop.measure', quality) })];
  return html`<p class="soft">${t('train.promise', { what: words.filter(Boolean).join(' · ') })}</p>`;
}

/** What was promised beside what came. @param {Job} job */
function renderContract(job) {
  const { forecast, fact } = job.result ?? {};
  if (!forecast || !fact) return nothing;
  const rows = /** @type {[string, (value: any) => string][]} */ ([
    ['seconds', formatDuration], ['memory_bytes', formatBytes],
    ...Object.keys(fact).filter((name) => /^bits_per|_loss$/.test(name)).map((name) => [name, (/** @type {number} */ value) => formatNumber(value, { maximumSignificantDigits: 4 })]),
  ]);
  const nameFact = (/** @type {string} */ name) => (hasMessage(`train.fact_${name}`) ? t(`train.fact_${name}`) : translate('workshop.measure', name));
  return html`<table class="table contract-table"><thead><tr><th></th><th class="number">${t('train.promised')}</th><th class="number">${t('train.came')}</th></tr></thead>
    <tbody>${rows.filter(([name]) => forecast[name] !== undefined || fact[name] !== undefined).map(([name, format]) => html`<tr><th scope="row">${nameFact(name)}</th>
      <td class="number">${forecast[name] === undefined ? '–' : format(forecast[name])}</td><td class="number">${fact[name] === undefined ? '–' : format(fact[name])}</td></tr>`)}</tbody></table>`;
}
