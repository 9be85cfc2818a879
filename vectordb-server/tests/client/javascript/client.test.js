// Every method of the stock JavaScript client, with what it is to answer.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { QdrantClient } from '@qdrant/js-client-rest';

import { start } from './server.js';

const COUNT = 60;
const CITIES = ['Oslo', 'Rome', 'Paris'];
const called = new Set();
let server;
let client;

/** The vector of a point: the larger the number, the larger its first component. */
const vector = (n) => [n, 1, (n * 7) % 5, (n * 3) % 4];
const ids = (points) => points.map((point) => point.id);
const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);
const numbers = Array.from({ length: COUNT }, (_, n) => n);

/** The oracle: the numbers of the best vectors by their dot product. */
function best(query, limit, among = numbers) {
  return [...among].sort((a, b) => dot(query, vector(b)) - dot(query, vector(a))).slice(0, limit);
}

async function refused(status, promise) {
  await assert.rejects(promise, (error) => {
    assert.equal(error.status, status, error);
    return true;
  });
}

before(async () => {
  server = await start();
  // This client is of an older generation than the server, and would say so.
  const stock = new QdrantClient({ url: server.url, checkCompatibility: false });
  client = new Proxy(stock, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== 'function') return value;
      called.add(name);
      return value.bind(target);
    },
  });
  assert.equal(await client.createCollection('docs', { vectors: { size: 4, distance: 'Dot' }, shard_number: 2 }), true);
  const points = numbers.map((n) => ({ id: n, vector: vector(n), payload: { n, city: CITIES[n % 3] } }));
  assert.equal((await client.upsert('docs', { wait: true, points })).status, 'completed');
  for (const [field_name, field_schema] of [['n', 'integer'], ['city', 'keyword']]) {
    assert.equal((await client.createPayloadIndex('docs', { wait: true, field_name, field_schema })).status, 'completed');
  }
});

after(() => server.stop());

test('the service tells of itself', async () => {
  assert.match((await client.versionInfo()).version, /^1\.20\./);
  const told = await client.clusterTelemetry({ details_level: 3 });
  assert.equal(told.cluster.enabled, false);
  assert.equal(told.collections.docs.shards.length, 2);
  assert.equal(typeof client.api(), 'object');
});

test('collections are made, seen, changed and dropped', async () => {
  const config = { vectors: { a: { size: 3, distance: 'Cosine' } }, sparse_vectors: { words: { modifier: 'idf' } } };
  assert.equal(await client.createCollection('made', config), true);
  await refused(409, client.createCollection('made', config));
  assert.equal(await client.updateCollection('made', { optimizers_config: { indexing_threshold: 777 } }), true);
  const info = await client.getCollection('made');
  assert.equal(info.status, 'green');
  assert.equal(info.config.params.vectors.a.size, 3);
  assert.equal(info.config.params.sparse_vectors.words.modifier, 'idf');
  assert.equal(info.config.optimizer_config.indexing_threshold, 777);
  const names = (await client.getCollections()).collections.map(({ name }) => name);
  assert.ok(names.includes('made') && names.includes('docs'));
  assert.deepEqual(await client.collectionExists('made'), { exists: true });
  assert.equal(await client.recreateCollection('made', { vectors: { size: 5, distance: 'Dot' } }), true);
  assert.equal((await client.getCollection('made')).config.params.vectors.size, 5);
  assert.equal((await client.createVectorName('made', 'more', { dense: { size: 2, distance: 'Dot' } }, { wait: true })).status, 'completed');
  assert.equal((await client.deleteVectorName('made', 'more', { wait: true })).status, 'completed');
  assert.deepEqual((await client.getOptimizations('made')).running, []);
  assert.equal(await client.deleteCollection('made'), true);
  assert.deepEqual(await client.collectionExists('made'), { exists: false });
  await refused(404, client.getCollection('made'));
});

test('aliases lead to collections', async () => {
  const actions = [{ create_alias: { collection_name: 'docs', alias_name: 'papers' } }];
  assert.equal(await client.updateCollectionAliases({ actions }), true);
  assert.deepEqual((await client.getAliases()).aliases, [{ alias_name: 'papers', collection_name: 'docs' }]);
  assert.deepEqual((await client.getCollectionAliases('docs')).aliases, [{ alias_name: 'papers', collection_name: 'docs' }]);
  assert.equal((await client.count('papers')).count, COUNT);
  await client.updateCollectionAliases({ actions: [{ delete_alias: { alias_name: 'papers' } }] });
});

