// A sample of the points in the plane.

import { at, post, vectorOf, vectorsOf } from './api.js';
import { Failure, Json, filterOf, FilterEditor, useLoaded } from './parts.js';
import { project } from './pca.js';
import { html, useEffect, useMemo, useRef, useState } from './vendor/htm-preact.js';

// Told apart by people who see few colours, too (Okabe & Ito 2008).
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#b8a800', '#7f7f7f'];
const REST = COLOURS.length - 1;
const [WIDTH, HEIGHT, MARGIN] = [1400, 1000, 40];

/** The values of a field, most frequent first, and the colour of each point. */
function coloured(points, field) {
  const of = (point) => (field ? JSON.stringify(point.payload?.[field] ?? null) : 'all');
  const counts = new Map();
  for (const point of points) counts.set(of(point), (counts.get(of(point)) ?? 0) + 1);
  const values = [...counts].sort((a, b) => b[1] - a[1]);
  const index = new Map(values.map(([value], rank) => [value, Math.min(rank, REST)]));
  const legend = values.slice(0, REST).map(([value, count], rank) => ({ value, count, colour: COLOURS[rank] }));
  const others = values.slice(REST).reduce((sum, [, count]) => sum + count, 0);
  if (others) legend.push({ value: 'others', count: others, colour: COLOURS[REST] });
  return { legend, colours: points.map((point) => COLOURS[index.get(of(point))]) };
}

/** Places on the canvas. */
function scaled(places) {
  const range = (axis) => {
    const values = places.map((place) => place[axis]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [[left, right], [low, high]] = [range(0), range(1)];
  const scale = Math.min((WIDTH - 2 * MARGIN) / (right - left || 1), (HEIGHT - 2 * MARGIN) / (high - low || 1));
  return places.map(([x, y]) => [WIDTH / 2 + (x - (left + right) / 2) * scale, HEIGHT / 2 - (y - (low + high) / 2) * scale]);
}

function Plot({ points, using }) {
  const canvas = useRef();
  const fields = useMemo(() => [...new Set(points.flatMap((point) => Object.keys(point.payload ?? {})))].sort(), [points]);
  const [field, setField] = useState('');
  const [chosen, setChosen] = useState();
  const { places, share } = useMemo(() => project(points.map((point) => vectorOf(point, using))), [points, using]);
  const spots = useMemo(() => (places.length ? scaled(places) : []), [places]);
  const { legend, colours } = useMemo(() => coloured(points, field), [points, field]);
  useEffect(() => {
    const pen = canvas.current.getContext('2d');
    pen.clearRect(0, 0, WIDTH, HEIGHT);
    spots.forEach(([x, y], row) => {
      const isChosen = points[row].id === chosen?.id;
      pen.globalAlpha = isChosen ? 1 : 0.75;
      pen.fillStyle = colours[row];
      pen.beginPath();
      pen.arc(x, y, isChosen ? 13 : 7, 0, 2 * Math.PI);
      pen.fill();
    });
  }, [spots, colours, chosen]);
  const choose = (event) => {
    const { left, top, width } = canvas.current.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top].map((value) => (value * WIDTH) / width);
    const far = spots.map(([a, b]) => (a - x) ** 2 + (b - y) ** 2);
    const row = far.indexOf(Math.min(...far));
    setChosen(far[row] < 900 ? points[row] : undefined);
  };
  return html`<div class="plot">
    <div>
      <canvas ref=${canvas} width=${WIDTH} height=${HEIGHT} onClick=${choose} aria-label=${`${points.length} points in the plane`} />
      <p class="dim">${points.length} points; the two principal components show ${(share * 100).toFixed(0)} % of the variance. Click a point to see it.</p>
    </div>
    <div>
      <div class="row"><label>colour by <select name="colour" value=${field} onChange=${(event) => setField(event.target.value)}>
        <option value="">nothing</option>${fields.map((each) => html`<option value=${each}>${each}</option>`)}
      </select></label></div>
      ${field && html`<ul class="legend">${legend.map(({ value, count, colour }) => html`<li><svg viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill=${colour} /></svg>${value} <span class="dim">${count}</span></li>`)}</ul>`}
      ${chosen && html`<div class="card"><b>${chosen.id}</b><${Json} value=${chosen.payload} /></div>`}
    </div>
  </div>`;
}

export function Projection({ name, info }) {
  const vectors = vectorsOf(info).filter(({ kind }) => kind === 'dense');
  const [using, setUsing] = useState(vectors[0]?.name ?? '');
  const [limit, setLimit] = useState(500);
  const [filter, setFilter] = useState('');
  const [asked, setAsked] = useState('');
  const { value, error, loading, again } = useLoaded(async () => {
    if (vectors.length === 0) throw new Error('There is no dense vector to project.');
    const request = { query: { sample: 'random' }, limit, filter: filterOf(asked), with_payload: true, with_vector: using ? [using] : true };
    const { points } = await post(at(name, '/points/query'), request);
    return points.filter((point) => vectorOf(point, using) !== undefined);
  }, [name, using, limit, asked]);
  return html`
    <div class="card">
      <div class="row">
        ${vectors.length > 1 && html`<label>vector <select name="using" value=${using} onChange=${(event) => setUsing(event.target.value)}>
          ${vectors.map((each) => html`<option value=${each.name}>${each.name || '(unnamed)'}</option>`)}
        </select></label>`}
        <label>sample <select name="sample" value=${limit} onChange=${(event) => setLimit(Number(event.target.value))}>
          ${[100, 500, 2000, 5000].map((each) => html`<option value=${each}>${each}</option>`)}
        </select></label>
        <button class="main" disabled=${loading} onClick=${() => (filter === asked ? again() : setAsked(filter))}>Take a sample</button>
      </div>
      <details><summary>only some points</summary><${FilterEditor} text=${filter} change=${setFilter} fields=${Object.keys(info.payload_schema)} /></details>
    </div>
    <${Failure} error=${error} />
    ${value && (value.length === 0 ? html`<p class="dim">No point has this vector.</p>` : html`<${Plot} points=${value} using=${using} />`)}`;
}
