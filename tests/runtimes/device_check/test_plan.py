"""The checks of a device, run for real on the CPU, and on a GPU where there is one."""

import ctypes
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

from zfscope.engine import deconvnet, occlusion
from zfscope.engine.occlusion import Recomputed
from zfscope.engine.trace import Trace, trace
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.gpu import gpu_precision
from zfscope.networks.layers import Conv, ReLU
from zfscope.rounding import rounding
from zfscope.runtimes import OnnxRuntime, TorchServe
from zfscope.runtimes.device_check import CheckResult, Finding, device_checks, libraries, run_checks
from zfscope.runtimes.device_check.computations import DeviceComputations
from zfscope.runtimes.torch import TorchRuntime
from zfscope.store import Model, Weights

MAPS = NetworkSpec(
    name="maps", input_size=16, layers=(Conv(name="conv1", channels=4, kernel=3), ReLU(name="relu1"))
)
IN_TF32 = ["forward pass by onnx in tf32", "forward pass by torch in tf32"]
COMPUTED = ["forward pass by onnx", "forward pass by torch", "trace", "projection", "occlusion"]


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep exported graphs in a temporary directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def results(model: Model, device: str = "cpu", **options: Any) -> dict[str, CheckResult]:
    return {result.name: result for result in run_checks(device_checks(model, device, **options))}


def test_everything_works_on_the_cpu(model: Model) -> None:
    found = results(model)
    assert list(found) == ["torch", "ONNX Runtime", *COMPUTED]
    assert {result.reason for result in found.values()} == {""}
    for name in COMPUTED:
        difference, time_s = found[name].finding.difference, found[name].finding.time_s
        assert difference is not None
        assert difference < 1e-5
        assert time_s is not None
        assert time_s > 0


def test_a_network_that_ends_in_maps_can_be_checked(
    make_network: Callable[[NetworkSpec], Network], model: Model
) -> None:
    manifest = model.manifest.model_copy(update={"network": MAPS, "labels": ()})
    found = results(Model(manifest, Weights.from_network(make_network(MAPS))))
    assert {result.reason for result in found.values()} == {""}


