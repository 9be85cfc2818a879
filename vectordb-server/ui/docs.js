// The OpenAPI document, to read.

import { get } from './api.js';
import { Failure, useLoaded } from './parts.js';
import { html, render, useState } from './vendor/htm-preact.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

/** A schema in a few words, with links to those it names. */
function Type({ of: schema }) {
  if (schema === undefined || schema === true) return 'anything';
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1);
    return html`<a href=${`#schema-${name}`}>${name}</a>`;
  }
  const many = schema.oneOf ?? schema.anyOf;
  if (many) return many.map((each, at) => html`${at ? ' or ' : ''}<${Type} of=${each} />`);
  if (schema.allOf) return schema.allOf.map((each, at) => html`${at ? ' and ' : ''}<${Type} of=${each} />`);
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(', ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === 'array') return html`list of <${Type} of=${schema.items} />`;
  if (schema.properties) return html`<${Members} schema=${schema} />`;
  if (schema.additionalProperties) return html`map to <${Type} of=${schema.additionalProperties} />`;
  return [schema.type].flat().join(' or ');
}

function Members({ schema }) {
  return html`<table><tbody>${Object.entries(schema.properties).map(([name, each]) => html`<tr>
    <td>${name}${schema.required?.includes(name) ? '' : html` <span class="dim">optional</span>`}</td>
    <td><${Type} of=${each} /></td>
    <td class="dim">${each.description ?? ''}</td>
  </tr>`)}</tbody></table>`;
}

function Operation({ path, method, operation }) {
  const body = operation.requestBody?.content;
  return html`<details class="operation">
    <summary><span class="method">${method.toUpperCase()}</span> <code>${path}</code> <span class="dim">${operation.summary}</span></summary>
    <div class="card">
      ${operation.parameters?.length > 0 && html`<table><tbody>${operation.parameters.map((each) => html`<tr><td>${each.name} <span class="dim">in ${each.in}</span></td><td><${Type} of=${each.schema} /></td><td class="dim">${each.description ?? ''}</td></tr>`)}</tbody></table>`}
      ${body && html`<h2>Body</h2>${Object.entries(body).map(([type, { schema }]) => html`<p class="dim">${type}</p><${Type} of=${schema} />`)}`}
      <h2>Answers</h2>
      <table><tbody>${Object.entries(operation.responses).map(([status, response]) => html`<tr><td>${status}</td><td>${response.description}</td><td><${Type} of=${response.content?.['application/json']?.schema} /></td></tr>`)}</tbody></table>
    </div>
  </details>`;
}

function Docs() {
  const { value, error } = useLoaded(() => get('/openapi.json'), []);
  const [words, setWords] = useState('');
  if (!value) return html`<main><${Failure} error=${error} /></main>`;
  const all = Object.entries(value.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) => ({ path, method, operation: item[method] })));
  const found = all.filter(({ path, method, operation }) => `${method} ${path} ${operation.summary}`.toLowerCase().includes(words.toLowerCase()));
  const tags = [...new Set(found.map(({ operation }) => operation.tags[0]))];
  return html`
    <header><a class="brand" href="dashboard"><img src="dashboard/icon.svg" alt="" /> vectordb</a>
      <nav><a href="dashboard">Dashboard</a><a href="openapi.json">openapi.json</a></nav></header>
    <main>
      <h1>${value.info.title} ${value.info.version}</h1>
      <p>${value.info.description}</p>
      <p><input name="words" placeholder="find" value=${words} onInput=${(event) => setWords(event.target.value)} /> <span class="dim">${found.length} operations</span></p>
      ${tags.map((tag) => html`<h2>${tag}</h2>${found.filter(({ operation }) => operation.tags[0] === tag).map((each) => html`<${Operation} key=${each.method + each.path} ...${each} />`)}`)}
      <h2>Schemas</h2>
      ${Object.entries(value.components.schemas).map(([name, schema]) => html`<details id=${`schema-${name}`}><summary><code>${name}</code> <span class="dim">${schema.description ?? ''}</span></summary><div class="card"><${Type} of=${schema} /></div></details>`)}
    </main>`;
}

// A link to a schema opens it.
addEventListener('hashchange', () => document.getElementById(location.hash.slice(1))?.setAttribute('open', ''));

render(html`<${Docs} />`, document.getElementById('app'));
