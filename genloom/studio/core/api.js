/** The server's answers: JSON in, JSON out; whatever goes wrong is an ApiError with a sentence for people. */
import { language, t } from './i18n.js';
import { createStore } from './store.js';

export const ROOT = new URL('../../', import.meta.url);

/** Set when a request was answered with 401: the shell shows the sign-in page. */
export const signedOut = createStore(false);

export class ApiError extends Error {
  /** @param {string} message @param {{status?: number, type?: string, code?: string, param?: string | null, details?: Record<string, any>[]}} [fields] */
  constructor(message, { status = 0, type = '', code = '', param = null, details = [] } = {}) {
    super(message);
    this.status = status;
    this.type = type;
    this.code = code;
    this.param = param;
    this.details = details;
  }
}

/**
 * The address of something on the server.
 * @param {string} path @param {Record<string, any>} [query] undefined, null and "" are left out
 */
export function makeUrl(path, query = {}) {
  const url = new URL(path.replace(/^\//, ''), ROOT);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') url.searchParams.set(key, String(value));
  }
  return url;
}

/**
 * @param {string} method @param {string} path under /api
 * @param {{body?: any, query?: Record<string, any>, signal?: AbortSignal, keepalive?: boolean}} [options]
 * @returns {Promise<any>}
 */
export async function request(method, path, options = {}) {
  const answer = await send(method, `api/${path.replace(/^\//, '')}`, options);
  return answer.status === 204 ? null : answer.json().catch(() => null);
}

/**
 * Ask any address of the server, and return its answer; an ApiError for one that is no success.
 * @param {string} method @param {string} path @param {{body?: any, query?: Record<string, any>, signal?: AbortSignal, keepalive?: boolean}} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, { body, query, signal, keepalive } = {}) {
  const isForm = body instanceof FormData;
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json', 'Accept-Language': language.get() };
  if (method !== 'GET' && !isForm) headers['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(makeUrl(path, query), {
      method,
      headers,
      signal,
      keepalive,
      credentials: 'same-origin',
      body: method === 'GET' ? undefined : isForm ? body : JSON.stringify(body ?? {}),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(t('shell.error_offline'), { code: 'offline' });
  }
  if (answer.ok) return answer;
  const content = await answer.json().catch(() => null);
  if (answer.status === 401 && !path.startsWith('api/login')) signedOut.set(true);
  const fault = content?.error ?? {};
  throw new ApiError(fault.message || t('shell.error_status', { status: String(answer.status) }), { ...fault, status: answer.status });
}

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] */
export const get = (path, query, signal) => request('GET', path, { query, signal });
/** @param {string} path @param {any} [body] */
export const post = (path, body) => request('POST', path, { body });
/** @param {string} path @param {any} [body] */
export const patch = (path, body) => request('PATCH', path, { body });
/** @param {string} path @param {any} [body] */
export const del = (path, body) => request('DELETE', path, { body });

/** A part of a path. @param {string} text */
export const quote = (text) => text.split('/').map(encodeURIComponent).join('/');

/**
 * Send files with progress.
 * @param {string} path @param {{file: File, path?: string}[]} files @param {(share: number) => void} [onProgress] @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function upload(path, files, onProgress, signal) {
  const form = new FormData();
  for (const each of files) form.append('files', each.file, each.path ?? each.file.name);
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open('POST', makeUrl(`api/${path.replace(/^\//, '')}`));
    sending.setRequestHeader('Accept-Language', language.get());
    sending.responseType = 'json';
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress?.(event.loaded / event.total);
    sending.onload = () => {
      if (sending.status < 300) return resolve(sending.response);
      const fault = sending.response?.error ?? {};
      return reject(new ApiError(fault.message || t('shell.error_status', { status: String(sending.status) }), { ...fault, status: sending.status }));
    };
    sending.onerror = () => reject(new ApiError(t('shell.error_offline'), { code: 'offline' }));
    sending.onabort = () => reject(new DOMException('', 'AbortError'));
    signal?.addEventListener('abort', () => sending.abort());
    sending.send(form);
  });
}
