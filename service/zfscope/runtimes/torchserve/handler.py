"""What runs inside TorchServe: the handler of an archive is this one, of the installed zfscope.

TorchServe collects requests and calls `handle` with a batch. All images of a batch go through the network at
once; a request that cannot be answered gets an error of its own, and its neighbours get their answers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zfscope.errors import ZfscopeError
from zfscope.networks.spec import INPUT, shapes
from zfscope.runtimes.protocol import check_images, maxima_of, to_arrays
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
    Asked,
    Message,
    pack,
    unpack,
)
from zfscope.store.store import ModelStore


class Handler:
    """The model of an archive."""

    def initialize(self, context: Any) -> None:
        """Load the model out of the folder that TorchServe unpacked, verified as everywhere."""
        stated, properties = context.manifest["model"], context.system_properties
        store = ModelStore(Path(properties["model_dir"]))
        model = store.load(stated["modelName"], int(stated["modelVersion"]))
        self._spec, self._weights = model.spec, model.weights_sha256
        self._none = np.zeros((0, *shapes(self._spec)[INPUT]), np.float32)
        self._runtime = TorchRuntime(model.network, device=_device(properties.get("gpu_id")))

    def handle(self, requests: Sequence[Mapping[str, bytes]], context: Any) -> list[bytes]:
        """Answer the requests of a batch, in order. Each is parts by name; see `message`."""
        batch = [self._read(parts) for parts in requests]
        outputs = self._outputs(batch)
        answers, start = [], 0
        for asked in batch:
            own = slice(start, start + len(asked.images))
            arrays = _arrays(asked, {layer: outputs[layer][own] for layer in asked.layers})
            answers.append(pack(Message(arrays, {ERROR: asked.error} if asked.error else {})))
            start = own.stop
        return answers

    def _outputs(self, batch: Sequence[Asked]) -> Mapping[str, Array]:
        layers = list(dict.fromkeys(layer for asked in batch for layer in asked.layers))
        if not layers:
            return {}
        images = np.concatenate([asked.images for asked in batch])
        if layers == [self._spec.scores]:
            return {layers[0]: self._runtime.forward(images)}
        return self._runtime.outputs(images, layers)

    def _read(self, parts: Mapping[str, bytes]) -> Asked:
        try:
            return self._asked(parts)
        except (ValueError, KeyError, ZfscopeError) as error:
            return Asked(self._none, error=str(error))

    def _asked(self, parts: Mapping[str, bytes]) -> Asked:
        weights = bytes(parts.get(WEIGHTS, b"")).decode()
        if weights != self._weights:
            raise ValueError(f"it serves other weights: {self._weights[:12]}..., not {weights[:12]}...")
        if IMAGES not in parts:
            return Asked(self._none)
        images = unpack(bytes(parts[IMAGES])).arrays[IMAGES]
        check_images(images, self._spec)
        layers = tuple(bytes(parts.get(LAYERS, b"")).decode().split(","))
        for layer in layers:
            self._spec.layer(layer)
        reduce = bytes(parts.get(REDUCE, b"")).decode()
        if reduce not in ("", VALUES, SUMS):
            raise ValueError(f"'{REDUCE}' is '{reduce:.80}'; {VALUES} and {SUMS} are allowed")
        return Asked(images, layers, reduce)


def _arrays(asked: Asked, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Give the arrays of an answer, out of what the layers gave for the images of its request."""
    if not asked.reduce:
        return outputs
    arrays: dict[str, Array] = {}
    for layer, values in outputs.items():
        arrays |= to_arrays(layer, maxima_of(values, sums=asked.reduce == SUMS))
    return arrays


def _device(gpu: int | None) -> str:
    """Give the device of the worker; TorchServe gives each a GPU, where there are any."""
    if gpu is None or not torch.cuda.is_available():
        return "cpu"
    torch.cuda.set_device(int(gpu))
    return "cuda"
