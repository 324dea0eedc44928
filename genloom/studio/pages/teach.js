/** Teach: what was rated, what is missing, the round as it runs, and its receipt with the way back. */
import { html, nothing } from '../vendor/lit.js';
import { get, post, quote } from '../core/api.js';
import { announce, vars } from '../core/dom.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { formatAgo, formatDuration, formatNumber, formatPercent, t } from '../core/i18n.js';
import { cancelJob, isOver, jobs, startJob } from '../core/jobs.js';
import { go, href, route } from '../core/router.js';
import { session } from '../core/session.js';
import { createSetting } from '../core/store.js';
import { openDialog } from '../components/dialog.js';
import { menu } from '../components/menu.js';
import { button, buttonLink, emptyState, errorBox, field, icon, pageHead, progressBar } from '../components/parts.js';
import { renderReceipt } from '../components/receipt.js';
import { toast, toastError } from '../components/toast.js';
import { translate } from '../components/workshop.js';
import '../components/job-curves.js';

/** @typedef {import('../core/shapes').Teach} TeachState */
/** @typedef {import('../core/shapes').Receipt} Receipt */
/** @typedef {import('../core/shapes').Model} Model */
/** @typedef {import('../core/shapes').Job} Job */

const lastModel = createSetting('teach.model', '');
const METHODS = ['auto', 'dpo', 'kto', 'weighted'];
/** What a round does, in order; the stages that the server names belong to one of these. */
const PHASES = /** @type {const} */ (['prepare', 'learn', 'compare', 'guard', 'decide']);
/** @type {[RegExp, typeof PHASES[number]][]} */
const PHASE_OF = [[/^Training/, 'learn'], [/held-out|several answers|several times/, 'compare'], [/safeguards/, 'guard'], [/storing/, 'decide']];

class TeachPage extends Element {
  static properties = { models: { state: true }, state: { state: true }, receipt: { state: true }, fault: { state: true }, isBusy: { state: true }, log: { state: true } };

  constructor() {
    super();
    /** @type {Model[] | null} */
    this.models = null;
    /** @type {TeachState | null} */
    this.state = null;
    /** @type {Receipt | null} */
    this.receipt = null;
    /** @type {any} */
    this.fault = null;
    this.isBusy = false;
    this.minutes = 5;
    /** Rounds that failed before this page was opened. @type {Job[] | null} */
    this.failed = null;
    this.asked = 0; // how often the state was asked for, and which answer is shown: an older one may come later
    this.answered = 0;
    this.method = 'auto';
    /** @type {Set<string>} */
    this.phases = new Set();
  }

  stores() {
    return [route, jobs];
  }

  connectedCallback() {
    super.connectedCallback();
    this.onLeave(route.subscribe(({ page }) => page === 'teach' && this.load()));
    const again = () => this.load();
    for (const kind of ['rating.created', 'rating.withdrawn', 'model.promoted', 'job.succeeded', 'job.failed', 'job.cancelled', 'reset']) this.onLeave(onEvent(kind, again));
    this.load();
  }

  /** The name of the model: from the address, else the last one, else the first that can be taught. */
  get name() {
    const names = this.names;
    const { page, rest } = route.get();
    if (page === 'teach' && rest[0]) return rest[0].split('/')[0]; // one that is unknown is an error, not another model
    return names.includes(lastModel.get()) ? lastModel.get() : (names[0] ?? '');
  }

  get names() {
    return [...new Set((this.models ?? []).filter((model) => model.can.includes('teach')).map((model) => model.name))];
  }

  async load() {
    const asked = ++this.asked;
    try {
      this.models ??= (await get('models')).data;
      const name = this.name;
      if (!name) return;
      this.failed ??= (await get('jobs', { kind: 'learn', state: 'failed', limit: 100 })).data;
      const state = await get(`teach/${quote(name)}`);
      lastModel.set(name);
      const wanted = route.get().rest[1] ?? state.rounds[0]?.receipt;
      const receipt = wanted ? await get(`receipts/${quote(wanted)}`) : null;
      if (name !== this.name || asked < this.answered) return;
      this.answered = asked;
      if (receipt && this.state?.model === name && this.state.rounds.length < state.rounds.length) { // a round has ended
        announce(t(`teach.verdict_${receipt.outcome}`, { champion: receipt.receipt.champion, challenger: receipt.receipt.challenger }));
      }
      this.state = state;
      this.receipt = receipt;
      this.fault = null;
    } catch (error) {
      if (asked < this.answered) return;
      this.fault = error;
      if (this.state?.model !== this.name) [this.state, this.receipt] = [null, null];
    }
  }

