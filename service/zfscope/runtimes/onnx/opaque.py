"""Forward passes of opaque networks: graphs that run as a whole, with their tensors as layers."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from zfscope.choices import PrecisionName
from zfscope.networks.layers import GraphTensor
from zfscope.networks.spec import NetworkSpec
from zfscope.processors import usable_cpus
from zfscope.runtimes.cells import compute_cell_maxima
from zfscope.runtimes.onnx.runtime import pad_batch
from zfscope.runtimes.onnx.session import onnxruntime_for, open_session
from zfscope.runtimes.protocol import MapMaxima, check_call, check_images, compute_maxima, runtime_title
from zfscope.store.graph import with_more_outputs, with_outputs
from zfscope.store.manifest import OpaqueGraph
from zfscope.store.store import Model

# Sessions that are kept open; each has its own copy of the weights.
_MAX_SESSIONS = 3


class OpaqueRuntime:
    """Runs the graph of an opaque network in ONNX Runtime, whose tensors are its layers.

    A session computes the class scores, or a set of layers, and nothing that these do not need. The last few
    are kept open.
    """

    name = "onnx"

    def __init__(
        self,
        model: Model,
        *,
        threads: int | None = None,
        device: str = "cpu",
        precision: str = PrecisionName.float32,
    ) -> None:
        """Create the runtime without opening a session; the arguments and errors are `OnnxRuntime`'s."""
        onnxruntime_for(device)
        assert model.graph is not None, "the model has a graph"
        assert model.manifest.graph is not None
        self.precision = str(precision)
        self._spec, self._info, self._graph = model.spec, model.manifest.graph, model.graph
        self._device, self._threads = device, threads or usable_cpus()
        self._sessions: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._opening = threading.Lock()

    def __getstate__(self) -> tuple[NetworkSpec, OpaqueGraph, bytes, int]:
        """Pickle the graph; sessions are opened again, on the CPU."""
        return self._spec, self._info, self._graph, self._threads

    def __setstate__(self, state: tuple[NetworkSpec, OpaqueGraph, bytes, int]) -> None:
        self._spec, self._info, self._graph, self._threads = state
        self._device, self.precision = "cpu", PrecisionName.float32.value
        self._sessions, self._opening = OrderedDict(), threading.Lock()

    @property
    def title(self) -> str:
        """Name, and device unless it is the CPU; see `Runtime`."""
        return runtime_title(self.name, self._device)

    def forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores of images; see `Runtime`."""
        check_images(images, self._spec)
        scores = self._spec.scores
        return self._run(images, (scores,))[scores]

    def outputs(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the outputs of layers; see `Runtime`."""
        names = check_call(images, self._spec, layers)
        return self._run(images, names) if names else {}

    def map_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        """Return the maxima of maps; see `Runtime`."""
        outputs = self.outputs(images, layers)
        return {name: compute_maxima(values, sums=sums) for name, values in outputs.items()}

    def cell_maxima(
        self, images: NDArray[np.float32], layers: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the maxima of maps in cells; see `Runtime`."""
        outputs = self.outputs(images, layers)
        return {name: compute_cell_maxima(values) for name, values in outputs.items()}

    def check(self) -> None:
        """Do nothing: this runtime runs in-process and is always available."""

    def _run(self, images: NDArray[np.float32], names: tuple[str, ...]) -> Mapping[str, NDArray[np.float32]]:
        session = self._session(names)
        layers = [self._layer(name) for name in names]
        # A graph for single images runs them one by one.
        size = len(images) if self._info.batches else 1
        parts = [self._pass(session, images[at : at + size], layers) for at in range(0, len(images), size)]
        merged = (
            np.concatenate(arrays) if len(parts) > 1 else arrays[0] for arrays in zip(*parts, strict=True)
        )
        return dict(zip(names, merged, strict=True))

    def _pass(
        self, session: Any, images: NDArray[np.float32], layers: Sequence[GraphTensor]
    ) -> list[NDArray[np.float32]]:
        """Run a pass. On CUDA, batches are padded, because each new size costs a slow kernel selection."""
        batch = pad_batch(images) if self._device == "cuda" and self._info.batches else images
        if self._info.channels_last:
            batch = batch.transpose(0, 2, 3, 1)
        tensors = [layer.tensor for layer in layers]
        arrays = session.run(tensors, {self._info.input: np.ascontiguousarray(batch)})
        return [as_layer(array[: len(images)], layer) for array, layer in zip(arrays, layers, strict=True)]

    def _layer(self, name: str) -> GraphTensor:
        return cast(GraphTensor, self._spec.by_name[name])

    def _session(self, names: tuple[str, ...]) -> Any:
        """Return the session of some layers; opened once, even if several threads need it."""
        with self._opening:
            if names not in self._sessions:
                graph = with_outputs(self._graph, [self._layer(name).tensor for name in names])
                self._sessions[names] = open_session(
                    graph,
                    threads=self._threads,
                    device=self._device,
                    precision=self.precision,
                    keep_memory=True,
                )
                while len(self._sessions) > _MAX_SESSIONS:
                    del self._sessions[next(key for key in self._sessions if key != (self._spec.scores,))]
            self._sessions.move_to_end(names)
            return self._sessions[names]


def opaque_graph(model: Model, layers: Sequence[str]) -> bytes:
    """Return the graph of an opaque network, with the tensors of layers as outputs after its own."""
    assert model.graph is not None, "the model has a graph"
    tensors = [cast(GraphTensor, model.spec.by_name[name]).tensor for name in layers]
    return with_more_outputs(model.graph, tensors) if tensors else model.graph


def as_layer(values: NDArray[np.float32], layer: GraphTensor) -> NDArray[np.float32]:
    """Return a tensor of the graph as the output of its layer: (N, maps, rows, columns), or (N, units)."""
    if layer.layout == "channels_last":
        values = values.transpose(0, 3, 1, 2)
    if layer.layout == "tokens":
        values = values[:, layer.skipped :].transpose(0, 2, 1)
    return values.reshape(len(values), *layer.shape)
