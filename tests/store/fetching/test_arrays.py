"""Pickles of arrays: arrays are read, everything else is rejected."""

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zfscope.store.fetching.arrays import read_arrays

ARRAYS = {"conv": [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)]}


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_named_by_their_joined_keys(protocol: int) -> None:
    read = read_arrays(pickle.dumps({"net": ARRAYS}, protocol))
    assert list(read) == ["net.conv.0", "net.conv.1"]
    np.testing.assert_array_equal(read["net.conv.0"], ARRAYS["conv"][0])


def test_arrays_pickled_by_an_older_numpy_are_read() -> None:
    data = pickle.dumps(ARRAYS, 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert list(read_arrays(data)) == ["conv.0", "conv.1"]


class Malice:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_is_rejected_and_never_runs(tmp_path: Path, protocol: int) -> None:
    with pytest.raises(ValueError, match="only NumPy arrays are read"):
        read_arrays(pickle.dumps({**ARRAYS, "b": Malice(tmp_path / "ran")}, protocol))
    assert not (tmp_path / "ran").exists()


def test_code_inside_an_array_is_rejected_and_never_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only NumPy arrays are read"):
        read_arrays(pickle.dumps(np.array([Malice(tmp_path / "ran")], dtype=object)))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch ran'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy\ndtype.__class__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x17ndarray.tofile.__call__\x93.",
        b"(S'ran'\nios\nsystem\n.",
    ],
)
def test_names_other_than_those_of_arrays_are_rejected(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="only NumPy arrays are read"):
        read_arrays(data)
    assert not list(tmp_path.iterdir())


def test_persistent_references_are_rejected() -> None:
    class Elsewhere(pickle.Pickler):
        def persistent_id(self, value: Any) -> str | None:
            return "here" if isinstance(value, set) else None

    stream = io.BytesIO()
    Elsewhere(stream).dump({"a": set()})
    with pytest.raises(ValueError, match="persistent references"):
        read_arrays(stream.getvalue())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"a": 1}, "int"),
        ({"a": "text"}, "str"),
        ([None], "NoneType"),
        (np.array([1, "a"], dtype=object), "object"),
        (np.arange(3.0), "float64"),
    ],
)
def test_values_other_than_float32_arrays_are_rejected(value: object, kind: str) -> None:
    with pytest.raises(ValueError, match=f"of type {kind}; only float32 arrays"):
        read_arrays(pickle.dumps(value, 4))


@pytest.mark.parametrize("value", [OrderedDict(a=1), torch.zeros(2)])
def test_harmless_classes_are_rejected_too(value: object) -> None:
    with pytest.raises(ValueError, match="only NumPy arrays are read"):
        read_arrays(pickle.dumps(value))


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x80\x05", pickle.dumps(ARRAYS, 4)[:-40]])
def test_bytes_that_are_not_a_pickle_are_rejected(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a pickle of arrays"):
        read_arrays(data)
