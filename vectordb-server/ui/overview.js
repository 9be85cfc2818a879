// All collections and how they are.

import { at, bytes, get, number } from './api.js';
import { Failure, State, useLoaded } from './parts.js';
import { html } from './vendor/htm-preact.js';

async function load() {
  const [version, { collections }] = await Promise.all([get('/'), get('/collections')]);
  const rows = await Promise.all(collections.map(async ({ name }) => {
    try {
      const [info, memory] = await Promise.all([get(at(name)), get(at(name, '/memory')).catch(() => undefined)]);
      return { name, info, memory: memory?.shards.reduce((sum, shard) => sum + shard.resident_bytes, 0) };
    } catch (error) {
      return { name, error };
    }
  }));
  return { version, rows };
}

function Row({ row: { name, info, memory, error } }) {
  const link = html`<a href=${`#/${encodeURIComponent(name)}`}>${name}</a>`;
  if (error) return html`<tr><td>${link}</td><td colspan="6" class="error">${error.message}</td></tr>`;
  return html`<tr>
    <td>${link}</td>
    <td><${State} of=${info.status} /></td>
    <td class="number">${number(info.points_count)}</td>
    <td class="number">${number(info.indexed_vectors_count)}</td>
    <td class="number">${number(info.segments_count)}</td>
    <td class="number">${number(info.config.params.shard_number ?? 1)}</td>
    <td class="number">${bytes(memory)}</td>
  </tr>`;
}

export function Overview() {
  const { value, error, loading, again } = useLoaded(load, []);
  const sum = (pick) => value.rows.reduce((total, row) => total + (row.info ? pick(row) ?? 0 : 0), 0);
  return html`<h1>Collections</h1>
    <${Failure} error=${error} />
    ${value && html`
      <div class="figures">
        <div class="card"><b>${value.version.version}</b><span>version of the API</span></div>
        <div class="card"><b>${number(value.rows.length)}</b><span>collections</span></div>
        <div class="card"><b>${number(sum(({ info }) => info.points_count))}</b><span>points</span></div>
        <div class="card"><b>${bytes(sum(({ memory }) => memory))}</b><span>resident memory</span></div>
      </div>
      ${value.rows.length === 0
        ? html`<p class="card">There is no collection yet. <code>PUT /collections/NAME</code> makes one; <a href="../docs">the API</a> tells how.</p>`
        : html`<table class="collections">
          <thead><tr><th>name</th><th>status</th><th class="number">points</th><th class="number">indexed vectors</th><th class="number">segments</th><th class="number">shards</th><th class="number">memory</th></tr></thead>
          <tbody>${value.rows.map((row) => html`<${Row} key=${row.name} row=${row} />`)}</tbody>
        </table>`}`}
    <p><button onClick=${again} disabled=${loading}>Refresh</button></p>`;
}
