"""The engines that are measured, one class for each kind of index, graphs with M = 16 and ef_construction = 200."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data import Dataset, Window

M = 16
EF_CONSTRUCTION = 200
BATCH = 1000
EFS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400, 600)
FILTERED_EFS = (64, 128, 256, 512)
KNOWN_WINDOWS = 8
Effort = dict[str, float]


@dataclass(frozen=True)
class Variant:
    """A way to search what a peer built: its name in tables, and what its searches may cost, cheapest first."""

    name: str
    efforts: tuple[Effort, ...]
    filtered: tuple[Effort, ...]


def graph(name: str, **fixed: float) -> Variant:
    """A sweep over the candidate list of a graph, with other settings fixed."""
    efforts, filtered = (tuple({"ef": ef, **fixed} for ef in efs) for efs in (EFS, FILTERED_EFS))
    return Variant(name, efforts, filtered)


class Peer:
    """An engine. `build` comes first; `set_effort` says what a search may cost."""

    key: ClassVar[str]
    package: ClassVar[str]
    variants: ClassVar[tuple[Variant, ...]]
    # Whether what was built survives the process.
    durable: ClassVar[bool] = False
    # A graph, whose cost of building is compared with ours.
    graph: ClassVar[bool] = True
    filters: ClassVar[bool] = False

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        """Takes all vectors, and leaves them indexed (and on disk, if it is durable)."""
        raise NotImplementedError

    def ready(self) -> None:
        """Whatever searches on one thread need and building does not pay for."""

    def set_effort(self, effort: Effort) -> None:
        """Sets the size of the candidate list, or what the engine has instead."""
        self.params: Any = effort

    def given(self, query: np.ndarray) -> Any:
        """A query in the form that the engine likes best; making that is not measured."""
        return query

    def search_one(self, query: Any, k: int) -> Any:
        """The nearest rows, as the engine returns them."""
        raise NotImplementedError

    def search_filtered(self, query: Any, k: int, window: Window) -> Any:
        """The nearest rows inside a window."""
        raise NotImplementedError

    def rows(self, answer: Any) -> np.ndarray:
        """Row numbers in an answer; finding them is not measured."""
        answer = np.asarray(answer).reshape(-1)
        return answer[answer >= 0]

    def close(self) -> None:
        """Lets go of files."""


class Hnswlib(Peer):
    """The reference implementation. Its filters are Python functions, too slow to be of use."""

    key = package = "hnswlib"
    variants = (graph("hnswlib"),)

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip" if data.metric == "cosine" else "l2", dim=data.dim)
        self.index.init_index(max_elements=len(data.base), M=M, ef_construction=EF_CONSTRUCTION)
        self.index.add_items(data.base, num_threads=threads)

    def set_effort(self, effort: Effort) -> None:
        self.index.set_ef(int(effort["ef"]))

    def search_one(self, query: Any, k: int) -> Any:
        return self.index.knn_query(query, k, 1)[0]

    def rows(self, answer: Any) -> np.ndarray:
        return answer[0].astype(np.int64)


class Faiss(Peer):
    """What the faiss indexes have in common. Filters are bitmaps made beforehand: the cheapest form it knows."""

    package = "faiss"
    filters = True

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        import faiss

        self.faiss, self.data = faiss, data
        self.bitmaps: dict[Window, tuple[Any, np.ndarray]] = {}
        faiss.omp_set_num_threads(threads)
        metric = faiss.METRIC_INNER_PRODUCT if data.metric == "cosine" else faiss.METRIC_L2
        self.index = faiss.index_factory(data.dim, self.factory(len(data.base)), metric)
        self.configure()
        self.index.train(data.base)
        self.index.add(data.base)

    def factory(self, rows: int) -> str:
        """The index in faiss's language."""
        raise NotImplementedError

    def configure(self) -> None:
        """What that language cannot say."""
        self.index.hnsw.efConstruction = EF_CONSTRUCTION

    def ready(self) -> None:
        self.faiss.omp_set_num_threads(1)

    def given(self, query: np.ndarray) -> Any:
        return query[None]

    def set_effort(self, effort: Effort) -> None:
        self.effort = effort
        self.params = self.parameters(None)

    def parameters(self, selector: Any) -> Any:
        """Parameters of a search, with a filter or without."""
        return self.faiss.SearchParametersHNSW(efSearch=int(self.effort["ef"]), sel=selector)

    def search_one(self, query: Any, k: int) -> Any:
        return self.index.search(query, k, params=self.params)[1]

    def search_filtered(self, query: Any, k: int, window: Window) -> Any:
        return self.index.search(query, k, params=self.parameters(self.bitmap(window)))[1]

    def bitmap(self, window: Window) -> Any:
        """The rows of a window; made once, as a search repeats its windows."""
        if window not in self.bitmaps:
            if len(self.bitmaps) >= KNOWN_WINDOWS:
                self.bitmaps.clear()
            inside = np.zeros(len(self.data.base), dtype=bool)
            inside[window.rows(self.data)] = True
            bits = np.packbits(inside, bitorder="little")
            # The selector only points at the bits.
            self.bitmaps[window] = (self.faiss.IDSelectorBitmap(bits), bits)
        return self.bitmaps[window][0]


