/** The box of Make: prompt, source, model, number, settings and what to try; and what is offered before anything was made. */
import { html, nothing } from '../../vendor/lit.js';
import { t } from '../../core/i18n.js';
import { iconOfMedium, models, nameMedium, nameModel } from '../../core/models.js';
import { href } from '../../core/router.js';
import { isAllowed } from '../../core/session.js';
import { createSetting } from '../../core/store.js';
import { optionFields } from '../../components/options.js';
import { button, errorBox, field, icon } from '../../components/parts.js';
import { toastError } from '../../components/toast.js';

/** @typedef {import('../make.js').Make} Make */

export const counts = createSetting('make.counts', /** @type {Record<string, number>} */ ({}));
export const isOpen = createSetting('make.open', false);
const COUNTS = [1, 2, 4, 8, 16];

/** @param {Make} page @param {boolean} isFirst */
export function renderComposer(page, isFirst) {
  const { model } = page;
  const fault = page.fault;
  const named = fault?.param?.split('.').at(-1) ?? '';
  const isKnob = named === 'seed' || page.options.some((option) => option.name === named);
  const shown = page.options.filter((option) => option.name !== 'prompt' && option.type !== 'file' && (option.group !== 'edit' || option.is_basic));
  const set = Object.keys(page.values).length + (page.seed ? 1 : 0);
  return html`<form class="composer card" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), page.start())}
      @dragover=${onDragOver} @dragleave=${onDragLeave} @drop=${(/** @type {DragEvent} */ event) => onDrop(page, event)}>
    <div class="composer-box">
      <label class="visually-hidden" for="make-prompt">${t('make.prompt')}</label>
      <textarea id="make-prompt" rows="1" .value=${page.prompt} placeholder=${page.suggestions[0] ? t('make.prompt_example', { prompt: page.suggestions[0] }) : t('make.prompt_hint')}
        autocomplete="off" @input=${(/** @type {any} */ event) => {
          page.prompt = event.target.value;
          page.requestUpdate();
        }} @keydown=${(/** @type {KeyboardEvent} */ event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.ctrlKey || event.metaKey) return;
          event.preventDefault();
          page.start();
        }} @paste=${(/** @type {ClipboardEvent} */ event) => {
          if (event.clipboardData?.files.length) {
            event.preventDefault();
            page.takeFile(event.clipboardData.files);
          }
        }}></textarea>
      ${page.source.isThere ? page.source.render(page.values, (name, value) => page.setValue(name, value), fault) : nothing}
    </div>
    <div class="composer-bar">
      ${renderModelPicker(page)}
      <label class="count-picker" title=${t('make.count_label')}><span class="visually-hidden">${t('make.count_label')}</span>
        <select @change=${(/** @type {any} */ event) => counts.update((now) => ({ ...now, [model?.name ?? '']: Number(event.target.value) }))}>
          ${COUNTS.map((n) => html`<option value=${n} ?selected=${n === page.count}>${t('make.count', { n })}</option>`)}</select></label>
      ${page.source.isPossible ? html`<input type="file" id="make-file" class="visually-hidden" tabindex="-1" aria-hidden="true" @change=${(/** @type {any} */ event) => {
          page.takeFile(event.target.files);
          event.target.value = '';
        }}>${button({ label: t('make.add_source'), icon: 'imagePlus', alone: true, kind: 'quiet', run: () => /** @type {HTMLInputElement} */ (page.querySelector('#make-file')).click() })}` : nothing}
      <button type="button" class="button quiet knobs-toggle" aria-expanded=${isOpen.get() ? 'true' : 'false'} aria-controls="make-knobs" @click=${() => {
          isOpen.set(!isOpen.get());
          if (isOpen.get()) page.readAdditions();
        }}>
        ${icon('slidersHorizontal')}<span>${t('make.settings')}</span>${set ? html`<span class="badge accent">${set}</span>` : nothing}</button>
      <span class="grow"></span>
      ${button({ label: t('make.go'), kind: 'primary', icon: 'sparkles', busy: page.isStarting, disabled: !model, run: () => page.start() })}
    </div>
    <div id="make-knobs" class="composer-knobs" ?hidden=${!isOpen.get()}>
      ${optionFields(shown, page.values, (name, value) => page.setValue(name, value), fault, html`${field({ id: 'make-seed', label: t('make.seed'), help: t('make.seed_help'),
        error: named === 'seed' ? fault?.message : '', control: (ids) => html`<input id=${ids.id} inputmode="numeric" autocomplete="off" .value=${page.seed} placeholder=${t('make.seed_hint')}
          aria-describedby=${ids.describedBy} @input=${(/** @type {any} */ event) => {
            page.seed = event.target.value.replace(/\D/g, '').slice(0, 15);
            page.requestUpdate();
          }}>` })}${renderAdditions(page)}<label class="switch"><input type="checkbox" role="switch" .checked=${Boolean(page.values.refuse_copies)} @change=${(/** @type {any} */ event) => page.setValue('refuse_copies', event.target.checked || undefined)}>
        <span>${t('make.refuse_copies')}<small class="help">${t('make.refuse_copies_help')}</small></span></label>`)}
      ${set ? html`<div class="row composer-reset">${button({ label: t('make.defaults'), icon: 'rotateCcw', small: true, kind: 'quiet', run: () => {
        page.seed = '';
        page.setValues({});
      } })}</div>` : nothing}
    </div>
    ${fault && !isKnob ? html`<div class="composer-fault">${errorBox(fault)}</div>` : nothing}
    ${page.suggestions.length && (isFirst || !page.prompt) && !page.source.isThere ? html`<div class="suggestions" role="group" aria-label=${t('make.suggestions')}>
      ${page.suggestions.slice(0, isFirst ? 5 : 3).map((prompt) => html`<button type="button" class="chip" @click=${() => {
        page.prompt = prompt;
        page.requestUpdate();
        page.box?.focus();
      }}>${prompt}</button>`)}</div>` : nothing}
  </form>`;
}

