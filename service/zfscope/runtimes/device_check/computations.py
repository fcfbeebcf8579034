"""Checks that compute on a device, each compared with the same computation in float64 on the CPU.

Float64 is a reference for the CPU too: its float32 results differ from it by rounding, as those of a GPU do.
"""

import copy
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zfscope.choices import PrecisionName
from zfscope.networks.landmarks import default_layers
from zfscope.runtimes.create import create_runtime
from zfscope.runtimes.device_check.check import Finding
from zfscope.runtimes.torchserve import TorchServe
from zfscope.store.store import Model

if TYPE_CHECKING:  # the modules below import torch; if it is missing, the checks say so
    from torch import Tensor

    from zfscope.engine.signal import Signal
    from zfscope.engine.trace import Trace
    from zfscope.networks.network import Network

T = TypeVar("T")
Array = NDArray[np.floating[Any]]
# Number of projected units, each the strongest of its map.
_UNITS = 4
# The occluded window, in the middle of the image, has this fraction of its side.
_WINDOW = 1 / 7


class DeviceComputations:
    """Computations of a model on a device for an image of seeded noise; each returns its `Finding`."""

    def __init__(self, model: Model, device: str, *, torchserve: TorchServe | None = None) -> None:
        """device: `cpu` or `cuda`. torchserve: server of the runtime `torchserve`."""
        self._model, self._device, self._torchserve = model, device, torchserve
        spec = model.spec
        shape = 1, spec.input_channels, spec.input_size, spec.input_size
        self._images = np.random.default_rng(0).standard_normal(shape, np.float32)

    def forward(self, runtime: str, precision: str = PrecisionName.float32) -> Finding:
        """Compare the class scores of a runtime. Raises the errors of `create_runtime` and of its passes."""
        created = create_runtime(
            runtime, self._model, device=self._device, precision=precision, torchserve=self._torchserve
        )
        scores, time_s = _timed(lambda: created.forward(self._images))
        return Finding("class scores", _difference(scores, self._exact_scores(self._images)), time_s)

    def forward_in_tf32(self, runtime: str) -> Finding:
        """Compare the class scores of a runtime in TF32, unless the GPU is too old for it."""
        import torch

        from zfscope.networks.gpu import temporary_gpu_precision
        from zfscope.runtimes.precision import has_tf32

        if not has_tf32(torch.device(self._device)):
            return Finding("not on this GPU: tf32 needs compute capability 8.0 or newer (Ampere)")
        with temporary_gpu_precision(PrecisionName.tf32):
            return self.forward(runtime, PrecisionName.tf32)

    def trace(self) -> Finding:
        """Compare the activations of every layer; the difference is that of the worst layer."""
        outputs, time_s = _timed(lambda: _arrays(self._trace().outputs))
        exact = _arrays(self._exact_trace(self._images).outputs)
        worst = max(_difference(outputs[layer], exact[layer]) for layer in exact)
        return Finding(f"activations of {len(exact)} layers", worst, time_s)

    def projection(self) -> Finding:
        """Compare projections of strong units of the last convolution, from the device's own trace.

        The reference uses the same trace: another one may have other switches where activations are equal up
        to rounding.
        """
        from zfscope.engine.deconvnet import project
        from zfscope.engine.seeds import strongest_units

        layer, trace = default_layers(self._model.spec).last_convolution, self._trace()
        units = strongest_units(trace, layer, 0, _UNITS)
        pixels, time_s = _timed(lambda: _array(project(self._network, trace, layer, units)))
        exact = _array(project(self._exact_network, _in_float64(trace), layer, units))
        return Finding(f"{len(units)} units of {layer}", _difference(pixels, exact), time_s)

    def occlusion(self) -> Finding:
        """Compare the scores recomputed for an occluded window with those of a whole pass."""
        from zfscope.engine.occlusion import recompute
        from zfscope.engine.signal import extract

        size, scores, trace = self._model.spec.input_size, self._model.spec.scores, self._trace()
        side = max(1, round(_WINDOW * size))
        start = (size - side) // 2
        change = _blank_window(trace, start, side)

        def recomputed() -> "tuple[Array, Signal]":
            parts = recompute(self._network, trace, change, [scores])
            (signal,) = (part.outputs[scores] for part in parts if scores in part.outputs)
            return _array(signal.values), signal

        (values, signal), time_s = _timed(recomputed)
        occluded = self._images.copy()
        occluded[:, :, start : start + side, start : start + side] = 0
        exact = _array(extract(self._exact_trace(occluded).outputs[scores], signal))
        return Finding(f"a window of {side} x {side} pixels", _difference(values, exact), time_s)

    @cached_property
    def _network(self) -> "Network":
        from zfscope.networks.network import on_device

        return on_device(copy.deepcopy(self._model.network), self._device)

    @cached_property
    def _exact_network(self) -> "Network":
        return copy.deepcopy(self._model.network).cpu().double()

    def _trace(self) -> "Trace":
        import torch

        from zfscope.engine.trace import trace

        return trace(self._network, torch.from_numpy(self._images).to(self._device))

    def _exact_trace(self, images: Array) -> "Trace":
        import torch

        from zfscope.engine.trace import trace

        return trace(self._exact_network, torch.from_numpy(images).double())

    def _exact_scores(self, images: Array) -> Array:
        return _array(self._exact_trace(images).outputs[self._model.spec.scores])


def _blank_window(trace: "Trace", start: int, side: int) -> "Signal":
    """Return the change that sets a window of the traced image to zero. start: its first row and column."""
    import torch

    from zfscope.engine.signal import Signal
    from zfscope.networks.spec import INPUT

    images = trace.outputs[INPUT]
    values = images.new_zeros(1, images.shape[1], side, side)
    return Signal(values, torch.tensor([0]), torch.tensor([[start, start]]))


def _in_float64(trace: "Trace") -> "Trace":
    """Copy a trace to the CPU, with activations in float64."""
    from zfscope.engine.trace import Trace

    outputs = {layer: values.cpu().double() for layer, values in trace.outputs.items()}
    return Trace(outputs, {layer: switches.cpu() for layer, switches in trace.switches.items()})


def _array(values: "Tensor") -> Array:
    """Copy a tensor to the CPU, which waits until the device has computed it."""
    array: Array = values.cpu().numpy()
    return array


def _arrays(outputs: "Mapping[str, Tensor]") -> dict[str, Array]:
    return {layer: _array(values) for layer, values in outputs.items()}


def _timed(compute: Callable[[], T]) -> tuple[T, float]:
    """Compute twice; return the second result and its duration in seconds. The first one selects kernels."""
    compute()
    started = time.perf_counter()
    result = compute()
    return result, time.perf_counter() - started


def _difference(actual: Array, exact: Array) -> float:
    """Return the largest absolute difference, as a fraction of the largest absolute exact value."""
    largest = float(np.abs(exact).max())
    return float(np.abs(actual - exact).max()) / (largest or 1.0)
