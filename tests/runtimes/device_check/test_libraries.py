"""Checks of the installed libraries, with broken ones made up in the test."""

import sys
from types import SimpleNamespace

import onnxruntime
import pytest
import torch

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.device_check import libraries


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch for CUDA 13.0, and a GPU that it can use."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(libraries, "driver_cuda_version", lambda: (13, 0))
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GPU of a test")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 << 30))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90a", "compute_120"])


@pytest.fixture
def cuda_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of ONNX Runtime for CUDA."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)


def test_versions_are_those_of_the_installed_libraries() -> None:
    assert libraries.check_torch().detail == torch.__version__
    detail = libraries.check_onnxruntime().detail
    assert detail.startswith(f"{onnxruntime.__version__}; ")
    assert "CPUExecutionProvider" in detail


@pytest.mark.usefixtures("gpu")
def test_a_usable_gpu_is_described() -> None:
    expected = "CUDA 13.0; GPU of a test, 8,192 MiB, compute capability 9.0"
    assert libraries.check_torch_cuda().detail == expected


@pytest.mark.usefixtures("gpu")
def test_a_torch_without_cuda_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(RuntimeUnavailable, match=r"is a build without CUDA; install zfscope\[gpu\]"):
        libraries.check_torch_cuda()


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("driver", "works"), [((12, 9), False), ((13, 0), True), ((13, 2), True)])
def test_the_driver_must_support_the_major_version_of_cuda(
    monkeypatch: pytest.MonkeyPatch, driver: tuple[int, int], works: bool
) -> None:
    monkeypatch.setattr(libraries, "driver_cuda_version", lambda: driver)
    monkeypatch.setattr(torch.version, "cuda", "13.1")
    if works:
        assert libraries.check_torch_cuda().detail.startswith("CUDA 13.1")
        return
    with pytest.raises(RuntimeUnavailable, match=r"driver supports CUDA up to 12\.9; .* update the driver"):
        libraries.check_torch_cuda()


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("capability", "works"), [((7, 0), False), ((7, 5), True), ((12, 1), True)])
def test_a_gpu_older_than_the_build_supports_is_rejected(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], works: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    if works:
        assert libraries.check_torch_cuda().detail.endswith("compute capability {}.{}".format(*capability))
        return
    with pytest.raises(RuntimeUnavailable, match=r"'GPU of a test' has compute capability 7\.0; .* 7\.5"):
        libraries.check_torch_cuda()


def test_the_version_of_cudnn_is_written_as_nvidia_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92001)
    assert libraries.check_cudnn().detail == "9.20.1"


def test_a_torch_without_cudnn_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: None)
    with pytest.raises(RuntimeUnavailable, match="has no cuDNN; install"):
        libraries.check_cudnn()


def test_a_missing_onnx_runtime_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeUnavailable, match="requires ONNX Runtime: pip install"):
        libraries.check_onnxruntime()


def test_a_build_of_onnx_runtime_for_cpus_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeUnavailable, match=r"this build .* has CPUExecutionProvider; install zfscope"):
        libraries.check_onnxruntime_cuda()


@pytest.mark.usefixtures("cuda_provider")
def test_the_cuda_version_of_onnx_runtime_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    assert libraries.check_onnxruntime_cuda().detail == "CUDA 13.0"


@pytest.mark.usefixtures("cuda_provider")
def test_libraries_that_onnx_runtime_cannot_load_are_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def preload_dlls() -> None:
        sys.stdout.write("Failed to load /site/nvidia/cu13/lib/libcublas.so.13: bad file\n")
        sys.stdout.write("Failed to load libcublas.so.13: cannot open shared object file\n")
        sys.stdout.write("Failed to load libcudart.so.13: cannot open shared object file\n")
        sys.stdout.write("Please follow https://onnxruntime.ai/docs/install/ to install CUDA.\n")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload_dlls)
    with pytest.raises(
        RuntimeUnavailable, match=r"cannot load libcublas\.so\.13, libcudart\.so\.13; install"
    ):
        libraries.check_onnxruntime_cuda()
    assert capsys.readouterr().out == ""  # standard output may be JSON
