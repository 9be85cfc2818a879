// The public REST API of the server this page came from, and the key to ask it with.

const KEY = 'vectordb-api-key';

/** The key, which lives as long as the tab. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? '',
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** Asks, and gives the answer's `result`; what has no envelope comes as it is. Errors carry what the server said. */
export async function ask(method, path, body) {
  const headers = {};
  if (key.get()) headers['api-key'] = key.get();
  if (body !== undefined) headers['content-type'] = 'application/json';
  const answer = await fetch(`..${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  const json = (answer.headers.get('content-type') ?? '').startsWith('application/json') ? JSON.parse(text) : undefined;
  if (!answer.ok) {
    const why = json?.status?.error ?? text;
    const hint = answer.status === 401 ? '\nThe key above is missing or wrong.' : '';
    throw new Error(`${why || 'no reason given'} (${answer.status})${hint}`);
  }
  return json === undefined ? text : 'result' in json ? json.result : json;
}

export const get = (path) => ask('GET', path);
export const post = (path, body) => ask('POST', path, body);

/** The path of a collection. */
export const at = (collection, rest = '') => `/collections/${encodeURIComponent(collection)}${rest}`;

/** The vectors of a collection: their names, kinds and sizes. */
export function vectorsOf(info) {
  const { vectors = {}, sparse_vectors: sparse = {} } = info.config.params;
  const dense = typeof vectors.size === 'number' ? { '': vectors } : vectors;
  return [
    ...Object.entries(dense).map(([name, params]) => ({ name, kind: params.multivector_config ? 'multi' : 'dense', ...params })),
    ...Object.keys(sparse ?? {}).map((name) => ({ name, kind: 'sparse' })),
  ];
}

/** The vector of a name that came with a point. */
export const vectorOf = (point, name) => (Array.isArray(point.vector) ? (name === '' ? point.vector : undefined) : point.vector?.[name]);

export const number = (value) => (typeof value === 'number' ? value.toLocaleString('en') : '–');

export function bytes(value) {
  if (typeof value !== 'number') return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  for (; value >= 1024 && at < units.length - 1; at += 1) value /= 1024;
  return `${value.toFixed(at && value < 10 ? 1 : 0)} ${units[at]}`;
}
