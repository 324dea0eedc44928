/** Files that were dropped or chosen: all of a folder, and in requests of a bounded size. */
import { upload } from './api.js';

/** @typedef {{file: File, path: string}} Chosen */
/** @typedef {import('./shapes').Upload} Upload */

const PART_FILES = 200; // files in one request
const PART_BYTES = 64_000_000;

/** All files of a drop, folders with what is in them. @param {DataTransfer} transfer @returns {Promise<Chosen[]>} */
export async function readDrop(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  /** @type {Chosen[]} */
  const found = [];
  const walk = async (/** @type {any} */ entry, /** @type {string} */ folder) => {
    const path = `${folder}${entry.name}`;
    if (entry.isFile) return void found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
    const reader = entry.createReader();
    for (;;) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!part.length) return;
      for (const each of part) await walk(each, `${path}/`);
    }
  };
  for (const entry of entries) await walk(entry, '');
  return found.filter(({ path }) => !path.split('/').some((part) => part.startsWith('.')));
}

/** The files of a field. @param {Event} event @returns {Chosen[]} */
export function readField(event) {
  const { files } = /** @type {HTMLInputElement} */ (event.target);
  return [...(files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** A name for what was dropped: that of its folder or file. @param {Chosen[]} files */
export function suggestName(files) {
  const [first] = files;
  const word = first.path.includes('/') ? first.path.split('/')[0] : files.length === 1 ? first.file.name.replace(/\.[^.]+$/, '') : 'files';
  return word.normalize('NFKD').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+|-+$/g, '').slice(0, 40).toLowerCase() || 'files';
}

/** @param {Chosen[]} files @returns {Chosen[][]} requests of a bounded size */
function splitFiles(files) {
  /** @type {Chosen[][]} */
  const parts = [];
  let bytes = Infinity;
  for (const each of files) {
    if (bytes + each.file.size > PART_BYTES || (parts.at(-1)?.length ?? 0) >= PART_FILES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(each);
    bytes += each.file.size;
  }
  return parts;
}

/**
 * Send files as one upload, part by part; `onPart` is told of it as soon as it exists.
 * @param {Chosen[]} files @param {(share: number) => void} onProgress @param {AbortSignal} signal @param {(upload: Upload) => void} [onPart]
 * @returns {Promise<Upload>}
 */
export async function sendFiles(files, onProgress, signal, onPart) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
  let done = 0;
  /** @type {Upload | null} */
  let sent = null;
  for (const part of splitFiles(files)) {
    const bytes = part.reduce((sum, { file }) => sum + file.size, 0);
    /** @type {Upload} */
    const now = await upload(sent ? `uploads/${sent.id}` : 'uploads', part, (share) => onProgress((done + share * bytes) / total), signal);
    sent = now;
    onPart?.(now);
    done += bytes;
  }
  return /** @type {Upload} */ (sent);
}
