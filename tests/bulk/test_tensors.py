"""Tensors in .npy files: stacked if their shapes are equal, up to a size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from zfscope.analysis.contract import Analysis, Context
from zfscope.bulk import RunManifest
from zfscope.bulk import tensors as module

Make = Callable[..., RunManifest]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "tensors.parquet", use_threads=False).to_pylist()
    return rows


def test_consecutive_tensors_of_a_shape_share_a_file(make: Make, tmp_path: Path) -> None:
    def function(context: Context) -> Analysis:
        width = context.images[0].photo.shape[1]  # 40 in the first three photos, then 44
        return Analysis(
            tensors={"row": np.arange(width, dtype=np.int64), "scalar": np.full((), width, np.uint8)}
        )

    summary = make(function=function, tensors=True).tensors
    assert summary["row"].model_dump() == {"dtypes": ("int64",), "shape": (None,), "images": 5, "files": 2}
    assert summary["scalar"].model_dump() == {"dtypes": ("uint8",), "shape": (), "images": 5, "files": 1}
    out = tmp_path / "out" / "it"
    places = [(row["tensor"], row["image"], row["file"], row["index"]) for row in rows_of(out)]
    assert places == [
        *(("row", image, "tensors/row/00000.npy", index) for index, image in enumerate((0, 1, 3))),
        *(("row", image, "tensors/row/00001.npy", index) for index, image in enumerate((4, 5))),
        *(
            ("scalar", image, "tensors/scalar/00000.npy", index)
            for index, image in enumerate((0, 1, 3, 4, 5))
        ),
    ]
    assert [np.load(out / f"tensors/row/0000{file}.npy").shape for file in (0, 1)] == [(3, 40), (2, 44)]


def test_a_file_has_a_limit_but_at_least_one_tensor(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 80)
    sizes = {"small": 5, "large": 50}
    make(
        function=lambda context: Analysis(
            tensors={name: np.zeros(size, np.float32) for name, size in sizes.items()}
        ),
        tensors=True,
    )
    out = tmp_path / "out" / "it" / "tensors"
    assert [len(np.load(path)) for path in sorted((out / "small").iterdir())] == [4, 1]
    assert [len(np.load(path)) for path in sorted((out / "large").iterdir())] == [1] * 5


def test_names_that_are_equal_as_file_names_have_folders_of_their_own(make: Make, tmp_path: Path) -> None:
    tensors = {name: np.full(2, index, np.float32) for index, name in enumerate(("a/b", "a b", "../a"))}
    make(function=lambda context: Analysis(tensors=tensors), tensors=True)
    out = tmp_path / "out" / "it"
    for row in rows_of(out):
        np.testing.assert_array_equal(np.load(out / row["file"])[row["index"]], tensors[row["tensor"]])
    assert sorted(path.name for path in (out / "tensors").iterdir()) == ["___a", "a_b", "a_b-2"]


def test_shapes_and_types_that_differ_are_summarised(make: Make) -> None:
    calls: list[int] = []

    def function(context: Context) -> Analysis:
        calls.append(1)
        first = len(calls) == 1
        tensor = np.zeros((2, 3) if first else (2,), np.float32 if first else np.float16)
        return Analysis(tensors={"odd": tensor, **({"rare": tensor} if first else {})})

    summary = make(function=function, tensors=True).tensors
    odd = {"dtypes": ("float16", "float32"), "shape": None, "images": 5, "files": 2}
    assert summary["odd"].model_dump() == odd
    assert summary["rare"].model_dump() == {"dtypes": ("float32",), "shape": (2, 3), "images": 1, "files": 1}
