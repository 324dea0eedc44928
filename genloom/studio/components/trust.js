/** Trust in words and pictures: the line of an output, the verdict about a file, what was copied, measures with intervals. */
import { html, nothing } from '../vendor/lit.js';
import { vars } from '../core/dom.js';
import { useStyle } from '../core/element.js';
import { formatDate, formatDuration, formatNumber, formatPercent, hasMessage, loadMessages, t } from '../core/i18n.js';
import { href } from '../core/router.js';
import { facts, icon } from './parts.js';

await Promise.all([loadMessages('trust'), useStyle('trust')]);

/** @typedef {import('../core/shapes').Provenance} Provenance */
/** @typedef {import('../core/shapes').TraceNode} TraceNode */
/** @typedef {{mean: number, low: number, high: number, count: number}} Interval */

/** A word of the server in the reader's language. @param {string} prefix @param {string} word */
const say = (prefix, word) => (hasMessage(`trust.${prefix}_${word}`) ? t(`trust.${prefix}_${word}`) : word);

/** A p-value as people read it. @param {number} p */
const formatP = (p) => `p = ${p < 1e-3 ? p.toExponential(0) : formatNumber(p, { maximumSignificantDigits: 2 })}`;

// The line

const DRAWINGS = /** @type {Record<string, import('./parts.js').IconName>} */ ({
  output: 'sparkles', prompt: 'messageSquare', source: 'image', model: 'shapes', origin: 'package', run: 'trendingUp',
  ratings: 'thumbsUp', data: 'database', document: 'fileText', documents: 'fileText', file: 'file', outputs: 'images',
});

/** What is known of a node, in words. @param {TraceNode} node */
function describeNode({ kind, facts: known }) {
  const licences = Object.entries(known.licences ?? {}).map(([name, count]) => `${name === 'unknown' ? t('trust.licence_unknown') : name}${typeof count === 'number' ? ` (${formatNumber(count)})` : ''}`);
  const licence = known.licence === 'unknown' ? t('trust.licence_unknown') : known.licence;
  switch (kind) {
    case 'model': return [known.built_in ? t('trust.built_in') : '', known.parameters ? t('trust.weights', { count: formatNumber(known.parameters, { notation: 'compact' }) }) : ''];
    case 'run': return [known.fact?.steps ? t('trust.steps', { n: known.fact.steps }) : '', known.fact?.seconds ? formatDuration(known.fact.seconds) : ''];
    case 'data': return licences;
    case 'documents': return [known.source ? t('trust.documents', { n: known.documents ?? 0 }) : '', licence];
    case 'document': case 'origin': return [licence, known.repository ?? known.base_model ?? ''];
    case 'ratings': return [t('trust.ratings', { n: Array.isArray(known.entries) ? known.entries.length : known.entries ?? 0 }), (known.raters ?? []).join(', ')];
    case 'source': return [String(known.sha256 ?? '').slice(0, 12)];
    default: return [known.created ? formatDate(known.created) : ''];
  }
}

/** @param {TraceNode} node */
function nameOf({ kind, name, state, facts: known }) {
  if (kind === 'prompt') return html`<strong dir="auto">${known.prompt ?? name}</strong>`;
  if (kind === 'documents') return html`<strong>${known.source || t('trust.documents', { n: known.documents ?? 0 })}</strong>`;
  if (kind === 'ratings') return html`<strong>${say('kind', kind)}</strong>`;
  const link = { model: href(['models', name]), data: href(['data', name.split('@')[0]]), output: href(['gallery', name]) }[kind];
  return link && state !== 'missing' && state !== 'removed' ? html`<a class="text-link" href=${link}><strong>${name}</strong></a>` : html`<strong>${name}</strong>`;
}