  /** The round that waits or runs, else the last one if it failed. @returns {Job | undefined} */
  get job() {
    const known = new Map([...(this.failed ?? []).map((job) => /** @type {const} */ ([job.id, job])), ...jobs.get()]); // events tell later news
    const own = [...known.values()].filter((job) => job.kind === 'learn' && job.params.model?.split('/')[0] === this.name);
    const last = Date.parse(this.state?.rounds[0]?.at ?? '') || 0;
    return own.find((job) => !isOver(job)) ?? own.filter((job) => job.state === 'failed' && Date.parse(job.created) > last).sort((a, b) => (a.created < b.created ? 1 : -1))[0];
  }

  /** @param {boolean} [trial] from fewer ratings than a proof needs */
  async start(trial = false) {
    this.isBusy = true;
    try {
      await startJob('learn', { model: this.name, minutes: this.minutes, ...(this.method === 'auto' ? {} : { method: this.method }), ...(trial ? { trial } : {}) });
    } catch (error) {
      toastError(error);
    } finally {
      this.isBusy = false;
    }
  }

  /** @param {string} ref @param {string} [reason] */
  async promote(ref, reason = '') {
    const before = this.state?.active;
    await post(`models/${quote(ref)}/promote`, { reason });
    await this.load();
    toast(t('teach.in_use', { ref }), { kind: 'good', undo: before && before !== ref ? () => this.promote(before) : undefined });
  }

  /** Back to the version that was in use before. @param {string} champion the one that the round began with: the way back where nothing was ever promoted */
  async rollBack(champion) {
    const before = this.state?.active ?? '';
    if (this.state?.previous) await post(`models/${quote(this.name)}/rollback`);
    else await post(`models/${quote(champion)}/promote`, { reason: '' });
    await this.load();
    toast(t('teach.rolled_back', { active: this.state?.active ?? '' }), { kind: 'good', undo: () => this.promote(before) });
  }

  /** Use a version that the gate refused: possible, with a reason. @param {string} ref */
  async overrule(ref) {
    let reason = '';
    const sure = await openDialog({
      title: t('teach.overrule_title', { ref }),
      size: 'small',
      body: () => html`<p>${t('teach.overrule_text')}</p>${field({ id: 'overrule-reason', label: t('teach.overrule_reason'), control: ({ id }) => html`
        <input id=${id} autofocus maxlength="1000" @input=${(/** @type {Event} */ event) => (reason = /** @type {HTMLInputElement} */ (event.target).value)}>` })}`,
      actions: (close) => [button({ label: t('shell.cancel'), run: () => close(false) }), button({ label: t('teach.overrule'), kind: 'danger', run: () => close(true) })],
    });
    if (sure) await this.promote(ref, reason.trim() || t('teach.overrule_no_reason')).catch(toastError);
  }

  render() {
    const picker = this.names.length > 1 ? html`<div class="field inline"><label for="teach-model">${t('teach.model')}</label>
      <select id="teach-model" @change=${(/** @type {Event} */ event) => go(['teach', /** @type {HTMLSelectElement} */ (event.target).value])}>
        ${this.names.map((name) => html`<option value=${name} ?selected=${name === this.name}>${name}</option>`)}</select></div>` : nothing;
    return html`${pageHead({ title: t('teach.title'), lead: t('teach.lead'), actions: picker })}
      ${this.fault ? errorBox(this.fault, () => this.load()) : nothing}
      ${this.models && !this.names.length ? emptyState({
        icon: 'graduationCap', title: t('teach.no_model'), text: t('teach.no_model_text'), action: buttonLink({ label: t('teach.to_models'), href: href('models'), kind: 'primary' }),
      }) : nothing}
      ${this.state ? this.renderState(this.state) : nothing}`;
  }

  /** @param {TeachState} state */
  renderState(state) {
    const job = this.job;
    const isRunning = job && !isOver(job);
    return html`${job?.state === 'failed' && job.error ? errorBox(job.error, () => post(`jobs/${job.id}/retry`).catch(toastError)) : nothing}
      ${isRunning ? this.renderRound(job) : this.renderRatings(state)}
      ${this.receipt ? html`<section class="card" aria-label=${t('teach.receipt')}>${renderReceipt(this.receipt, { active: state.active, actions: this.renderActions(state, this.receipt) })}</section>` : nothing}
      ${state.rounds.length > 1 ? this.renderRounds(state) : nothing}`;
  }

