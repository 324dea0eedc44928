// One connection to the server's events for all tabs of this browser: a browser allows six connections a host.
import { openEventStream } from './event-stream.js';

/** @type {Set<MessagePort>} */
const ports = new Set();
/** @type {ReturnType<typeof openEventStream> | null} */
let stream = null;
let address = '';

/** @param {any} message */
function send(message) {
  for (const port of ports) port.postMessage(message);
}

/** @type {any} */ (self).onconnect = (/** @type {MessageEvent} */ event) => {
  const port = event.ports[0];
  port.onmessage = ({ data }) => {
    if (data.leave) {
      ports.delete(port);
      return;
    }
    ports.add(port);
    if (!stream || data.fresh || data.address !== address) {
      stream?.stop();
      address = data.address;
      stream = openEventStream(address, send);
    } else if (stream.isOnline()) {
      port.postMessage({ type: 'online' });
    }
  };
};
