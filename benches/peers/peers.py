"""The engines that are measured, one class for each configuration, all with M = 16 and ef_construction = 200."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from data import LIMIT, Dataset, Window

M = 16
EF_CONSTRUCTION = 200
THREADS = 2
EFS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400, 600)


class Peer:
    """An engine. `build` comes first; `effort` sets what a search may cost."""

    name: ClassVar[str]
    """Whether what was built survives the process."""
    durable: ClassVar[bool] = False
    """A graph, whose cost of building is compared with ours."""
    graph: ClassVar[bool] = True
    filters: ClassVar[bool] = False
    efforts: ClassVar[tuple] = EFS

    def build(self, data: Dataset, folder: Path) -> None:
        """Takes all vectors, and leaves them indexed."""
        raise NotImplementedError

    def effort(self, effort: float) -> None:
        """Sets the size of the candidate list, or what the engine has instead."""
        raise NotImplementedError

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        """The nearest rows of each query, on one thread."""
        raise NotImplementedError

    def search_in(self, queries: np.ndarray, windows: list[Window]) -> list[np.ndarray]:
        """The nearest rows inside each query's window."""
        raise NotImplementedError


class Hnswlib(Peer):
    name = "hnswlib"

    def build(self, data: Dataset, folder: Path) -> None:
        import hnswlib

        space = "ip" if data.metric == "cosine" else "l2"
        self.index = hnswlib.Index(space=space, dim=data.dim)
        self.index.init_index(max_elements=len(data.base), M=M, ef_construction=EF_CONSTRUCTION)
        self.index.set_num_threads(THREADS)
        self.index.add_items(data.base)
        self.index.set_num_threads(1)

    def effort(self, effort: float) -> None:
        self.index.set_ef(int(effort))

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        return list(self.index.knn_query(queries, k=LIMIT)[0])


class Faiss(Peer):
    """What the faiss indexes have in common."""

    filters = True
    factory: ClassVar[str]

    def build(self, data: Dataset, folder: Path) -> None:
        import faiss

        self.faiss, self.data = faiss, data
        faiss.omp_set_num_threads(THREADS)
        metric = faiss.METRIC_INNER_PRODUCT if data.metric == "cosine" else faiss.METRIC_L2
        self.index = faiss.index_factory(data.dim, self.factory_string(len(data.base)), metric)
        self.configure()
        self.index.train(data.base)
        self.index.add(data.base)
        faiss.omp_set_num_threads(1)
        self.bitmaps: dict[tuple[int, int, int], object] = {}

    def factory_string(self, rows: int) -> str:
        return self.factory

    def configure(self) -> None:
        self.index.hnsw.efConstruction = EF_CONSTRUCTION

    def effort(self, effort: float) -> None:
        self.ef = int(effort)

    def params(self, selector: object | None) -> object:
        return self.faiss.SearchParametersHNSW(efSearch=self.ef, sel=selector)

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        return list(self.index.search(queries, LIMIT, params=self.params(None))[1])

    def search_in(self, queries: np.ndarray, windows: list[Window]) -> list[np.ndarray]:
        found = [self.index.search(query[None], LIMIT, params=self.params(self.bitmap(window)))[1][0] for query, window in zip(queries, windows)]
        return [rows[rows >= 0] for rows in found]

    def bitmap(self, window: Window) -> object:
        """The rows of a window as faiss wants them; what that costs is not measured."""
        key = (window.column, window.low, window.high)
        if key not in self.bitmaps:
            inside = np.zeros(len(self.data.base), dtype=bool)
            inside[window.rows(self.data)] = True
            self.bits = getattr(self, "bits", [])
            self.bits.append(np.packbits(inside, bitorder="little"))
            self.bitmaps[key] = self.faiss.IDSelectorBitmap(self.bits[-1])
        return self.bitmaps[key]


class FaissHnsw(Faiss):
    name = "faiss HNSW"
    factory = f"HNSW{M},Flat"


class FaissHnswSq8(Faiss):
    name = "faiss HNSW SQ8"
    factory = f"HNSW{M},SQ8"


class FaissIvfRabitq(Faiss):
    """An inverted file of 1-bit codes, with the vectors to score the best again."""

    name = "faiss IVF RaBitQ"
    graph = False
    efforts = (4, 8, 16, 32, 64, 128, 256)

    def factory_string(self, rows: int) -> str:
        return f"IVF{max(64, int(4 * rows**0.5))},RaBitQ,RFlat"

    def configure(self) -> None:
        self.faiss.extract_index_ivf(self.index).cp.niter = 10

    def params(self, selector: object | None) -> object:
        inner = self.faiss.IVFRaBitQSearchParameters(nprobe=self.ef, qb=8, sel=selector)
        return self.faiss.IndexRefineSearchParameters(k_factor=12.0, base_index_params=inner)


