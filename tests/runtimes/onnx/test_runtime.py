"""The ONNX Runtime runtime: agreement with torch, cached graphs, and no silent fallback to the CPU."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from tests.support.numeric import assert_close
from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes import OnnxRuntime
from zfscope.runtimes.onnx import cache as module
from zfscope.runtimes.onnx.cache import graph_key, model_graph
from zfscope.store import Model, write_model

MakeModel = Callable[..., Model]
MakeImages = Callable[..., NDArray[np.float32]]


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep exported graphs in a temporary directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_scores_equal_those_of_torch(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 3)
    expected = model.network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(OnnxRuntime(model).forward(images), expected, atol=1e-4)


def test_images_may_be_non_contiguous(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 4)
    runtime = OnnxRuntime(model)
    np.testing.assert_array_equal(runtime.forward(images[::2]), runtime.forward(images[::2].copy()))


def test_concurrent_calls_return_identical_scores(model: Model, make_images: MakeImages) -> None:
    runtime = OnnxRuntime(model)
    batches = [make_images(model.network.spec, count) for count in range(1, 17)]
    with ThreadPoolExecutor(16) as pool:
        concurrent = list(pool.map(runtime.forward, batches))
    for scores, batch in zip(concurrent, batches, strict=True):
        np.testing.assert_array_equal(scores, runtime.forward(batch))


@pytest.mark.parametrize(("threads", "expected"), [(None, 3), (2, 2)])
def test_threads_default_to_the_cpus_of_the_process(
    model: Model,
    make_images: MakeImages,
    monkeypatch: pytest.MonkeyPatch,
    threads: int | None,
    expected: int,
) -> None:
    used: list[int] = []

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime is untyped
        def __init__(self, graph: bytes, options: Any, **rest: Any) -> None:
            used.append(options.intra_op_num_threads)
            super().__init__(graph, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    monkeypatch.setattr("zfscope.processors.cpu_quota", lambda: None)
    runtime, images = OnnxRuntime(model, threads=threads), make_images(model.spec)
    runtime.forward(images)
    runtime.outputs(images, ["conv1"])
    runtime.map_maxima(images, ["conv1"])
    assert used == [expected] * 3


def test_a_missing_provider_is_rejected_with_the_available_ones(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(
        RuntimeUnavailable,
        match=r"cannot use CUDAExecutionProvider: .* has CPUExecutionProvider; install zfscope\[gpu\]",
    ):
        OnnxRuntime(model, device="cuda")


@pytest.mark.parametrize(("precision", "use_tf32"), [("float32", "0"), ("tf32", "1")])
def test_a_session_that_falls_back_to_the_cpu_is_rejected(
    model: Model, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch, precision: str, use_tf32: str
) -> None:
    class FallenBack:
        def __init__(self, *_: Any, providers: list[Any]) -> None:
            assert providers == [("CUDAExecutionProvider", {"use_tf32": use_tf32})]

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", FallenBack)
    runtime = OnnxRuntime(model, device="cuda", precision=precision)
    with pytest.raises(
        RuntimeUnavailable, match="cannot start CUDAExecutionProvider and would use CPUExecutionProvider"
    ):
        runtime.forward(make_images(model.spec))


def test_cuda_libraries_are_loaded_before_the_session_is_opened(
    model: Model,
    make_images: MakeImages,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    events: list[str] = []

    def preload_dlls() -> None:
        sys.stdout.write("Failed to load libcudart.so.12\n")
        events.append("libraries")

    class CpuSession(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime is untyped
        def __init__(self, graph: bytes, options: Any, *, providers: list[str]) -> None:
            events.append("session")
            super().__init__(graph, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload_dlls)
    monkeypatch.setattr(onnxruntime, "InferenceSession", CpuSession)
    OnnxRuntime(model, device="cuda").forward(make_images(model.spec))
    assert events == ["libraries", "session"]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Failed to load libcudart.so.12\n")


def test_cuda_libraries_are_not_loaded_for_the_cpu(
    model: Model, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preload_dlls() -> None:
        raise AssertionError("the CPU needs no CUDA libraries")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload_dlls)
    OnnxRuntime(model).forward(make_images(model.spec))


@pytest.mark.parametrize(("count", "padded"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, 16)])
def test_batches_are_padded_to_powers_of_two_on_cuda(
    model: Model, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch, count: int, padded: int
) -> None:
    sizes: list[int] = []

    class CpuSession(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime is untyped
        def __init__(self, graph: bytes, options: Any, *, providers: list[str]) -> None:
            super().__init__(graph, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

        def run(self, names: Any, inputs: dict[str, Any]) -> Any:
            sizes.append(len(inputs["input"]))
            return super().run(names, inputs)

    images = make_images(model.network.spec, count)
    expected = OnnxRuntime(model).forward(images)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", CpuSession)
    runtime = OnnxRuntime(model, device="cuda")
    assert_close(runtime.forward(images), expected)
    assert runtime.outputs(images, ["conv1"])["conv1"].shape[0] == count
    assert runtime.map_maxima(images, ["conv1"])["conv1"].values.shape[0] == count
    assert sizes == [padded] * 3


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 3, 8])
def test_outputs_on_a_gpu_equal_those_on_the_cpu(model: Model, make_images: MakeImages, count: int) -> None:
    images = make_images(model.network.spec, count)
    names = [layer.name for layer in model.network.spec.layers]
    cpu, gpu = OnnxRuntime(model), OnnxRuntime(model, device="cuda")
    np.testing.assert_allclose(gpu.forward(images), cpu.forward(images), atol=1e-4)
    expected = cpu.outputs(images, names)
    for name, values in gpu.outputs(images, names).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-4, err_msg=name)


@pytest.mark.gpu
def test_a_gpu_can_be_used_without_importing_torch(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    write_model(folder, model.manifest.model_copy(update={"files": {}}), model.network)
    code = """
