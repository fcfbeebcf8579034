"""The strongest units by ONNX Runtime: the reduction is part of the graph, and only its result leaves it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zfscope.networks.spec import INPUT, NetworkSpec
from zfscope.runtimes.onnx_cache import cached_graph, default_cache
from zfscope.runtimes.onnx_runtime import graph_key
from zfscope.runtimes.onnx_session import open_session
from zfscope.runtimes.protocol import check_images
from zfscope.runtimes.reducing import Reduced, from_arrays, title
from zfscope.store.store import Model


class OnnxReducing:
    """Runs a graph of `reduction_graph`."""

    def __init__(
        self, graph: Path | bytes, spec: NetworkSpec, layers: Sequence[str], *, device: str = "cpu"
    ) -> None:
        """Open a session whose passes take one thread each, so that a caller's threads run one each.

        That is also why results do not depend on the machine's cores: which part of a sum a thread gets
        decides how it is rounded. Raises RuntimeUnavailable as `OnnxRuntime` does.
        """
        self._graph: Path | bytes | None = graph
        self._spec, self._layers = spec, tuple(layers)
        self.name = title("onnx", device)
        self._session = open_session(graph, threads=1, device=device, keep_memory=True)
        self._outputs = [output.name for output in self._session.get_outputs()]

    def __getstate__(self) -> tuple[bytes, NetworkSpec, tuple[str, ...]]:
        """Give all that another machine's CPU needs: the graph itself, for this one's cache is not there."""
        assert self._graph is not None, "it was sent once already"
        graph = self._graph if isinstance(self._graph, bytes) else self._graph.read_bytes()
        return graph, self._spec, self._layers

    def __setstate__(self, state: tuple[bytes, NetworkSpec, tuple[str, ...]]) -> None:
        """Open a session of this machine's own. The graph is not kept beside it: it goes no further."""
        self.__init__(*state)  # type: ignore[misc]
        self._graph = None

    def reduce(self, images: NDArray[np.float32]) -> Mapping[str, Reduced]:
        """Give what each of the layers makes of images; see `Reducing`."""
        check_images(images, self._spec)
        results = self._session.run(self._outputs, {INPUT: np.ascontiguousarray(images)})
        found = dict(zip(self._outputs, results, strict=True))
        return {layer: from_arrays(layer, found) for layer in self._layers}


def reducing_graph(
    model: Model, layers: Sequence[str], *, sums: bool = False, cache: Path | None = None
) -> Path | bytes:
    """Give the graph for some layers of a model out of the cache (None: this user's own)."""
    key = graph_key(model, "reduced", *layers, *(["sums"] if sums else []))
    return cached_graph(cache or default_cache(), key, lambda: _export(model, layers, sums))


def _export(model: Model, layers: Sequence[str], sums: bool) -> bytes:
    from zfscope.runtimes.onnx_reduction import reduction_graph  # brings onnx, as for `export_model`

    return reduction_graph(model.spec, model.weights.arrays(), layers, sums=sums)
