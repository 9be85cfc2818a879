"""Asks the same of both doors: the stock client of Qdrant over REST and over gRPC, and compares the answers.

    doors.py URL GRPC_PORT [SEED]

Makes two collections (and removes them again), writes one half of their points through each door, reads them back through both,
and asks some 300 random questions of every kind that is deterministic. Numbers of formulas are such that 32 bits hold them
exactly, as gRPC has no wider ones there.
"""

import random
import struct
import sys
import uuid
import warnings

from qdrant_client import QdrantClient, models as m

DIM, POINTS = 6, 240
CITIES = ["Oslo", "Rome", "Paris", "Lima"]
WORDS = "red green blue fox dog cat quick lazy brown bird stone river".split()


class Doors:
    def __init__(self, url, port, seed):
        self.rest = QdrantClient(url=url, timeout=60)
        self.grpc = QdrantClient(url=url, grpc_port=port, prefer_grpc=True, timeout=60)
        self.rng = random.Random(seed)
        self.asked, self.different, self.kinds = 0, [], {}

    def same(self, kind, method, *args, **kwargs):
        answers = []
        for door in (self.rest, self.grpc):
            try:
                answers.append(plain(getattr(door, method)(*args, **kwargs)))
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")
        self.asked += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        # Every question makes sense, so that a refusal is as bad as a difference.
        if answers[0] != answers[1] or isinstance(answers[0], str):
            self.different.append((kind, args, kwargs, answers))


def plain(answer):
    """What an answer holds, without what only one form of it has."""
    if hasattr(answer, "model_dump"):
        answer = answer.model_dump()
    if isinstance(answer, dict):
        # Payloads that were not asked for are empty over gRPC, which knows no missing map; shard keys are not told at all.
        return {str(k): plain(v) for k, v in answer.items() if v is not None and v != {}}
    if isinstance(answer, (list, tuple)):
        return [plain(one) for one in answer]
    if isinstance(answer, bool) or answer is None:
        return answer
    if isinstance(answer, float):
        # Vectors and scores have 32 bits, which JSON writes in as few digits as tell them apart.
        return struct.unpack("f", struct.pack("f", answer))[0]
    return answer if isinstance(answer, (int, str)) else str(answer)


