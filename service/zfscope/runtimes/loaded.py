"""A model in memory with the runtime of its forward passes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from zfscope.runtimes.protocol import Runtime
from zfscope.store.store import Model, ModelStore


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model and the runtime of its forward passes."""

    model: Model
    runtime: Runtime

    def build_network(self) -> None:
        """Build the network that analyses take, so that the first of them need not wait for it. Blocks."""
        _ = self.model.network

    def warm_up(self) -> None:
        """Run one pass, on a blank image."""
        spec = self.model.spec
        self.runtime.forward(np.zeros((1, spec.input_channels, spec.input_size, spec.input_size), np.float32))


def load_model(
    store: ModelStore, name: str, version: int | None, create: Callable[[Model], Runtime], *, device: str
) -> Loaded:
    """Load a model, whose network will be on a device, with the runtime that `create` makes of it. Blocks."""
    model = store.load(name, version)
    model = replace(model, weights=model.weights.on_device(device))
    return Loaded(model, create(model))
