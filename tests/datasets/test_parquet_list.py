"""Parquet files that list photos."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.datasets.conftest import names_and_labels, read_bytes, write_names
from zfscope.datasets import open_data
from zfscope.errors import InputError


def write_table(tmp_path: Path, **columns: Any) -> Path:
    path = tmp_path / "photos of today"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_row_is_a_path_with_an_optional_class(tmp_path: Path) -> None:
    write_names(tmp_path, "two words.png", "sub/a.data", "é.png")
    paths = ["two words.png", "./sub/a.data", str(tmp_path / "é.png"), "two words.png"]
    others = {"width": [1, 2, 3, 4], "class": ["dog", None, "", "dog"]}
    data = open_data(write_table(tmp_path, path=paths, **others))
    assert (data.kind, data.root) == ("list", tmp_path)
    assert names_and_labels(data) == [
        (str(tmp_path / "é.png"), ""),
        ("sub/a.data", ""),
        ("two words.png", "dog"),
    ]
    assert read_bytes(data, 0) == "é.png".encode()


def test_an_equal_text_file_gives_an_equal_data_set(tmp_path: Path) -> None:
    write_names(tmp_path, "a.png", "b.png")
    (tmp_path / "list").write_text("b.png\t1\na.png\t0\n")
    table = write_table(tmp_path, path=["b.png", "a.png"], **{"class": [1, 0]})
    assert open_data(table).fingerprint == open_data(tmp_path / "list").fingerprint


def test_names_that_are_not_utf8_are_stored_as_bytes(tmp_path: Path) -> None:
    name = b"\xff.png"
    Path(str(tmp_path.joinpath(name.decode(errors="surrogateescape")))).touch()
    data = open_data(write_table(tmp_path, path=[name], **{"class": [b"one"]}))
    assert names_and_labels(data) == [("\udcff.png", "one")]
    assert data.sizes[0] == 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a.png"], "class": ["x"]}, "has the columns 'file', 'class'; its column 'path' has paths"),
        ({"path": ["a.png", None]}, "row 2 of '.*today' has null in its column 'path'; its column"),
        ({"path": ["a.png", ""]}, "row 2 of '.*today' has '' in its column 'path'"),
        ({"path": [1.5]}, "row 1 of '.*today' has 1.5 in its column 'path'"),
        ({"path": ["a.png"], "class": [0.5]}, "row 1 of '.*today' has 0.5 in its column 'class'"),
        ({"path": ["a.png", "a.png"], "class": ["x", "y"]}, "lists 'a.png' with two classes, 'x' and 'y'"),
        ({"path": ["b.png", "c.png"]}, "lists 2 photos, none of which exists; the first is 'b.png'; its col"),
        ({"path": pa.array([], pa.string())}, "lists no photos; its column 'path'"),
    ],
)
def test_a_table_that_lists_no_photos_is_rejected(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    write_names(tmp_path, "a.png")
    with pytest.raises(InputError, match=message) as caught:
        open_data(write_table(tmp_path, **columns))
    assert caught.value.field == "data"


def test_a_truncated_table_is_rejected(tmp_path: Path) -> None:
    path = write_table(tmp_path, path=["a.png"])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="today' is a damaged Parquet file: "):
        open_data(path)
