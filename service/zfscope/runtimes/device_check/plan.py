"""The checks of a device, in order: libraries first, then what is computed with them."""

from collections.abc import Iterator
from functools import partial

from zfscope.choices import PrecisionName, RuntimeName
from zfscope.rounding import rounding
from zfscope.runtimes.device_check import libraries
from zfscope.runtimes.device_check.check import DeviceCheck
from zfscope.runtimes.device_check.computations import DeviceComputations
from zfscope.runtimes.torchserve import TorchServe
from zfscope.store.store import Model

_TORCH, _TORCH_CUDA = "torch", "CUDA in torch"
_ONNX, _ONNX_CUDA = "ONNX Runtime", "CUDA in ONNX Runtime"


def device_checks(model: Model, device: str, *, torchserve: TorchServe | None = None) -> list[DeviceCheck]:
    """Return the checks of a device, `cpu` or `cuda`, in the order in which they run.

    torchserve: server to check too; its own settings decide on its device. None for no check.
    """
    computations = DeviceComputations(model, device, torchserve=torchserve)
    return [
        *_libraries(device),
        *_passes(computations, device, torchserve),
        *(_tf32_passes(computations) if device == "cuda" else ()),
        *_analyses(computations, device),
    ]


def _libraries(device: str) -> Iterator[DeviceCheck]:
    cuda = device == "cuda"
    if cuda:
        yield DeviceCheck("NVIDIA driver", libraries.check_driver)
    yield DeviceCheck(_TORCH, libraries.check_torch)
    if cuda:
        yield DeviceCheck(_TORCH_CUDA, libraries.check_torch_cuda, needs=(_TORCH,))
        yield DeviceCheck("cuDNN in torch", libraries.check_cudnn, needs=(_TORCH_CUDA,))
    yield DeviceCheck(_ONNX, libraries.check_onnxruntime)
    if cuda:
        yield DeviceCheck(_ONNX_CUDA, libraries.check_onnxruntime_cuda, needs=(_ONNX,))


def _passes(
    computations: DeviceComputations, device: str, torchserve: TorchServe | None
) -> Iterator[DeviceCheck]:
    """Yield a forward pass of every runtime; all need torch on the CPU, which computes the reference."""
    cuda = device == "cuda"
    needs = {
        RuntimeName.onnx: (_TORCH, _ONNX_CUDA if cuda else _ONNX),
        RuntimeName.torch: (_TORCH_CUDA if cuda else _TORCH,),
        RuntimeName.torchserve: (_TORCH,),
    }
    for runtime in RuntimeName:
        if runtime is not RuntimeName.torchserve or torchserve:
            run = partial(computations.forward, runtime.value)
            yield DeviceCheck(f"forward pass by {runtime.value}", run, needs=needs[runtime])


def _tf32_passes(computations: DeviceComputations) -> Iterator[DeviceCheck]:
    needs = {RuntimeName.onnx: (_TORCH_CUDA, _ONNX_CUDA), RuntimeName.torch: (_TORCH_CUDA,)}
    for runtime, needed in needs.items():
        name, run = f"forward pass by {runtime.value} in tf32", partial(computations.forward_in_tf32, runtime)
        yield DeviceCheck(name, run, needs=needed, tolerance=rounding(1, PrecisionName.tf32))


def _analyses(computations: DeviceComputations, device: str) -> Iterator[DeviceCheck]:
    needs = (_TORCH_CUDA if device == "cuda" else _TORCH,)
    yield DeviceCheck("trace", computations.trace, needs=needs)
    yield DeviceCheck("projection", computations.projection, needs=needs)
    yield DeviceCheck("occlusion", computations.occlusion, needs=needs)