test('points are counted, retrieved and scrolled', async () => {
  const filter = { must: [{ key: 'city', match: { value: 'Oslo' } }] };
  assert.equal((await client.count('docs', { filter, exact: true })).count, 20);
  const records = await client.retrieve('docs', { ids: [5, 999, 1], with_vector: true, with_payload: true });
  assert.deepEqual(records.map(({ id, vector: v, payload }) => [id, v, payload.n]), [[5, vector(5), 5], [1, vector(1), 1]]);
  const page = await client.scroll('docs', { limit: 7, filter });
  assert.deepEqual([ids(page.points), page.next_page_offset], [[0, 3, 6, 9, 12, 15, 18], 21]);
  const ordered = await client.scroll('docs', { limit: 2, order_by: { key: 'n', direction: 'desc' } });
  assert.deepEqual(ids(ordered.points), [59, 58]);
});

test('queries find what the oracle finds', async () => {
  const query = [1, -2, 3, 0.5];
  assert.deepEqual(ids((await client.query('docs', { query, limit: 5 })).points), best(query, 5));
  const filter = { must: [{ key: 'city', match: { any: ['Rome'] } }] };
  const romans = numbers.filter((n) => n % 3 === 1);
  assert.deepEqual(ids((await client.query('docs', { query, filter, limit: 5, with_payload: true })).points), best(query, 5, romans));
  const batch = await client.queryBatch('docs', { searches: [{ query, limit: 2 }, { query: 3, limit: 1 }] });
  assert.deepEqual(batch.map(({ points }) => ids(points)), [best(query, 2), best(vector(3), 2).filter((n) => n !== 3).slice(0, 1)]);
  const { groups } = await client.queryGroups('docs', { query, group_by: 'city', group_size: 2, limit: 3 });
  const grouped = Object.fromEntries(groups.map(({ id, hits }) => [id, ids(hits)]));
  assert.deepEqual(grouped.Rome, best(query, 2, romans));
  const { hits } = await client.facet('docs', { key: 'city', exact: true });
  assert.deepEqual(hits.map(({ value, count }) => [value, count]), [['Oslo', 20], ['Paris', 20], ['Rome', 20]]);
  assert.equal((await client.searchMatrixPairs('docs', { sample: 5, limit: 2 })).pairs.length, 10);
  assert.equal((await client.searchMatrixOffsets('docs', { sample: 5, limit: 2 })).scores.length, 10);
  await refused(400, client.query('docs', { query: [1, 2] }));
});

test('the older searches answer as the queries do', async () => {
  const query = [1, -2, 3, 0.5];
  assert.deepEqual(ids(await client.search('docs', { vector: query, limit: 4 })), best(query, 4));
  const batch = await client.searchBatch('docs', { searches: [{ vector: query, limit: 2 }, { vector: vector(2), limit: 1 }] });
  assert.deepEqual(batch.map(ids), [best(query, 2), best(vector(2), 1)]);
  const grouped = await client.searchPointGroups('docs', { vector: query, group_by: 'city', group_size: 1, limit: 3 });
  assert.equal(grouped.groups.length, 3);
  const body = { positive: [1], negative: [2], limit: 3 };
  const asked = await client.query('docs', { query: { recommend: { positive: [1], negative: [2] } }, limit: 3 });
  assert.deepEqual(ids(await client.recommend('docs', body)), ids(asked.points));
  for (const batch of ['recommendBatch', 'recommend_batch']) {
    assert.deepEqual((await client[batch]('docs', { searches: [body] })).map(ids), [ids(asked.points)]);
  }
  assert.equal((await client.recommendPointGroups('docs', { ...body, group_by: 'city', group_size: 1 })).groups.length, 3);
  const context = [{ positive: 1, negative: 2 }];
  const discovered = await client.query('docs', { query: { discover: { target: query, context } }, limit: 3 });
  assert.deepEqual(ids(await client.discoverPoints('docs', { target: query, context, limit: 3 })), ids(discovered.points));
  assert.deepEqual((await client.discoverBatchPoints('docs', { searches: [{ target: query, context, limit: 3 }] })).map(ids), [ids(discovered.points)]);
});

