// Which peers there are, and which shards of which collections lie on them.

import { at, get, number } from './api.js';
import { Failure, State, useLoaded } from './parts.js';
import { html } from './vendor/htm-preact.js';

async function load() {
  const [cluster, { collections }] = await Promise.all([get('/cluster'), get('/collections')]);
  const views = await Promise.all(collections.map(async ({ name }) => ({ name, ...(await get(at(name, '/cluster'))) })));
  const peers = new Map(Object.entries(cluster.peers ?? {}).map(([id, { uri }]) => [id, { id, uri, collections: new Map() }]));
  const put = (peer, collection, shard) => {
    const id = String(peer);
    if (!peers.has(id)) peers.set(id, { id, collections: new Map() });
    const shards = peers.get(id).collections;
    shards.set(collection, [...(shards.get(collection) ?? []), shard]);
  };
  for (const view of views) {
    view.local_shards.forEach((shard) => put(view.peer_id, view.name, shard));
    view.remote_shards.forEach((shard) => put(shard.peer_id, view.name, shard));
  }
  const transfers = views.flatMap((view) => view.shard_transfers.map((transfer) => ({ collection: view.name, ...transfer })));
  return { cluster, peers: [...peers.values()], transfers };
}

function Peer({ peer, leader }) {
  return html`<div class="card peer">
    <h2>peer ${peer.id}${String(leader) === peer.id ? ' (leader)' : ''}</h2>
    <p class="dim">${peer.uri ?? 'this server'}</p>
    ${[...peer.collections].map(([name, shards]) => html`
      <div>${name}</div>
      <ul>${shards.map((shard) => html`<li><${State} of=${shard.state} /> shard ${shard.shard_id}${shard.shard_key === undefined ? '' : ` “${shard.shard_key}”`}${shard.points_count === undefined ? '' : html` <span class="dim">${number(shard.points_count)}</span>`}</li>`)}</ul>`)}
  </div>`;
}

export function Cluster() {
  const { value, error, loading, again } = useLoaded(load, []);
  return html`<h1>Cluster</h1>
    <${Failure} error=${error} />
    ${value && html`
      <p>${value.cluster.status === 'disabled' ? 'One server on its own.' : `Consensus ${value.cluster.consensus_thread_status?.consensus_thread_status ?? ''}, term ${value.cluster.raft_info?.term}, ${number(value.cluster.raft_info?.pending_operations)} operations pending.`}</p>
      <div class="shards">${value.peers.map((peer) => html`<${Peer} key=${peer.id} peer=${peer} leader=${value.cluster.raft_info?.leader} />`)}</div>
      ${value.transfers.length > 0 && html`<h2>Transfers</h2><table><thead><tr><th>collection</th><th>shard</th><th>from</th><th>to</th><th>method</th><th></th></tr></thead>
        <tbody>${value.transfers.map((each) => html`<tr><td>${each.collection}</td><td>${each.shard_id}</td><td>${each.from}</td><td>${each.to}</td><td>${each.method}</td><td>${each.comment}</td></tr>`)}</tbody></table>`}`}
    <p><button onClick=${again} disabled=${loading}>Refresh</button></p>`;
}
