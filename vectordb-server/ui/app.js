// The dashboard: which page, and the key.

import { key } from './api.js';
import { Cluster } from './cluster.js';
import { Collection } from './collection.js';
import { Overview } from './overview.js';
import { html, render, useEffect, useState } from './vendor/htm-preact.js';

/** Pages: `#/` for all collections, `#/*cluster`, a name that no collection may have, for the cluster, `#/NAME[/TAB][?...]` for one. */
const CLUSTER = '*cluster';

function place() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [name = '', tab = ''] = path.split('/').map(decodeURIComponent);
  return { name, tab, query: new URLSearchParams(query) };
}

function App() {
  const [here, setHere] = useState(place());
  const [secret, setSecret] = useState(key.get());
  useEffect(() => {
    const moved = () => setHere(place());
    addEventListener('hashchange', moved);
    return () => removeEventListener('hashchange', moved);
  }, []);
  const enter = (event) => {
    key.set(event.target.value);
    setSecret(event.target.value);
  };
  const page = here.name === '' ? html`<${Overview} />`
    : here.name === CLUSTER ? html`<${Cluster} />`
    : html`<${Collection} key=${here.name} name=${here.name} tab=${here.tab} query=${here.query} />`;
  return html`
    <header>
      <a class="brand" href="#/"><img src="icon.svg" alt="" /> vectordb</a>
      <nav>
        <a href="#/" aria-current=${here.name !== CLUSTER ? 'page' : undefined}>Collections</a>
        <a href=${`#/${CLUSTER}`} aria-current=${here.name === CLUSTER ? 'page' : undefined}>Cluster</a>
        <a href="../docs">API</a>
      </nav>
      <label>API key <input name="key" type="password" autocomplete="off" value=${secret} onChange=${enter} placeholder="if the server asks for one" /></label>
    </header>
    <main key=${secret}>${page}</main>`;
}

render(html`<${App} />`, document.getElementById('app'));