test('points, vectors and payloads are written', async () => {
  await client.createCollection('written', { vectors: { size: 2, distance: 'Dot' } });
  const wait = true;
  const completed = (result) => assert.equal(result.status, 'completed');
  completed(await client.upsert('written', { wait, batch: { ids: [1, 2, 3], vectors: [[1, 0], [0, 1], [1, 1]], payloads: [{ n: 1 }, { n: 2 }, { n: 3 }] } }));
  completed(await client.updateVectors('written', { wait, points: [{ id: 1, vector: [5, 5] }] }));
  completed(await client.setPayload('written', { wait, payload: { more: 1 }, points: [1] }));
  completed(await client.overwritePayload('written', { wait, payload: { other: 2 }, points: [2] }));
  completed(await client.deletePayload('written', { wait, keys: ['n'], points: [1] }));
  completed(await client.clearPayload('written', { wait, points: [3] }));
  const read = () => client.retrieve('written', { ids: [1, 2, 3], with_payload: true, with_vector: true });
  assert.deepEqual((await read()).map((point) => [point.payload, point.vector]), [[{ more: 1 }, [5, 5]], [{ other: 2 }, [0, 1]], [{}, [1, 1]]]);
  completed(await client.deleteVectors('written', { wait, vector: [''], points: [3] }));
  const operations = [{ upsert: { points: [{ id: 4, vector: [4, 4] }] } }, { delete: { points: [1] } }];
  assert.equal((await client.batchUpdate('written', { wait, operations })).length, 2);
  completed(await client.delete('written', { wait, points: [2] }));
  assert.deepEqual(ids((await client.scroll('written')).points), [3, 4]);
  completed(await client.createPayloadIndex('written', { wait, field_name: 'a', field_schema: 'float' }));
  completed(await client.deletePayloadIndex('written', 'a', { wait }));
  assert.deepEqual((await client.getCollection('written')).payload_schema, {});
});

test('shards and their keys are told of', async () => {
  const info = await client.collectionClusterInfo('docs');
  assert.equal(info.shard_count, 2);
  await refused(405, client.updateCollectionCluster('docs', { drop_replica: { shard_id: 0, peer_id: 1 } }));
  await client.createCollection('tenants', { vectors: { size: 2, distance: 'Dot' }, sharding_method: 'custom' });
  assert.equal(await client.createShardKey('tenants', { shard_key: 'one' }), true);
  assert.deepEqual((await client.listShardKeys('tenants')).shard_keys, [{ key: 'one' }]);
  await client.upsert('tenants', { wait: true, points: [{ id: 1, vector: [1, 1] }], shard_key: 'one' });
  assert.deepEqual(ids((await client.query('tenants', { query: [1, 1], shard_key: 'one' })).points), [1]);
  assert.equal(await client.deleteShardKey('tenants', { shard_key: 'one' }), true);
});

test('snapshots are made, recovered and deleted', async () => {
  await client.createCollection('kept', { vectors: { size: 2, distance: 'Dot' } });
  await client.upsert('kept', { wait: true, points: [{ id: 1, vector: [1, 1] }] });
  const made = await client.createSnapshot('kept');
  assert.deepEqual((await client.listSnapshots('kept')).map(({ name }) => name), [made.name]);
  await client.delete('kept', { wait: true, points: [1] });
  const location = `${server.url}/collections/kept/snapshots/${made.name}`;
  assert.equal(await client.recoverSnapshot('kept', { location, checksum: made.checksum, priority: 'snapshot' }), true);
  assert.equal((await client.count('kept')).count, 1);
  const shard = await client.createShardSnapshot('kept', 0, {});
  assert.deepEqual((await client.listShardSnapshots('kept', 0)).map(({ name }) => name), [shard.name]);
  const from = `${server.url}/collections/kept/shards/0/snapshots/${shard.name}`;
  assert.equal(await client.recoverShardFromSnapshot('kept', 0, { location: from, priority: 'snapshot' }), true);
  assert.equal(await client.deleteShardSnapshot('kept', 0, shard.name, {}), true);
  assert.equal(await client.deleteSnapshot('kept', made.name), true);
  const full = await client.createFullSnapshot();
  assert.deepEqual((await client.listFullSnapshots()).map(({ name }) => name), [full.name]);
  assert.equal(await client.deleteFullSnapshot(full.name), true);
});

test('every method was called', () => {
  const methods = Object.getOwnPropertyNames(QdrantClient.prototype).filter((name) => name !== 'constructor');
  assert.deepEqual(methods.filter((name) => !called.has(name)), []);
});
