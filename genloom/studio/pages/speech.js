/** Speech: a text that a voice speaks, sentence by sentence, and a recording that is written down. */
import { html, nothing } from '../vendor/lit.js';
import { get, makeUrl, quote, send } from '../core/api.js';
import { announce, copyText } from '../core/dom.js';
import { Element } from '../core/element.js';
import { formatDuration, formatNumber, t } from '../core/i18n.js';
import { models, readModels } from '../core/models.js';
import { button, buttonLink, emptyState, errorBox, field, pageHead, progressBar } from '../components/parts.js';
import { LISTENER, VOICES, fetchButton } from '../components/fetch-model.js';
import { inputValue } from '../components/workshop.js';
import '../components/player.js';

/** @typedef {import('../core/shapes').Voice} Voice */

const SPEEDS = [0.75, 1, 1.25, 1.5, 2];
const FORMATS = /** @type {const} */ (['text', 'srt', 'vtt', 'json']);
const SUFFIXES = { text: 'txt', srt: 'srt', vtt: 'vtt', json: 'json' };
const MAX_CHARACTERS = 20_000; // that the server speaks at once
const WAV_RATE = 24; // where a WAV file says its samples a second

class SpeechPage extends Element {
  static properties = { voices: { state: true }, made: { state: true }, fault: { state: true }, seconds: { state: true }, heard: { state: true }, listening: { state: true }, hearFault: { state: true } };

  constructor() {
    super();
    /** @type {Voice[] | null} */
    this.voices = null;
    this.text = '';
    this.voice = '';
    this.speed = 1;
    /** What was spoken, newest first. @type {{id: string, text: string, voice: string}[]} */
    this.made = [];
    /** Seconds of speech so far; null while nothing is spoken. @type {number | null} */
    this.seconds = null;
    /** @type {any} */
    this.fault = null;
    this.language = '';
    /** @type {typeof FORMATS[number]} */
    this.format = 'text';
    /** @type {{name: string, text: string, format: typeof FORMATS[number]} | null} */
    this.heard = null;
    this.listening = '';
    /** @type {any} */
    this.hearFault = null;
  }

  stores() {
    return [models];
  }

  connectedCallback() {
    super.connectedCallback();
    readModels().catch((error) => (this.hearFault = error));
    this.readVoices();
  }

  async readVoices() {
    try {
      this.voices = /** @type {Voice[]} */ ((await get('voices')).data);
      this.voice ||= this.voices[0]?.name ?? '';
    } catch (error) {
      this.fault = error;
    }
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.stopping?.abort();
  }

