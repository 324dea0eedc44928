/** The receipt of a round of learning: the verdict, the win rate, what moved, examples of both versions, what it cost. */
import { html, nothing } from '../vendor/lit.js';
import { buttonLink, facts, icon } from './parts.js';
import { drawGain, drawWinRate, toneOf } from './charts.js';
import { formatBytes, formatDate, formatDuration, formatNumber, formatPercent, t } from '../core/i18n.js';
import { translate } from './workshop.js';
import './viewer.js';

/** @typedef {import('./charts.js').Measure} Measure */
/** @typedef {import('../core/shapes').Receipt} Receipt */

/** Measures that are shares of answers. */
const SHARES = /^(valid |answers with|refusals|copied|near copies)/;

/** The name of a measure: "held-out answers, by RATER" in the reader's language. @param {string} name */
export function nameMeasure(name) {
  const [whole, what, rater] = name.match(/^(.*), by (.*)$/) ?? [name, name, ''];
  if (!rater) return translate('teach.measure', whole);
  return t('teach.measure_by', { measure: translate('teach.measure', what), rater: translate('teach.rater', rater) });
}

/** @param {Measure} measure @param {number} value */
function formatValue(measure, value) {
  if (measure.is_pairwise || SHARES.test(measure.name)) return formatPercent(value, value > 0 && value < 0.1 ? 1 : 0);
  return formatNumber(value, { maximumSignificantDigits: 4 });
}

/** The measure that decided. @param {any} receipt @returns {Measure | undefined} */
const findProof = (receipt) => receipt.decision.measures.find((/** @type {Measure} */ measure) => measure.is_proof);

/** @param {Measure} proof the interval of the win rate, not of the lead */
const getWin = (proof) => ({ rate: proof.challenger, low: (1 + proof.low) / 2, high: (1 + proof.high) / 2 });

/** Why the gate decided as it did, in one or two sentences. @param {Receipt} receipt */
export function explain({ outcome, receipt }) {
  const proof = findProof(receipt);
  const worse = receipt.decision.measures.filter((/** @type {Measure} */ measure) => toneOf(measure) === 'bad');
  if (outcome === 'no_training') return t('teach.why_no_training');
  if (outcome === 'overruled') return t('teach.why_overruled', { reason: receipt.override_reason });
  const sentences = [];
  if (!proof) {
    sentences.push(t('teach.why_no_proof'));
  } else if (proof.is_pairwise) {
    const { rate, low, high } = getWin(proof);
    const values = { n: proof.count, rate: formatPercent(rate), low: formatPercent(low), high: formatPercent(high) };
    sentences.push(t(proof.low > 0 ? 'teach.why_better' : proof.high < 0 ? 'teach.why_worse' : 'teach.why_open', values));
  } else {
    sentences.push(t(proof.low > 0 ? 'teach.why_metric_better' : 'teach.why_metric_open', {
      measure: nameMeasure(proof.name), from: formatValue(proof, proof.champion), to: formatValue(proof, proof.challenger),
    }));
  }
  if (worse.length) sentences.push(t('teach.why_regressed', { measures: worse.map((/** @type {Measure} */ measure) => nameMeasure(measure.name)).join(', ') }));
  return sentences.join(' ');
}

/** What is in use now, where it is not what the round decided. @param {Receipt} round @param {string} active */
function sayWhatFollowed({ receipt }, active) {
  const decided = receipt.decision.should_promote ? receipt.challenger : receipt.champion;
  if (active === decided) return nothing;
  return html`<p><strong>${active === receipt.challenger ? t('teach.used_anyway', { active }) : t('teach.since_then', { active })}</strong></p>`;
}

/**
 * @param {Receipt} round
 * @param {{active: string, actions?: unknown}} options the version in use now, and the buttons below the verdict
 */
export function renderReceipt(round, { active, actions = nothing }) {
  const { receipt, outcome } = round;
  const proof = findProof(receipt);
  const tone = outcome === 'promoted' ? 'good' : receipt.decision.measures.some((/** @type {Measure} */ measure) => toneOf(measure) === 'bad') ? 'bad' : 'even';
  const win = proof?.is_pairwise ? getWin(proof) : null;
  return html`<article class="receipt">
    <header class="verdict ${tone}">
      ${icon(outcome === 'promoted' ? 'badgeCheck' : outcome === 'overruled' ? 'triangleAlert' : tone === 'bad' ? 'ban' : 'scale')}
      <div><h2>${t(`teach.verdict_${outcome}`, { champion: receipt.champion, challenger: receipt.challenger })}</h2>
        <p>${explain(round)}</p>
        ${sayWhatFollowed(round, active)}</div>
    </header>
    ${receipt.decision.alarms.map((/** @type {string} */ alarm) => html`<p class="alarm" role="note">${icon('triangleAlert')}${sayAlarm(alarm, receipt.decision.measures)}</p>`)}
    ${win && proof ? html`<figure class="win">${drawWinRate(win, {
      label: t('teach.win_label', { rate: formatPercent(win.rate), low: formatPercent(win.low), high: formatPercent(win.high) }), chance: t('teach.chance'),
    })}<figcaption>${t('teach.win_caption', { n: proof.count, challenger: receipt.challenger, low: formatPercent(win.low), high: formatPercent(win.high) })}</figcaption></figure>` : nothing}
    <div class="actions">${actions}</div>
    ${renderMeasures(receipt.decision.measures.filter((/** @type {Measure} */ measure) => measure !== proof))}
    ${renderExamples(round)}
    ${renderSource(receipt)}
    <footer class="receipt-foot">${buttonLink({ label: t('teach.whole_page'), icon: 'fileText', kind: 'quiet', small: true, href: round.html.replace(/^\//, ''), download: `${receipt.challenger.replace('/', '-')}.html` })}
      <small class="soft">${formatDate(receipt.at)}</small></footer>
  </article>`;
}