  /** @param {TeachState} state @param {Receipt} receipt */
  renderActions(state, { receipt }) {
    if (receipt.challenger === receipt.champion) return nothing;
    if (state.active === receipt.challenger) {
      return html`${buttonLink({ label: t('teach.use'), icon: 'sparkles', kind: 'primary', href: href('make', { model: state.model }) })}
        ${button({ label: t('teach.roll_back', { ref: state.previous ?? receipt.champion }), icon: 'undo2', run: () => this.rollBack(receipt.champion).catch(toastError) })}`;
    }
    const wasPromoted = receipt.decision.should_promote;
    return html`${wasPromoted ? button({ label: t('teach.use_again', { ref: receipt.challenger }), icon: 'redo2', run: () => this.promote(receipt.challenger).catch(toastError) })
      : button({ label: t('teach.use_anyway', { ref: receipt.challenger }), kind: 'quiet', run: () => this.overrule(receipt.challenger) })}
      ${wasPromoted ? nothing : buttonLink({ label: t('teach.rate_more'), icon: 'scale', kind: 'primary', href: href('arena', { model: state.model }) })}`;
  }

  /** What was rated, and what is missing until a round can prove something. @param {TeachState} state */
  renderRatings(state) {
    const { ratings } = state;
    const isKnown = state.rounds.length > 0 && !ratings.since_last_round; // a round has learned from all of them
    const isOld = state.is_enough && isKnown;
    const have = ratings.train + ratings.held_out;
    const share = state.is_enough ? 1 : have / Math.max(1, have + ratings.missing);
    const machines = ratings.by_rater.filter((rater) => rater.is_machine).length;
    return html`<section class="card teach-now ${state.is_enough ? 'ready' : ''}" aria-labelledby="teach-now">
      <div class="teach-ring" ${vars({ '--share': share })} role="img" aria-label=${t('teach.ring', { share: formatPercent(share) })}>
        <strong>${formatNumber(have)}</strong><span>${t('teach.ring_unit', { n: have })}</span></div>
      <div class="teach-words"><h2 id="teach-now">${this.sayState(state)}</h2>
        ${ratings.total ? html`<dl class="needs">${renderNeed('teach.to_learn', ratings.train, ratings.min_train)}${renderNeed('teach.to_prove', ratings.held_out, ratings.min_held_out)}</dl>` : nothing}
        <p>${isOld ? t('teach.nothing_new_text') : state.is_enough ? t('teach.enough_text') : ratings.total ? t('teach.missing_text') : t('teach.nothing_text')}</p>
        ${!state.is_enough && ratings.can_try ? html`<p>${t(isKnown ? 'teach.nothing_new_text' : 'teach.try_text')}</p>` : nothing}
        ${ratings.total ? html`<ul class="chips">
          ${ratings.since_last_round && state.rounds.length ? html`<li>${icon('sparkles')}${t('teach.since_last', { n: ratings.since_last_round })}</li>` : nothing}
          ${machines ? html`<li>${icon('cpu')}${t('teach.machines', { n: machines })}</li>` : nothing}
          ${ratings.contradictions ? html`<li>${icon('shuffle')}${t('teach.contradictions', { n: ratings.contradictions })}</li>` : nothing}</ul>` : nothing}
        ${ratings.unused.length ? html`<details><summary>${t('teach.unused', { n: ratings.unused.reduce((sum, each) => sum + each.count, 0) })}</summary>
          <ul>${ratings.unused.map((each) => html`<li>${formatNumber(each.count)} · ${translate('teach.unused', each.reason)}</li>`)}</ul></details>` : nothing}
        <div class="actions">${state.is_enough ? button({ label: t('teach.start', { name: state.model }), icon: 'graduationCap', kind: isOld ? '' : 'primary', busy: this.isBusy, run: () => this.start() })
          : ratings.can_try ? button({ label: t('teach.try'), icon: 'graduationCap', busy: this.isBusy, run: () => this.start(true) }) : nothing}
          ${buttonLink({ label: t('teach.rate_pairs'), icon: 'scale', kind: state.is_enough && !isOld ? '' : 'primary', href: href('arena', { model: state.model }) })}
          ${buttonLink({ label: t('teach.rate_gallery'), icon: 'star', href: href('gallery', { model: state.model }) })}
          ${ratings.total && session.get()?.user.is_local ? menu({ label: t('teach.export'), icon: 'download', items: [
            { label: t('teach.export_pairs'), note: t('teach.export_pairs_note'), href: `api/teach/${quote(state.model)}/ratings`, download: '' },
            { label: t('teach.export_single'), note: t('teach.export_single_note'), href: `api/teach/${quote(state.model)}/ratings?format=kto`, download: '' }] }) : nothing}</div>
        ${state.is_enough ? this.renderKnobs() : nothing}
      </div></section>`;
  }

