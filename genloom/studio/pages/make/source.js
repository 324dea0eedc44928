/** What a generation starts from: a file or an output, and which part of it is made again. What is offered follows from the model's options. */
import { html, nothing } from '../../vendor/lit.js';
import { upload } from '../../core/api.js';
import { t } from '../../core/i18n.js';
import { fileUrl } from '../../core/outputs.js';
import { optionField } from '../../components/options.js';
import { button, icon } from '../../components/parts.js';
import { toItem } from '../../components/output-card.js';
import { viewer } from '../../components/viewer.js';
import '../../components/mask-editor.js';

/** @typedef {import('../../core/shapes').Output} Output */
/** @typedef {import('../../core/shapes').Option} Option */

export class SourceEditor {
  /** @param {() => void} redraw */
  constructor(redraw) {
    this.redraw = redraw;
    /** @type {Option[]} */
    this.options = [];
    this.reference = '';
    this.url = '';
    this.name = '';
    this.mime = '';
    /** @type {Output | null} */
    this.output = null;
  }

  /** @param {Option[]} options @param {Record<string, any>} _values */
  setOptions(options, _values) {
    this.options = options.filter((option) => option.group === 'edit');
    if (!this.isPossible) this.clear();
  }

  /** The option that takes the source. */
  get file() {
    return this.options.find((option) => option.type === 'file' && option.name !== 'mask');
  }

  get isPossible() {
    return Boolean(this.file);
  }

  get isThere() {
    return Boolean(this.reference);
  }

  /** @param {string} name */
  has(name) {
    return this.options.some((option) => option.name === name);
  }

  /** Whether the source is edited on a canvas: a picture, and a model that takes a mask. */
  get isCanvas() {
    return this.has('mask') && this.mime.startsWith('image/');
  }

  clear() {
    if (this.url.startsWith('blob:')) URL.revokeObjectURL(this.url);
    this.reference = this.url = this.name = this.mime = '';
    this.output = null;
    this.redraw();
  }

  /** @param {Output} output */
  setOutput(output) {
    this.clear();
    this.output = output;
    this.reference = `output:${output.id}`;
    this.url = fileUrl(output);
    this.name = output.prompt || output.id;
    this.mime = output.mime;
    this.redraw();
  }

  /** @param {string} id @param {File} file */
  setUpload(id, file) {
    this.clear();
    this.reference = `upload:${id}`;
    this.url = URL.createObjectURL(file);
    this.name = file.name;
    this.mime = file.type || 'application/octet-stream';
    this.redraw();
  }

  /** The source of an output that is made again. @param {Record<string, any>} files */
  async recall(files) {
    const name = this.file?.name;
    const reference = name ? files[name] : null;
    if (typeof reference !== 'string' || !reference.startsWith('output:')) return;
    const { get } = await import('../../core/api.js');
    this.setOutput(await get(`outputs/${reference.slice(7)}`));
  }

  get editor() {
    return /** @type {import('../../components/mask-editor.js').MaskEditor | null} */ (document.querySelector('gl-make gl-mask-editor'));
  }

  /** The parameters of the job. @param {Record<string, any>} values */
  async makeParams(values) {
    const { file } = this;
    if (!this.isThere || !file) return { params: {}, files: {} };
    /** @type {Record<string, any>} */
    const params = {};
    /** @type {Record<string, string>} */
    const files = { [file.name]: this.reference };
    for (const option of this.options) {
      if (option.type !== 'file' && !option.is_basic && values[option.name] !== undefined) params[option.name] = values[option.name];
    }
    const { editor } = this;
    if (!this.isCanvas || !editor) return { params, files };
    if (editor.mode === 'paint') {
      const mask = await editor.makeMask();
      if (!mask) throw new Error(t('make.mask_empty'));
      const sent = await upload('uploads', [{ file: new File([mask], 'mask.png', { type: 'image/png' }) }]);
      files.mask = `upload:${sent.id}`;
    }
    if (editor.mode === 'extend') {
      if (!editor.frame.some(Boolean)) throw new Error(t('make.frame_empty'));
      params.outpaint = editor.frame.join(',');
      delete params.strength;
    }
    if (editor.mode === 'vary') params.strength ??= 0.5;
    return { params, files };
  }

  /** @param {Record<string, any>} values @param {(name: string, value: any) => void} change @param {any} fault */
  render(values, change, fault) {
    const knobs = this.options.filter((option) => option.type !== 'file' && !option.is_basic && !(this.isCanvas && option.name === 'outpaint')
      && !(this.isCanvas && this.editor?.mode === 'extend' && option.name === 'strength'));
    const modes = /** @type {import('../../components/mask-editor.js').Mode[]} */ (['vary', 'paint', ...(this.has('outpaint') ? ['extend'] : [])]);
    return html`<div class="source"><div class="source-head">${icon('cornerDownLeft')}<span class="grow">${t('make.starts_from', { name: this.name })}</span>
        ${button({ label: t('make.remove_source'), icon: 'x', alone: true, small: true, kind: 'quiet', run: () => this.clear() })}</div>
      ${this.isCanvas ? html`<gl-mask-editor src=${this.url} label=${this.name} .modes=${modes} @change=${() => this.redraw()}></gl-mask-editor>`
        : this.output ? html`<div class="source-shown">${viewer(toItem(this.output))}</div>` : nothing}
      ${knobs.length ? html`<div class="knobs">${knobs.map((option) => optionField(option, values[option.name], (value) => change(option.name, value),
        fault?.param?.split('.').at(-1) === option.name ? fault.message : ''))}</div>` : nothing}</div>`;
  }
}