/** An alarm of the gate in the reader's language, by the measure that it names. @param {string} alarm @param {Measure[]} measures */
function sayAlarm(alarm, measures) {
  const measure = measures.find(({ name }) => alarm.startsWith(`Preference rises while ${name} falls: `));
  if (!measure) return html`<span lang="en">${alarm}</span>`;
  return html`<span>${t('teach.alarm', { measure: nameMeasure(measure.name), from: formatValue(measure, measure.champion), to: formatValue(measure, measure.challenger) })}</span>`;
}

/** What else was measured, sorted by what it means. @param {Measure[]} measures */
function renderMeasures(measures) {
  if (!measures.length) return nothing;
  const groups = /** @type {const} */ (['good', 'bad', 'slight', 'even']);
  return html`<section><h3>${t('teach.moved')}</h3><div class="measures">${groups.map((tone) => {
    const rows = measures.filter((measure) => toneOf(measure) === tone);
    if (!rows.length) return tone === 'bad' ? html`<p class="nothing-worse">${icon('shieldCheck')}${t('teach.nothing_worse')}</p>` : nothing;
    return html`<table class="table measures-${tone}"><caption>${icon({ good: /** @type {const} */ ('trendingUp'), bad: /** @type {const} */ ('triangleAlert'), slight: /** @type {const} */ ('minus'), even: /** @type {const} */ ('equal') }[tone])}${t(`teach.tone_${tone}`)}</caption>
      <colgroup><col class="what"><col class="value"><col class="value"><col class="drawn"></colgroup><thead class="visually-hidden"><tr><th>${t('teach.measure')}</th><th>${t('teach.before')}</th><th>${t('teach.after')}</th><th>${t('teach.gain')}</th></tr></thead>
      <tbody>${rows.map((measure) => html`<tr><th scope="row">${nameMeasure(measure.name)}</th>
        <td class="number">${formatValue(measure, measure.is_pairwise ? 0.5 : measure.champion)}</td><td class="number"><span aria-hidden="true">→ </span>${formatValue(measure, measure.challenger)}</td>
        <td class="drawn">${drawGain(measure, t('teach.gain_label', { low: formatNumber(measure.low, { maximumSignificantDigits: 2 }), high: formatNumber(measure.high, { maximumSignificantDigits: 2 }) }))}</td></tr>`)}</tbody></table>`;
  })}</div><p class="help">${t('teach.moved_help')}</p></section>`;
}

/** @param {Receipt} round */
function renderExamples({ receipt, hidden_examples: numHidden }) {
  const hidden = numHidden ? html`<p class="help">${t('teach.examples_hidden', { n: numHidden })}</p>` : nothing;
  if (!receipt.examples.length) return hidden;
  const renderSide = (/** @type {any} */ example, /** @type {'champion' | 'challenger'} */ version, /** @type {number} */ n) => {
    const [mime, data] = example.shown?.[n] ?? ['text/plain', ''];
    const item = { mime, label: t(`teach.by_${version}`), text: mime.startsWith('text/') && data ? decodeText(data) : example[version], url: data && !mime.startsWith('text/') ? `data:${mime};base64,${data}` : null };
    return html`<div class="${example.preferred_version === version ? 'preferred' : ''}"><p class="eyebrow">${t(`teach.by_${version}`)} · ${receipt[version]}
        ${example.preferred_version === version ? html`<strong>${icon('check')}${t('teach.preferred')}</strong>` : nothing}</p>
      <gl-viewer .item=${item}></gl-viewer></div>`;
  };
  return html`<section><h3>${t('teach.examples')}</h3>${receipt.examples.map((/** @type {any} */ example) => html`<div class="example">
    <p class="prompt">${example.prompt || t('teach.no_prompt')}</p>
    <div class="example-pair">${renderSide(example, 'champion', 0)}${renderSide(example, 'challenger', 1)}</div></div>`)}${hidden}</section>`;
}

/** @param {string} data base 64 of UTF-8 */
const decodeText = (data) => new TextDecoder().decode(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)));

/** What it was learned from, and what it cost. @param {any} receipt */
function renderSource(receipt) {
  const { ratings, cost, method } = receipt;
  const seconds = Object.values(cost.seconds).reduce((sum, each) => sum + each, 0);
  const unused = Object.values(ratings.unused).length;
  return html`<section class="receipt-facts"><div><h3>${t('teach.learned_from')}</h3>${facts([
    [t('teach.fact_ratings'), formatNumber(ratings.total)],
    [t('teach.fact_prompts'), formatNumber(ratings.prompts)],
    [t('teach.fact_pairs'), t('teach.pairs_and_singles', { pairs: ratings.pairs, singles: ratings.unpaired })],
    [t('teach.fact_held_out'), formatNumber(ratings.held_out)],
    [t('teach.fact_unused'), unused ? formatNumber(unused) : ''],
    [t('teach.fact_contradictions'), ratings.contradictions ? formatNumber(ratings.contradictions) : ''],
  ])}<p class="help">${t('teach.held_out_help')}${ratings.contradictions ? ` ${t('teach.contradictions_help')}` : ''}</p></div><div><h3>${t('teach.cost')}</h3>${facts([
    [t('teach.fact_time'), formatDuration(seconds)],
    [t('teach.fact_steps'), cost.steps ? formatNumber(cost.steps) : ''],
    [t('teach.fact_memory'), cost.peak_bytes ? formatBytes(cost.peak_bytes) : ''],
    [t('teach.fact_method'), translate('teach.method', String(method.method ?? ''))],
    [t('teach.fact_machine'), cost.machine],
  ])}</div></section>`;
}
