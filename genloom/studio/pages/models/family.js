/** The family of a model as a tree, its measure in words, and the way back to the list. */
import { html } from '../../vendor/lit.js';
import { formatNumber, t } from '../../core/i18n.js';
import { href } from '../../core/router.js';
import { drawTree } from '../../components/charts.js';
import { translate } from '../../components/workshop.js';

/** @typedef {import('../../core/shapes').Model} Model */
/** @typedef {import('../../core/shapes').Node} Node */
/** @typedef {import('../../core/shapes').Edge} Edge */

/** What was measured, as a number with its name. @param {Model} model */
export const formatMeasured = (model) => (model.value === null || model.metric === null ? '' : `${formatNumber(model.value, { maximumSignificantDigits: 4 })} ${translate('models.metric', model.metric)}`);

/** The address of what a node stands for; none of what is not here. @param {Node} node */
function hrefOf(node) {
  if (!node.is_here) return undefined;
  if (node.kind === 'model') return href(['models', node.id]);
  return node.kind === 'dataset' ? href(['data', node.label]) : href('gallery', { model: node.id.replace(/\/outputs$/, '') });
}

/** What stands in the box of a node. @param {Node} node @param {Model[]} models */
function nameNode(node, models) {
  if (node.kind === 'outputs') return { label: t('models.outputs', { n: Number(node.label) || 0 }), note: '' };
  if (node.kind === 'dataset') return { label: node.label, note: t('models.node_dataset') };
  const model = models.find((each) => each.ref === node.id);
  return { label: node.label, note: [model ? translate('models.kind', model.kind) : t('models.node_gone'), node.detail.length < 17 ? node.detail : ''].filter(Boolean).join(' · ') };
}

/** @param {Node[]} nodes @param {Edge[]} edges @param {{models: Model[], chosen?: string, label: string}} options */
export function renderTree(nodes, edges, { models, chosen = '', label }) {
  const siblings = Map.groupBy(models, (model) => model.name);
  const isChoice = (/** @type {string} */ ref) => models.some((model) => model.ref === ref && model.is_active && (siblings.get(model.name)?.length ?? 0) > 1);
  const parents = new Map(edges.filter(({ how }) => how === 'taught' || how === 'tuned from').map(({ source, target }) => [target, source]));
  // Data that a model has from its parent stand there already.
  const isNew = (/** @type {Edge} */ edge) => edge.how !== 'trained on' || !edges.some((each) => each.source === edge.source && each.target === parents.get(edge.target));
  return drawTree(
    nodes.map((node) => ({ id: node.id, kind: node.kind, href: hrefOf(node), isActive: isChoice(node.id), ...nameNode(node, models) })),
    edges.filter(isNew).map(({ source, target, how }) => ({ from: source, to: target, kind: how.replaceAll(' ', '-') })),
    { label, chosen },
  );
}

/** The way back to the list. */
export const renderCrumbs = () => html`<nav class="crumbs" aria-label=${t('models.title')}><a class="text-link" href=${href('models')}>${t('models.title')}</a><span aria-hidden="true">/</span></nav>`;
