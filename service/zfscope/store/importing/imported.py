"""What an importer gives: a network with weights, and all that has to be known to use it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zfscope.images.preprocess import Preprocessing
from zfscope.networks.network import Network
from zfscope.networks.spec import NetworkSpec, shapes, tensor_shapes
from zfscope.store.weights import check_arrays

TORCHVISION_PREPROCESSING = Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
"""What torchvision and pytorchcv do to a photo, in pixel units: 0.485 * 255 and so on."""


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A network of others. notes: sentences for its model card, of what differs from its definition."""

    network: Network
    preprocessing: Preprocessing
    summary: str
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """The number of class scores, 0 of a network that ends in feature maps."""
        spec = self.network.spec
        last = shapes(spec)[spec.scores]
        return last[0] if len(last) == 1 else 0


def build_network(spec: NetworkSpec, weights: Mapping[str, Tensor]) -> Network:
    """Build the network of a spec from weights by its own names, in float32, ready to be used.

    Raises ValueError, naming the tensor, for one that does not fit.
    """
    network = Network(spec)
    check_arrays({name: tensor.numpy() for name, tensor in weights.items()}, tensor_shapes(spec))
    network.layers.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def rename_tensors(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Give the weights of each layer by our name for it, (`conv1.weight`, `conv1.bias`), in float32.

    names: by our name the other's, without `.weight` and `.bias`. Raises ValueError for a tensor that is
    missing, and for one that belongs to none of the layers: nothing is left out in silence.
    """
    keys = {f"{ours}.{part}": f"{its}.{part}" for ours, its in names.items() for part in ("weight", "bias")}
    missing = [its for its in keys.values() if its not in tensors]
    if missing:
        raise ValueError(f"tensor '{missing[0]}' is missing")
    strangers = sorted(set(tensors) - set(keys.values()))
    if strangers:
        raise ValueError(f"tensor '{strangers[0]}' belongs to no layer of this definition")
    return {ours: tensors[its].to(torch.float32) for ours, its in keys.items()}


def layer_widths(weights: Mapping[str, Tensor]) -> Mapping[str, int]:
    """Give the maps or units of each layer: the length of its bias. Raises ValueError for no vector."""
    biases = {name.removesuffix(".bias"): bias for name, bias in weights.items() if name.endswith(".bias")}
    for layer, bias in biases.items():
        if bias.dim() != 1:
            raise ValueError(f"the bias of '{layer}' has the shape {tuple(bias.shape)}; it must be a vector")
    return {layer: len(bias) for layer, bias in biases.items()}
