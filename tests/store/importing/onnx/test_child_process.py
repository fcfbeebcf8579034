"""The process that reads a file: its limits of memory and time, and its report."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto

from tests.support.onnx_graphs import make_model, node, random_array
from zfscope.errors import InputError
from zfscope.store.importing.onnx import child, read, read_onnx

CONV = node("Conv", ["image", "w"], ["c"], name="stem")
WEIGHT = {"w": random_array(4, 3, 3, 3)}


def saved(folder: Path, nodes: list[NodeProto], constants: dict[str, np.ndarray]) -> Path:
    path = folder / "model.onnx"
    model: ModelProto = make_model(nodes, {**WEIGHT, **constants})
    onnx.save(model, path)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of temporary files, which is empty at first."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_a_network_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = saved(tmp_path, [CONV, node("Relu", ["c"], ["y"], name="act")], {})
    reading = read_onnx(path, name="mine")
    assert [layer.name for layer in reading.network.spec.layers] == ["stem", "act"]
    assert reading.network.spec.name == "mine"
    assert reading.tensors == 2
    assert reading.difference < 1e-5


def test_a_rejected_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, [CONV, node("Det", ["c"], ["y"], name="odd")], {})
    with pytest.raises(InputError, match=f"^'{path}' cannot be imported: Det 'odd': this operator is not"):
        read_onnx(path, name="mine")


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.onnx", "no such file"), (".", "it is a folder; give the ONNX file in it")]
)
def test_a_file_that_does_not_exist_is_rejected(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"cannot be read: {reason}"):
        read_onnx(tmp_path / name, name="mine")


def huge_constant(shape: list[int]) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Return a graph with a constant of the given shape that ONNX Runtime computes when it simplifies."""
    nodes = [
        node("Expand", ["one", "shape"], ["big"], name="huge"),
        node("Add", ["big", "big"], ["twice"]),
        node("ReduceSum", ["twice"], ["sum"], keepdims=0),
        CONV,
        node("Add", ["c", "sum"], ["y"]),
    ]
    return nodes, {"one": np.array(1, np.float32), "shape": np.array(shape)}


def test_constants_are_computed(tmp_path: Path) -> None:
    reading = read_onnx(saved(tmp_path, *huge_constant([2, 3])), name="mine")
    assert reading.network.spec.layers[-1].kind == "scale"


@pytest.mark.parametrize("shape", [[1024, 1024, 1024], [2**40]])
def test_a_constant_of_four_gigabytes_exceeds_the_limit_of_memory(
    shape: list[int], tmp_path: Path, temporary: Path
) -> None:
    """ONNX Runtime then leaves it in the graph."""
    path = saved(tmp_path, *huge_constant(shape))
    expected = (
        "cannot be imported: Expand 'huge': ONNX Runtime did not compute this constant in advance, since it "
        "is huge or random; export the model with its value"
    )
    with pytest.raises(InputError, match=expected):
        read_onnx(path, name="mine")
    assert not any(temporary.iterdir())


def endless() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    """Return a graph with a product of constants that takes minutes, but little memory."""
    nodes = [node("Expand", ["one", "shape"], ["p0"])]
    nodes += [node("MatMul", [f"p{n}", f"p{n}"], [f"p{n + 1}"]) for n in range(200)]
    nodes += [node("ReduceSum", ["p200"], ["sum"], keepdims=0), CONV, node("Add", ["c", "sum"], ["y"])]
    return nodes, {"one": np.array(1e-4, np.float32), "shape": np.array([3000, 3000])}


def test_a_slow_constant_exceeds_the_limit_of_processor_time(tmp_path: Path, temporary: Path) -> None:
    with pytest.raises(
        InputError, match=r"reading it takes more than (4 seconds of processor time|8 seconds)$"
    ):
        read_onnx(saved(tmp_path, *endless()), name="mine", cpu_s=4)
    assert not any(temporary.iterdir())


def test_limits_are_set_in_the_process(tmp_path: Path) -> None:
    code = (
        "import resource as r; from zfscope.store.importing.onnx.child import limit_resources;"
        "limit_resources(10, 7); print(r.getrlimit(r.RLIMIT_DATA)[0], r.getrlimit(r.RLIMIT_CPU)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    memory, seconds = map(int, done.stdout.split())
    assert (memory, seconds) == (3 * 2**30 + 120, 7)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"failed \(signal 11\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"failed \(signal 9\)"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "than 600 seconds of processor time"),
        ("import sys; sys.stderr.write('terrible\\n'); sys.exit(3)", r"failed \(exit code 3\): terrible"),
        ("raise MemoryError", "takes too much memory"),
        ("import sys; print('not JSON'); sys.exit(1)", r"failed \(exit code 1\)"),
    ],
)
def test_a_process_that_ends_without_a_report_is_reported(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, [CONV], {})
    run = subprocess.run
    monkeypatch.setattr(
        read.subprocess, "run", lambda command, **options: run([sys.executable, "-c", code], **options)
    )
    with pytest.raises(InputError, match=message) as caught:
        read_onnx(path, name="mine")
    assert "\n" not in str(caught.value)


def test_reading_writes_no_warnings(tmp_path: Path) -> None:
    path = saved(tmp_path, [CONV], {})
    options = json.dumps({"name": "mine", "size": None, "output": ""})
    command = [sys.executable, "-m", child.__name__, str(path), str(tmp_path), options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["tensors"] == 1
