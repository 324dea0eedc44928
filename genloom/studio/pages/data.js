/** Data: drop files, see what is taken and left and why; the sets, each with its splits, licences and samples. */
import { html, noChange, nothing, repeat } from '../vendor/lit.js';
import { get } from '../core/api.js';
import { Element } from '../core/element.js';
import { onEvent } from '../core/events.js';
import { formatAgo, formatBytes, t } from '../core/i18n.js';
import { href, route } from '../core/router.js';
import { errorBox, icon, pageHead } from '../components/parts.js';
import { countItems, mediumIcon } from '../components/workshop.js';
import './data/detail.js';
import './data/drop.js';

/** @typedef {import('../core/shapes').Dataset} Dataset */

class DataPage extends Element {
  static properties = { datasets: { state: true }, fault: { state: true } };

  constructor() {
    super();
    /** @type {Dataset[] | null} */
    this.datasets = null;
    /** @type {any} */
    this.fault = null;
  }

  stores() {
    return [route];
  }

  connectedCallback() {
    super.connectedCallback();
    for (const kind of ['dataset.created', 'dataset.removed', 'dataset.restored', 'reset']) this.onLeave(onEvent(kind, () => this.load()));
    this.load();
  }

  async load() {
    try {
      this.datasets = (await get('datasets')).data;
      this.fault = null;
    } catch (error) {
      this.fault = error;
    }
  }

  render() {
    const { page, rest: [name] } = route.get();
    if (page !== 'data') return noChange; // the shell is about to take this page away
    if (name) return html`<gl-data-detail .name=${name}></gl-data-detail>`;
    const { datasets } = this;
    return html`${pageHead({ title: t('data.title'), lead: t('data.lead') })}
      ${this.fault ? errorBox(this.fault, () => this.load()) : nothing}
      <gl-data-drop .names=${(datasets ?? []).map((each) => each.name)}></gl-data-drop>
      ${datasets?.length ? html`<ul class="data-list">${repeat(datasets, (each) => each.name, (each) => html`<li><a class="card panel data-card" href=${href(['data', each.name])}>
        <div class="data-card-head">${icon(mediumIcon(each.medium))}<h2>${each.name}</h2></div>
        <p>${t('data.summary', { items: countItems(each.medium, each.documents), size: formatBytes(each.bytes) })}</p>
        <p class="soft">${each.used_by.length ? t('data.used_by', { models: each.used_by.join(', ') }) : t('data.unused')} · ${formatAgo(each.created)}</p></a></li>`)}</ul>` : datasets ? html`<p class="soft first-step">${t('data.none')}</p>` : nothing}`;
  }
}
customElements.define('gl-data', DataPage);
