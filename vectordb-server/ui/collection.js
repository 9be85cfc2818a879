// One collection: what it is, its points, searches, a picture of it, its shards.

import { at, bytes, get, number, post, vectorsOf } from './api.js';
import { Failure, FilterEditor, Json, Points, State, filterOf, useLoaded } from './parts.js';
import { Projection } from './projection.js';
import { Search } from './search.js';
import { html, useState } from './vendor/htm-preact.js';

const TABS = { '': 'Overview', points: 'Points', search: 'Search', projection: 'Projection' };

function Info({ name, info }) {
  const memory = useLoaded(() => get(at(name, '/memory')), [name]);
  const total = memory.value?.shards.reduce((sum, shard) => sum + shard.resident_bytes, 0);
  const indexes = Object.entries(info.payload_schema);
  return html`
    <div class="figures">
      <div class="card"><b><${State} of=${info.status} /></b><span>${info.optimizer_status === 'ok' ? 'optimizers are fine' : JSON.stringify(info.optimizer_status)}</span></div>
      <div class="card"><b>${number(info.points_count)}</b><span>points</span></div>
      <div class="card"><b>${number(info.indexed_vectors_count)}</b><span>indexed vectors</span></div>
      <div class="card"><b>${number(info.segments_count)}</b><span>segments</span></div>
      <div class="card"><b>${bytes(total)}</b><span>resident memory</span></div>
    </div>
    <h2>Vectors</h2>
    <table><thead><tr><th>name</th><th>kind</th><th class="number">dimensions</th><th>distance</th></tr></thead>
      <tbody>${vectorsOf(info).map((each) => html`<tr><td>${each.name || '(unnamed)'}</td><td>${each.kind}</td><td class="number">${number(each.size)}</td><td>${each.distance ?? ''}</td></tr>`)}</tbody>
    </table>
    <h2>Payload indexes</h2>
    ${indexes.length === 0 ? html`<p class="dim">None. An index makes filters on its field fast.</p>` : html`
      <table><thead><tr><th>field</th><th>type</th><th class="number">points</th></tr></thead>
        <tbody>${indexes.map(([field, schema]) => html`<tr><td>${field}</td><td>${schema.data_type}</td><td class="number">${number(schema.points)}</td></tr>`)}</tbody>
      </table>`}
    <h2>Configuration</h2>
    <${Json} value=${info.config} />`;
}

function Browse({ name, info }) {
  const [text, setText] = useState('');
  const [asked, setAsked] = useState('');
  const [starts, setStarts] = useState([undefined]);
  const [limit, setLimit] = useState(20);
  const { value, error, loading } = useLoaded(async () => {
    const body = { limit, offset: starts.at(-1), filter: filterOf(asked), with_payload: true, with_vector: true };
    return post(at(name, '/points/scroll'), body);
  }, [name, asked, starts, limit]);
  const restart = (change) => { setStarts([undefined]); change(); };
  return html`
    <div class="card">
      <${FilterEditor} text=${text} change=${setText} fields=${Object.keys(info.payload_schema)} />
      <div class="row">
        <label>points a page <input type="number" min="1" max="1000" value=${limit} onChange=${(event) => restart(() => setLimit(Number(event.target.value) || 20))} /></label>
        <button class="main" onClick=${() => restart(() => setAsked(text))}>Show</button>
        <button disabled=${starts.length < 2 || loading} onClick=${() => setStarts(starts.slice(0, -1))}>Back</button>
        <button disabled=${value?.next_page_offset == null || loading} onClick=${() => setStarts([...starts, value.next_page_offset])}>Next</button>
      </div>
    </div>
    <${Failure} error=${error} />
    ${value && (value.points.length === 0 ? html`<p class="dim">No point.</p>` : html`<${Points} points=${value.points} collection=${name} />`)}`;
}

export function Collection({ name, tab, query }) {
  const { value: info, error } = useLoaded(() => get(at(name)), [name]);
  const here = `#/${encodeURIComponent(name)}`;
  return html`<h1>${name}</h1>
    <nav class="tabs">${Object.entries(TABS).map(([each, title]) => html`<a href=${each ? `${here}/${each}` : here} aria-current=${tab === each ? 'page' : undefined}>${title}</a>`)}</nav>
    <${Failure} error=${error} />
    ${info && (tab === 'points' ? html`<${Browse} name=${name} info=${info} />`
      : tab === 'search' ? html`<${Search} key=${query.get('id') ?? ''} name=${name} info=${info} id=${query.get('id') ?? ''} />`
      : tab === 'projection' ? html`<${Projection} name=${name} info=${info} />`
      : html`<${Info} name=${name} info=${info} />`)}`;
}