class FaissHnsw(Faiss):
    """A graph over float32."""

    key = "faiss-hnsw"
    variants = (graph("faiss HNSW"),)

    def factory(self, rows: int) -> str:
        return f"HNSW{M},Flat"


class FaissHnswSq8(Faiss):
    """A graph over bytes, not scored again."""

    key = "faiss-hnsw-sq8"
    variants = (graph("faiss HNSW SQ8"),)

    def factory(self, rows: int) -> str:
        return f"HNSW{M},SQ8"


def rabitq_efforts(*pairs: tuple[int, int]) -> tuple[Effort, ...]:
    """Lists to look into, and candidates for each result to score again."""
    return tuple({"nprobe": nprobe, "k_factor": k_factor} for nprobe, k_factor in pairs)


class FaissIvfRabitq(Faiss):
    """An inverted file of 1-bit codes scanned in blocks, with the vectors to score the best again."""

    key = "faiss-ivf-rabitq"
    graph = False
    variants = (
        Variant(
            "faiss IVF RaBitQ FS",
            rabitq_efforts((4, 5), (8, 5), (8, 12), (16, 12), (32, 5), (32, 12), (64, 12), (64, 30), (128, 12), (128, 30), (256, 60)),
            rabitq_efforts((16, 12), (64, 12), (256, 30), (100_000, 60)),
        ),
    )

    def factory(self, rows: int) -> str:
        self.lists = max(1, int(4 * rows**0.5))
        return f"IVF{self.lists},RaBitQfs,RFlat"

    def configure(self) -> None:
        self.faiss.extract_index_ivf(self.index).cp.niter = 10

    def parameters(self, selector: Any) -> Any:
        nprobe = min(self.lists, int(self.effort["nprobe"]))
        inner = self.faiss.IVFRaBitQSearchParameters(nprobe=nprobe, qb=8, sel=selector)
        return self.faiss.IndexRefineSearchParameters(k_factor=float(self.effort["k_factor"]), base_index_params=inner)


class Usearch(Peer):
    """A graph over float32. It has no filters in Python."""

    key = package = "usearch"
    variants = (graph("usearch"),)
    dtype: ClassVar[str] = "f32"

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        from usearch.index import Index

        # Unit vectors: an inner product is a cosine and cheaper; bytes need the metric that scales by itself.
        metric = "l2sq" if data.metric == "l2" else "ip" if self.dtype == "f32" else "cos"
        self.index = Index(ndim=data.dim, metric=metric, dtype=self.dtype, connectivity=M, expansion_add=EF_CONSTRUCTION)
        self.index.add(np.arange(len(data.base)), data.base, threads=threads)

    def set_effort(self, effort: Effort) -> None:
        self.index.expansion_search = int(effort["ef"])

    def search_one(self, query: Any, k: int) -> Any:
        return self.index.search(query, k, threads=1)

    def rows(self, answer: Any) -> np.ndarray:
        return answer.keys.astype(np.int64)


class UsearchI8(Usearch):
    """A graph over bytes."""

    key = "usearch-i8"
    variants = (graph("usearch int8"),)
    dtype = "i8"


