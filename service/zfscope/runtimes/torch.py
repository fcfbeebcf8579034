"""The torch runtime, which runs the same network as projections."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from zfscope.engine.cpu.threads import single_core_pool
from zfscope.errors import RuntimeUnavailable
from zfscope.networks.network import Network, on_device
from zfscope.networks.precision import precision_of
from zfscope.runtimes.cells import cell_window
from zfscope.runtimes.protocol import (
    MapMaxima,
    check_call,
    check_images,
    from_arrays,
    runtime_title,
    to_arrays,
)

# Arrays by name, with a row per image.
Arrays = Mapping[str, NDArray[Any]]

# Maps the name and the outputs of a layer to arrays.
Convert = Callable[[str, Tensor], Arrays]


class TorchRuntime:
    """Runs a network on a device, in the precision of its weights; images and results are float32.

    A network that is already on that device is shared, not copied.
    """

    name = "torch"

    def __init__(self, network: Network, *, device: str = "cpu", threads: int | None = None) -> None:
        """Create a runtime of a network in evaluation mode.

        threads: 1 if passes run in several threads: each pass then takes one core. None for the threads of
        the process (`torch.set_num_threads`). Raises RuntimeUnavailable if the device is not available.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeUnavailable("runtime 'torch' cannot use CUDA: torch found no device")
        self.title, self.precision = runtime_title(self.name, device), precision_of(network, device)
        is_shared = next(network.parameters()).device.type == device
        self._network = on_device(network if is_shared else copy.deepcopy(network), device)
        self._on_cpu = device == "cpu"
        self._on_one_core = self._on_cpu and threads == 1

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores of images; see `Runtime`."""
        spec = self._network.spec
        check_images(images, spec)
        return self._run(images, (spec.scores,), lambda name, scores: {name: _array(scores)})[spec.scores]

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers, running no further than the last of them; see `Runtime`."""
        names = check_call(images, self._network.spec, layers)
        return self._run(images, names, lambda name, outputs: {name: _array(outputs)})

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the maxima of maps, computed on the device; see `Runtime`."""
        names = check_call(images, self._network.spec, layers)
        arrays = self._run(images, names, lambda name, outputs: to_arrays(name, _maxima(outputs, sums=sums)))
        return {name: from_arrays(name, arrays, sums=sums) for name in names}

    def cell_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the maxima of maps in cells, computed on the device; see `Runtime`."""
        names = check_call(images, self._network.spec, layers)
        return self._run(images, names, lambda name, outputs: {name: _array(_cell_maxima(outputs))})

    def check(self) -> None:
        """Do nothing: this runtime runs in-process and is always available."""

    def _run(self, images: NDArray[np.float32], layers: Sequence[str], convert: Convert) -> Arrays:
        """Return what `convert` makes of the outputs of layers, for all images.

        On the CPU, each core runs a part of the images, unless the runtime is to use only one. torch would
        split every operation over the cores instead, and wait after each for the slowest.
        """

        def run(part: NDArray[np.float32]) -> Arrays:
            with torch.inference_mode():  # the setting is per thread
                outputs = self._network.outputs(self._tensor(part), layers)
                return {key: array for name in layers for key, array in convert(name, outputs[name]).items()}

        cores = torch.get_num_threads()
        parts = np.array_split(images, 1 if self._on_one_core else min(cores, len(images)))
        if cores == 1 or not self._on_cpu or (len(parts) == 1 and not self._on_one_core):
            return run(images)  # also in a thread of the pool, which must not wait for another one
        results = list(single_core_pool(cores).map(run, parts))
        return results[0] if len(results) == 1 else _concatenate(results)

    def _tensor(self, images: NDArray[np.float32]) -> Tensor:
        """Copy images into a tensor: torch supports neither read-only arrays nor negative strides.

        In channels-last format, convolutions of both precisions are fastest.
        """
        tensor = torch.from_numpy(np.array(images, order="C"))
        return tensor.to(next(self._network.parameters())).contiguous(memory_format=torch.channels_last)


def _maxima(outputs: Tensor, *, sums: bool) -> MapMaxima:
    """Compute the maxima of a layer's outputs, (N, maps, rows, columns) or (N, units).

    By pooling over whole maps, whose switches are the indices: of the first maximum on ties. In channels-last
    format, this is many times as fast as torch's reductions.
    """
    maps = outputs if outputs.dim() == 4 else outputs[:, :, None, None]
    values, switches = max_pool2d(maps, maps.shape[2:], return_indices=True)
    totals = _array(maps.sum((2, 3), dtype=torch.float32)) if sums else None
    return MapMaxima(_array(values[:, :, 0, 0]), switches[:, :, 0, 0].cpu().contiguous().numpy(), totals)


def _cell_maxima(outputs: Tensor) -> Tensor:
    """Compute the maxima of a layer's outputs in cells."""
    if outputs.dim() == 2:
        return outputs
    rows, columns = map(cell_window, outputs.shape[2:])
    kernel, stride, padding = zip(rows, columns, strict=True)
    return max_pool2d(outputs, kernel, stride, padding)


def _concatenate(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().contiguous().numpy()
    return array
