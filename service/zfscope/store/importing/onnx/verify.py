"""Comparison of an imported network with the graph that it was read from, tensor by tensor."""

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from zfscope.engine.trace import trace
from zfscope.networks.network import Network, network_with_weights
from zfscope.networks.spec import INPUT
from zfscope.store.importing.onnx.normalise import run
from zfscope.store.importing.onnx.reader import GraphReading
from zfscope.store.importing.onnx.values import View

# Largest difference of a tensor, as a fraction of its largest value.
TOLERANCE = 1e-4
# Differences may exceed it up to this multiple of the network's own rounding errors in float32.
_ROUNDING = 10


def verify(original: ModelProto, value: ValueInfoProto, reading: GraphReading) -> tuple[int, float]:
    """Compare every tensor of the original graph that a layer computes, for a random image.

    value: the graph's input. Returns the number of tensors and the largest difference, as a fraction of the
    largest value of its tensor. Raises ValueError, naming the layer, if one differs by more than rounding.
    """
    network = network_with_weights(reading.spec, reading.weights)
    image = np.random.default_rng(0).standard_normal((1, *network.shapes[INPUT])).astype(np.float32)
    computed = {output for node in original.graph.node for output in node.output}
    tensors = [tensor for tensor in reading.views if tensor in computed]
    expected = run(original, _as_input(value, image), tensors)
    layers = _outputs(network, image)
    differences = {
        tensor: _difference(_values(reading.views[tensor], layers), expected[tensor]) for tensor in tensors
    }
    worst = max(differences.values(), default=0.0)
    if worst > TOLERANCE:
        _check_rounding(_outputs(network.double(), image.astype(np.float64)), layers, reading, differences)
    return len(tensors), worst


def _check_rounding(
    double: dict[str, NDArray[np.floating]],
    single: dict[str, NDArray[np.floating]],
    reading: GraphReading,
    differences: dict[str, float],
) -> None:
    """Raise ValueError for differences that are not explained by the rounding of float32.

    double, single: outputs of the layers in float64 and in float32.
    """
    for tensor, difference in differences.items():
        view = reading.views[tensor]
        rounding = _difference(_values(view, single), _values(view, double))
        if difference > max(TOLERANCE, _ROUNDING * rounding):
            raise ValueError(
                f"layer '{view.layer}' differs from the graph's tensor '{tensor}' by {difference:.1e} of its "
                "largest value; this is a fault of the importer: please report it with the model"
            )


def _as_input(value: ValueInfoProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the image in the order of axes of the graph's input."""
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return image if dims == list(image.shape) else np.ascontiguousarray(image.transpose(0, 2, 3, 1))


def _outputs(network: Network, image: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    traced = trace(network, torch.from_numpy(image)).outputs
    return {layer: values.numpy() for layer, values in traced.items()}


def _values(view: View, layers: dict[str, NDArray[np.floating]]) -> NDArray[np.floating]:
    values = layers[view.layer].reshape(-1)[view.indices.ravel()].reshape(view.dims)
    return values * view.scale + view.offset


def _difference(values: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    largest = float(np.abs(expected).max())
    if not np.isfinite(expected).all():
        return float("inf")
    return float(np.abs(values - expected).max()) / max(largest, float(np.finfo(np.float32).tiny))
