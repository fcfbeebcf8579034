"""The handler that runs inside TorchServe, imported by archives from the installed zfscope.

TorchServe collects requests and calls `handle` with each batch. All images of a batch share one forward pass;
an invalid request is answered with an error and does not affect the others.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zfscope.errors import ZfscopeError
from zfscope.networks.spec import INPUT, shapes
from zfscope.processors import usable_cpus
from zfscope.runtimes.protocol import check_images, compute_maxima, to_arrays
from zfscope.runtimes.torch import TorchRuntime
from zfscope.runtimes.torchserve.message import (
    ERROR,
    IMAGES,
    LAYERS,
    REDUCE,
    SUMS,
    VALUES,
    WEIGHTS,
    Array,
    HandlerRequest,
    Message,
    pack,
    unpack,
)
from zfscope.store.store import ModelStore


class Handler:
    """Serves the model of an archive."""

    def initialize(self, context: Any) -> None:
        """Load and verify the model in the directory to which TorchServe unpacked the archive."""
        # OpenMP knows no quotas: in a container it would start more threads than may run.
        torch.set_num_threads(min(torch.get_num_threads(), usable_cpus()))
        entry, properties = context.manifest["model"], context.system_properties
        store = ModelStore(Path(properties["model_dir"]))
        model = store.load(entry["modelName"], int(entry["modelVersion"]))
        self._spec, self._weights = model.spec, model.weights_sha256
        self._no_images = np.zeros((0, *shapes(self._spec)[INPUT]), np.float32)
        self._runtime = TorchRuntime(model.network, device=_device(properties.get("gpu_id")))

    def handle(self, requests: Sequence[Mapping[str, bytes]], context: Any) -> list[bytes]:
        """Return the responses to a batch of requests, in order. For the parts of a request see `message`."""
        batch = [self._read(parts) for parts in requests]
        outputs = self._outputs(batch)
        responses, start = [], 0
        for request in batch:
            rows = slice(start, start + len(request.images))
            arrays = _arrays(request, {layer: outputs[layer][rows] for layer in request.layers})
            responses.append(pack(Message(arrays, {ERROR: request.error} if request.error else {})))
            start = rows.stop
        return responses

    def _outputs(self, batch: Sequence[HandlerRequest]) -> Mapping[str, Array]:
        layers = list(dict.fromkeys(layer for request in batch for layer in request.layers))
        if not layers:
            return {}
        images = np.concatenate([request.images for request in batch])
        if layers == [self._spec.scores]:
            return {layers[0]: self._runtime.forward(images)}
        return self._runtime.outputs(images, layers)

    def _read(self, parts: Mapping[str, bytes]) -> HandlerRequest:
        try:
            return self._parse(parts)
        except (ValueError, KeyError, ZfscopeError) as error:
            return HandlerRequest(self._no_images, error=str(error))

    def _parse(self, parts: Mapping[str, bytes]) -> HandlerRequest:
        weights = bytes(parts.get(WEIGHTS, b"")).decode()
        if weights != self._weights:
            raise ValueError(f"serves different weights: {self._weights[:12]}...; expected {weights[:12]}...")
        if IMAGES not in parts:
            return HandlerRequest(self._no_images)
        images = unpack(bytes(parts[IMAGES])).arrays[IMAGES]
        check_images(images, self._spec)
        names = bytes(parts.get(LAYERS, b"")).decode().split(",")
        layers = tuple(self._spec.layer(name).name for name in names)
        reduce = bytes(parts.get(REDUCE, b"")).decode()
        if reduce not in ("", VALUES, SUMS):
            raise ValueError(f"'{REDUCE}' is '{reduce:.80}'; allowed: {VALUES}, {SUMS}")
        return HandlerRequest(images, layers, reduce)


def _arrays(request: HandlerRequest, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return the arrays of a response. outputs: by layer, for the images of the request only."""
    if not request.reduce:
        return outputs
    arrays: dict[str, Array] = {}
    for layer, values in outputs.items():
        arrays |= to_arrays(layer, compute_maxima(values, sums=request.reduce == SUMS))
    return arrays


def _device(gpu: int | None) -> str:
    """Return the device of this worker. TorchServe assigns a GPU to each worker if the machine has any."""
    if gpu is None or not torch.cuda.is_available():
        return "cpu"
    torch.cuda.set_device(int(gpu))
    return "cuda"