import sys
from pathlib import Path
import numpy as np
from zfscope.runtimes import OnnxRuntime
from zfscope.store import ModelStore
model = ModelStore(Path(sys.argv[1])).load("small")
side = model.spec.input_size
OnnxRuntime(model, device="cuda").forward(np.zeros((1, 3, side, side), np.float32))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, folder], check=True)


def test_a_missing_onnx_runtime_is_reported_with_the_package_to_install(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeUnavailable, match=r"pip install 'zfscope\[cpu\]'"):
        OnnxRuntime(model)


def test_a_cached_graph_returns_the_same_scores(
    model: Model, tmp_path: Path, make_images: MakeImages
) -> None:
    images = make_images(model.network.spec)
    path = model_graph(model, cache=tmp_path)
    assert isinstance(path, Path)
    assert path.name.startswith("small-3-")
    assert model_graph(model, cache=tmp_path) == path
    scores = OnnxRuntime(model, cache=tmp_path).forward(images)
    np.testing.assert_array_equal(scores, OnnxRuntime(model, cache=Path("/dev/null/none")).forward(images))
    assert list(tmp_path.glob("*.onnx")) == [path]


def test_a_warm_cache_does_not_import_the_exporter(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model_graph(model, cache=tmp_path)
    monkeypatch.setitem(sys.modules, "zfscope.runtimes.onnx.graph", None)
    assert model_graph(model, cache=tmp_path) == path


def test_the_default_is_the_cache_of_the_user(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = model_graph(model)
    assert isinstance(path, Path)
    assert path.parent == tmp_path / "zfscope" / "onnx"


def test_the_key_depends_on_weights_network_and_exporter_version(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    layers = model.network.spec.layers
    rounded = layers[2].model_copy(update={"rounding": "floor"})
    other = model.network.spec.model_copy(update={"layers": (*layers[:2], rounded, *layers[3:])})
    keys = {graph_key(model), graph_key(make_model(weights="b")), graph_key(make_model(other))}
    monkeypatch.setattr(module, "EXPORTER_VERSION", 99)
    assert len(keys | {graph_key(model)}) == 4
    assert graph_key(make_model()) == graph_key(model)


def test_an_unpickled_runtime_has_the_graphs_used_before(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.spec)
    runtime = OnnxRuntime(model, threads=1)
    expected = runtime.map_maxima(images, ["conv1"], sums=True)["conv1"]
    data = pickle.dumps(runtime)
    assert b"conv1.weight" in data
    assert b"fc2.weight" not in data
    result = pickle.loads(data).map_maxima(images, ["conv1"], sums=True)["conv1"]
    np.testing.assert_array_equal(result.values, expected.values)
    np.testing.assert_array_equal(result.indices, expected.indices)
    np.testing.assert_array_equal(result.sums, expected.sums)


def test_telemetry_is_disabled(tmp_path: Path) -> None:
    code = (
        "from zfscope.runtimes.onnx.session import open_session\n"
        "from zfscope.errors import RuntimeUnavailable\n"
        "try: open_session(b'', threads=1, device='cpu')\n"
        "except Exception as error: print(type(error).__module__)"
    )
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    home.pop("ORT_DISABLE_TELEMETRY", None)
    result = subprocess.run(
        [sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True
    )

    assert "onnxruntime" in result.stdout
    assert list(tmp_path.rglob("*")) == []
