"""Files of tensors: which are read, and which are rejected before any code runs."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from zfscope.store.importing.tensors import read_tensors

TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2)}


def save_npz(path: Path) -> None:
    np.savez(path, **{name: tensor.numpy() for name, tensor in TENSORS.items()})


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.pth", lambda path: torch.save(TENSORS, path)),
        ("a.safetensors", lambda path: safetensors.torch.save_file(TENSORS, path)),
        ("a.npz", save_npz),
    ],
)
def test_tensors_are_read_from_every_file_format(
    tmp_path: Path, name: str, save: Callable[[Path], None]
) -> None:
    save(tmp_path / name)
    read = read_tensors(tmp_path / name)
    assert set(read) == set(TENSORS)
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())


class Malice:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_state_dict_is_rejected_and_never_runs(tmp_path: Path) -> None:
    torch.save({"a": Malice(tmp_path / "ran")}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="without running code from it"):
        read_tensors(tmp_path / "a.pth")
    assert not (tmp_path / "ran").exists()


def test_code_in_an_array_is_rejected_and_never_runs(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([Malice(tmp_path / "ran")], dtype=object))
    with pytest.raises(ValueError, match=r"not an \.npz file of plain numbers"):
        read_tensors(tmp_path / "a.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.npz", "a.safetensors"])
@pytest.mark.parametrize("data", [b"", b"nonsense", pickle.dumps({"a": 1})])
def test_files_without_tensors_are_rejected(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match="no"):
        read_tensors(tmp_path / name)


def test_a_pickled_module_is_rejected(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="not a state dict that can be read"):
        read_tensors(tmp_path / "a.pth")


def test_a_mapping_of_other_values_is_not_a_state_dict(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="a mapping of names to tensors"):
        read_tensors(tmp_path / "a.pth")


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "a.pth")
