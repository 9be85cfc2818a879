"""Tables of pandas, polars and pyarrow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from conftest import DIM, rows

import vectordb
from vectordb import Collection, Database, F, VectorParams

NAMES = ["a", "b", None, "d"]
NUMBERS = [1, 2, 3, None]
VECTORS = rows(4)


def fixed(vectors: Any) -> pyarrow.Array:
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.ravel(vectors)), DIM)


class Stream:
    """Something that is a table only through the interface of Arrow."""

    def __init__(self, table: pyarrow.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


ARROW = pyarrow.table({"id": [1, 2, 3, 4], "vector": fixed(VECTORS), "name": NAMES, "n": NUMBERS})
TABLES = {
    "pandas": pandas.DataFrame({"id": [1, 2, 3, 4], "vector": list(VECTORS), "name": NAMES, "n": NUMBERS}),
    "pandas of nullable types": pandas.DataFrame(
        {"id": [1, 2, 3, 4], "vector": VECTORS.tolist(), "name": NAMES, "n": pandas.array(NUMBERS, "Int64")}
    ),
    "polars": polars.DataFrame({"id": [1, 2, 3, 4], "vector": VECTORS, "name": NAMES, "n": NUMBERS}),
    "polars of lists": polars.DataFrame({"id": [1, 2, 3, 4], "vector": VECTORS.tolist(), "name": NAMES, "n": NUMBERS}),
    "lazy polars": polars.LazyFrame({"id": [1, 2, 3, 4], "vector": VECTORS, "name": NAMES, "n": NUMBERS}),
    "pyarrow": ARROW,
    "pyarrow of lists": ARROW.set_column(1, "vector", pyarrow.array(VECTORS.tolist())),
    "pyarrow in chunks": pyarrow.concat_tables([ARROW.slice(0, 1), ARROW.slice(1)]),
    "record batch": ARROW.to_batches()[0],
    "stream": Stream(ARROW),
}


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}], ids=["whole", "batches"])
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
@pytest.mark.filterwarnings("ignore::polars.exceptions.PerformanceWarning")
def test_tables_are_written(db: Database, table: Any, options: dict[str, Any]) -> None:
    docs = db.create_collection("docs", DIM, distance="dot")
    assert docs.upsert_table(table, **options) == 4
    points = list(docs.scroll(with_vectors=True))
    assert [point.id for point in points] == [1, 2, 3, 4]
    assert [point.payload for point in points] == [{"name": "a", "n": 1}, {"name": "b", "n": 2}, {"n": 3}, {"name": "d"}]
    assert np.allclose([point.vector for point in points], VECTORS)


def test_columns_are_chosen(db: Database) -> None:
    docs = db.create_collection("docs", vectors={"a": VectorParams(DIM), "b": VectorParams(DIM)})
    table = ARROW.append_column("other", fixed(-VECTORS)).rename_columns(["key", "first", "name", "n", "other"])
    docs.upsert_table(table, id="key", vector={"a": "first", "b": "other"}, payload=["name"])
    assert docs.search(VECTORS[1], 1, using="a").ids == docs.search(-VECTORS[1], 1, using="b").ids == [2]
    assert [point.payload for point in docs.get([1]) if point] == [{"name": "a"}]
    with pytest.raises(KeyError, match="no column 'vec'"):
        docs.upsert_table(table, id="key", vector="vec")
    with pytest.raises(TypeError, match="not list"):
        docs.upsert_table([1, 2])


def test_a_bad_row_of_a_table_is_named(docs: Collection) -> None:
    bad = TABLES["pandas"].assign(vector=[VECTORS[0], VECTORS[1], VECTORS[2][:3], VECTORS[3]])
    with pytest.raises(vectordb.DimensionMismatch) as caught:
        docs.upsert_table(bad)
    assert caught.value.row == 2 and len(docs) == 100


def test_hits_are_tables(docs: Collection) -> None:
    hits = docs.search(rows(1)[0], 3)
    frame, columns, table = hits.to_pandas(), hits.to_polars(), hits.to_arrow()
    assert list(frame.columns) == columns.columns == table.column_names == ["id", "score", "lang", "n", "tags"]
    assert frame["id"].tolist() == columns["id"].to_list() == table["id"].to_pylist() == hits.ids
    assert frame["tags"].tolist() == columns["tags"].to_list() == table["tags"].to_pylist()
    nothing = docs.search(rows(1)[0], filter=F("n") < 0)
    assert len(nothing.to_pandas()) == len(nothing.to_polars()) == len(nothing.to_arrow()) == 0
    html = hits._repr_html_()
    assert html.count("<tr>") == 4 and "score" in html and "and 77 more" in docs.search(rows(1)[0], 97)._repr_html_()
    docs.set_payload({"lang": "<script>"}, ids=hits.ids)
    assert "<script>" not in docs.search(rows(1)[0], 3)._repr_html_()


def test_collections_are_tables(docs: Collection) -> None:
    table = docs.to_arrow(filter=F("n") < 10)
    assert table.num_rows == 10 and table["n"].to_pylist() == list(range(10))
    assert pyarrow.types.is_fixed_size_list(table.schema.field("vector").type)
    assert "vector" not in docs.to_arrow(with_vectors=False).column_names
    other = vectordb.open().create_collection("copy", DIM)
    assert other.upsert_table(docs.to_arrow()) == 100
    assert [point.payload for point in other.scroll()] == [point.payload for point in docs.scroll()]