  /** @param {TeachState} state */
  sayState({ is_enough: isEnough, ratings, rounds }) {
    if (isEnough) return t(rounds.length && !ratings.since_last_round ? 'teach.nothing_new' : 'teach.enough');
    return ratings.total ? t('teach.missing', { n: ratings.missing }) : t('teach.nothing', { n: ratings.missing });
  }

  renderKnobs() {
    return html`<details class="knobs"><summary>${t('teach.options')}</summary><div class="field-row">
      ${field({ id: 'teach-minutes', label: t('teach.minutes'), help: t('teach.minutes_help'), control: ({ id, describedBy }) => html`<input id=${id} type="number" min="1" max="600" aria-describedby=${describedBy}
        .value=${String(this.minutes)} @change=${(/** @type {Event} */ event) => (this.minutes = Math.max(1, Number(/** @type {HTMLInputElement} */ (event.target).value) || 5))}>` })}
      ${field({ id: 'teach-method', label: t('teach.method'), help: t('teach.method_help'), control: ({ id, describedBy }) => html`<select id=${id} aria-describedby=${describedBy}
        @change=${(/** @type {Event} */ event) => (this.method = /** @type {HTMLSelectElement} */ (event.target).value)}>
        ${METHODS.map((method) => html`<option value=${method} ?selected=${method === this.method}>${t(`teach.method_${method}`)}</option>`)}</select>` })}
    </div></details>`;
  }

  /** A round that waits or runs. @param {Job} job */
  renderRound(job) {
    const { progress } = job;
    const found = PHASE_OF.find(([pattern]) => pattern.test(progress.stage))?.[1];
    const phase = found ?? ([...PHASES].reverse().find((each) => this.phases.has(each)) || 'prepare');
    this.phases.add(phase);
    const now = PHASES.indexOf(phase);
    if (job.state === 'queued') {
      return html`<section class="card round" aria-live="polite"><h2>${icon('clock')}${t('teach.queued')}</h2><p>${t('teach.queued_text', { n: Math.max(0, (job.position ?? 1) - 1) })}</p>
        <div class="actions">${button({ label: t('teach.stop'), icon: 'square', run: () => cancelJob(job.id).catch(toastError) })}</div></section>`;
    }
    return html`<section class="card round" aria-labelledby="round-title"><h2 id="round-title">${t('teach.learning', { name: this.name })}</h2>
      ${progressBar({ share: phase === 'learn' ? progress.share : null, label: t('teach.learning', { name: this.name }), note: t(`teach.phase_${phase}`), secondsLeft: phase === 'learn' ? progress.seconds_left : null })}
      <ol class="phases">${PHASES.map((each, n) => html`<li class=${n < now ? 'done' : n === now ? 'now' : ''} aria-current=${n === now ? 'step' : nothing}>
        ${n < now ? icon('circleCheck') : n === now ? html`<span class="spinner" aria-hidden="true"></span>` : icon('circle')}
        <span><strong>${t(`teach.phase_${each}`)}</strong><small>${t(`teach.phase_${each}_text`)}</small></span></li>`)}</ol>
      <gl-job-curves .job=${job.id}></gl-job-curves>
      <div class="actions"><p class="help">${t('teach.safe')}</p>${button({ label: t('teach.stop'), icon: 'square', run: () => cancelJob(job.id).catch(toastError) })}</div>
    </section>`;
  }

  /** @param {TeachState} state */
  renderRounds(state) {
    return html`<section class="rounds"><h2>${t('teach.rounds')}</h2><ul class="rows">${state.rounds.map((round) => html`<li>
      <a class="list-row" href=${href(['teach', state.model, round.receipt])} aria-current=${round.receipt === this.receipt?.id ? 'true' : nothing}>
        <span class="badge ${round.challenger === state.active ? 'good' : ''}">${t(`teach.outcome_${round.challenger === state.active ? 'active' : round.outcome}`)}</span>
        <strong>${round.challenger}</strong><span>${round.win ? t('teach.round_win', { rate: formatPercent(round.win.rate), low: formatPercent(round.win.low), high: formatPercent(round.win.high) }) : ''}</span>
        <span class="soft">${formatAgo(round.at)} · ${formatDuration(round.seconds)}</span></a></li>`)}</ul></section>`;
  }
}
customElements.define('gl-teach', TeachPage);

/** One of the two things that a round takes. @param {string} key @param {number} have @param {number} need */
const renderNeed = (key, have, need) => html`<div class=${have >= need ? 'met' : ''}><dt>${t(key)}</dt><dd>${have >= need ? html`${icon('check')}${formatNumber(have)}` : t('teach.of', { have, need })}</dd>
  <dd class="bar" ${vars({ '--share': Math.min(1, have / need) })} aria-hidden="true"></dd></div>`;