class Zvec(Peer):
    """A graph over float32; asked by its fastest way, row numbers from a collection opened for reading."""

    key = package = "zvec"
    durable = filters = True
    variants = (graph("zvec"),)
    quantize: ClassVar[str] = "UNDEFINED"

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        import zvec

        self.zvec, self.path, self.metric = zvec, str(folder / "zvec"), data.metric
        initialise_zvec(threads)
        schema = zvec.CollectionSchema(
            name="set",
            fields=[zvec.FieldSchema(f"a{n}", zvec.DataType.INT64, index_param=self.number_index()) for n in range(2)],
            vectors=zvec.VectorSchema("v", zvec.DataType.VECTOR_FP32, data.dim, index_param=self.vector_index()),
        )
        self.collection = zvec.create_and_open(self.path, schema)
        for start in range(0, len(data.base), BATCH):
            self.collection.insert([self.document(data, row) for row in range(start, min(start + BATCH, len(data.base)))])
        self.collection.optimize(zvec.OptimizeOption(concurrency=threads))
        self.collection.flush()

    def number_index(self) -> Any:
        """Index of a field that is asked for ranges."""
        return self.zvec.InvertIndexParam(enable_range_optimization=True)

    def vector_index(self) -> Any:
        """The graph."""
        zvec = self.zvec
        return zvec.HnswIndexParam(
            metric_type=zvec.MetricType.COSINE if self.metric == "cosine" else zvec.MetricType.L2,
            m=M,
            ef_construction=EF_CONSTRUCTION,
            quantize_type=getattr(zvec.QuantizeType, self.quantize),
            use_contiguous_memory=True,
            use_flat_contiguous_memory=self.quantize != "UNDEFINED",
        )

    def document(self, data: Dataset, row: int) -> Any:
        """A row as the engine takes it."""
        fields = {f"a{column}": int(data.attributes[row, column]) for column in range(2)}
        return self.zvec.Doc(id=str(row), vectors={"v": data.base[row]}, fields=fields)

    def ready(self) -> None:
        self.collection.close()
        self.collection = self.zvec.open(self.path, self.zvec.CollectionOption(read_only=True, enable_mmap=True))

    def set_effort(self, effort: Effort) -> None:
        scale = effort.get("scale", 0)
        self.params = self.zvec.HnswQueryParam(ef=int(effort["ef"]), is_using_refiner=scale > 0, scale_factor=float(scale))

    def search_one(self, query: Any, k: int) -> Any:
        return self.collection.query_internal_ids(self.zvec.Query("v", vector=query, param=self.params), topk=k)

    def search_filtered(self, query: Any, k: int, window: Window) -> Any:
        condition = f"a{window.column} >= {window.low} and a{window.column} < {window.high}"
        return self.collection.query_internal_ids(self.zvec.Query("v", vector=query, param=self.params), topk=k, filter=condition)

    def rows(self, answer: Any) -> np.ndarray:
        return np.array([int(key) for key in self.collection.resolve_internal_ids(answer) if key is not None], dtype=np.int64)

    def close(self) -> None:
        self.collection.close()


class ZvecInt8(Zvec):
    """A graph over bytes; the vectors are kept too, and score the best 20 again when asked to."""

    key = "zvec-int8"
    variants = (graph("zvec int8"), graph("zvec int8 refine", scale=2))
    quantize = "INT8"


class ZvecUint8(Zvec):
    """A graph over bytes of one scale, which it has for Euclidean distance only: on unit vectors that orders like the cosine."""

    key = "zvec-uint8"
    variants = (graph("zvec uint8"), graph("zvec uint8 refine", scale=2))
    quantize = "UNIFORM_UINT8"

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        super().build(Dataset(data.name, "l2", data.base, data.queries, data.truth, data.attributes), folder, threads)


def initialise_zvec(threads: int) -> None:
    """Once in a process: a second time is an error."""
    import zvec

    if not getattr(initialise_zvec, "done", False):
        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=1, optimize_threads=threads)
        initialise_zvec.done = True  # type: ignore[attr-defined]


