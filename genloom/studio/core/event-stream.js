/** The server's events over one connection that comes back by itself; used in a worker for all tabs, or in the page. */

/** @typedef {{type: string, id?: number, data?: any}} Message */

/**
 * @param {string} address @param {(message: Message) => void} send gets events, and "online" and "offline"
 * @returns {{stop: () => void, isOnline: () => boolean}}
 */
export function openEventStream(address, send) {
  let last = '';
  let wait = 500;
  let online = false;
  let timer = 0;
  let stopping = new AbortController();

  async function read() {
    const url = new URL(address);
    if (last) url.searchParams.set('after', last);
    try {
      const answer = await fetch(url, { signal: stopping.signal, headers: { Accept: 'text/event-stream' }, credentials: 'same-origin', cache: 'no-store' });
      if (answer.status === 401) return;
      if (!answer.ok || !answer.body) throw new Error(String(answer.status));
      online = true;
      wait = 500;
      send({ type: 'online' });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (rest + value).split(/\r?\n\r?\n/);
        rest = blocks.pop() ?? '';
        for (const block of blocks) take(block);
      }
    } catch { /* the connection broke: below */ }
    if (stopping.signal.aborted) return;
    online = false;
    send({ type: 'offline' });
    timer = setTimeout(read, wait);
    wait = Math.min(wait * 2, 8000);
  }

  /** @param {string} block */
  function take(block) {
    const lines = block.split(/\r?\n/).filter((line) => line.startsWith('data:'));
    if (!lines.length) return; // a heartbeat
    const event = JSON.parse(lines.map((line) => line.slice(5).trimStart()).join('\n'));
    if (event.id !== undefined) last = String(event.id);
    send(event);
  }

  read();
  return {
    isOnline: () => online,
    stop() {
      stopping.abort();
      clearTimeout(timer);
    },
  };
}