/** Presets and adapters, where there are any. @param {Make} page */
function renderAdditions(page) {
  const { presets, adapters } = page.additions;
  const chosen = /** @type {string[]} */ (page.values.adapters ?? []);
  return html`${presets.length ? field({ id: 'make-preset', label: t('make.preset'), help: presets.find(({ name }) => name === page.values.preset)?.help || t('make.preset_help'), control: (ids) => html`
      <select id=${ids.id} aria-describedby=${ids.describedBy} @change=${(/** @type {any} */ event) => page.setValue('preset', event.target.value || undefined)}>
        <option value="">${t('make.preset_none')}</option>${presets.map(({ name }) => html`<option value=${name} ?selected=${name === page.values.preset}>${name}</option>`)}</select>` }) : nothing}
    ${adapters.length ? html`<fieldset class="choices"><legend class="label">${t('make.adapters')}</legend>${adapters.map((ref) => html`<label class="switch"><input type="checkbox" role="switch" .checked=${chosen.includes(ref)}
      @change=${(/** @type {any} */ event) => {
        const next = event.target.checked ? [...chosen, ref] : chosen.filter((each) => each !== ref);
        page.setValue('adapters', next.length ? next : undefined);
      }}><span>${ref}</span></label>`)}</fieldset>` : nothing}`;
}

/** @param {Make} page */
function renderModelPicker(page) {
  const usable = (models.get() ?? []).filter((each) => each.can.includes('generate'));
  const media = [...new Set(usable.map((each) => each.medium))];
  return html`<label class="model-picker"><span class="visually-hidden">${t('make.model')}</span>${icon(iconOfMedium(page.model?.medium ?? ''))}
    <select @change=${(/** @type {any} */ event) => page.chooseModel(event.target.value)} ?disabled=${!usable.length}>
      ${media.map((medium) => html`<optgroup label=${nameMedium(medium)}>${usable.filter((each) => each.medium === medium).map((each) => html`
        <option value=${each.ref} ?selected=${each.ref === page.model?.ref}>${nameModel(each)}</option>`)}</optgroup>`)}</select></label>`;
}

export function renderNoModels() {
  return html`<div class="card panel stack"><h2>${t('make.no_models')}</h2><p>${t('make.no_models_text')}</p>
    <div class="row"><a class="button primary" href=${href('data')}>${t('make.step_data')}</a><a class="button" href=${href('models')}>${t('make.step_models')}</a></div></div>`;
}

/** @param {Make} page */
export function renderSteps(page) {
  const steps = /** @type {const} */ ([['make', 'sparkles', '#make-prompt', 'generate'], ['rate', 'thumbsUp', href('arena'), 'rate'], ['data', 'database', href('data'), 'train']]);
  return html`<ol class="steps">${steps.filter(([, , , scope]) => isAllowed(scope)).map(([name, drawing, link], n) => html`<li>
    <a class="card step" href=${link} @click=${(/** @type {Event} */ event) => {
      if (name !== 'make') return;
      event.preventDefault();
      page.box?.focus();
    }}><span class="step-icon">${icon(drawing)}</span><span><strong>${n + 1}. ${t(`make.step_${name}`)}</strong><small>${t(`make.step_${name}_text`)}</small></span></a></li>`)}</ol>`;
}

/** @param {DragEvent} event */
function onDragOver(event) {
  if (!event.dataTransfer?.types.some((type) => type === 'Files' || type === 'text/genloom-output')) return;
  event.preventDefault();
  /** @type {HTMLElement} */ (event.currentTarget).classList.add('drop-target');
}

/** @param {DragEvent} event */
function onDragLeave(event) {
  const box = /** @type {HTMLElement} */ (event.currentTarget);
  if (!box.contains(/** @type {Node} */ (event.relatedTarget))) box.classList.remove('drop-target');
}

/** @param {Make} page @param {DragEvent} event */
function onDrop(page, event) {
  event.preventDefault();
  /** @type {HTMLElement} */ (event.currentTarget).classList.remove('drop-target');
  const id = event.dataTransfer?.getData('text/genloom-output');
  if (id) page.useAsStart(id).catch(toastError);
  else if (event.dataTransfer?.files.length) page.takeFile(event.dataTransfer.files);
}