class QdrantEdge(Peer):
    """A graph over float32."""

    key = package = "qdrant-edge"
    durable = filters = True
    variants = (graph("qdrant-edge"),)

    def quantization(self, edge: Any) -> Any:
        """Codes to search by."""
        return None

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        import qdrant_edge as edge

        self.edge = edge
        # Everything is indexed at the end, in one segment, as it is for the others.
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=data.dim, distance=edge.Distance.Cosine if data.metric == "cosine" else edge.Distance.Euclid),
            hnsw_config=edge.HnswIndexConfig(m=M, ef_construct=EF_CONSTRUCTION, full_scan_threshold=10_000, max_indexing_threads=threads),
            quantization_config=self.quantization(edge),
            optimizers=edge.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000, max_segment_size=100_000_000),
            max_search_threads=1,
        )
        path = folder / "edge"
        path.mkdir()
        self.shard = edge.EdgeShard.create(str(path), config)
        for column in range(2):
            self.shard.update(edge.UpdateOperation.create_field_index(f"a{column}", edge.IntegerIndexParams(lookup=False, range=True)))
        for start in range(0, len(data.base), BATCH):
            points = [self.point(data, row) for row in range(start, min(start + BATCH, len(data.base)))]
            self.shard.update(edge.UpdateOperation.upsert_points(points))
        while self.shard.optimize():
            pass
        self.shard.flush()

    def point(self, data: Dataset, row: int) -> Any:
        """A row as the engine takes it."""
        return self.edge.Point(row, data.base[row].tolist(), {f"a{column}": int(data.attributes[row, column]) for column in range(2)})

    def given(self, query: np.ndarray) -> Any:
        return query.tolist()

    def set_effort(self, effort: Effort) -> None:
        codes = self.edge.QuantizationSearchParams(oversampling=float(effort["oversampling"])) if "oversampling" in effort else None
        self.params = self.edge.SearchParams(hnsw_ef=int(effort["ef"]), quantization=codes)

    def search_one(self, query: Any, k: int) -> Any:
        return self.shard.search(self.edge.SearchRequest(self.edge.Query.Nearest(query), k, params=self.params))

    def search_filtered(self, query: Any, k: int, window: Window) -> Any:
        inside = self.edge.RangeFloat(gte=float(window.low), lt=float(window.high))
        condition = self.edge.Filter(must=[self.edge.FieldCondition(f"a{window.column}", range=inside)])
        return self.shard.search(self.edge.SearchRequest(self.edge.Query.Nearest(query), k, filter=condition, params=self.params))

    def rows(self, answer: Any) -> np.ndarray:
        return np.array([hit.id for hit in answer], dtype=np.int64)

    def close(self) -> None:
        self.shard.close()


class QdrantEdgeInt8(QdrantEdge):
    """Bytes in memory; the results are scored again by the vectors, as it does by default."""

    key = "qdrant-edge-int8"
    variants = (graph("qdrant-edge int8"),)

    def quantization(self, edge: Any) -> Any:
        return edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, always_ram=True)


class QdrantEdgeTurbo(QdrantEdge):
    """Its 4-bit codes."""

    key = "qdrant-edge-turbo4"
    variants = (graph("qdrant-edge turbo4"), graph("qdrant-edge turbo4 x2", oversampling=2))

    def quantization(self, edge: Any) -> Any:
        return edge.TurboQuantQuantizationConfig(always_ram=True, bits=edge.TurboQuantBitSize.Bits4)


def oversampled(*pairs: tuple[int, int]) -> tuple[Effort, ...]:
    """Candidate lists, and how many times more candidates than results are scored again."""
    return tuple({"ef": ef, "oversampling": factor} for ef, factor in pairs)


class QdrantEdgeBinary(QdrantEdge):
    """One bit for each number: recall comes from scoring many candidates again."""

    key = "qdrant-edge-binary"
    variants = (
        Variant(
            "qdrant-edge binary",
            oversampled((32, 2), (64, 4), (128, 4), (128, 8), (256, 8), (256, 16), (512, 32), (1000, 64)),
            oversampled((64, 4), (128, 8), (256, 16), (512, 32)),
        ),
    )

    def quantization(self, edge: Any) -> Any:
        return edge.BinaryQuantizationConfig(always_ram=True)


