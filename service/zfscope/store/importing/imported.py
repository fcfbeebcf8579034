"""The result of an importer: a network with its weights, preprocessing and notes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zfscope.images.preprocess import Preprocessing
from zfscope.networks.network import Network
from zfscope.networks.spec import NetworkSpec, shapes, tensor_shapes
from zfscope.store.manifest import OpaqueGraph
from zfscope.store.weights import check_arrays


@dataclass(frozen=True, eq=False)
class OpaqueNetwork:
    """An imported graph that runs as a whole.

    spec: its tensors as layers. graph: the ONNX file, with a free batch dimension. info: how it runs.
    """

    spec: NetworkSpec
    graph: bytes
    info: OpaqueGraph


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """An imported network. notes: sentences for the model card, on how it differs from the paper."""

    network: Network | OpaqueNetwork
    preprocessing: Preprocessing
    summary: str
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Number of class scores; 0 if the network ends in feature maps."""
        spec = self.network.spec
        last = shapes(spec)[spec.scores]
        return last[0] if len(last) == 1 else 0


def build_network(spec: NetworkSpec, weights: Mapping[str, Tensor]) -> Network:
    """Return the network of a spec with the given float32 weights, in evaluation mode, without gradients.

    Raises ValueError, naming the tensor, if a tensor has the wrong shape.
    """
    network = Network(spec)
    check_arrays({name: tensor.numpy() for name, tensor in weights.items()}, tensor_shapes(spec))
    network.layers.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def rename_tensors(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors in float32 under the store's names (`conv1.weight`, `conv1.bias`).

    names: layer names of the store, mapped to those of the file, without `.weight` and `.bias`. Raises
    ValueError for a missing tensor, and for one that belongs to no layer: none is dropped silently.
    """
    keys = {
        f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in names.items() for part in ("weight", "bias")
    }
    missing = [key for key in keys.values() if key not in tensors]
    if missing:
        raise ValueError(f"tensor '{missing[0]}' is missing")
    unknown = sorted(set(tensors) - set(keys.values()))
    if unknown:
        raise ValueError(f"tensor '{unknown[0]}' belongs to no layer of this definition")
    return {ours: tensors[theirs].to(torch.float32) for ours, theirs in keys.items()}


def layer_widths(weights: Mapping[str, Tensor]) -> Mapping[str, int]:
    """Return the number of feature maps or units of each layer: the length of its bias.

    Raises ValueError if a bias is not a vector.
    """
    biases = {name.removesuffix(".bias"): bias for name, bias in weights.items() if name.endswith(".bias")}
    for layer, bias in biases.items():
        if bias.dim() != 1:
            raise ValueError(f"the bias of '{layer}' has the shape {tuple(bias.shape)}; it must be a vector")
    return {layer: len(bias) for layer, bias in biases.items()}
