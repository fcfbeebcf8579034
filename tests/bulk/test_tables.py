"""Numbers and tables of any analyzer in one Parquet file, read by pandas, DuckDB and xarray."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr

from tests.bulk.conftest import PHOTOS
from zfscope.analysis.contract import Analysis, Context, Table
from zfscope.bulk import RunManifest, tables

Make = Callable[..., RunManifest]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "results.parquet", use_threads=False).to_pylist()
    return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]


def test_a_column_has_the_widest_type_of_its_cells(make: Make, tmp_path: Path) -> None:
    calls: list[int] = []

    def function(context: Context) -> Analysis:
        calls.append(1)
        rows = {1: (1, 2, None, "x"), 2: (1, 0.5, None, 3)}.get(len(calls), (None, None, None, 0.25))
        return Analysis(tables={"t": Table(("whole", "mixed", "none", "text"), (rows,))})

    make(function=function, engine=lambda work, batches: map(work, batches))
    path = tmp_path / "out" / "it" / "results.parquet"
    types = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert types | {"whole": "int64", "mixed": "double", "none": "double", "text": "string"} == types
    cells = [row for row in rows_of(path.parent) if row["table"] == "t"]
    assert [row["text"] for row in cells] == ["x", "3", "0.25", "0.25", "0.25"]
    assert [row.get("mixed") for row in cells] == [2, 0.5, None, None, None]


def test_names_of_the_common_columns_are_preceded_by_their_table(make: Make, tmp_path: Path) -> None:
    def function(context: Context) -> Analysis:
        table = Table(("path", "value"), (("left", 1), ("right", 2)))
        return Analysis(numbers={"row": 3, "value": 4}, tables={"sides": table, "empty": Table(("a",), ())})

    make(function=function)
    first, left, right = rows_of(tmp_path / "out" / "it")[:3]
    photo = {"image": 0, "path": "a/two words.png", "class": "a"}
    assert first == {**photo, "table": "", "numbers.row": 3, "value": 4}
    assert left == {**photo, "table": "sides", "row": 0, "sides.path": "left", "value": 1}
    assert right == {**photo, "table": "sides", "row": 1, "sides.path": "right", "value": 2}


def test_an_analysis_without_numbers_has_a_row(make: Make, tmp_path: Path) -> None:
    make(function=lambda context: Analysis())
    assert [row["path"] for row in rows_of(tmp_path / "out" / "it")] == sorted(PHOTOS)


def test_many_rows_are_written_in_groups(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_GROUP", 4)
    make(function=lambda context: Analysis(tables={"t": Table(("n",), tuple((n,) for n in range(3)))}))
    file = pq.ParquetFile(tmp_path / "out" / "it" / "results.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(5)] == [4] * 5
    assert [row.get("n") for row in rows_of(tmp_path / "out" / "it")] == [None, 0, 1, 2] * 5


def test_pandas_duckdb_and_xarray_read_the_results(make: Make, tmp_path: Path) -> None:
    make(tensors=True)
    out = tmp_path / "out" / "it"
    with_pandas = pd.read_parquet(out / "results.parquet").query("table == 'classes'")
    query = (
        f"""SELECT path, label, clean FROM '{out}/results.parquet' WHERE "table" = 'classes' ORDER BY image"""
    )
    with_duckdb = duckdb.sql(query).fetchall()
    assert with_duckdb == list(with_pandas[["path", "label", "clean"]].itertuples(index=False, name=None))
    assert len(with_duckdb) == 5

    index = pd.read_parquet(out / "tensors.parquet").query("tensor == 'value-maps'")
    arrays = [np.load(out / file, mmap_mode="r") for file in index.file.unique()]
    maps = xr.DataArray(
        np.concatenate(arrays), dims=("path", "class", "y", "x"), coords={"path": index.path.to_list()}
    )
    assert maps.sizes == {"path": 5, "class": 1, "y": 32, "x": 32}
    twins = maps.sel(path=["a/été.png", "b/copy of 2.png"])
    assert bool((twins[0] == twins[1]).all())
    lowest = maps.min(("class", "y", "x")).to_series()
    clean = with_pandas.set_index("path").clean
    assert (lowest <= clean[lowest.index] + 1e-6).all()
