"""Every method of the stock Python client, over REST and over gRPC, with what it is to answer.

Each test is one behaviour of one kind of methods. The last one compares the methods that were called with those that there are.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from server import Server

# No client is to warn of anything; what other tests leave behind for the collector is not of this client.
pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

COUNT = 300
CITIES = ("Oslo", "Rome", "Paris")
VECTORS = np.random.default_rng(1).normal(size=(COUNT, 8)).astype(np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)

# What needs models of its own that are loaded from elsewhere, or never calls a server.
LOCAL = {
    "DEFAULT_BATCH_SIZE",
    "get_embedding_size",
    "grpc_collections",
    "grpc_points",
    "http",
    "init_options",
    "list_image_models",
    "list_late_interaction_multimodal_models",
    "list_late_interaction_text_models",
    "list_sparse_models",
    "list_text_models",
}


class Recorded:
    """A client that remembers which of its methods were called."""

    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return getattr(self.client, name)


@pytest.fixture(scope="module", params=["rest", "grpc"])
def client(request: pytest.FixtureRequest) -> Iterator[Recorded]:
    """A client of a server of its own, with the collection `docs`."""
    with Server() as server:
        over_grpc = request.param == "grpc"
        stock = QdrantClient(server.url, prefer_grpc=over_grpc, grpc_port=server.grpc_port, timeout=60)
        recorded = Recorded(stock)
        recorded.over_grpc = over_grpc
        fill(recorded)
        yield recorded
        recorded.close()


def payload(number: int) -> dict[str, Any]:
    return {
        "n": number,
        "city": CITIES[number % 3],
        "tags": ["x", "y"][: 1 + number % 2],
        "at": f"2024-01-{1 + number % 28:02}T00:00:00Z",
        "place": {"lon": 13.0 + number / 100, "lat": 52.0},
        "text": f"the number {number}",
    }


def fill(client: Recorded) -> None:
    params = models.VectorParams(size=8, distance=models.Distance.COSINE)
    assert client.create_collection("docs", params, shard_number=3, metadata={"made": "here"})
    client.upload_collection("docs", VECTORS, [payload(n) for n in range(COUNT)], range(COUNT), wait=True, batch_size=100)
    kinds: dict[str, Any] = {
        "n": models.PayloadSchemaType.INTEGER,
        "city": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
        "at": "datetime",
        "place": "geo",
        "text": models.TextIndexParams(type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, lowercase=True),
    }
    for field, schema in kinds.items():
        assert done(client.create_payload_index("docs", field, schema))


def done(result: models.UpdateResult) -> bool:
    return result.status == models.UpdateStatus.COMPLETED


def ids(points: Any) -> list[Any]:
    return [point.id for point in points]


def nearest(query: np.ndarray, limit: int, among: Any = range(COUNT)) -> list[int]:
    """The oracle: the numbers of the nearest vectors."""
    among = list(among)
    scores = UNIT[among] @ (query / np.linalg.norm(query))
    return [among[row] for row in np.argsort(-scores)[:limit]]


def where(key: str, value: Any) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=key, match=models.MatchValue(value=value))])


def in_city(city: str) -> list[int]:
    return [n for n in range(COUNT) if CITIES[n % 3] == city]


def only(client: Recorded, name: str, **vectors: Any) -> str:
    """A new collection of two dimensions."""
    assert client.create_collection(name, vectors or models.VectorParams(size=2, distance=models.Distance.DOT))
    return name


def refused(over_grpc: bool, status: int, code: str) -> Any:
    """An answer with this HTTP status, or this gRPC code."""
    import grpc

    class Refused:
        def __enter__(self) -> None:
            return None

        def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
            if isinstance(error, UnexpectedResponse):
                assert not over_grpc and error.status_code == status, error
                return True
            if isinstance(error, grpc.RpcError):
                assert over_grpc and error.code().name == code, error
                return True
            assert error is not None, "it was not refused"
            return False

    return Refused()


def test_the_server_is_of_the_generation_of_the_client(client: Recorded) -> None:
    info = client.info()
    assert info.version.startswith("1.20.")
    assert len(info.commit) == 40


def test_collections_are_made_seen_changed_and_dropped(client: Recorded) -> None:
    vectors = {
        "dense": models.VectorParams(size=4, distance=models.Distance.DOT, on_disk=True),
        "rows": models.VectorParams(
            size=4,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        ),
    }
    sparse = {"words": models.SparseVectorParams(modifier=models.Modifier.IDF)}
    assert client.create_collection("made", vectors, sparse, shard_number=2, metadata={"k": 1, "gone": True})
    with refused(client.over_grpc, 409, "ALREADY_EXISTS"):
        client.create_collection("made", vectors)
    assert client.collection_exists("made") and not client.collection_exists("never")
    assert {"docs", "made"} <= {each.name for each in client.get_collections().collections}

    quantization = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True))
    optimizers = models.OptimizersConfigDiff(indexing_threshold=12345)
    changed = client.update_collection("made", optimizers_config=optimizers, quantization_config=quantization, metadata={"k": 2, "gone": None})
    assert changed
    info = client.get_collection("made")
    assert info.status == models.CollectionStatus.GREEN and info.optimizer_status == "ok"
    assert info.config.params.vectors["dense"].size == 4 and info.config.params.vectors["dense"].on_disk
    assert info.config.params.vectors["rows"].multivector_config.comparator == models.MultiVectorComparator.MAX_SIM
    assert info.config.params.sparse_vectors["words"].modifier == models.Modifier.IDF
    assert info.config.params.shard_number == 2 and info.points_count == 0
    assert info.config.optimizer_config.indexing_threshold == 12345
    assert info.config.quantization_config.scalar.always_ram
    assert info.config.metadata == {"k": 2}

    with refused(client.over_grpc, 404, "NOT_FOUND"):
        client.get_collection("never")
    assert client.delete_collection("made") and not client.collection_exists("made")
    assert not client.delete_collection("made")


def test_a_collection_is_made_anew(client: Recorded) -> None:
    only(client, "anew")
    client.upsert("anew", [models.PointStruct(id=1, vector=[1, 2])])
    with pytest.warns(DeprecationWarning):
        assert client.recreate_collection("anew", models.VectorParams(size=3, distance=models.Distance.EUCLID))
    assert client.count("anew").count == 0
    assert client.get_collection("anew").config.params.vectors.size == 3


def test_vectors_are_added_to_a_collection_and_removed(client: Recorded) -> None:
    only(client, "grown")
    config = models.DenseVectorNameConfig(dense=models.DenseVectorConfig(size=3, distance=models.Distance.DOT))
    assert done(client.create_vector_name("grown", "more", config))
    assert client.get_collection("grown").config.params.vectors["more"].size == 3
    client.upsert("grown", [models.PointStruct(id=1, vector={"more": [1, 2, 3]})])
    assert ids(client.query_points("grown", [1.0, 0.0, 0.0], using="more").points) == [1]
    assert done(client.delete_vector_name("grown", "more"))
    with refused(client.over_grpc, 400, "INVALID_ARGUMENT"):
        client.query_points("grown", [1.0, 0.0, 0.0], using="more")


def test_what_optimizers_do_is_told(client: Recorded) -> None:
    told = client.get_optimizations("docs", with_=["queued", "completed", "idle_segments"], completed_limit=5)
    assert told.running == [] and told.summary.queued_optimizations == 0


def test_aliases_lead_to_collections(client: Recorded) -> None:
    create = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="docs", alias_name="papers"))
    assert client.update_collection_aliases([create])
    assert client.count("papers").count == COUNT
    rename = models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name="papers", new_alias_name="articles"))
    assert client.update_collection_aliases([rename])
    assert [(each.alias_name, each.collection_name) for each in client.get_aliases().aliases] == [("articles", "docs")]
    assert [each.alias_name for each in client.get_collection_aliases("docs").aliases] == ["articles"]
    delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="articles"))
    assert client.update_collection_aliases([delete]) and client.get_aliases().aliases == []


def test_points_are_counted_retrieved_and_scrolled(client: Recorded) -> None:
    assert client.count("docs").count == COUNT
    assert client.count("docs", count_filter=where("city", "Oslo"), exact=True).count == len(in_city("Oslo"))
    records = client.retrieve("docs", [5, 999, 1], with_vectors=True)
    assert ids(records) == [5, 1] and records[0].payload == payload(5)
    np.testing.assert_allclose(records[0].vector, UNIT[5], rtol=1e-5, atol=1e-6)

    seen, offset = [], None
    while True:
        page, offset = client.scroll("docs", limit=70, offset=offset, with_payload=["n"])
        seen += [(record.id, record.payload) for record in page]
        if offset is None:
            break
    assert seen == [(n, {"n": n}) for n in range(COUNT)]
    page, offset = client.scroll("docs", limit=4, order_by=models.OrderBy(key="n", direction=models.Direction.DESC))
    assert [record.order_value for record in page] == [299, 298, 297, 296] and offset is None


def test_the_nearest_are_those_of_the_oracle(client: Recorded) -> None:
    for row in range(0, COUNT, 37):
        query = VECTORS[row]
        assert ids(client.query_points("docs", query, limit=5).points) == nearest(query, 5)
        filtered = client.query_points("docs", query.tolist(), query_filter=where("city", "Rome"), limit=5, with_payload=True).points
        assert ids(filtered) == nearest(query, 5, in_city("Rome"))
        assert {point.payload["city"] for point in filtered} == {"Rome"}
    exact = models.SearchParams(exact=True)
    first = client.query_points("docs", VECTORS[7], limit=3, search_params=exact, with_vectors=True, score_threshold=0.99).points
    assert ids(first) == [7] and abs(first[0].score - 1) < 1e-5
    np.testing.assert_allclose(first[0].vector, UNIT[7], rtol=1e-5, atol=1e-6)
    with refused(client.over_grpc, 400, "INVALID_ARGUMENT"):
        client.query_points("docs", [1.0, 2.0])


def test_filters_of_every_kind_select(client: Recorded) -> None:
    def count(*must: Any, **clauses: Any) -> int:
        return client.count("docs", count_filter=models.Filter(must=list(must) or None, **clauses)).count

    field = models.FieldCondition
    assert count(field(key="n", range=models.Range(gte=10, lt=20))) == 10
    assert count(field(key="city", match=models.MatchAny(any=["Oslo", "Rome"]))) == 200
    assert count(field(key="city", match=models.MatchExcept(**{"except": ["Oslo"]}))) == 200
    assert count(field(key="text", match=models.MatchText(text="number 17"))) == 1
    assert count(field(key="at", range=models.DatetimeRange(lt="2024-01-02T00:00:00Z"))) == len([n for n in range(COUNT) if n % 28 == 0])
    assert count(field(key="tags", values_count=models.ValuesCount(gt=1))) == COUNT // 2
    center = models.GeoPoint(lon=13.0, lat=52.0)
    assert count(field(key="place", geo_radius=models.GeoRadius(center=center, radius=1000.0))) == 2
    box = models.GeoBoundingBox(top_left=models.GeoPoint(lon=12.995, lat=53.0), bottom_right=models.GeoPoint(lon=13.025, lat=51.0))
    assert count(field(key="place", geo_bounding_box=box)) == 3
    assert count(models.HasIdCondition(has_id=[1, 2, 999])) == 2
    assert count(models.IsEmptyCondition(is_empty=models.PayloadField(key="none"))) == COUNT
    assert count(models.IsNullCondition(is_null=models.PayloadField(key="n"))) == 0
    assert count(must_not=[field(key="n", range=models.Range(gte=1))]) == 1
    least = models.MinShould(conditions=[field(key="n", range=models.Range(lt=5)), field(key="city", match=models.MatchValue(value="Oslo"))], min_count=2)
    assert count(min_should=least) == 2


def test_queries_of_every_kind_answer(client: Recorded) -> None:
    def ask(query: Any = None, **rest: Any) -> list[Any]:
        return ids(client.query_points("docs", query=query, **rest).points)

    seven, three = VECTORS[7], VECTORS[3]
    assert ask(7, limit=4) == [n for n in nearest(seven, 5) if n != 7]
    mmr = models.NearestQuery(nearest=seven.tolist(), mmr=models.Mmr(diversity=0.0, candidates_limit=30))
    assert ask(mmr, limit=4) == nearest(seven, 4)
    recommend = models.RecommendInput(positive=[1, seven.tolist()], negative=[3], strategy=models.RecommendStrategy.AVERAGE_VECTOR)
    target = UNIT[1] + seven - UNIT[3]
    assert ask(models.RecommendQuery(recommend=recommend), limit=3) == nearest(target, 3, set(range(COUNT)) - {1, 3})
    pair = models.ContextPair(positive=1, negative=2)
    discovered = ask(models.DiscoverQuery(discover=models.DiscoverInput(target=seven.tolist(), context=[pair])), limit=COUNT)
    closer = [n for n in range(COUNT) if n not in (1, 2) and UNIT[n] @ UNIT[1] > UNIT[n] @ UNIT[2]]
    assert discovered[:5] == nearest(seven, 5, closer) and len(discovered) == COUNT - 2
    context = client.query_points("docs", query=models.ContextQuery(context=[pair]), limit=5).points
    assert all(point.score == 0 and point.id in closer for point in context)
    assert ask(models.OrderByQuery(order_by=models.OrderBy(key="n", start_from=250)), limit=2) == [250, 251]
    sample = ask(models.SampleQuery(sample=models.Sample.RANDOM), limit=20)
    assert len(set(sample)) == 20 and set(sample) <= set(range(COUNT))

    prefetch = [models.Prefetch(query=seven.tolist(), limit=20), models.Prefetch(query=three.tolist(), limit=20)]
    ranks: dict[int, float] = {}
    for query in (seven, three):
        for rank, point in enumerate(nearest(query, 20)):
            ranks[point] = ranks.get(point, 0) + 1 / (60 + rank)
    fused = client.query_points("docs", prefetch=prefetch, query=models.RrfQuery(rrf=models.Rrf(k=60)), limit=40).points
    assert {point.id: pytest.approx(point.score) for point in fused} == ranks
    assert set(ask(models.FusionQuery(fusion=models.Fusion.DBSF), prefetch=prefetch, limit=40)) == set(nearest(seven, 20)) | set(nearest(three, 20))
    formula = models.FormulaQuery(formula=models.SumExpression(sum=["$score", models.MultExpression(mult=[10.0, "n"])]))
    assert ask(formula, prefetch=prefetch[:1], limit=20) == sorted(nearest(seven, 20), reverse=True)
    feedback = models.RelevanceFeedbackQuery(
        relevance_feedback=models.RelevanceFeedbackInput(
            target=seven.tolist(),
            feedback=[models.FeedbackItem(example=1, score=0.9), models.FeedbackItem(example=2, score=0.1)],
            strategy=models.NaiveFeedbackStrategy(naive=models.NaiveFeedbackStrategyParams(a=1.0, b=0.0, c=0.0)),
        )
    )
    assert len(ask(feedback, limit=5)) == 5
    # A point that is looked up may be found.
    assert ask(2, lookup_from=models.LookupLocation(collection="docs"), limit=2) == nearest(VECTORS[2], 2)

    requests = [models.QueryRequest(query=seven.tolist(), limit=2), models.QueryRequest(query=3, limit=2, filter=where("city", "Oslo"))]
    answers = client.query_batch_points("docs", requests)
    assert [ids(answer.points) for answer in answers] == [nearest(seven, 2), [n for n in nearest(three, 3, in_city("Oslo")) if n != 3][:2]]


def test_texts_rank_by_bm25(client: Recorded) -> None:
    only(client, "texts")
    texts = ["red fox", "red red fox and a very long tail of words", "blue whale"]
    client.upsert("texts", [models.PointStruct(id=n, vector=[1, 2], payload={"text": text}) for n, text in enumerate(texts)])
    schema = models.TextIndexParams(type=models.TextIndexType.TEXT, scoring=True)
    assert done(client.create_payload_index("texts", "text", schema))
    assert ids(client.query_points("texts", models.TextQuery(text="red"), using="text").points) == [0, 1]
    assert ids(client.query_points("texts", models.TextQuery(text="whale fox"), using="text", limit=1).points) == [2]


def test_sparse_and_multivectors_are_searched(client: Recorded) -> None:
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    rows = models.VectorParams(size=2, distance=models.Distance.DOT, multivector_config=multi)
    sparse = {"words": models.SparseVectorParams()}
    assert client.create_collection("kinds", {"dense": models.VectorParams(size=2, distance=models.Distance.DOT), "rows": rows}, sparse)
    name = str(uuid.uuid4())
    words = models.SparseVector(indices=[5, 1], values=[1.0, 0.5])
    points = [
        models.PointStruct(id=name, vector={"dense": [1, 2], "words": words, "rows": [[1, 0], [0, 1]]}, payload={"a": [{"b": [1, 2]}]}),
        models.PointStruct(id=2, vector={"dense": [0, 1]}),
    ]
    assert done(client.upsert("kinds", points))
    hit = client.query_points("kinds", models.SparseVector(indices=[5, 9], values=[2.0, 7.0]), using="words", with_vectors=["words"]).points
    assert [(point.id, point.score) for point in hit] == [(name, 2.0)]
    assert hit[0].vector == {"words": models.SparseVector(indices=[1, 5], values=[0.5, 1.0])}
    hit = client.query_points("kinds", [[1.0, 0.0], [0.0, 3.0]], using="rows", with_vectors=True).points
    assert [(point.id, point.score) for point in hit] == [(name, 4.0)] and hit[0].vector["rows"] == [[1.0, 0.0], [0.0, 1.0]]

    assert done(client.update_vectors("kinds", [models.PointVectors(id=2, vector={"dense": [9, 9]})]))
    assert client.retrieve("kinds", [2], with_vectors=True)[0].vector == {"dense": [9.0, 9.0]}
    assert done(client.delete_vectors("kinds", ["words"], [name]))
    assert client.query_points("kinds", words, using="words").points == []
    nested = models.NestedCondition(nested=models.Nested(key="a", filter=models.Filter(must=[models.FieldCondition(key="b", match=models.MatchValue(value=2))])))
    assert client.count("kinds", count_filter=models.Filter(must=[nested, models.HasVectorCondition(has_vector="rows")])).count == 1


def test_groups_facets_and_matrices_answer(client: Recorded) -> None:
    groups = client.query_points_groups("docs", group_by="city", query=VECTORS[7], group_size=2, limit=3).groups
    expected = {city: nearest(VECTORS[7], 2, in_city(city)) for city in CITIES}
    assert {group.id: ids(group.hits) for group in groups} == expected
    facet = client.facet("docs", key="city", facet_filter=models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lt=4))]), exact=True)
    assert [(hit.value, hit.count) for hit in facet.hits] == [("Oslo", 2), ("Paris", 1), ("Rome", 1)]
    pairs = client.search_matrix_pairs("docs", sample=10, limit=3).pairs
    assert len(pairs) == 30 and all(abs(pair.score - UNIT[pair.a] @ UNIT[pair.b]) < 1e-5 for pair in pairs)
    offsets = client.search_matrix_offsets("docs", sample=10, limit=3, query_filter=where("city", "Rome"))
    assert len(offsets.ids) == 10 and len(offsets.scores) == 30 and set(offsets.ids) <= set(in_city("Rome"))


def test_points_are_written_in_every_form(client: Recorded) -> None:
    only(client, "written")
    assert done(client.upsert("written", models.Batch(ids=[1, 2], vectors=[[1, 0], [0, 1]], payloads=[{"n": 1}, {"n": 2}])))
    client.upload_points("written", [models.PointStruct(id=3, vector=[1, 1])], wait=True)
    client.upload_collection("written", np.array([[1, 1], [2, 2]], dtype=np.float32), ids=[4, 5], wait=True)
    assert done(client.upsert("written", [models.PointStruct(id=1, vector=[5, 5])], update_mode=models.UpdateMode.INSERT_ONLY))
    assert client.retrieve("written", [1], with_vectors=True)[0].vector == [1.0, 0.0]
    later = client.upsert("written", [models.PointStruct(id=6, vector=[1, 1])], wait=False)
    assert later.status == models.UpdateStatus.ACKNOWLEDGED
    assert client.count("written").count == 6
    with refused(client.over_grpc, 400, "INVALID_ARGUMENT"):
        client.upsert("written", [models.PointStruct(id=7, vector=[1, 1]), models.PointStruct(id=8, vector=[1, 2, 3])])
    assert client.retrieve("written", [7, 8]) == []

    operations = [
        models.UpsertOperation(upsert=models.PointsList(points=[models.PointStruct(id=9, vector=[1, 1])])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"z": 1, "y": 2}, points=[9])),
        models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["y"], points=[9])),
        models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=[models.PointVectors(id=9, vector=[3, 3])])),
        models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload={"new": 1}, points=[2])),
        models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[1])),
        models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(vector=[""], points=[4])),
        models.DeleteOperation(delete=models.PointIdsList(points=[5])),
    ]
    results = client.batch_update_points("written", operations)
    assert len(results) == len(operations) and all(map(done, results))
    records = {record.id: (record.payload, record.vector) for record in client.retrieve("written", [1, 2, 4, 5, 9], with_vectors=True)}
    assert records[9] == ({"z": 1}, [3.0, 3.0]) and records[2][0] == {"new": 1} and records[1][0] == {} and 5 not in records
    assert not records[4][1]
    assert done(client.delete("written", models.Filter(must=[models.HasIdCondition(has_id=[9, 2])])))
    assert ids(client.scroll("written")[0]) == [1, 3, 4, 6]


def test_payloads_are_written_in_every_form(client: Recorded) -> None:
    only(client, "payloads")
    client.upsert("payloads", [models.PointStruct(id=n, vector=[1, 1], payload={"n": n}) for n in range(4)])

    def of(point: int) -> Any:
        return client.retrieve("payloads", [point])[0].payload

    assert done(client.set_payload("payloads", {"new": 1}, points=[1, 2]))
    assert of(1) == {"n": 1, "new": 1}
    assert done(client.set_payload("payloads", {"deep": 1}, points=[1], key="sub"))
    assert of(1) == {"n": 1, "new": 1, "sub": {"deep": 1}}
    assert done(client.overwrite_payload("payloads", {"other": 3}, points=[3]))
    assert of(3) == {"other": 3}
    assert done(client.delete_payload("payloads", ["new", "sub.deep"], points=where("new", 1)))
    assert of(1) == {"n": 1, "sub": {}} and of(2) == {"n": 2}
    assert done(client.clear_payload("payloads", points_selector=[0]))
    assert of(0) == {}


def test_payload_indexes_come_and_go(client: Recorded) -> None:
    only(client, "indexes")
    assert done(client.create_payload_index("indexes", "a", models.PayloadSchemaType.FLOAT))
    assert client.get_collection("indexes").payload_schema["a"].data_type == models.PayloadSchemaType.FLOAT
    assert done(client.delete_payload_index("indexes", "a"))
    assert client.get_collection("indexes").payload_schema == {}


def test_shard_keys_separate_points(client: Recorded) -> None:
    config = models.VectorParams(size=2, distance=models.Distance.DOT)
    assert client.create_collection("tenants", config, sharding_method=models.ShardingMethod.CUSTOM)
    assert client.create_shard_key("tenants", "one") and client.create_shard_key("tenants", 2)
    assert [each.key for each in client.list_shard_keys("tenants").shard_keys] in (["one", 2], [2, "one"])
    client.upsert("tenants", [models.PointStruct(id=1, vector=[1, 2])], shard_key_selector="one")
    client.upsert("tenants", [models.PointStruct(id=2, vector=[1, 2])], shard_key_selector=2)
    assert ids(client.query_points("tenants", [1.0, 1.0], shard_key_selector="one").points) == [1]
    assert sorted(ids(client.query_points("tenants", [1.0, 1.0]).points)) == [1, 2]
    assert client.delete_shard_key("tenants", "one") and client.count("tenants").count == 1


def test_a_single_node_tells_of_its_cluster(client: Recorded) -> None:
    assert client.cluster_status().status == "disabled"
    info = client.collection_cluster_info("docs")
    assert info.shard_count == 3 and sum(shard.points_count for shard in info.local_shards) == COUNT
    drop = models.DropReplicaOperation(drop_replica=models.Replica(shard_id=0, peer_id=1))
    with refused(client.over_grpc, 405, "UNIMPLEMENTED"):
        client.cluster_collection_update("docs", drop)
    # These have no gRPC form.
    for call in (client.recover_current_peer, lambda: client.remove_peer(1)):
        with refused(False, 405, ""):
            call()
    telemetry = client.cluster_telemetry()
    assert telemetry.cluster.enabled is False and len(telemetry.collections["docs"].shards or []) in (0, 3)


def test_a_collection_gets_another_number_of_shards(client: Recorded) -> None:
    assert client.create_collection("spread", models.VectorParams(size=2, distance=models.Distance.EUCLID), shard_number=3)
    client.upsert("spread", [models.PointStruct(id=n, vector=[n, 1], payload={"n": n}) for n in range(500)])

    def wait_for(shards: int) -> None:
        until = time.monotonic() + 30
        while (info := client.collection_cluster_info("spread")).resharding_operations:
            assert time.monotonic() < until, info
            time.sleep(0.01)
        assert (info.shard_count, len(info.local_shards)) == (shards, shards)
        assert client.get_collection("spread").config.params.shard_number == shards
        assert client.count("spread").count == 500 and ids(client.query_points("spread", [77.0, 1.0], limit=1).points) == [77]

    # The client's own method knows no such argument.
    body = {"params": {"shard_number": 5}}
    assert client.http.client.request(type_=dict, method="PATCH", url="/collections/spread", json=body)["result"] is True
    wait_for(5)
    for direction, shards in ((models.ReshardingDirection.DOWN, 4), (models.ReshardingDirection.UP, 5)):
        start = models.StartReshardingOperation(start_resharding=models.StartResharding(direction=direction))
        # It has no gRPC form.
        assert client.http.distributed_api.update_collection_cluster("spread", cluster_operations=start).result is True
        wait_for(shards)
    abort = models.AbortReshardingOperation(abort_resharding={})
    with refused(False, 400, ""):
        client.http.distributed_api.update_collection_cluster("spread", cluster_operations=abort)
    assert client.delete_collection("spread")


def test_snapshots_are_made_listed_recovered_and_deleted(client: Recorded) -> None:
    only(client, "kept")
    client.upsert("kept", [models.PointStruct(id=n, vector=[n, 1]) for n in range(10)])
    made = client.create_snapshot("kept")
    assert made.size > 0 and len(made.checksum) == 64
    assert [each.name for each in client.list_snapshots("kept")] == [made.name]
    client.delete("kept", [0, 1, 2])
    location = f"{client.client._client.rest_uri}/collections/kept/snapshots/{made.name}"
    assert client.recover_snapshot("kept", location, checksum=made.checksum, priority=models.SnapshotPriority.SNAPSHOT)
    assert client.count("kept").count == 10
    assert client.delete_snapshot("kept", made.name) and client.list_snapshots("kept") == []

    shard = client.create_shard_snapshot("kept", 0)
    assert [each.name for each in client.list_shard_snapshots("kept", 0)] == [shard.name]
    client.delete("kept", [3])
    location = f"{client.client._client.rest_uri}/collections/kept/shards/0/snapshots/{shard.name}"
    assert client.recover_shard_snapshot("kept", 0, location, priority=models.SnapshotPriority.SNAPSHOT)
    assert client.count("kept").count == 10
    assert client.delete_shard_snapshot("kept", 0, shard.name)

    full = client.create_full_snapshot()
    assert [each.name for each in client.list_full_snapshots()] == [full.name]
    assert client.delete_full_snapshot(full.name) and client.list_full_snapshots() == []


def test_collections_migrate_to_another_server(client: Recorded) -> None:
    with Server() as other:
        there = QdrantClient(other.url, timeout=60)
        client.migrate(there, ["docs"])
        assert there.count("docs").count == COUNT
        copies, originals = (each.scroll("docs", limit=COUNT, with_vectors=True)[0] for each in (there, client))
        assert [(each.id, each.payload) for each in copies] == [(each.id, each.payload) for each in originals]
        np.testing.assert_allclose([each.vector for each in copies], [each.vector for each in originals], rtol=1e-6)
        there.close()


def test_every_method_was_called(client: Recorded) -> None:
    methods = {name for name in dir(QdrantClient) if not name.startswith("_")} - LOCAL
    assert methods - client.called == {"close"}
