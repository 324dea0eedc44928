/** A player of sounds: one button, a line to move in, the time. One plays at a time. */
import { html } from '../vendor/lit.js';
import { vars } from '../core/dom.js';
import { Element } from '../core/element.js';
import { formatTime, t } from '../core/i18n.js';
import { icon } from './parts.js';

/** @type {HTMLAudioElement | null} */
let playing = null;

export class Player extends Element {
  static properties = { src: { type: String }, label: { type: String }, lineIn: { attribute: false } };

  constructor() {
    super();
    this.src = '';
    this.label = '';
    /** Selector of the element whose `.score-line` moves with the sound. */
    this.lineIn = '';
    this.audio = Object.assign(new Audio(), { preload: 'none' });
    this.failed = false;
    for (const kind of ['play', 'pause', 'timeupdate', 'loadedmetadata', 'ended', 'emptied']) this.audio.addEventListener(kind, () => this.onAudio(kind));
    this.audio.addEventListener('error', () => {
      this.failed = Boolean(this.audio.src);
      this.requestUpdate();
    });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.audio.pause();
  }

  /** @param {Map<string, any>} changed */
  willUpdate(changed) {
    if (!changed.has('src')) return;
    this.audio.pause();
    this.audio.src = this.src;
    this.failed = false;
  }

  /** @param {string} kind */
  onAudio(kind) {
    if (kind === 'play') {
      if (playing && playing !== this.audio) playing.pause();
      playing = this.audio;
      requestAnimationFrame(() => this.moveLine());
    }
    this.requestUpdate();
  }

  moveLine() {
    const line = this.lineIn ? /** @type {HTMLElement | null} */ (this.closest(this.lineIn)?.querySelector('.score-line')) : null;
    if (line) {
      line.hidden = this.audio.currentTime === 0;
      line.style.setProperty('--at', String(this.audio.currentTime / (this.audio.duration || 1)));
    }
    if (!this.audio.paused) requestAnimationFrame(() => this.moveLine());
  }

  toggle() {
    if (this.audio.paused) this.audio.play().catch(() => {});
    else this.audio.pause();
  }

  render() {
    const { currentTime, paused } = this.audio;
    const duration = Number.isFinite(this.audio.duration) ? this.audio.duration : 0;
    return html`<div class="player" role="group" aria-label=${this.label}>
      <button type="button" class="button alone round" aria-label=${paused ? t('shell.play') : t('shell.pause')} @click=${(/** @type {Event} */ event) => {
        event.stopPropagation();
        this.toggle();
      }}>${icon(paused ? 'play' : 'pause')}</button>
      <input type="range" min="0" max=${duration || 1} step="0.1" .value=${String(currentTime)} aria-label=${t('shell.position')}
        aria-valuetext=${`${formatTime(currentTime)} / ${formatTime(duration)}`} ?disabled=${!duration} ${vars({ '--share': duration ? currentTime / duration : 0 })}
        @input=${(/** @type {any} */ event) => {
          this.audio.currentTime = Number(event.target.value);
          this.moveLine();
        }}>
      <span class="player-time">${this.failed ? t('shell.cannot_play') : duration ? `${formatTime(currentTime)} / ${formatTime(duration)}` : formatTime(currentTime)}</span>
    </div>`;
  }
}
customElements.define('gl-player', Player);