class Usearch(Peer):
    name = "usearch"
    dtype: ClassVar[str] = "f32"

    def build(self, data: Dataset, folder: Path) -> None:
        from usearch.index import Index

        metric = "ip" if data.metric == "cosine" else "l2sq"
        self.index = Index(ndim=data.dim, metric=metric, dtype=self.dtype, connectivity=M, expansion_add=EF_CONSTRUCTION)
        self.index.add(np.arange(len(data.base)), data.base, threads=THREADS)

    def effort(self, effort: float) -> None:
        self.index.expansion_search = int(effort)

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        return list(self.index.search(queries, LIMIT, threads=1).keys)


class UsearchI8(Usearch):
    name = "usearch int8"
    dtype = "i8"


class Zvec(Peer):
    name = "zvec"
    durable = True
    filters = True
    quantize: ClassVar[str] = "UNDEFINED"
    refine: ClassVar[bool] = False

    def build(self, data: Dataset, folder: Path) -> None:
        import zvec

        self.zvec = zvec
        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=1, optimize_threads=THREADS)
        metric = zvec.MetricType.COSINE if data.metric == "cosine" else zvec.MetricType.L2
        quantize = getattr(zvec.QuantizeType, self.quantize)
        index = zvec.HnswIndexParam(metric_type=metric, m=M, ef_construction=EF_CONSTRUCTION, quantize_type=quantize)
        number = zvec.InvertIndexParam(enable_range_optimization=True)
        schema = zvec.CollectionSchema(
            name="set",
            fields=[zvec.FieldSchema(f"a{n}", zvec.DataType.INT64, index_param=number) for n in range(2)],
            vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, data.dim, index_param=index),
        )
        self.collection = zvec.create_and_open(str(folder / "zvec"), schema, zvec.CollectionOption(read_only=False, enable_mmap=True))
        for start in range(0, len(data.base), 1000):
            rows = range(start, min(start + 1000, len(data.base)))
            docs = [
                zvec.Doc(id=str(n), vectors={"v": data.base[n]}, fields={f"a{c}": int(data.attributes[n, c]) for c in range(2)}) for n in rows
            ]
            self.collection.insert(docs)
        self.collection.optimize(zvec.OptimizeOption(concurrency=THREADS))
        self.collection.flush()

    def effort(self, effort: float) -> None:
        self.param = self.zvec.HnswQueryParam(ef=int(effort), is_using_refiner=self.refine)

    def one(self, query: np.ndarray, condition: str | None) -> np.ndarray:
        asked = self.zvec.Query(field_name="v", vector=query, param=self.param)
        docs = self.collection.query(asked, topk=LIMIT, filter=condition, output_fields=[])
        return np.array([int(doc.id) for doc in docs])

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        return [self.one(query, None) for query in queries]

    def search_in(self, queries: np.ndarray, windows: list[Window]) -> list[np.ndarray]:
        return [self.one(q, f"a{w.column} >= {w.low} and a{w.column} < {w.high}") for q, w in zip(queries, windows)]


class ZvecInt8(Zvec):
    name = "zvec int8"
    quantize = "INT8"


class ZvecInt8Refine(ZvecInt8):
    name = "zvec int8 refine"
    refine = True


class QdrantEdge(Peer):
    name = "qdrant-edge"
    durable = True
    filters = True

    def quantization(self, edge: object) -> object | None:
        return None

    def build(self, data: Dataset, folder: Path) -> None:
        import qdrant_edge as edge

        self.edge = edge
        distance = edge.Distance.Cosine if data.metric == "cosine" else edge.Distance.Euclid
        hnsw = edge.HnswIndexConfig(m=M, ef_construct=EF_CONSTRUCTION, full_scan_threshold=10_000, max_indexing_threads=THREADS)
        # Everything is indexed at the end, in one segment, as it is for the others.
        optimizers = edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000, max_segment_size=100_000_000)
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=data.dim, distance=distance),
            hnsw_config=hnsw,
            quantization_config=self.quantization(edge),
            optimizers=optimizers,
            max_search_threads=1,
        )
        (folder / "edge").mkdir()
        self.shard = edge.EdgeShard.create(str(folder / "edge"), config)
        for column in range(2):
            params = edge.IntegerIndexParams(lookup=False, range=True)
            self.shard.update(edge.UpdateOperation.create_field_index(f"a{column}", params))
        for start in range(0, len(data.base), 1000):
            rows = range(start, min(start + 1000, len(data.base)))
            points = [edge.Point(n, data.base[n].tolist(), {f"a{c}": int(data.attributes[n, c]) for c in range(2)}) for n in rows]
            self.shard.update(edge.UpdateOperation.upsert_points(points))
        while self.shard.optimize():
            pass
        self.shard.flush()

    def effort(self, effort: float) -> None:
        self.params = self.edge.SearchParams(hnsw_ef=int(effort))

    def one(self, query: np.ndarray, condition: object | None) -> np.ndarray:
        nearest = self.edge.Query.Nearest(query.tolist())
        request = self.edge.SearchRequest(nearest, LIMIT, filter=condition, params=self.params)
        return np.array([hit.id for hit in self.shard.search(request)])

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        return [self.one(query, None) for query in queries]

    def search_in(self, queries: np.ndarray, windows: list[Window]) -> list[np.ndarray]:
        return [self.one(query, self.condition(window)) for query, window in zip(queries, windows)]

    def condition(self, window: Window) -> object:
        inside = self.edge.RangeFloat(gte=float(window.low), lt=float(window.high))
        return self.edge.Filter(must=[self.edge.FieldCondition(f"a{window.column}", range=inside)])