def one_percent_more(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a computation so that its float32 results are wrong."""

    def wrong(*arguments: Any, **options: Any) -> Any:
        result = compute(*arguments, **options)
        return result * 1.01 if str(result.dtype).endswith("float32") else result

    return wrong


@pytest.mark.parametrize(
    ("name", "owner", "attribute"),
    [
        ("forward pass by onnx", OnnxRuntime, "forward"),
        ("forward pass by torch", TorchRuntime, "forward"),
        ("projection", deconvnet, "project"),
    ],
)
def test_wrong_values_fail_their_own_check_only(
    model: Model, monkeypatch: pytest.MonkeyPatch, name: str, owner: Any, attribute: str
) -> None:
    monkeypatch.setattr(owner, attribute, one_percent_more(getattr(owner, attribute)))
    found = results(model)
    assert [result.name for result in found.values() if not result.ok] == [name]
    assert found[name].reason.startswith("wrong values: they differ from float64 on the CPU by 1.0e-02")


def test_a_wrong_layer_fails_the_trace(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network: Network, images: torch.Tensor) -> Trace:
        traced = trace(network, images)
        relu = traced.outputs["relu1"] * (1.01 if images.dtype == torch.float32 else 1)
        return Trace({**traced.outputs, "relu1": relu}, traced.switches)

    monkeypatch.setattr(sys.modules["zfscope.engine.trace"], "trace", wrong)
    result = results(model)["trace"]
    assert result.finding.difference == pytest.approx(0.01, rel=1e-3)
    assert not result.ok


def test_a_wrong_occlusion_fails(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    original = occlusion.recompute

    def wrong(*arguments: Any) -> Iterator[Recomputed]:
        for part in original(*arguments):
            outputs = {
                layer: signal.with_values(signal.values * 1.01) for layer, signal in part.outputs.items()
            }
            yield Recomputed(part.windows, outputs)

    monkeypatch.setattr(occlusion, "recompute", wrong)
    found = results(model)
    assert [result.name for result in found.values() if not result.ok] == ["occlusion"]


def test_a_pass_that_raises_is_explained(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(TorchRuntime, "forward", full)
    found = results(model)
    assert [result.name for result in found.values() if not result.ok] == ["forward pass by torch"]
    assert found["forward pass by torch"].reason.startswith("the GPU's memory is full; stop other programs")


def test_without_torch_every_check_that_needs_it_names_it(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(libraries, "check_torch", missing)
    found = results(model)
    assert found["torch"].reason.startswith("the package 'torch' is not installed; install zfscope[gpu]")
    assert {found[name].reason for name in COMPUTED} == {"not run, because this failed: torch"}
    assert found["ONNX Runtime"].ok


def test_torchserve_is_checked_only_if_its_address_is_given(model: Model) -> None:
    name = "forward pass by torchserve"
    assert name not in results(model)
    found = results(model, torchserve=TorchServe("127.0.0.1:1"))
    assert [result.name for result in found.values() if not result.ok] == [name]
    assert found[name].reason.startswith("TorchServe at 127.0.0.1:1 is unreachable")


def test_without_a_gpu_every_check_of_cuda_has_a_reason(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_library(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    found = results(model, "cuda")
    assert [name for name, result in found.items() if result.ok] == ["torch", "ONNX Runtime"]
    no_driver = "no NVIDIA driver: libcuda.so.1 cannot be loaded; "
    assert found["NVIDIA driver"].reason.startswith(no_driver)
    assert found["CUDA in torch"].reason.startswith(no_driver)
    assert "this build of ONNX Runtime has CPUExecutionProvider" in found["CUDA in ONNX Runtime"].reason
    for name in ("cuDNN in torch", *COMPUTED):
        needed = "CUDA in ONNX Runtime" if "onnx" in name else "CUDA in torch"
        assert found[name].reason == f"not run, because this failed: {needed}"
    assert [found[name].reason for name in IN_TF32] == [
        f"not run, because this failed: {needed}"
        for needed in ("CUDA in torch, CUDA in ONNX Runtime", "CUDA in torch")
    ]


@pytest.mark.usefixtures("fake_gpu")
def test_tf32_is_checked_by_both_runtimes_and_leaves_float32_selected(model: Model) -> None:
    computations = DeviceComputations(model, "cuda")
    for runtime in ("onnx", "torch"):
        difference = computations.forward_in_tf32(runtime).difference
        assert difference is not None
        assert difference < 1e-5  # the fake GPU computes in float32
        assert gpu_precision() == "float32"


def test_an_older_gpu_passes_the_check_of_tf32_with_the_reason(model: Model) -> None:
    found = DeviceComputations(model, "cpu").forward_in_tf32(
        "torch"
    )  # no device with TF32, like an older GPU
    assert found == Finding("not on this GPU: tf32 needs compute capability 8.0 or newer (Ampere)")


def test_tf32_may_differ_by_its_own_rounding(model: Model) -> None:
    tolerances = {check.name: check.tolerance for check in device_checks(model, "cuda")}
    assert {tolerances[name] for name in IN_TF32} == {rounding(1, "tf32")}
    assert {tolerances[name] for name in COMPUTED} == {1e-4}


@pytest.mark.gpu
def test_everything_works_on_a_gpu(model: Model) -> None:
    found = results(model, "cuda")
    assert list(found) == [
        *("NVIDIA driver", "torch", "CUDA in torch", "cuDNN in torch"),
        *("ONNX Runtime", "CUDA in ONNX Runtime", *COMPUTED[:2], *IN_TF32, *COMPUTED[2:]),
    ]
    assert {result.reason for result in found.values()} == {""}
