// What pages are made of.

import { html, useEffect, useState } from './vendor/htm-preact.js';

/** Loads when `inputs` change; gives `{ value, error, loading, again }`. */
export function useLoaded(load, inputs) {
  const [state, setState] = useState({ loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let current = true;
    setState((old) => ({ ...old, loading: true }));
    load().then(
      (value) => current && setState({ value, loading: false }),
      (error) => current && setState({ error, loading: false }),
    );
    return () => { current = false; };
  }, [...inputs, turn]);
  return { ...state, again: () => setTurn(turn + 1) };
}

export const Failure = ({ error }) => error && html`<div class="card error" role="alert">${error.message}</div>`;

const STATES = { green: 'good', yellow: 'warn', grey: 'warn', red: 'bad', Active: 'good', Dead: 'bad' };

export const State = ({ of }) => html`<span class=${`state ${STATES[of] ?? 'warn'}`}>${of}</span>`;

export const Json = ({ value }) => html`<pre>${JSON.stringify(value, null, 1)}</pre>`;

/** A vector in a few words. */
export function brief(vector) {
  if (vector === undefined) return '';
  if (!Array.isArray(vector)) {
    return Object.entries(vector).map(([name, each]) => `${name}: ${each?.indices ? `${each.indices.length} of sparse` : brief(each)}`).join('; ');
  }
  if (Array.isArray(vector[0])) return `${vector.length} × ${vector[0].length}`;
  const head = vector.slice(0, 4).map((value) => Number(value.toFixed(4))).join(', ');
  return `[${head}${vector.length > 4 ? ', …' : ''}] (${vector.length})`;
}

/** Points in rows. */
export function Points({ points, collection }) {
  const scored = points.some((point) => point.score !== undefined);
  return html`<table class="points">
    <thead><tr><th>id</th>${scored && html`<th class="number">score</th>`}<th>payload</th><th>vector</th></tr></thead>
    <tbody>
      ${points.map((point) => html`<tr key=${point.id}>
        <td>${point.id}<div><a href=${`#/${encodeURIComponent(collection)}/search?id=${point.id}`}>similar</a></div></td>
        ${scored && html`<td class="number">${point.score?.toFixed(5)}</td>`}
        <td><${Json} value=${point.payload ?? {}} /></td>
        <td class="dim">${brief(point.vector)}</td>
      </tr>`)}
    </tbody>
  </table>`;
}

const OPERATORS = {
  '=': (key, value) => ({ key, match: { value } }),
  '≠': (key, value) => ({ key, match: { except: [value] } }),
  '<': (key, value) => ({ key, range: { lt: value } }),
  '≤': (key, value) => ({ key, range: { lte: value } }),
  '>': (key, value) => ({ key, range: { gt: value } }),
  '≥': (key, value) => ({ key, range: { gte: value } }),
  'has words': (key, value) => ({ key, match: { text: String(value) } }),
};

/** Text that is JSON is taken as such, other text as a string. */
export function literal(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A filter as JSON, with a line that writes conditions into it. */
export function FilterEditor({ text, change, fields }) {
  const [key, setKey] = useState('');
  const [operator, setOperator] = useState('=');
  const [value, setValue] = useState('');
  const add = (event) => {
    event.preventDefault();
    const old = text.trim() ? JSON.parse(text) : {};
    const must = [...(old.must ?? []), OPERATORS[operator](key, literal(value))];
    change(JSON.stringify({ ...old, must }, null, 1));
    setValue('');
  };
  return html`<div class="filter">
    <form class="row" onSubmit=${add}>
      <label>field <input list="fields" name="field" value=${key} onInput=${(event) => setKey(event.target.value)} required /></label>
      <datalist id="fields">${fields.map((field) => html`<option value=${field} />`)}</datalist>
      <label>is <select name="operator" value=${operator} onChange=${(event) => setOperator(event.target.value)}>
        ${Object.keys(OPERATORS).map((each) => html`<option value=${each}>${each}</option>`)}
      </select></label>
      <label>value <input name="value" value=${value} onInput=${(event) => setValue(event.target.value)} /></label>
      <button>Add condition</button>
    </form>
    <label class="dim">filter (JSON, empty for all points)
      <textarea name="filter" rows=${text ? Math.min(12, text.split('\n').length) : 2} value=${text} onInput=${(event) => change(event.target.value)} spellcheck="false" />
    </label>
  </div>`;
}

/** The filter of a text; an empty one is none. */
export function filterOf(text) {
  try {
    return text.trim() ? JSON.parse(text) : undefined;
  } catch (error) {
    throw new Error(`The filter is no JSON: ${error.message}`);
  }
}
