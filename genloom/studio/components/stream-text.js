/** Text as it is written: what is new is appended as text nodes, some of it a frame, whatever its length; nothing is drawn twice. */

const BLOCK = 3000; // characters, after which a block of its own begins at the next line
const FRAME = 20000; // characters that one frame appends
const TAIL = 4; // blocks that a text keeps of which only the end is seen

export class StreamText extends HTMLElement {
  #shown = 0;
  #wanted = '';
  #frame = 0;
  #length = 0; // of the last block
  /** @type {HTMLElement | null} */
  #block = null;

  /** Whether only its end is seen. */
  isTail = false;

  set text(/** @type {string} */ now) {
    const before = this.#wanted;
    this.#wanted = now ?? '';
    if (this.#wanted.length < this.#shown || this.#wanted.slice(0, 64) !== before.slice(0, 64).slice(0, this.#wanted.length)) this.#reset();
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#append());
  }

  get text() {
    return this.#wanted;
  }

  #reset() {
    this.replaceChildren();
    this.#block = null;
    this.#shown = 0;
  }

  #append() {
    this.#frame = 0;
    if (this.isTail && this.#wanted.length - this.#shown > FRAME) {
      this.#reset();
      this.#shown = this.#wanted.length - FRAME / 4;
    }
    let rest = this.#wanted.slice(this.#shown, this.#shown + FRAME);
    this.#shown += rest.length;
    while (rest) {
      if (!this.#block) {
        this.#block = Object.assign(document.createElement('span'), { className: 'stream-block' });
        this.#length = 0;
        this.append(this.#block);
        if (this.isTail && this.childElementCount > TAIL) this.firstElementChild?.remove();
      }
      const room = Math.max(0, BLOCK - this.#length);
      const line = rest.indexOf('\n', room);
      const end = line < 0 ? rest.length : line + 1;
      this.#block.append(rest.slice(0, end));
      this.#length += end;
      if (line >= 0) {
        this.#block.classList.add('whole'); // it ends with a line: the browser lays out the last block only
        this.#block = null;
      }
      rest = rest.slice(end);
    }
    if (this.#shown < this.#wanted.length) this.#frame = requestAnimationFrame(() => this.#append());
  }
}
customElements.define('gl-stream-text', StreamText);
