"""Creation of runtimes by name, and loading of models with their runtime."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zfscope.choices import DeviceName, PrecisionName, RuntimeName
from zfscope.errors import InputError, RuntimeUnavailable
from zfscope.networks.gpu import select_gpu_precision
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.runtimes.protocol import Runtime
from zfscope.runtimes.torchserve import TorchServe
from zfscope.store.store import Model, ModelStore

RUNTIMES = tuple(name.value for name in RuntimeName)
DEVICES = tuple(name.value for name in DeviceName)
PRECISIONS = tuple(name.value for name in PrecisionName)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model with the runtime of its forward passes."""

    model: Model
    runtime: Runtime

    def build_network(self) -> None:
        """Build the network that analyses need, so that the first one does not have to. Blocks."""
        if not self.model.is_opaque:
            _ = self.model.network

    def warm_up(self) -> None:
        """Run a forward pass on a blank image. Blocks."""
        spec = self.model.spec
        self.runtime.forward(np.zeros((1, spec.input_channels, spec.input_size, spec.input_size), np.float32))


def create_runtime(
    kind: str,
    model: Model,
    *,
    cache: Path | None = None,
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "float32",
    torchserve: TorchServe | None = None,
) -> Runtime:
    """Return a runtime for a model, initialised by its first pass.

    kind: `onnx`, `torch` or `torchserve`. cache: folder of exported graphs; None for the user's cache.
    threads: threads per pass in ONNX Runtime; None for the number of available CPUs. Use 1 if passes run in
    several threads, as in a scan. (For torch, 1 likewise; else `torch.set_num_threads` sets the threads of
    the process.) Opaque networks run with `onnx` only.
    device: `cpu` or `cuda`; ignored by TorchServe. precision: `float32`; `bfloat16` for torch on a device
    that multiplies it in hardware; or `tf32` for onnx and torch on CUDA, which holds for the whole process.
    torchserve: the server, contacted by the first pass; None for the default port on this machine. Raises
    InputError for an opaque network with another runtime than onnx or in bfloat16, and RuntimeUnavailable if
    the runtime, the device or the precision is not available on this machine, and for float32 and tf32 on the
    GPU in the same process.
    """
    _check_available("runtime", kind, RUNTIMES)
    _check_available("device", device, DEVICES)
    _check_available("precision", precision, PRECISIONS)
    if model.is_opaque:
        _check_opaque(model, kind, precision)
    if precision != PrecisionName.float32:
        from zfscope.runtimes.precision import check_precision  # imports torch

        check_precision(precision, runtime=kind, device=device)
    if device == DeviceName.cuda:
        select_gpu_precision(precision)
    if model.is_opaque:
        from zfscope.runtimes.onnx.opaque import OpaqueRuntime  # imports onnx

        return OpaqueRuntime(model, threads=threads, device=device, precision=precision)
    if kind == "torch":
        from zfscope.runtimes.torch import TorchRuntime  # imports torch

        return TorchRuntime(model.network_in(precision), device=device, threads=threads)
    if kind == "torchserve":
        from zfscope.runtimes.torchserve.runtime import TorchServeRuntime  # imports grpc

        return TorchServeRuntime(model, torchserve or TorchServe())
    return OnnxRuntime(model, cache=cache, threads=threads, device=device, precision=precision)


def load_model(
    store: ModelStore, name: str, version: int | None, create: Callable[[Model], Runtime], *, device: str
) -> LoadedModel:
    """Load a model onto a device, with the runtime that `create` returns for it. Blocks."""
    model = store.load(name, version)
    model = replace(model, weights=model.weights.on_device(device))
    return LoadedModel(model, create(model))


def _check_opaque(model: Model, kind: str, precision: str) -> None:
    """Raise InputError unless an opaque network runs with a runtime and in a precision."""
    title = f"{model.manifest.title} is an opaque graph, which"
    if precision == PrecisionName.bfloat16:
        raise InputError(
            f"{title} does not run in {precision}; use float32, or tf32 on a GPU", field="precision"
        )
    if kind != RuntimeName.onnx:
        raise InputError(f"{title} only runtime 'onnx' runs; runtime is '{kind}'", field="runtime")


def _check_available(field: str, value: str, available: tuple[str, ...]) -> None:
    if value not in available:
        raise RuntimeUnavailable(f"unknown {field} '{value}'; available: {', '.join(available)}", field=field)