def difference(a, b, path=""):
    """Where two answers differ first."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) != b.get(key):
                return difference(a.get(key), b.get(key), f"{path}.{key}")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for n, (one, other) in enumerate(zip(a, b)):
            if one != other:
                return difference(one, other, f"{path}[{n}]")
    return f"{path or 'the whole'}: {str(a)[:300]} over REST, {str(b)[:300]} over gRPC"


def vector(rng):
    return [round(rng.uniform(-1, 1), 3) for _ in range(DIM)]


def sparse(rng):
    indices = rng.sample(range(20), rng.randint(1, 5))
    return m.SparseVector(indices=indices, values=[round(rng.uniform(0.1, 2), 3) for _ in indices])


def point(rng, number):
    payload = {
        "n": number, "x": round(rng.uniform(0, 10), 2), "whole": float(number), "flag": number % 3 == 0, "city": rng.choice(CITIES),
        "tags": rng.sample(["a", "b", "c", "d"], rng.randint(0, 3)), "text": " ".join(rng.choices(WORDS, k=8)),
        "place": {"lon": round(rng.uniform(-20, 20), 3), "lat": round(rng.uniform(30, 60), 3)},
        "at": f"2024-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:00:00Z",
        "nested": [{"k": rng.randint(0, 5), "v": rng.choice([None, 1, 1.5, "s"])} for _ in range(rng.randint(0, 2))],
    }
    if rng.random() < 0.2:
        payload["none"] = None
    vectors = {"": vector(rng), "euclid": vector(rng), "words": sparse(rng), "rows": [vector(rng) for _ in range(rng.randint(1, 3))]}
    if rng.random() < 0.1:
        del vectors["euclid"]
    ident = number if number % 2 else str(uuid.UUID(int=rng.getrandbits(128)))
    return m.PointStruct(id=ident, vector=vectors, payload=payload)


def condition(rng, ids, depth=0):
    f = m.FieldCondition
    kind = rng.randrange(20 if depth < 2 else 18)
    low = rng.randint(0, POINTS)
    return [
        lambda: f(key="city", match=m.MatchValue(value=rng.choice(CITIES))),
        lambda: f(key="n", match=m.MatchValue(value=low)),
        lambda: f(key="flag", match=m.MatchValue(value=rng.random() < 0.5)),
        lambda: f(key="city", match=m.MatchAny(any=rng.sample(CITIES, 2))),
        lambda: f(key="n", match=m.MatchAny(any=rng.sample(range(POINTS), 40))),
        lambda: f(key="tags", match=m.MatchExcept(**{"except": ["a", "b"]})),
        lambda: f(key="text", match=m.MatchText(text=rng.choice(WORDS))),
        lambda: f(key="text", match=m.MatchTextAny(text_any=" ".join(rng.sample(WORDS, 2)))),
        lambda: f(key="n", range=m.Range(gte=low, lt=low + 90)),
        lambda: f(key="x", range=m.Range(gt=rng.uniform(0, 5), lte=9.5)),
        lambda: f(key="at", range=m.DatetimeRange(gte="2024-03-01T00:00:00Z", lt="2024-11-01T10:00:00Z")),
        lambda: f(key="tags", values_count=m.ValuesCount(gte=rng.randint(0, 2))),
        lambda: f(key="place", geo_radius=m.GeoRadius(center=m.GeoPoint(lon=0.0, lat=45.0), radius=rng.choice([500000.0, 1000000.0]))),
        lambda: f(key="place", geo_bounding_box=m.GeoBoundingBox(top_left=m.GeoPoint(lon=-10.0, lat=55.0), bottom_right=m.GeoPoint(lon=15.0, lat=35.0))),
        lambda: m.IsEmptyCondition(is_empty=m.PayloadField(key=rng.choice(["tags", "none", "nested"]))),
        lambda: m.IsNullCondition(is_null=m.PayloadField(key="none")),
        lambda: m.HasIdCondition(has_id=rng.sample(ids, 60)),
        lambda: m.HasVectorCondition(has_vector="euclid"),
        lambda: m.NestedCondition(nested=m.Nested(key="nested", filter=m.Filter(must=[f(key="k", range=m.Range(gte=2))]))),
        lambda: filters(rng, ids, depth + 1),
    ][kind]()


def filters(rng, ids, depth=0):
    some = lambda: [condition(rng, ids, depth) for _ in range(rng.randint(1, 2))]
    kind = rng.randrange(5)
    if kind == 0:
        return m.Filter(must=some())
    if kind == 1:
        return m.Filter(should=some(), must_not=[condition(rng, ids, depth)])
    if kind == 2:
        return m.Filter(must_not=some())
    if kind == 3:
        return m.Filter(min_should=m.MinShould(conditions=some() + some(), min_count=1))
    return m.Filter(must=some(), should=some())


def formula(rng):
    score = "$score"
    decay = m.DecayParamsExpression(x="n", target=float(rng.randint(0, POINTS)), scale=64.0, midpoint=0.5)
    return rng.choice([
        lambda: m.SumExpression(sum=[score, m.MultExpression(mult=[0.25, "n"])]),
        lambda: m.SumExpression(sum=[score, m.MultExpression(mult=[0.5, m.FieldCondition(key="city", match=m.MatchValue(value="Oslo"))])]),
        lambda: m.DivExpression(div=m.DivParams(left=score, right=m.SumExpression(sum=[1.0, "x"]), by_zero_default=1.0)),
        lambda: m.SumExpression(sum=[score, m.ExpDecayExpression(exp_decay=decay)]),
        lambda: m.SumExpression(sum=[score, m.GaussDecayExpression(gauss_decay=decay)]),
        lambda: m.SumExpression(sum=[score, m.LinDecayExpression(lin_decay=decay)]),
        lambda: m.NegExpression(neg=m.AbsExpression(abs=score)),
        lambda: m.SumExpression(sum=[m.SqrtExpression(sqrt="x"), m.PowExpression(pow=m.PowParams(base="x", exponent=2.0))]),
        lambda: m.SumExpression(sum=[m.LnExpression(ln=m.SumExpression(sum=["x", 1.0])), m.Log10Expression(log10=m.SumExpression(sum=["n", 1.0]))]),
        lambda: m.NegExpression(neg=m.GeoDistance(geo_distance=m.GeoDistanceParams(origin=m.GeoPoint(lon=1.0, lat=45.0), to="place"))),
        lambda: m.ExpExpression(exp=score),
        lambda: m.ExpDecayExpression(exp_decay=m.DecayParamsExpression(
            x=m.DatetimeKeyExpression(datetime_key="at"), target=m.DatetimeExpression(datetime="2024-06-01T00:00:00Z"), scale=1048576.0, midpoint=0.5)),
    ])()


def question(rng, ids):
    """A kind with what to ask of it."""
    using = rng.choice(["", "euclid"])
    named = using or None
    example = lambda: rng.choice([vector(rng), rng.choice(ids)])
    pair = lambda: m.ContextPair(positive=example(), negative=example())
    flat = {"using": named} if named else {}
    prefetch = [m.Prefetch(query=vector(rng), limit=30, **flat), m.Prefetch(query=sparse(rng), using="words", limit=30, filter=filters(rng, ids))]
    deep = m.Prefetch(prefetch=[m.Prefetch(query=vector(rng), limit=50)], query=vector(rng), using="rows", limit=25)
    return rng.choice([
        lambda: ("nearest", dict(query=vector(rng), **flat)),
        lambda: ("nearest id", dict(query=rng.choice(ids))),
        lambda: ("sparse", dict(query=sparse(rng), using="words")),
        lambda: ("multi", dict(query=[vector(rng), vector(rng)], using="rows")),
        lambda: ("mmr", dict(query=m.NearestQuery(nearest=vector(rng), mmr=m.Mmr(diversity=0.5, candidates_limit=20)))),
        lambda: ("recommend", dict(query=m.RecommendQuery(recommend=m.RecommendInput(positive=[example(), example()], negative=[example()], strategy=rng.choice(list(m.RecommendStrategy)))))),
        lambda: ("discover", dict(query=m.DiscoverQuery(discover=m.DiscoverInput(target=example(), context=[pair(), pair()])))),
        lambda: ("context", dict(query=m.ContextQuery(context=[pair(), pair()]))),
        lambda: ("feedback", dict(query=m.RelevanceFeedbackQuery(relevance_feedback=m.RelevanceFeedbackInput(
            target=example(), feedback=[m.FeedbackItem(example=rng.choice(ids), score=0.5), m.FeedbackItem(example=rng.choice(ids), score=0.25)],
            strategy=m.NaiveFeedbackStrategy(naive=m.NaiveFeedbackStrategyParams(a=1.0, b=0.5, c=0.25)))))),
        lambda: ("order", dict(query=m.OrderByQuery(order_by=m.OrderBy(key=rng.choice(["n", "x", "at"]), direction=rng.choice(["asc", "desc"]))))),
        lambda: ("rrf", dict(query=m.FusionQuery(fusion=m.Fusion.RRF), prefetch=prefetch)),
        lambda: ("dbsf", dict(query=m.FusionQuery(fusion=m.Fusion.DBSF), prefetch=prefetch)),
        lambda: ("weighted rrf", dict(query=m.RrfQuery(rrf=m.Rrf(k=rng.randint(1, 60), weights=[1.0, 0.5])), prefetch=prefetch)),
        lambda: ("formula", dict(query=m.FormulaQuery(formula=formula(rng), defaults={"x": 1.0}), prefetch=prefetch[:1])),
        lambda: ("deep", dict(query=vector(rng), prefetch=[deep])),
        lambda: ("text", dict(query=m.TextQuery(text=" ".join(rng.sample(WORDS, 2))), using="text")),
        lambda: ("document", dict(query=m.Document(text="red fox", model="qdrant/bm25"), using="words")),
        lambda: ("all", dict()),
    ])()


def ask(doors, name, ids):
    rng = doors.rng
    payloads = [True, False, ["n", "city"], m.PayloadSelectorInclude(include=["nested[].k"]), m.PayloadSelectorExclude(exclude=["text"])]
    kind, words = question(rng, ids)
    words.update(with_payload=rng.choice(payloads), with_vectors=rng.choice([True, False, ["words"], ["rows", "euclid"]]))
    if rng.random() < 0.5:
        words["query_filter"] = filters(rng, ids)
    if rng.random() < 0.2:
        words["search_params"] = m.SearchParams(exact=True, hnsw_ef=64, acorn=m.AcornSearchParams(enable=True))
    if rng.random() < 0.2 and kind != "order":
        words["offset"] = rng.randint(0, 5)
    if rng.random() < 0.2 and kind == "nearest":
        words["score_threshold"] = 0.5
    doors.same(kind, "query_points", name, limit=rng.randint(1, 20), **words)


def ask_beside(doors, name, ids):
    """What is asked beside queries."""
    rng = doors.rng
    doors.same("scroll", "scroll", name, limit=rng.randint(1, 60), scroll_filter=filters(rng, ids), with_vectors=True)
    doors.same("scroll in order", "scroll", name, limit=9, order_by=m.OrderBy(key="x", start_from=2.5), with_payload=["x"])
    doors.same("scroll in time", "scroll", name, limit=9, order_by=m.OrderBy(key="at", start_from="2024-05-05T00:00:00Z", direction="desc"))
    doors.same("count", "count", name, count_filter=filters(rng, ids))
    doors.same("retrieve", "retrieve", name, rng.sample(ids, 5), with_vectors=rng.choice([True, ["", "words"]]))
    doors.same("facet", "facet", name, key=rng.choice(["city", "n", "flag"]), facet_filter=filters(rng, ids), exact=True)
    doors.same("groups", "query_points_groups", name, group_by=rng.choice(["city", "tags", "n"]), query=vector(rng), group_size=2, limit=4,
               with_payload=True, with_lookup=m.WithLookup(collection="doors_lookup", with_payload=True, with_vectors=True))
    doors.same("lookup", "query_points", name, query=rng.randint(0, 9), lookup_from=m.LookupLocation(collection="doors_lookup"))
    batch = [m.QueryRequest(query=vector(rng), limit=3, filter=filters(rng, ids), with_payload=True) for _ in range(3)]
    doors.same("batch", "query_batch_points", name, requests=batch)
    doors.same("matrix", "search_matrix_offsets", name, sample=POINTS * 2, limit=3)


def furnish(doors):
    rng, name = doors.rng, "doors"
    for one in (name, "doors_lookup"):
        doors.rest.delete_collection(one)
    dense = lambda distance: m.VectorParams(size=DIM, distance=distance)
    rows = m.VectorParams(size=DIM, distance=m.Distance.DOT, multivector_config=m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM))
    doors.grpc.create_collection(name, vectors_config={"": dense(m.Distance.COSINE), "euclid": dense(m.Distance.EUCLID), "rows": rows},
                                 sparse_vectors_config={"words": m.SparseVectorParams(modifier=m.Modifier.IDF)}, shard_number=2)
    doors.rest.create_collection("doors_lookup", vectors_config=dense(m.Distance.DOT))
    points = [point(rng, number) for number in range(POINTS)]
    doors.rest.upsert(name, points[::2], wait=True)
    doors.grpc.upsert(name, points[1::2], wait=True)
    doors.grpc.upsert("doors_lookup", [m.PointStruct(id=n, vector=vector(rng), payload={"n": n, "real": float(n)}) for n in range(POINTS)])
    text = m.TextIndexParams(type="text", tokenizer="word", lowercase=True, scoring=m.TextScoringParams(type="bm25"))
    for field, schema in (("n", "integer"), ("x", "float"), ("city", "keyword"), ("at", "datetime"), ("tags", "keyword"), ("flag", "bool"), ("place", "geo"), ("text", text)):
        rng.choice([doors.rest, doors.grpc]).create_payload_index(name, field, schema, wait=True)
    return name, [one.id for one in points]


def main():
    warnings.simplefilter("ignore")
    url, port, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
    doors = Doors(url, port, seed)
    name, ids = furnish(doors)
    doors.same("info", "get_collection", name)
    doors.same("names", "get_collections")
    doors.same("everything", "scroll", name, limit=POINTS, with_vectors=True)
    for turn in range(240):
        ask(doors, name, ids)
        if turn % 24 == 0:
            ask_beside(doors, name, ids)
    for one in (name, "doors_lookup"):
        doors.grpc.delete_collection(one)
    for kind, args, kwargs, answers in doors.different[:8]:
        print(f"{kind}: {args} {kwargs}\n  {difference(*answers)}")
    print(f"{doors.asked} questions of {len(doors.kinds)} kinds, {len(doors.different)} answered differently:", doors.kinds)
    sys.exit(bool(doors.different))


if __name__ == "__main__":
    main()
