"""Runtimes by name, and models ready with theirs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zfscope.choices import DeviceName, RuntimeName
from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.runtimes.protocol import Runtime
from zfscope.runtimes.torchserve import TorchServe
from zfscope.store.store import Model, ModelStore

RUNTIMES = tuple(name.value for name in RuntimeName)
DEVICES = tuple(name.value for name in DeviceName)


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


def create_runtime(
    kind: str,
    model: Model,
    *,
    cache: Path | None = None,
    threads: int | None = None,
    device: str = "cpu",
    torchserve: TorchServe | None = None,
) -> Runtime:
    """Return the runtime of a model's forward passes; its first pass of each kind makes it ready for these.

    kind: `onnx`, `torch` or `torchserve`. cache: the folder of exported graphs, None for this user's own.
    threads: of one ONNX forward pass, None for the CPUs this process may use, 1 where each of the caller's
    threads runs a pass, as in a scan; torch's are set for the whole process by `torch.set_num_threads`.
    device: `cpu` or `cuda`; TorchServe has its own. torchserve: where it is, None for its usual port on this
    machine; it is first asked by a pass.
    Raises RuntimeUnavailable for what this machine or installation does not have.
    """
    _check("runtime", kind, RUNTIMES)
    _check("device", device, DEVICES)
    if kind == "torchserve":
        from zfscope.runtimes.torchserve.runtime import TorchServeRuntime  # brings grpc

        return TorchServeRuntime(model, torchserve or TorchServe())
    if kind == "torch":
        from zfscope.runtimes.torch import TorchRuntime  # brings torch

        return TorchRuntime(model.network, device=device)
    return OnnxRuntime(model, cache=cache, threads=threads, device=device)


def load_model(
    store: ModelStore, name: str, version: int | None, create: Callable[[Model], Runtime], *, device: str
) -> Loaded:
    """Load a model, whose network will be on a device, with the runtime that `create` makes of it. Blocks."""
    model = store.load(name, version)
    model = replace(model, weights=model.weights.on_device(device))
    return Loaded(model, create(model))


def _check(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RuntimeUnavailable(f"no {what} '{value}'; there are {', '.join(allowed)}", field=what)
