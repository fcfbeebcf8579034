"""Runtimes by name: what users choose from."""

from collections.abc import Sequence
from pathlib import Path

from zfscope.errors import RuntimeUnavailable
from zfscope.networks.spec import check_layer
from zfscope.runtimes.onnx_reducing import OnnxReducing, reducing_graph
from zfscope.runtimes.onnx_runtime import OnnxRuntime, model_graph
from zfscope.runtimes.protocol import Runtime
from zfscope.runtimes.reducing import Reducing
from zfscope.runtimes.torchserve.address import TorchServe
from zfscope.store.store import Model

RUNTIMES = ("onnx", "torch", "torchserve")
"""The names of the runtimes, the default first."""

DEVICES = ("cpu", "cuda")


def create_runtime(
    kind: str,
    model: Model,
    *,
    cache: Path | None = None,
    threads: int | None = None,
    device: str = "cpu",
    torchserve: TorchServe | None = None,
) -> Runtime:
    """Make a model ready to run forward passes. Blocks: a graph may have to be exported.

    kind: `onnx`, `torch` or `torchserve`. cache: the folder of exported graphs, None for this user's own.
    threads: of one ONNX forward pass, None for the CPUs this process may use; torch's are set for the
    whole process by `torch.set_num_threads`. device: `cpu` or `cuda`; TorchServe has its own.
    torchserve: where it is, None for its usual port on this machine; it is first asked by a pass.
    Raises RuntimeUnavailable for what this machine or installation does not have.
    """
    _check("runtime", kind, RUNTIMES)
    _check("device", device, DEVICES)
    if kind == "torchserve":
        from zfscope.runtimes.torchserve.runtime import TorchServeRuntime  # brings grpc

        return TorchServeRuntime(model, torchserve or TorchServe())
    if kind == "torch":
        from zfscope.runtimes.torch_runtime import TorchRuntime  # brings torch

        return TorchRuntime(model.network, device=device)
    graph = model_graph(model, cache)
    return OnnxRuntime(graph, model.spec, threads=threads, device=device)


def create_reducing(
    kind: str,
    model: Model,
    layers: Sequence[str],
    *,
    sums: bool = False,
    cache: Path | None = None,
    device: str = "cpu",
    torchserve: TorchServe | None = None,
) -> Reducing:
    """Make some layers of a model ready for a scan. Blocks: a graph may have to be exported.

    sums: whether maps are added up too; all else as for `create_runtime`. Raises NotFound for an unknown
    layer, RuntimeUnavailable as `create_runtime`.
    """
    _check("runtime", kind, RUNTIMES)
    _check("device", device, DEVICES)
    for layer in layers:
        check_layer(model.spec, layer, field="layers")
    if kind == "torchserve":
        from zfscope.runtimes.torchserve.reducing import TorchServeReducing  # brings grpc

        return TorchServeReducing(model, torchserve or TorchServe(), layers, sums=sums)
    if kind == "torch":
        from zfscope.runtimes.torch_reducing import TorchReducing  # brings torch

        return TorchReducing(model.network, layers, sums=sums, device=device)
    graph = reducing_graph(model, layers, sums=sums, cache=cache)
    return OnnxReducing(graph, model.spec, layers, device=device)


def _check(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RuntimeUnavailable(f"no {what} '{value}'; there are {', '.join(allowed)}", field=what)
