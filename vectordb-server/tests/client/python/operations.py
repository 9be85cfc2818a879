"""Every operation of the API, and what it is asked to tell whether it works.

An operation is of priority P0 where the plainest use needs it, P1 where a client has a method for it or older clients ask it, P2
otherwise. Its probes are asked in order, of a server that holds the collection `a` (ten points) and, at the end of each door's
list, whatever earlier probes left. An expectation is a part of the answer: members that are not named may be anything, `ANY` is
anything, a pattern is a text that matches it. `save` keeps the name in an answer for later probes, which say `{name}`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

ANY = object()
SHA = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass
class Probe:
    """A question, and what its answer must hold."""

    path: str = ""
    body: Any = None
    expect: Any = ANY
    status: int | str = 200
    save: str = ""
    file: str = ""


@dataclasses.dataclass
class Operation:
    """An operation by its name: a method and a path, or a service and a method."""

    priority: str
    name: str
    probes: list[Probe]
    remark: str = ""


def ok(path: str = "", body: Any = None, result: Any = ANY, save: str = "") -> Probe:
    """Answered in an envelope."""
    return Probe(path, body, {"result": result, "status": "ok", "time": ANY}, 200, save)


def bare(path: str, answer: Any) -> Probe:
    """Answered without an envelope."""
    return Probe(path, None, answer)


def no(status: int, path: str = "", body: Any = None, text: str = "") -> Probe:
    """Refused for the reason."""
    return Probe(path, body, {"status": {"error": re.compile(text)}, "time": ANY}, status)


def scored(*ids: Any) -> list[Any]:
    return [{"id": id, "version": ANY, "score": ANY} for id in ids]


DONE = {"operation_id": ANY, "status": "completed"}
NEVER = "Not found: Collection `never` doesn't exist!"
C = "/collections/{collection_name}"
A = "/collections/a"
NEAR = [1.0, 0.0]
ALONE = "on one node there is nothing to do, which is said as the reference says it"

REST = [
    Operation("P0", "GET /", [bare("/", {"title": ANY, "version": re.compile(r"1\.20\.\d+"), "commit": ANY})]),
    Operation("P0", "GET /healthz", [bare("/healthz", "healthz check passed")]),
    Operation("P0", "GET /livez", [bare("/livez", "healthz check passed")]),
    Operation("P0", "GET /readyz", [bare("/readyz", "all shards are ready")]),
    Operation("P0", "GET /metrics", [bare("/metrics", re.compile(r"(?s).*vectordb_collections_total \d+.*")), bare("/metrics?per_collection=true", ANY)]),
    Operation("P1", "GET /telemetry", [ok("/telemetry?details_level=3", None, {"app": {"features": {"staging": False}}, "collections": {"number_of_collections": ANY}})]),
    Operation("P1", "GET /openapi.json", [bare("/openapi.json", {"openapi": "3.1.0", "paths": ANY})]),
    Operation("P2", "GET /issues", [ok("/issues", None, {"issues": []})]),
    Operation("P2", "DELETE /issues", [ok("/issues", None, True)]),
    Operation("P2", "GET /quotas", [ok("/quotas", None, {"config": {"enabled": False}, "usage": {"disk_usage_percent": ANY}})]),
    Operation("P2", "PUT /quotas", [ok("/quotas", {"enabled": False}, True), no(422, "/quotas", {"max_disk_usage_percent": 0}, "Validation error in JSON body: ")]),
    # Collections
    Operation("P0", "GET /collections", [ok("/collections", None, {"collections": [{"name": "a"}, {"name": "tenants"}]})]),
    Operation(
        "P0",
        f"GET {C}",
        [
            ok(A, None, {"status": "green", "optimizer_status": "ok", "points_count": 10, "config": {"params": {"vectors": {"size": 2, "distance": "Dot"}}}}),
            no(404, "/collections/never", None, NEVER),
        ],
    ),
    Operation(
        "P0",
        f"PUT {C}",
        [
            ok("/collections/b?timeout=5", {"vectors": {"x": {"size": 2, "distance": "Cosine"}}, "sparse_vectors": {"s": {}}, "shard_number": 2}, True),
            no(409, "/collections/b", {"vectors": {"size": 2, "distance": "Dot"}}, "Wrong input: Collection `b` already exists!"),
            no(422, "/collections/c", {"vectors": {"size": 0, "distance": "Dot"}}, r"Validation error in JSON body: \[vectors.size: value 0 invalid"),
            no(400, "/collections/c", {"vectors": {"size": "two"}}, "Format error in JSON body: "),
        ],
    ),
    Operation(
        "P0",
        f"PATCH {C}",
        [
            ok("/collections/b", {"optimizers_config": {"indexing_threshold": 7}, "metadata": {"k": 1}}, True),
            # `POST` to the same collection's cluster makes the number another one.
            ok(A, {"params": {"shard_number": 2}}, True),
            no(422, A, {"params": {"shard_number": 0}}, r"Validation error in JSON body: \[shard_number: value 0 invalid"),
            no(404, "/collections/never", {}, NEVER),
        ],
    ),
    Operation("P0", f"GET {C}/exists", [ok(f"{A}/exists", None, {"exists": True}), ok("/collections/never/exists", None, {"exists": False})]),
    Operation("P1", f"PUT {C}/vectors/{{vector_name}}", [ok("/collections/b/vectors/y?wait=true", {"dense": {"size": 3, "distance": "Dot"}}, DONE)]),
    Operation("P1", f"DELETE {C}/vectors/{{vector_name}}", [ok("/collections/b/vectors/y?wait=true", None, DONE)]),
    Operation("P2", f"GET {C}/optimizations", [ok(f"{A}/optimizations?with=queued,completed", None, {"running": [], "summary": ANY})]),
    Operation("P0", f"DELETE {C}", [ok("/collections/b", None, True), ok("/collections/b", None, False)]),
    Operation(
        "P0",
        f"PUT {C}/index",
        [
            ok(f"{A}/index?wait=true", {"field_name": "n", "field_schema": "integer"}, DONE),
            ok(f"{A}/index?wait=true", {"field_name": "city", "field_schema": {"type": "keyword", "is_tenant": True}}, DONE),
            ok(f"{A}/index?wait=true", {"field_name": "gone", "field_schema": "float"}, DONE),
            no(400, f"{A}/index", {"field_name": "n", "field_schema": "colour"}, "Format error in JSON body: |Wrong input: "),
        ],
    ),
    Operation("P0", f"DELETE {C}/index/{{field_name}}", [ok(f"{A}/index/gone?wait=true", None, DONE), ok(f"{A}/index/never?wait=true", None, DONE)]),
    # Aliases
    Operation("P0", "POST /collections/aliases", [ok("/collections/aliases", {"actions": [{"create_alias": {"collection_name": "a", "alias_name": "other"}}]}, True)]),
    Operation("P0", f"GET {C}/aliases", [ok(f"{A}/aliases", None, {"aliases": [{"alias_name": "other", "collection_name": "a"}]})]),
    Operation("P0", "GET /aliases", [ok("/aliases", None, {"aliases": [{"alias_name": "other", "collection_name": "a"}]})]),
    # Points
    Operation(
        "P0",
        f"PUT {C}/points",
        [
            ok(f"{A}/points?wait=true&ordering=strong", {"points": [{"id": 20, "vector": [0.5, 0], "payload": {"n": 20}}]}, DONE),
            ok(f"{A}/points?wait=true", {"batch": {"ids": [21, 22], "vectors": [[0.1, 0], [0.2, 0]], "payloads": [{"n": 21}, None]}}, DONE),
            ok(f"{A}/points", {"points": [{"id": "urn:uuid:550E8400-E29B-41D4-A716-446655440000", "vector": [0, 0]}]}, {"status": "acknowledged"}),
            no(400, f"{A}/points", {"points": [{"id": 23, "vector": [1]}]}, "Wrong input: Vector dimension error: expected dim: 2, got 1"),
            no(400, f"{A}/points", {"points": [{"id": "word", "vector": [1, 2]}]}),
            no(404, "/collections/never/points", {"points": []}, NEVER),
        ],
    ),
    Operation("P0", f"GET {C}/points/{{id}}", [ok(f"{A}/points/20", None, {"id": 20, "payload": {"n": 20}, "vector": [0.5, 0]}), no(404, f"{A}/points/99", None, "Not found: Point with id 99 does not exists!")]),
    Operation(
        "P0",
        f"POST {C}/points",
        [
            ok(f"{A}/points", {"ids": [3, 99, 1]}, [{"id": 3, "payload": {"n": 3, "city": "Rome"}}, {"id": 1, "payload": {"n": 1, "city": "Rome"}}]),
            ok(f"{A}/points", {"ids": ["550e8400e29b41d4a716446655440000"]}, [{"id": "550e8400-e29b-41d4-a716-446655440000"}]),
        ],
    ),
    Operation("P1", f"PUT {C}/points/vectors", [ok(f"{A}/points/vectors?wait=true", {"points": [{"id": 20, "vector": [0.6, 0]}]}, DONE), no(404, f"{A}/points/vectors?wait=true", {"points": [{"id": 99, "vector": [1, 1]}]}, "Not found: No point with id 99 found")]),
    Operation("P1", f"POST {C}/points/vectors/delete", [ok(f"{A}/points/vectors/delete?wait=true", {"points": [21], "vector": [""]}, DONE)]),
    Operation("P0", f"POST {C}/points/payload", [ok(f"{A}/points/payload?wait=true", {"payload": {"k": 1}, "points": [20]}, DONE), ok(f"{A}/points/payload?wait=true", {"payload": {"d": 1}, "key": "s", "filter": {"must": [{"has_id": [20]}]}}, DONE)]),
    Operation("P0", f"POST {C}/points/payload/delete", [ok(f"{A}/points/payload/delete?wait=true", {"keys": ["k"], "points": [20]}, DONE)]),
    Operation("P0", f"PUT {C}/points/payload", [ok(f"{A}/points/payload?wait=true", {"payload": {"new": 1}, "points": [21]}, DONE)]),
    Operation("P0", f"POST {C}/points/payload/clear", [ok(f"{A}/points/payload/clear?wait=true", {"points": [21]}, DONE)]),
    Operation(
        "P0",
        f"POST {C}/points/batch",
        [
            ok(f"{A}/points/batch?wait=true", {"operations": [{"upsert": {"points": [{"id": 24, "vector": [0, 0]}]}}, {"set_payload": {"payload": {"z": 1}, "points": [24]}}]}, [DONE, DONE]),
            no(400, f"{A}/points/batch", {"operations": [{"vanish": {}}]}, "Format error in JSON body: "),
        ],
    ),
    Operation("P0", f"POST {C}/points/delete", [ok(f"{A}/points/delete?wait=true", {"points": [20, 21, 22, 24, "550e8400-e29b-41d4-a716-446655440000"]}, DONE), ok(f"{A}/points/delete?wait=true", {"filter": {"must": [{"key": "n", "match": {"value": 77}}]}}, DONE)]),
    Operation(
        "P0",
        f"POST {C}/points/scroll",
        [
            ok(f"{A}/points/scroll", {"limit": 2, "with_payload": False}, {"points": [{"id": 0}, {"id": 1}], "next_page_offset": 2}),
            ok(f"{A}/points/scroll", {"limit": 1, "order_by": {"key": "n", "direction": "desc"}}, {"points": [{"id": 9, "order_value": 9}], "next_page_offset": None}),
            no(400, f"{A}/points/scroll", {"order_by": "unindexed"}),
        ],
    ),
    Operation("P0", f"POST {C}/points/count", [ok(f"{A}/points/count", {}, {"count": 10}), ok(f"{A}/points/count", {"filter": {"must": [{"key": "city", "match": {"value": "Oslo"}}]}, "exact": True}, {"count": 5})]),
    # Queries
    Operation(
        "P0",
        f"POST {C}/points/query",
        [
            ok(f"{A}/points/query?consistency=majority&timeout=5", {"query": NEAR, "limit": 2}, {"points": scored(9, 8)}),
            ok(f"{A}/points/query", {"prefetch": [{"query": NEAR, "limit": 3}, {"query": [-1.0, 0.0], "limit": 3}], "query": {"fusion": "rrf"}, "limit": 6}, {"points": scored(*[ANY] * 6)}),
            ok(f"{A}/points/query", {"query": {"recommend": {"positive": [9]}}, "limit": 1, "with_payload": True, "with_vector": True}, {"points": [{"id": 8, "payload": {"n": 8}, "vector": [8, 1]}]}),
            no(400, f"{A}/points/query", {"query": [1.0]}, "Wrong input: Vector dimension error: expected dim: 2, got 1"),
            no(422, f"{A}/points/query", {"query": NEAR, "limit": 0}, "Validation error in JSON body: "),
        ],
    ),
    Operation("P0", f"POST {C}/points/query/batch", [ok(f"{A}/points/query/batch", {"searches": [{"query": NEAR, "limit": 1}, {"query": 9, "limit": 1}]}, [{"points": scored(9)}, {"points": scored(8)}])]),
    Operation("P1", f"POST {C}/points/query/groups", [ok(f"{A}/points/query/groups", {"query": NEAR, "group_by": "city", "group_size": 2}, {"groups": [{"id": "Rome", "hits": scored(9, 7)}, {"id": "Oslo", "hits": scored(8, 6)}]})]),
    Operation("P1", f"POST {C}/facet", [ok(f"{A}/facet", {"key": "city", "exact": True}, {"hits": [{"value": "Oslo", "count": 5}, {"value": "Rome", "count": 5}]}), ok(f"{A}/facet", {"key": "unindexed"}, {"hits": []})], "without an index too"),
    Operation("P1", f"POST {C}/points/search/matrix/pairs", [ok(f"{A}/points/search/matrix/pairs", {"sample": 3, "limit": 1}, {"pairs": [{"a": ANY, "b": ANY, "score": ANY}] * 3})]),
    Operation("P1", f"POST {C}/points/search/matrix/offsets", [ok(f"{A}/points/search/matrix/offsets", {"sample": 3, "limit": 1}, {"offsets_row": [0, 1, 2], "offsets_col": [ANY] * 3, "scores": [ANY] * 3, "ids": [ANY] * 3})]),
    # From before queries
    Operation("P1", f"POST {C}/points/search", [ok(f"{A}/points/search", {"vector": NEAR, "limit": 2}, scored(9, 8)), ok(f"{A}/points/search", {"vector": NEAR, "top": 1, "filter": {"must_not": [{"has_id": [9]}]}}, scored(8))]),
    Operation("P1", f"POST {C}/points/search/batch", [ok(f"{A}/points/search/batch", {"searches": [{"vector": NEAR, "limit": 1}]}, [scored(9)])]),
    Operation("P1", f"POST {C}/points/search/groups", [ok(f"{A}/points/search/groups", {"vector": NEAR, "group_by": "city", "group_size": 1, "limit": 1}, {"groups": [{"id": "Rome", "hits": scored(9)}]})]),
    Operation("P1", f"POST {C}/points/recommend", [ok(f"{A}/points/recommend", {"positive": [9], "limit": 1}, scored(8))]),
    Operation("P1", f"POST {C}/points/recommend/batch", [ok(f"{A}/points/recommend/batch", {"searches": [{"positive": [9], "limit": 1}]}, [scored(8)])]),
    Operation("P1", f"POST {C}/points/recommend/groups", [ok(f"{A}/points/recommend/groups", {"positive": [9], "group_by": "city", "group_size": 1, "limit": 1}, {"groups": [{"id": "Oslo", "hits": scored(8)}]})]),
    Operation("P1", f"POST {C}/points/discover", [ok(f"{A}/points/discover", {"target": NEAR, "context": [{"positive": 9, "negative": 0}], "limit": 1}, scored(8))]),
    Operation("P1", f"POST {C}/points/discover/batch", [ok(f"{A}/points/discover/batch", {"searches": [{"target": NEAR, "context": [{"positive": 9, "negative": 0}], "limit": 1}]}, [scored(8)])]),
    # Snapshots
    Operation("P0", f"POST {C}/snapshots", [ok(f"{A}/snapshots", None, {"name": re.compile(r"a-\d+-\d{4}-.*\.snapshot"), "size": ANY, "creation_time": ANY, "checksum": SHA}, save="snapshot")]),
    Operation("P0", f"GET {C}/snapshots", [ok(f"{A}/snapshots", None, [{"name": "{snapshot}", "checksum": SHA}])]),
    Operation("P0", f"GET {C}/snapshots/{{snapshot_name}}", [Probe(f"{A}/snapshots/{{snapshot}}", save="file"), no(404, f"{A}/snapshots/never.snapshot")]),
    Operation("P0", f"POST {C}/snapshots/upload", [Probe("/collections/uploaded/snapshots/upload?priority=snapshot&wait=true", None, {"result": True}, file="file"), Probe("/collections/uploaded/snapshots/upload?checksum=" + "0" * 64, None, {"status": {"error": ANY}}, 400, file="file")]),
    Operation("P0", f"PUT {C}/snapshots/recover", [ok("/collections/recovered/snapshots/recover", {"location": "{url}/collections/a/snapshots/{snapshot}", "priority": "snapshot"}, True), no(400, f"{A}/snapshots/recover", {"location": "nowhere"})]),
    Operation("P0", f"DELETE {C}/snapshots/{{snapshot_name}}", [ok(f"{A}/snapshots/{{snapshot}}", None, True), no(404, f"{A}/snapshots/{{snapshot}}")]),
    Operation("P1", f"POST {C}/shards/{{shard_id}}/snapshots", [ok(f"{A}/shards/0/snapshots", None, {"name": ANY, "checksum": SHA}, save="shard"), no(404, f"{A}/shards/9/snapshots")]),
    Operation("P1", f"GET {C}/shards/{{shard_id}}/snapshots", [ok(f"{A}/shards/0/snapshots", None, [{"name": "{shard}"}])]),
    Operation("P1", f"GET {C}/shards/{{shard_id}}/snapshots/{{snapshot_name}}", [Probe(f"{A}/shards/0/snapshots/{{shard}}", save="shard_file")]),
    Operation("P1", f"POST {C}/shards/{{shard_id}}/snapshots/upload", [Probe(f"{A}/shards/0/snapshots/upload?priority=snapshot", None, {"result": True}, file="shard_file")]),
    Operation("P1", f"PUT {C}/shards/{{shard_id}}/snapshots/recover", [ok(f"{A}/shards/0/snapshots/recover", {"location": "{url}/collections/a/shards/0/snapshots/{shard}"}, True)]),
    Operation("P1", f"DELETE {C}/shards/{{shard_id}}/snapshots/{{snapshot_name}}", [ok(f"{A}/shards/0/snapshots/{{shard}}", None, True)]),
    Operation("P1", f"GET {C}/shards/{{shard_id}}/snapshot", [Probe(f"{A}/shards/0/snapshot")]),
    Operation("P1", "POST /snapshots", [ok("/snapshots", None, {"name": re.compile(r"full-snapshot-.*\.snapshot"), "checksum": SHA}, save="full")]),
    Operation("P1", "GET /snapshots", [ok("/snapshots", None, [{"name": "{full}"}])]),
    Operation("P1", "GET /snapshots/{snapshot_name}", [Probe("/snapshots/{full}")]),
    Operation("P1", "DELETE /snapshots/{snapshot_name}", [ok("/snapshots/{full}", None, True), no(404, "/snapshots/{full}")]),
    # Shards and cluster
    Operation("P1", f"PUT {C}/shards", [no(400, f"{A}/shards", {"shard_key": "k"}), ok("/collections/tenants/shards", {"shard_key": "k"}, True)]),
    Operation("P1", f"GET {C}/shards", [ok("/collections/tenants/shards", None, {"shard_keys": [{"key": "k"}]})]),
    Operation("P1", f"POST {C}/shards/delete", [ok("/collections/tenants/shards/delete", {"shard_key": "k"}, True)]),
    Operation("P0", "GET /cluster", [ok("/cluster", None, {"status": "disabled"})]),
    Operation("P0", f"GET {C}/cluster", [ok(f"{A}/cluster", None, {"peer_id": ANY, "shard_count": 2, "local_shards": [{"shard_id": 0, "points_count": ANY, "state": "Active"}, {"shard_id": 1}], "remote_shards": [], "shard_transfers": []})]),
    Operation(
        "P0",
        f"POST {C}/cluster",
        [
            ok("/collections/tenants/cluster", {"create_sharding_key": {"shard_key": "l"}}, True),
            no(400, f"{A}/cluster", {"abort_resharding": {}}, "Bad request: Collection `a` is not being resharded"),
            no(400, f"{A}/cluster", {"start_resharding": {"direction": "sideways"}}, "Format error in JSON body: "),
            ok("/collections/tenants/cluster", {"create_sharding_key": {"shard_key": "m"}}, True),
            ok("/collections/tenants/cluster", {"replicate_points": {"from_shard_key": "l", "to_shard_key": "m", "filter": {}}}, True),
            no(400, f"{A}/cluster", {"replicate_points": {"from_shard_key": "l", "to_shard_key": "m"}}, "Wrong input: Shard key cannot be used"),
            ok("/collections/tenants/cluster", {"start_resharding": {"direction": "up", "shard_key": "l"}}, True),
            no(405, f"{A}/cluster", {"drop_replica": {"shard_id": 0, "peer_id": 1}}),
        ],
        "resharding works alone too; of replicas there is nothing to do on one node, which is said as the reference says it",
    ),
    Operation("P2", f"POST {C}/cluster/verify", [no(405, f"{A}/cluster/verify")], ALONE),
    Operation("P0", "DELETE /cluster/peer/{peer_id}", [no(405, "/cluster/peer/1")], ALONE),
    Operation("P2", "POST /cluster/pause", [no(405, "/cluster/pause")], ALONE),
    Operation("P2", "POST /cluster/peer/{peer_id}/drain", [no(405, "/cluster/peer/1/drain")], ALONE),
    Operation("P1", "POST /cluster/recover", [no(405, "/cluster/recover")], ALONE),
    Operation("P2", "GET /cluster/telemetry", [ok("/cluster/telemetry?details_level=3", None, {"collections": {"a": {"id": "a", "shards": [{"id": 0, "replicas": [{"state": "Active"}]}, {"id": 1}]}}, "cluster": {"enabled": False}})]),
    Operation("P2", "POST /backups", [ok("/backups", {"location": "{room}/snapshots/backups", "collections": ["a"]})]),
    Operation("P2", "GET /backups", [ok("/backups?location={room}/snapshots/backups", None, [ANY])]),
    Operation("P2", "POST /backups/verify", [ok("/backups/verify", {"location": "{room}/snapshots/backups"})]),
    Operation("P2", "POST /backups/restore", [ok("/backups/restore", {"location": "{room}/snapshots/backups", "collections": {"a": "again"}})]),
    Operation("P2", "POST /backups/prune", [ok("/backups/prune", {"location": "{room}/snapshots/backups", "keep": 1})]),
    Operation("P2", f"GET {C}/memory", [ok(f"{A}/memory", None, {"shards": [{"shard_id": 0, "resident_bytes": ANY, "components": ANY}, ANY]})]),
]


def rpc(request: Any, *expect: Any, status: str = "OK", save: str = "") -> Probe:
    """Asked by a message in the JSON form of protobuf, and answered by one."""
    return Probe("", request, expect[0] if expect else ANY, status, save)


def in_a(**rest: Any) -> dict[str, Any]:
    return {"collection_name": "a", **rest}


def hits(*numbers: int) -> dict[str, Any]:
    return {"result": [{"id": {"num": str(number)}} for number in numbers]}



CREATED = {"result": True}
UPDATED = {"result": {"status": "Completed"}}
POINTS = {"points": {"ids": [{"num": 20}]}}
QUERY = {"nearest": {"dense": {"data": NEAR}}}
NOT_FOUND = rpc({"collection_name": "never"}, re.compile(NEVER), status="NOT_FOUND")

GRPC = [
    Operation("P0", "Qdrant/HealthCheck", [rpc({}, {"title": ANY, "version": re.compile(r"1\.20\.\d+")})]),
    Operation("P0", "Collections/List", [rpc({}, {"collections": [{"name": "a"}, {"name": "tenants"}]})]),
    Operation("P0", "Collections/Create", [rpc({"collection_name": "b", "vectors_config": {"params_map": {"map": {"x": {"size": 2, "distance": "Dot"}}}}}, CREATED), rpc(in_a(vectors_config={"params": {"size": 2, "distance": "Dot"}}), re.compile(".*already exists"), status="ALREADY_EXISTS")]),
    Operation("P0", "Collections/Get", [rpc(in_a(), {"result": {"status": "Green", "points_count": "10", "config": {"params": {"shard_number": 2}}}}), NOT_FOUND]),
    Operation("P0", "Collections/Update", [rpc({"collection_name": "b", "optimizers_config": {"indexing_threshold": 7}}, CREATED)]),
    Operation("P0", "Collections/CollectionExists", [rpc(in_a(), {"result": {"exists": True}}), rpc({"collection_name": "never"}, {"result": {"exists": False}})]),
    Operation("P0", "Collections/UpdateAliases", [rpc({"actions": [{"create_alias": {"collection_name": "a", "alias_name": "other"}}]}, CREATED)]),
    Operation("P0", "Collections/ListCollectionAliases", [rpc(in_a(), {"aliases": [{"alias_name": "other", "collection_name": "a"}]})]),
    Operation("P0", "Collections/ListAliases", [rpc({}, {"aliases": [{"alias_name": "other", "collection_name": "a"}]})]),
    Operation("P0", "Collections/CollectionClusterInfo", [rpc(in_a(), {"shard_count": "2", "local_shards": [{"shard_id": 0, "state": "Active"}, {"shard_id": 1, "state": "Active"}]})]),
    Operation("P0", "Collections/UpdateCollectionClusterSetup", [rpc({"collection_name": "tenants", "create_shard_key": {"shard_key": {"keyword": "l"}}}, CREATED), rpc(in_a(drop_replica={"shard_id": 0, "peer_id": 1}), status="UNIMPLEMENTED")], ALONE),
    Operation("P1", "Collections/CreateShardKey", [rpc({"collection_name": "tenants", "request": {"shard_key": {"keyword": "k"}}}, CREATED)]),
    Operation("P1", "Collections/ListShardKeys", [rpc({"collection_name": "tenants"}, {"shard_keys": [ANY, ANY]})]),
    Operation("P1", "Collections/DeleteShardKey", [rpc({"collection_name": "tenants", "request": {"shard_key": {"keyword": "k"}}}, CREATED)]),
    Operation("P0", "Collections/Delete", [rpc({"collection_name": "b"}, CREATED), rpc({"collection_name": "b"}, {"result": False})]),
    Operation("P0", "Points/CreateFieldIndex", [rpc(in_a(wait=True, field_name="n", field_type="FieldTypeInteger"), UPDATED), rpc(in_a(wait=True, field_name="city", field_type="FieldTypeKeyword"), UPDATED), rpc(in_a(wait=True, field_name="gone", field_type="FieldTypeFloat"), UPDATED)]),
    Operation("P0", "Points/DeleteFieldIndex", [rpc(in_a(wait=True, field_name="gone"), UPDATED)]),
    Operation("P1", "Points/CreateVectorName", [rpc(in_a(wait=True, vector_name="y", dense_config={"size": 3, "distance": "Dot"}), UPDATED)]),
    Operation("P1", "Points/DeleteVectorName", [rpc(in_a(wait=True, vector_name="y"), UPDATED)]),
    Operation("P0", "Points/Upsert", [rpc(in_a(wait=True, points=[{"id": {"num": 20}, "vectors": {"vector": {"dense": {"data": [0.5, 0]}}}, "payload": {"n": {"integer_value": 20}}}]), UPDATED), rpc(in_a(points=[{"id": {"num": 21}, "vectors": {"vector": {"dense": {"data": [1]}}}}]), re.compile(".*expected dim: 2, got 1"), status="INVALID_ARGUMENT"), NOT_FOUND]),
    Operation("P0", "Points/Get", [rpc(in_a(ids=[{"num": 20}, {"num": 99}]), {"result": [{"id": {"num": "20"}, "payload": {"n": {"integer_value": "20"}}}]})]),
    Operation("P1", "Points/UpdateVectors", [rpc(in_a(wait=True, points=[{"id": {"num": 20}, "vectors": {"vector": {"dense": {"data": [0.6, 0]}}}}]), UPDATED)]),
    Operation("P1", "Points/DeleteVectors", [rpc(in_a(wait=True, points_selector=POINTS, vectors={"names": [""]}), UPDATED)]),
    Operation("P0", "Points/SetPayload", [rpc(in_a(wait=True, points_selector=POINTS, payload={"k": {"integer_value": 1}}), UPDATED)]),
    Operation("P0", "Points/OverwritePayload", [rpc(in_a(wait=True, points_selector=POINTS, payload={"l": {"integer_value": 1}}), UPDATED)]),
    Operation("P0", "Points/DeletePayload", [rpc(in_a(wait=True, points_selector=POINTS, keys=["l"]), UPDATED)]),
    Operation("P0", "Points/ClearPayload", [rpc(in_a(wait=True, points=POINTS), UPDATED)]),
    Operation("P0", "Points/UpdateBatch", [rpc(in_a(wait=True, operations=[{"clear_payload": {"points": POINTS}}, {"delete_points": {"points": POINTS}}]), {"result": [{"status": "Completed"}, {"status": "Completed"}]})]),
    Operation("P0", "Points/Delete", [rpc(in_a(wait=True, points=POINTS), UPDATED)]),
    Operation("P0", "Points/Scroll", [rpc(in_a(limit=2), {"next_page_offset": {"num": "2"}, "result": [{"id": {"num": "0"}}, {"id": {"num": "1"}}]})]),
    Operation("P0", "Points/Count", [rpc(in_a(exact=True), {"result": {"count": "10"}})]),
    Operation("P0", "Points/Query", [rpc(in_a(query=QUERY, limit=2), hits(9, 8)), rpc(in_a(query={"nearest": {"dense": {"data": [1]}}}), re.compile(".*expected dim: 2, got 1"), status="INVALID_ARGUMENT")]),
    Operation("P0", "Points/QueryBatch", [rpc(in_a(query_points=[in_a(query=QUERY, limit=1)]), {"result": [hits(9)]})]),
    Operation("P1", "Points/QueryGroups", [rpc(in_a(query=QUERY, group_by="city", group_size=1, limit=2), {"result": {"groups": [{"id": {"string_value": "Rome"}}, {"id": {"string_value": "Oslo"}}]}})]),
    Operation("P1", "Points/Facet", [rpc(in_a(key="city", exact=True), {"hits": [{"value": {"string_value": "Oslo"}, "count": "5"}, {"value": {"string_value": "Rome"}, "count": "5"}]})]),
    Operation("P1", "Points/SearchMatrixPairs", [rpc(in_a(sample=3, limit=1), {"result": {"pairs": [ANY] * 3}})]),
    Operation("P1", "Points/SearchMatrixOffsets", [rpc(in_a(sample=3, limit=1), {"result": {"scores": [ANY] * 3, "ids": [ANY] * 3}})]),
    Operation("P1", "Points/Search", [rpc(in_a(vector=NEAR, limit=2), hits(9, 8))]),
    Operation("P1", "Points/SearchBatch", [rpc(in_a(search_points=[in_a(vector=NEAR, limit=1)]), {"result": [hits(9)]})]),
    Operation("P1", "Points/SearchGroups", [rpc(in_a(vector=NEAR, limit=1, group_by="city", group_size=1), {"result": {"groups": [{"id": {"string_value": "Rome"}}]}})]),
    Operation("P1", "Points/Recommend", [rpc(in_a(positive=[{"num": 9}], limit=1), hits(8))]),
    Operation("P1", "Points/RecommendBatch", [rpc(in_a(recommend_points=[in_a(positive=[{"num": 9}], limit=1)]), {"result": [hits(8)]})]),
    Operation("P1", "Points/RecommendGroups", [rpc(in_a(positive=[{"num": 9}], limit=1, group_by="city", group_size=1), {"result": {"groups": [{"id": {"string_value": "Oslo"}}]}})]),
    Operation("P1", "Points/Discover", [rpc(in_a(target={"single": {"vector": {"dense": {"data": NEAR}}}}, context=[{"positive": {"id": {"num": 9}}, "negative": {"id": {"num": 0}}}], limit=1), hits(8))]),
    Operation("P1", "Points/DiscoverBatch", [rpc(in_a(discover_points=[in_a(target={"single": {"id": {"num": 9}}}, limit=1)]), {"result": [hits(8)]})]),
    Operation("P0", "Snapshots/Create", [rpc(in_a(), {"snapshot_description": {"name": re.compile("a-.*"), "checksum": SHA}}, save="snapshot")]),
    Operation("P0", "Snapshots/List", [rpc(in_a(), {"snapshot_descriptions": [{"name": "{snapshot}"}]})]),
    Operation("P0", "Snapshots/Delete", [rpc(in_a(snapshot_name="{snapshot}"), {"time": ANY}), rpc(in_a(snapshot_name="{snapshot}"), status="NOT_FOUND")]),
    Operation("P1", "Snapshots/CreateFull", [rpc({}, {"snapshot_description": {"name": re.compile("full-snapshot-.*")}}, save="full")]),
    Operation("P1", "Snapshots/ListFull", [rpc({}, {"snapshot_descriptions": [{"name": "{full}"}]})]),
    Operation("P1", "Snapshots/DeleteFull", [rpc({"snapshot_name": "{full}"}, {"time": ANY})]),
]