class LanceDb(Peer):
    """An inverted file with one list: a graph over bytes."""

    key, package = "lancedb-hnsw-sq", "lancedb"
    durable = filters = True
    variants = (
        Variant(
            "lancedb HNSW_SQ",
            tuple({"nprobes": 1, "ef": ef, "refine": 2} for ef in (24, 32, 64, 128, 256)),
            tuple({"nprobes": 1, "ef": ef, "refine": 2} for ef in (64, 256)),
        ),
    )

    def index(self, rows: int) -> Any:
        """Its index."""
        from lancedb.index import HnswSq

        return HnswSq(distance_type=self.metric, num_partitions=1, m=M, ef_construction=EF_CONSTRUCTION)

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        import lancedb
        import pyarrow as arrow
        from lancedb.index import BTree

        self.metric = data.metric
        vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(data.base.reshape(-1)), data.dim)
        columns = {f"a{column}": np.ascontiguousarray(data.attributes[:, column]) for column in range(2)}
        rows = arrow.table({"id": np.arange(len(data.base)), "v": vectors, **columns})
        self.table = lancedb.connect(str(folder / "lance")).create_table("set", rows)
        self.table.create_index("v", config=self.index(len(data.base)))
        for column in columns:
            self.table.create_index(column, config=BTree())

    def search_one(self, query: Any, k: int) -> Any:
        return self.request(query, k).to_arrow()

    def search_filtered(self, query: Any, k: int, window: Window) -> Any:
        condition = f"a{window.column} >= {window.low} and a{window.column} < {window.high}"
        return self.request(query, k).where(condition, prefilter=True).to_arrow()

    def request(self, query: Any, k: int) -> Any:
        """A search for ids alone."""
        search = self.table.search(query, vector_column_name="v").distance_type(self.metric).limit(k).select(["id", "_distance"])
        search = search.nprobes(int(self.params["nprobes"])).refine_factor(int(self.params["refine"]))
        return search.ef(int(self.params["ef"])) if "ef" in self.params else search

    def rows(self, answer: Any) -> np.ndarray:
        return answer["id"].to_numpy()


class LanceDbPq(LanceDb):
    """An inverted file of product codes, with the vectors to score the best again."""

    key = "lancedb-ivf-pq"
    graph = False
    variants = (
        Variant(
            "lancedb IVF_PQ",
            tuple({"nprobes": nprobes, "refine": refine} for nprobes, refine in ((4, 5), (8, 5), (16, 10), (32, 10), (64, 20))),
            tuple({"nprobes": nprobes, "refine": refine} for nprobes, refine in ((16, 10), (64, 20))),
        ),
    )

    def index(self, rows: int) -> Any:
        from lancedb.index import IvfPq

        return IvfPq(distance_type=self.metric, num_partitions=max(1, int(rows**0.5)))


class Exact(Peer):
    """Every match compared, by one matrix product over rows gathered beforehand: what any filter can be replaced by."""

    key = package = "exact"
    graph = False
    filters = True
    variants = (Variant("exact scan", ({},), ({},)),)

    def build(self, data: Dataset, folder: Path, threads: int) -> None:
        self.data = data
        self.half_squares = (data.base * data.base).sum(axis=1) / 2 if data.metric == "l2" else np.zeros(len(data.base), np.float32)
        self.gathered: dict[Window, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self.all = (np.arange(len(data.base)), data.base, self.half_squares)

    def search_one(self, query: Any, k: int) -> Any:
        return self.best(query, k, *self.all)

    def search_filtered(self, query: Any, k: int, window: Window) -> Any:
        return self.best(query, k, *self.gather(window))

    def best(self, query: np.ndarray, k: int, rows: np.ndarray, vectors: np.ndarray, halves: np.ndarray) -> np.ndarray:
        """The nearest of some vectors."""
        scores = vectors @ query - halves
        return rows[np.argpartition(scores, len(scores) - k)[-k:]] if len(scores) > k else rows

    def gather(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The vectors of a window, side by side."""
        if window not in self.gathered:
            if len(self.gathered) >= KNOWN_WINDOWS:
                self.gathered.clear()
            rows = window.rows(self.data)
            self.gathered[window] = (rows, self.data.base[rows], self.half_squares[rows])
        return self.gathered[window]


CLASSES: tuple[type[Peer], ...] = (
    Zvec,
    ZvecInt8,
    ZvecUint8,
    Hnswlib,
    FaissHnsw,
    FaissHnswSq8,
    FaissIvfRabitq,
    Usearch,
    UsearchI8,
    QdrantEdge,
    QdrantEdgeInt8,
    QdrantEdgeTurbo,
    QdrantEdgeBinary,
    LanceDb,
    LanceDbPq,
    Exact,
)
PEERS: dict[str, type[Peer]] = {peer.key: peer for peer in CLASSES}