  async speak() {
    const voice = this.voices?.find((each) => each.name === this.voice);
    if (!voice || !this.text.trim() || this.seconds !== null) return;
    this.stopping = new AbortController();
    this.fault = null;
    this.seconds = 0;
    const text = this.text;
    try {
      const body = { model: voice.model, voice: voice.name, input: text, speed: this.speed, response_format: 'wav', stream_format: 'audio' };
      const answer = await send('POST', 'v1/audio/speech', { body, signal: this.stopping.signal });
      await readSpeech(answer, (seconds) => (this.seconds = seconds));
      this.made = [{ id: answer.headers.get('x-genloom-output-id') ?? '', text, voice: voice.name }, ...this.made];
      announce(t('speech.spoken'));
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'AbortError') this.fault = error;
    } finally {
      this.seconds = null;
    }
  }

  /** @param {File | undefined} file */
  async listen(file) {
    const model = this.listener;
    if (!file || !model || this.listening) return;
    this.stopping = new AbortController();
    this.hearFault = null;
    this.listening = file.name;
    const { format } = this;
    const form = new FormData();
    form.append('model', model.name);
    form.append('response_format', format === 'json' ? 'verbose_json' : format);
    if (this.language.trim()) form.append('language', this.language.trim());
    form.append('file', file, file.name);
    try {
      const answer = await send('POST', 'v1/audio/transcriptions', { body: form, signal: this.stopping.signal });
      const text = await answer.text();
      this.heard = { name: file.name, text: format === 'json' ? JSON.stringify(JSON.parse(text), null, 2) : text, format };
      announce(t('speech.heard'));
    } catch (error) {
      if (/** @type {Error} */ (error).name !== 'AbortError') this.hearFault = error;
    } finally {
      this.listening = '';
    }
  }

  get listener() {
    return models.get()?.find((each) => each.can.includes('transcribe') && each.is_active);
  }

  render() {
    return html`${pageHead({ title: t('speech.title'), lead: t('speech.lead') })}
      ${this.voices?.length === 0 ? emptyState({ icon: 'volume2', title: t('speech.no_voices'), text: t('speech.no_voices_help'), action: fetchButton(VOICES, () => this.readVoices()) }) : this.renderSpeak()}
      ${this.made.length ? html`<section class="speech-made" aria-label=${t('speech.made')}>${this.made.map((each) => this.renderMade(each))}</section>` : nothing}
      ${models.get() && !this.listener ? emptyState({ icon: 'mic', title: t('speech.no_listeners'), text: t('speech.no_listeners_help'), action: fetchButton(LISTENER) }) : this.renderListen()}
      ${this.heard ? this.renderHeard(this.heard) : nothing}`;
  }

  renderSpeak() {
    const isBusy = this.seconds !== null;
    return html`<form class="card panel stack" @submit=${(/** @type {Event} */ event) => (event.preventDefault(), this.speak())}>
      ${field({ id: 'speech-text', label: t('speech.text'), help: t('speech.text_help'), control: ({ id, describedBy }) => html`<textarea id=${id} rows="5" lang="en" maxlength=${MAX_CHARACTERS} aria-describedby=${describedBy} .value=${this.text} @input=${(/** @type {Event} */ event) => (this.text = inputValue(event))}></textarea>` })}
      <div class="speech-options">
        ${field({ id: 'speech-voice', label: t('speech.voice'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {Event} */ event) => (this.voice = inputValue(event))}>
          ${this.renderVoices('speech.voices_own', true)}${this.renderVoices('speech.voices_pretrained', false)}</select>` })}
        ${field({ id: 'speech-speed', label: t('speech.speed'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {Event} */ event) => (this.speed = Number(inputValue(event)))}>
          ${SPEEDS.map((each) => html`<option value=${each} ?selected=${each === this.speed}>${formatNumber(each)} ×</option>`)}</select>` })}
      </div>
      ${this.fault ? errorBox(this.fault) : nothing}
      ${isBusy ? progressBar({ share: null, label: t('speech.speak'), note: t('speech.speaking', { time: formatDuration(this.seconds ?? 0) }) }) : nothing}
      <div class="actions">${isBusy ? button({ label: t('speech.cancel'), icon: 'square', run: () => this.stopping?.abort() }) : button({ label: t('speech.speak'), icon: 'volume2', kind: 'primary', run: () => this.speak() })}
        <p class="help">${t('speech.synthetic')}</p></div></form>`;
  }

  /** @param {string} label @param {boolean} isOwn */
  renderVoices(label, isOwn) {
    const voices = (this.voices ?? []).filter((each) => each.is_own === isOwn);
    return voices.length ? html`<optgroup label=${t(label)}>${voices.map((each) => html`<option value=${each.name} ?selected=${each.name === this.voice}>${each.note ? `${each.name} – ${each.note}` : each.name}</option>`)}</optgroup>` : nothing;
  }

  /** @param {{id: string, text: string, voice: string}} made */
  renderMade({ id, text, voice }) {
    const address = makeUrl(`api/outputs/${quote(id)}/file`).href;
    return html`<article class="card panel stack"><p lang="en">${text.length > 300 ? `${text.slice(0, 300)}…` : text}</p>
      <gl-player src=${address} label=${`${t('speech.made')}: ${voice}`}></gl-player>
      <div class="actions">${buttonLink({ label: t('speech.save'), href: address, icon: 'download', small: true, download: `${voice}.flac` })}</div></article>`;
  }

  renderListen() {
    return html`<section class="card panel stack"><h2>${t('speech.transcribe')}</h2>
      <div class="speech-options">
        ${field({ id: 'speech-format', label: t('speech.format'), control: ({ id }) => html`<select id=${id} @change=${(/** @type {any} */ event) => (this.format = event.target.value)}>
          ${FORMATS.map((each) => html`<option value=${each} ?selected=${each === this.format}>${t(`speech.format_${each}`)}</option>`)}</select>` })}
        ${field({ id: 'speech-language', label: t('speech.language'), help: t('speech.language_help'), control: ({ id, describedBy }) => html`<input id=${id} maxlength="10" autocomplete="off" aria-describedby=${describedBy} .value=${this.language} @input=${(/** @type {Event} */ event) => (this.language = inputValue(event))}>` })}
      </div>
      ${this.hearFault ? errorBox(this.hearFault) : nothing}
      ${this.listening ? html`${progressBar({ share: null, label: t('speech.listen'), note: t('speech.listening', { name: this.listening }) })}
          <div class="actions">${button({ label: t('speech.cancel'), icon: 'square', run: () => this.stopping?.abort() })}</div>`
        : html`<div class="actions">${button({ label: t('speech.choose_recording'), icon: 'mic', kind: 'primary', run: () => /** @type {HTMLElement | null} */ (this.querySelector('#speech-recording'))?.click() })}
          <input id="speech-recording" type="file" accept="audio/*,video/*" aria-label=${t('speech.recording')} hidden @change=${(/** @type {any} */ event) => this.listen(event.target.files[0]).finally(() => (event.target.value = ''))}>
          <p class="help">${t('speech.recording_help')}</p></div>`}</section>`;
  }

  /** @param {{name: string, text: string, format: typeof FORMATS[number]}} heard */
  renderHeard({ name, text, format }) {
    const file = `${name.replace(/\.[^.]*$/, '')}.${SUFFIXES[format]}`;
    const save = () => {
      const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
      Object.assign(document.createElement('a'), { href: url, download: file }).click();
      URL.revokeObjectURL(url);
    };
    return html`<section class="card panel stack" aria-label=${t('speech.answer')}><h2>${name}</h2>
      <div class="speech-words" tabindex="0">${text}</div>
      <div class="actions">${button({ label: t('speech.copy'), icon: 'copy', small: true, run: () => copyText(text) })}
        ${button({ label: t('speech.save'), icon: 'download', small: true, run: save })}</div></section>`;
  }
}
customElements.define('gl-speech', SpeechPage);

/** Read a stream of WAV to its end, and say how long it is so far. @param {Response} answer @param {(seconds: number) => void} report */
async function readSpeech(answer, report) {
  const reader = answer.body?.getReader();
  let bytes = 0;
  let rate = 0;
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    rate ||= new DataView(part.value.buffer, part.value.byteOffset).getUint32(WAV_RATE, true);
    bytes += part.value.length;
    report(bytes / 2 / (rate || 1));
  }
}
