// The search console.

import { at, ask, vectorsOf } from './api.js';
import { Failure, FilterEditor, Json, Points, filterOf, literal } from './parts.js';
import { html, useEffect, useState } from './vendor/htm-preact.js';

const KINDS = { id: 'like a point', vector: 'near a vector', text: 'ranked by words (BM25)', sample: 'a random sample' };
const HINTS = { id: 'id of a point', vector: '[0.1, 0.2, …] or {"indices": […], "values": […]}', text: 'words', sample: '' };

/** The request of a form. */
function requestOf({ kind, input, using, limit, exact, filter }, ranked) {
  const request = { limit, with_payload: true, with_vector: true, filter: filterOf(filter) };
  if (exact) request.params = { exact: true };
  if (kind === 'sample') return { ...request, query: { sample: 'random' } };
  if (kind === 'text') return { ...request, query: { text: input }, using: ranked };
  if (input.trim() === '') throw new Error(`What is asked for is missing: ${HINTS[kind]}`);
  const nearest = kind === 'id' ? (/^\d+$/.test(input.trim()) ? Number(input) : input.trim()) : literal(input);
  if (kind === 'vector' && typeof nearest !== 'object') throw new Error('A vector is a list of numbers.');
  return { ...request, query: { nearest }, using: using || undefined };
}

export function Search({ name, info, id }) {
  const vectors = vectorsOf(info);
  const fields = Object.keys(info.payload_schema);
  const texts = fields.filter((field) => info.payload_schema[field].data_type === 'text');
  const [form, setForm] = useState({ kind: id ? 'id' : 'vector', input: id, using: vectors[0]?.name ?? '', field: texts[0] ?? '', limit: 10, exact: false, filter: '' });
  const [answer, setAnswer] = useState({});
  const set = (part) => setForm({ ...form, ...part });
  const run = async () => {
    let request;
    try {
      request = requestOf(form, form.field);
      const started = performance.now();
      const { points } = await ask('POST', at(name, '/points/query'), request);
      setAnswer({ request, points, took: performance.now() - started });
    } catch (error) {
      setAnswer({ request, error });
    }
  };
  useEffect(() => { if (id) run(); }, []);
  return html`
    <div class="card">
      <div class="row">
        <label>points <select name="kind" value=${form.kind} onChange=${(event) => set({ kind: event.target.value })}>
          ${Object.entries(KINDS).map(([kind, title]) => html`<option value=${kind}>${title}</option>`)}
        </select></label>
        ${form.kind !== 'sample' && html`<label class="wide">${HINTS[form.kind]}
          <input name="input" value=${form.input} onInput=${(event) => set({ input: event.target.value })} onKeyDown=${(event) => event.key === 'Enter' && run()} /></label>`}
        ${(form.kind === 'id' || form.kind === 'vector') && vectors.length > 1 && html`<label>vector <select name="using" value=${form.using} onChange=${(event) => set({ using: event.target.value })}>
          ${vectors.map((each) => html`<option value=${each.name}>${each.name || '(unnamed)'}</option>`)}
        </select></label>`}
        ${form.kind === 'text' && html`<label>text index <select name="field" value=${form.field} onChange=${(event) => set({ field: event.target.value })}>
          ${texts.map((field) => html`<option value=${field}>${field}</option>`)}
        </select></label>`}
        <label>limit <input name="limit" type="number" min="1" max="1000" value=${form.limit} onInput=${(event) => set({ limit: Number(event.target.value) || 10 })} /></label>
        <label class="check"><input name="exact" type="checkbox" checked=${form.exact} onChange=${(event) => set({ exact: event.target.checked })} /> exact</label>
        <button class="main" id="run" onClick=${run}>Search</button>
      </div>
      <${FilterEditor} text=${form.filter} change=${(filter) => set({ filter })} fields=${fields} />
    </div>
    <${Failure} error=${answer.error} />
    ${answer.points && html`
      <p class="dim">${answer.points.length} points in ${answer.took.toFixed(1)} ms, the way here and back included</p>
      <${Points} points=${answer.points} collection=${name} />`}
    ${answer.request && html`<details><summary>the request, for <code>POST ${at(name, '/points/query')}</code></summary><${Json} value=${answer.request} /></details>`}`;
}