/** The line of an output as a list in lists: what each thing comes from stands below it. @param {Provenance} line */
export function renderLine({ root, nodes, edges, left_out: leftOut }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const shown = new Set([root]);
  /** @param {string} id @returns {unknown} */
  const renderOrigins = (id) => {
    const next = edges.filter(({ source, target }) => source === id && byId.has(target) && !shown.has(target));
    next.forEach(({ target }) => shown.add(target));
    return next.length ? html`<ul>${next.map(({ target, relation }) => renderNode(target, relation))}</ul>` : nothing;
  };
  /** @param {string} id @param {string} relation @returns {unknown} */
  const renderNode = (id, relation) => {
    const node = /** @type {TraceNode} */ (byId.get(id));
    const isBad = node.state === 'changed';
    const note = hasMessage(`trust.state_${node.state}`) ? t(`trust.state_${node.state}`) : '';
    return html`<li><div class="line-node ${isBad ? 'changed' : ''}">${icon(isBad ? 'triangleAlert' : DRAWINGS[node.kind] ?? 'file')}
        <div><span class="how">${say('relation', relation)}</span> ${nameOf(node)}${note ? html` <span class="badge ${isBad ? 'bad' : ''}">${note}</span>` : nothing}
          <span class="help">${describeNode(node).filter(Boolean).join(' · ')}</span></div></div>${renderOrigins(id)}</li>`;
  };
  const first = edges.filter(({ source }) => source === root && byId.has(source));
  first.forEach(({ target }) => shown.add(target));
  return html`<ul class="line">${first.map(({ target, relation }) => renderNode(target, relation))}</ul>
    ${leftOut ? html`<p class="help">${t('trust.left_out', { n: leftOut })}</p>` : nothing}`;
}

/** Whether an output leaves signed, and was made with a mark. @param {Provenance} line */
export function renderState({ signature, mark }) {
  const isSigned = signature.state === 'signed';
  return html`<ul class="trust-state">
    <li class=${isSigned ? 'good' : ''}>${icon(isSigned ? 'badgeCheck' : 'minus')}<div>${isSigned ? t('trust.signed', { signer: signature.signer }) : t(`trust.${signature.state}`)}
      ${isSigned ? html`<span class="help">${t(signature.is_embedded ? 'trust.signed_inside' : 'trust.signed_beside')}</span>` : nothing}</div></li>
    <li class=${mark.is_marked ? 'good' : ''}>${icon(mark.is_marked ? 'badgeCheck' : 'minus')}<div>${t(mark.is_marked ? 'trust.mark_yes' : 'trust.mark_no')}</div></li></ul>`;
}

// Verdicts

/** The verdict about a file: its words and its tone. @param {any} found a file of the result of a job of kind verify */
function judge({ signature, manifest, stored, mark, problem }) {
  const signer = manifest?.signer ?? '';
  if (signature === 'unchanged') {
    const kind = { workspace: 'own', trusted: 'trusted', unknown: 'unknown' }[/** @type {'workspace' | 'trusted' | 'unknown'} */ (manifest.authority)];
    return { tone: kind === 'unknown' ? '' : 'good', title: t(`trust.verdict_${kind}`, { signer }), text: t(`trust.verdict_${kind}_text`) };
  }
  if (signature === 'changed') return { tone: 'bad', title: t('trust.verdict_changed', { signer }), text: t('trust.verdict_changed_text') };
  if (signature === 'unreadable') return { tone: 'bad', title: t('trust.verdict_damaged'), text: t('trust.verdict_damaged_text') };
  if (signature === 'unread') return { tone: 'bad', title: t('trust.verdict_unread'), text: problem };
  const kind = stored ? 'stored' : mark?.found ? 'mark' : 'none';
  return { tone: kind === 'none' ? '' : 'good', title: t(`trust.verdict_${kind}`), text: t(`trust.verdict_${kind}_text`) };
}

/** What is known of the mark in a file. @param {any} found */
function describeMark({ mark, mark_problem: problem }) {
  if (!mark) return problem ? html`${t('trust.mark_not_checked')}: <span lang="en">${problem}</span>` : t('trust.mark_not_checked');
  if (mark.found) return t('trust.mark_found', { p: formatP(mark.p_value) });
  return html`${t('trust.mark_not_found', { p: formatP(mark.p_value) })} <span class="help">${t('trust.mark_not_found_help')}</span>`;
}