class QdrantEdgeInt8(QdrantEdge):
    name = "qdrant-edge int8"

    def quantization(self, edge: object) -> object:
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, always_ram=True)


class QdrantEdgeTurbo(QdrantEdge):
    name = "qdrant-edge turbo 4"

    def quantization(self, edge: object) -> object:
        return edge.TurboQuantQuantizationConfig(always_ram=True, bits=edge.TurboQuantBitSize.Bits4)


class LanceDb(Peer):
    """An inverted file of graphs over 8-bit codes; effort is the candidate list of each graph."""

    name = "lancedb IVF_HNSW_SQ"
    durable = True
    filters = True
    efforts = (16, 64, 256)

    def build(self, data: Dataset, folder: Path) -> None:
        import lancedb
        import pyarrow as arrow
        from lancedb.index import HnswSq

        self.metric = data.metric
        flat = arrow.array(data.base.reshape(-1))
        table = arrow.table(
            {
                "id": np.arange(len(data.base)),
                "v": arrow.FixedSizeListArray.from_arrays(flat, data.dim),
                **{f"a{c}": data.attributes[:, c] for c in range(2)},
            }
        )
        self.table = lancedb.connect(str(folder / "lance")).create_table("set", table)
        self.table.create_index(
            vector_column_name="v",
            metric=data.metric,
            index_type="IVF_HNSW_SQ",
            num_partitions=1,
            m=M,
            ef_construction=EF_CONSTRUCTION,
        )
        for column in range(2):
            self.table.create_scalar_index(f"a{column}", index_type="BTREE")
        del HnswSq

    def effort(self, effort: float) -> None:
        self.ef = int(effort)

    def one(self, query: np.ndarray, condition: str | None) -> np.ndarray:
        search = self.table.search(query, vector_column_name="v").metric(self.metric).nprobes(1).ef(self.ef).refine_factor(2).limit(LIMIT)
        if condition:
            search = search.where(condition, prefilter=True)
        return search.select(["id"]).to_arrow()["id"].to_numpy()

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        return [self.one(query, None) for query in queries]

    def search_in(self, queries: np.ndarray, windows: list[Window]) -> list[np.ndarray]:
        return [self.one(q, f"a{w.column} >= {w.low} and a{w.column} < {w.high}") for q, w in zip(queries, windows)]


class Exact(Peer):
    """Every match compared, by one matrix product over rows gathered beforehand: what any filter can be replaced by."""

    name = "exact scan"
    graph = False
    filters = True
    efforts = (1,)

    def build(self, data: Dataset, folder: Path) -> None:
        self.data = data
        self.half_squares = (data.base * data.base).sum(axis=1) / 2 if data.metric == "l2" else np.zeros(len(data.base), np.float32)
        self.gathered: dict[tuple[int, int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def effort(self, effort: float) -> None:
        """There is nothing to set."""

    def best(self, query: np.ndarray, rows: np.ndarray, vectors: np.ndarray, halves: np.ndarray) -> np.ndarray:
        scores = vectors @ query - halves
        if len(scores) > LIMIT:
            top = np.argpartition(-scores, LIMIT - 1)[:LIMIT]
            return rows[top]
        return rows

    def search(self, queries: np.ndarray) -> list[np.ndarray]:
        rows = np.arange(len(self.data.base))
        return [self.best(query, rows, self.data.base, self.half_squares) for query in queries]

    def search_in(self, queries: np.ndarray, windows: list[Window]) -> list[np.ndarray]:
        return [self.best(query, *self.gather(window)) for query, window in zip(queries, windows)]

    def gather(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        key = (window.column, window.low, window.high)
        if key not in self.gathered:
            if len(self.gathered) > 8:
                self.gathered.clear()
            rows = window.rows(self.data)
            self.gathered[key] = (rows, self.data.base[rows], self.half_squares[rows])
        return self.gathered[key]


PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (
        Hnswlib,
        FaissHnsw,
        FaissHnswSq8,
        FaissIvfRabitq,
        Usearch,
        UsearchI8,
        Zvec,
        ZvecInt8,
        ZvecInt8Refine,
        QdrantEdge,
        QdrantEdgeInt8,
        QdrantEdgeTurbo,
        LanceDb,
        Exact,
    )
}
