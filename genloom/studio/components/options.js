/** The knobs of a model: one labelled control and one plain sentence each, made from what the server says about them. */
import { html, ifDefined, nothing } from '../vendor/lit.js';
import { vars } from '../core/dom.js';
import { t } from '../core/i18n.js';
import { explainOption, labelOption, showValue } from '../core/models.js';
import { field, icon } from './parts.js';

/** @typedef {import('../core/shapes').Option} Option */
/** @typedef {{id: string, describedBy: string}} Ids */

/**
 * One control. `change` gets undefined when the option goes back to the model's own value.
 * @param {Option} option @param {any} value @param {(value: any) => void} change @param {string} [error]
 */
export function optionField(option, value, change, error = '') {
  const id = `option-${option.name}`;
  const isOn = Boolean(value ?? option.default);
  if (option.type === 'bool') {
    return html`<div class="field"><label class="switch"><input type="checkbox" id=${id} .checked=${isOn} aria-describedby="${id}-help"
      @change=${(/** @type {any} */ event) => change(event.target.checked)}><span>${labelOption(option.name)}</span></label>
      <p class="help" id="${id}-help">${explainOption(option)}</p></div>`;
  }
  const control = option.choices.length ? chooseControl : option.type === 'int' || option.type === 'float' ? numberControl : textControl;
  return field({
    id,
    label: html`${labelOption(option.name)}${value === undefined ? nothing : html` <button type="button" class="reset" title=${t('options.reset')}
      aria-label="${labelOption(option.name)}: ${t('options.reset')}" @click=${(/** @type {Event} */ event) => (event.preventDefault(), change(undefined))}>${icon('undo2')}</button>`}`,
    help: explainOption(option),
    error,
    control: control(option, value, change),
  });
}

/** @param {Option} option @param {any} value @param {(value: any) => void} change */
const chooseControl = (option, value, change) => (/** @type {Ids} */ ids) => html`<select id=${ids.id} aria-describedby=${ids.describedBy}
    @change=${(/** @type {any} */ event) => change(event.target.value || undefined)}>
  ${option.default === null || option.default === undefined ? html`<option value="" ?selected=${!value}>${t('options.unset')}</option>` : nothing}
  ${option.choices.map((choice) => html`<option value=${choice} ?selected=${choice === (value ?? option.default)}>${choice}</option>`)}</select>`;

/** @param {Option} option @param {any} value @param {(value: any) => void} change */
const numberControl = (option, value, change) => (/** @type {Ids} */ ids) => {
  const low = option.minimum ?? undefined;
  const high = option.maximum ?? undefined;
  const step = option.type === 'int' ? 1 : high !== undefined && high - (low ?? 0) <= 2 ? 0.01 : 0.1;
  const shown = value ?? option.default;
  const hasSlider = low !== undefined && high !== undefined && shown !== null && shown !== undefined && high - low <= 400;
  const take = (/** @type {any} */ event) => {
    const text = event.target.value.trim().replace(',', '.');
    change(text === '' || Number.isNaN(Number(text)) ? undefined : Number(text));
  };
  return html`<div class="knob">${hasSlider ? html`<input type="range" min=${low} max=${high} step=${step} .value=${String(shown)} aria-label=${labelOption(option.name)}
      ${vars({ '--share': (shown - low) / (high - low) })} @input=${take} tabindex="-1" aria-hidden="true">` : nothing}
    <input type="text" inputmode=${option.type === 'int' ? 'numeric' : 'decimal'} id=${ids.id} aria-describedby=${ids.describedBy} autocomplete="off"
      .value=${value === undefined ? '' : String(value)} placeholder=${shown === null || shown === undefined ? t('options.auto') : showValue(option.default)}
      @change=${take} @keydown=${(/** @type {KeyboardEvent} */ event) => {
        const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
        if (!way || shown === null || shown === undefined) return;
        event.preventDefault();
        change(Math.min(high ?? Infinity, Math.max(low ?? -Infinity, Number((shown + way * step).toFixed(4)))));
      }}></div>`;
};

/** @param {Option} option @param {any} value @param {(value: any) => void} change */
const textControl = (option, value, change) => (/** @type {Ids} */ ids) => html`<input type="text" id=${ids.id} aria-describedby=${ids.describedBy} autocomplete="off"
  .value=${showValue(value)} placeholder=${ifDefined(showValue(option.default) || undefined)} @change=${(/** @type {any} */ event) => {
    const text = event.target.value.trim();
    change(text === '' ? undefined : option.type === 'list' ? text.split(/[\s,×]+/).map((/** @type {string} */ each) => (Number.isNaN(Number(each)) ? each : Number(each))) : text);
  }}>`;

/**
 * All knobs: the basic ones first, the rest folded.
 * @param {Option[]} options @param {Record<string, any>} values @param {(name: string, value: any) => void} change @param {{param?: string | null, message?: string} | null} [fault]
 * @param {unknown} [more] a field of the page beside them
 */
export function optionFields(options, values, change, fault = null, more = nothing) {
  const one = (/** @type {Option} */ option) => optionField(option, values[option.name], (value) => change(option.name, value),
    fault?.param?.split('.').at(-1) === option.name ? fault.message : '');
  const basic = options.filter((option) => option.is_basic);
  const rest = options.filter((option) => !option.is_basic);
  const isOpen = rest.some((option) => values[option.name] !== undefined || fault?.param?.split('.').at(-1) === option.name);
  return html`<div class="knobs">${(basic.length ? basic : rest).map(one)}${more}</div>
    ${basic.length && rest.length ? html`<details ?open=${isOpen}><summary>${t('options.more', { n: rest.length })}</summary><div class="knobs">${rest.map(one)}</div></details>` : nothing}`;
}