/** The verdict about one file in plain words, with what it stands on. @param {any} found @param {{plain?: boolean}} [options] plain: without a card */
export function renderVerdict(found, { plain = false } = {}) {
  const { tone, title, text } = judge(found);
  const { facts: known, manifest } = found;
  const data = (Array.isArray(known.data) ? known.data : []).map((/** @type {any} */ each) => `${each.name}${each.licences?.length ? ` (${[each.licences].flat().join(', ')})` : ''}`);
  return html`<article class="trust-verdict ${tone} ${plain ? 'plain' : 'card'}">${icon(tone === 'good' ? 'badgeCheck' : tone === 'bad' ? 'triangleAlert' : 'circleHelp')}
    <div>${plain ? html`<h3>${title}</h3>` : html`<p class="file">${found.file}</p><h2>${title}</h2>`}<p class="soft">${text}</p>
      ${facts([
        [t('trust.fact_mark'), describeMark(found)],
        [t('trust.fact_output'), found.output && !plain ? html`<a class="text-link" href=${href(['gallery', found.output])}>${found.output}</a>` : ''],
        [t('trust.fact_model'), known.model ?? ''],
        [t('trust.fact_made'), known.created ? formatDate(known.created) : ''],
        [t('trust.fact_data'), data.join(', ')],
        [t('trust.fact_prompt'), plain ? '' : known.prompt ?? ''],
        [t('trust.fact_sources'), (manifest?.ingredients ?? []).join(', ')],
      ])}</div></article>`;
}

// Copies

/** What an output shares with the training data. @param {any} report of a job of kind copies */
export function renderCopies(report) {
  const { matches, chance, unit } = report;
  const isUnknown = matches.length && !chance && !matches[0].is_identical;
  return html`<div class="stack">
    ${matches.length ? html`<p><span class="badge ${report.beyond_chance ? 'bad' : isUnknown ? '' : 'good'}">${t(report.beyond_chance ? 'trust.copies_near' : isUnknown ? 'trust.copies_unknown_short' : 'trust.copies_far')}</span></p>` : html`<p>${t(report.not_searched.length ? 'trust.copies_none_searched' : 'trust.copies_none')}</p>`}
    ${isUnknown ? html`<p class="help">${t('trust.copies_unknown')}</p>` : nothing}
    ${matches.length ? html`<ul class="matches">${matches.map((/** @type {any} */ match) => html`<li><p><span dir="auto">${match.caption}</span> <span class="help">${match.source}</span></p>
      ${match.excerpt ? html`<blockquote dir="auto">${match.excerpt}</blockquote>` : nothing}
      <p class="help">${[
        match.length !== null ? t(`trust.shared_${unit === 'note' ? 'notes' : 'characters'}`, { n: match.length }) : '',
        match.similarity !== null ? t('trust.similar', { share: formatPercent(Math.max(0, match.similarity)) }) : '',
        match.is_identical ? t('trust.copies_identical') : '',
        match.licence === 'unknown' ? t('trust.licence_unknown') : match.licence,
      ].filter(Boolean).join(' · ')}</p></li>`)}</ul>` : nothing}
    ${chance ? html`<p class="help">${describeChance(chance, unit)}</p>` : nothing}
    ${report.not_searched.length ? html`<p class="help">${t('trust.copies_unsearched')} <span lang="en">${report.not_searched.join('; ')}</span></p>` : nothing}</div>`;
}

/** What unseen data share by chance. @param {{median: number, limit: number, count: number}} chance @param {string} unit */
function describeChance({ limit, count }, unit) {
  const amount = unit ? t(`trust.shared_${unit === 'note' ? 'notes' : 'characters'}`, { n: Math.round(limit) }) : t('trust.similar', { share: formatPercent(Math.max(0, limit)) });
  return `${t('trust.chance_limit', { amount })} ${t('trust.copies_chance', { n: count })}`;
}

// Intervals

/**
 * A value with its interval on a scale, beside what chance gives.
 * @param {string} name @param {Interval} value @param {{low: number, high: number, chance: number | null, format: (value: number) => string, isOff?: boolean}} scale
 */
