/**
 * Viewers by MIME type: how a page shows a value of a medium. A viewer is a module with
 *   renderCard(item): small, in grids; renderFull(item): large; isWide: whether a card of it is wider than high.
 * A medium whose values have a MIME type listed here needs no script; another one adds a line, or calls `addViewer`.
 */

/**
 * What a viewer reads: an output, one side of a pair, or a sample of a data set. `url` is what is shown,
 * `file` the file itself if that is another, `before` what a text goes on from.
 * @typedef {{mime?: string | null, url?: string | null, text?: string | null, before?: string, file?: string | null, thumbnail?: string | null, sound?: string | null, label: string,
 *            is_cut?: boolean}} Item
 * @typedef {{renderCard: (item: Item) => unknown, renderFull: (item: Item) => unknown, isWide?: boolean}} Viewer
 */

/** @type {[RegExp, () => Promise<Viewer>][]} */
const viewers = [
  [/^text\//, () => import('./text.js')],
  [/^image\/.*\+sound$/, () => import('./score.js')],
  [/^image\//, () => import('./image.js')],
  [/^audio\//, () => import('./sound.js')],
  [/^video\//, () => import('./video.js')],
  [/.*/, () => import('./file.js')],
];

/** @param {RegExp} mime @param {() => Promise<Viewer>} load */
export function addViewer(mime, load) {
  viewers.unshift([mime, load]);
}

/** @type {Map<string, Viewer>} */
const loaded = new Map();

/** The viewer of a MIME type if it is here already. @param {string} mime */
export const getViewer = (mime) => loaded.get(mime);

/** The MIME type by which the viewer of an item is found: a picture that can be played is another thing than one that can't. @param {Item} item */
export const typeOf = ({ mime, sound }) => (mime || 'application/octet-stream') + (sound && mime?.startsWith('image/') ? '+sound' : '');

/** @param {string} mime @returns {Promise<Viewer>} */
export async function loadViewer(mime) {
  const known = loaded.get(mime);
  if (known) return known;
  const [, load] = /** @type {[RegExp, () => Promise<Viewer>]} */ (viewers.find(([pattern]) => pattern.test(mime)));
  const viewer = await load();
  loaded.set(mime, viewer);
  return viewer;
}