function renderInterval(name, value, { low, high, chance, format, isOff = false }) {
  const place = (/** @type {number} */ each) => Math.min(1, Math.max(0, (each - low) / (high - low || 1)));
  const words = t('trust.interval', { mean: format(value.mean), low: format(value.low), high: format(value.high) });
  return html`<li class="interval-row ${isOff ? 'off' : ''}"><span>${name}</span>
    <span class="interval" role="img" aria-label=${words} title=${words} ${vars({ '--low': place(value.low), '--high': place(value.high), '--mean': place(value.mean), '--chance': place(chance ?? low) })}>
      <span class="band"></span>${chance === null ? nothing : html`<span class="chance"></span>`}<span class="dot"></span></span>
    <span class="number">${format(value.mean)}</span></li>`;
}

/** Whether an interval leaves out a value. @param {Interval} value @param {number} at */
const excludes = (value, at) => value.low > at || value.high < at;

/** The gaps of a model between groups of people. @param {any} report */
export function renderBias(report) {
  if (!report.measured) return html`<p class="help">${t('trust.bias_unmeasured')}</p>`;
  const rows = /** @type {[string, any][]} */ (Object.entries(report.likelihood));
  const reach = 1.1 * Math.max(0.1, ...rows.flatMap(([, { gap }]) => [Math.abs(gap.low), Math.abs(gap.high)]));
  const format = (/** @type {number} */ value) => formatNumber(value, { maximumFractionDigits: 2, signDisplay: 'exceptZero' });
  return html`<ul class="intervals" aria-label=${t('trust.bias')}>${rows.map(([category, { gap }]) => renderInterval(say('category', category), gap, {
      low: -reach, high: reach, chance: 0, format, isOff: excludes(gap, 0) }))}</ul>
    <p class="help">${t('trust.gap_help')} ${t(`trust.language_${report.language}`)}.</p>`;
}

/** What a model gives away of its training data. @param {any} report */
export function renderPrivacy(report) {
  const share = (/** @type {number} */ value) => formatPercent(value, value > 0 && value < 0.1 ? 1 : 0);
  const auc = (/** @type {number} */ value) => formatNumber(value, { maximumFractionDigits: 2 });
  const { membership, calibrated, extraction, exposure, personal_data: personal } = report;
  const rows = [
    membership && renderInterval(t('trust.privacy_auc'), membership.auc, { low: 0, high: 1, chance: 0.5, format: auc, isOff: membership.auc.low > 0.5 }),
    calibrated && renderInterval(t('trust.privacy_calibrated'), calibrated.auc, { low: 0, high: 1, chance: 0.5, format: auc, isOff: calibrated.auc.low > 0.5 }),
    membership && renderInterval(t('trust.privacy_found'), membership.found, { low: 0, high: 1, chance: 0.05, format: share, isOff: membership.found.low > 0.05 }),
    extraction && renderInterval(t('trust.privacy_extraction'), extraction.train, { low: 0, high: 1, chance: extraction.held_out?.high ?? null, format: share, isOff: extraction.train.low > (extraction.held_out?.high ?? 0) }),
    exposure && renderInterval(t('trust.privacy_exposure'), exposure.mean, { low: 0, high: Math.log2(exposure.num_candidates), chance: 1 / Math.LN2, format: auc, isOff: exposure.mean.low > 1 / Math.LN2 }),
    personal && renderInterval(t('trust.privacy_personal'), personal.share, { low: 0, high: 1, chance: null, format: share }),
  ].filter(Boolean);
  return html`<p class="row">${icon(report.leaking ? 'triangleAlert' : 'shieldCheck')}<span>${t(report.leaking ? 'trust.privacy_leaking' : 'trust.privacy_ok')}</span></p>
    ${rows.length ? html`<ul class="intervals" aria-label=${t('trust.privacy')}>${rows}</ul>` : nothing}
    ${report.notes.length ? html`<details><summary>${t('trust.unmeasured')}</summary><ul class="limits" lang="en">${report.notes.map((/** @type {string} */ note) => html`<li>${note}</li>`)}</ul></details>` : nothing}`;
}
