"""Normalisation in ONNX graphs: over batches, and over neighbouring maps."""

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto
from torch import nn

from tests.support.onnx_graphs import import_graph, kinds, make_model, node, random_array, read_in_process
from zfscope.networks.layers import LocalResponseNorm


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("epsilon", [None, 1e-2])
def test_batch_normalisation_after_a_concatenation_is_a_scale(opset: int, epsilon: float | None) -> None:
    fields = {} if epsilon is None else {"epsilon": epsilon}
    nodes = [
        node("Relu", ["image"], ["r"]),
        node("Concat", ["image", "r"], ["c"], axis=1),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["y"], **fields),
    ]
    constants = {name: random_array(6, seed=seed) for seed, name in enumerate(("scale", "shift", "mean"))}
    constants["variance"] = np.square(random_array(6, seed=4)) + 0.01
    assert kinds(import_graph(make_model(nodes, constants, opset=opset))) == ["relu", "concat", "scale"]


@pytest.mark.parametrize("opset", [7, 13, 22])
@pytest.mark.parametrize(
    "fields", [{}, {"alpha": 0.3, "beta": 0.5, "bias": 2.0}, {"alpha": 2e-4, "beta": 0.75, "bias": 1.0}]
)
def test_the_operator_lrn_is_local_response_normalisation(fields: dict[str, float], opset: int) -> None:
    network = import_graph(make_model([node("LRN", ["image"], ["y"], size=3, **fields)], opset=opset))
    (layer,) = network.spec.layers
    assert isinstance(layer, LocalResponseNorm)
    assert (layer.size, layer.alpha) == (3, pytest.approx(fields.get("alpha", 1e-4)))


def exported(module: nn.Module, *, dynamo: bool, channels: int = 7) -> ModelProto:
    """Return a module as torch exports it."""
    image = torch.zeros(1, channels, 9, 9)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(module.eval(), (image,), dynamo=True, verbose=False).save(file)
        else:
            torch.onnx.export(module.eval(), (image,), file, dynamo=False)
    return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("constants", [(5, 0.3, 0.75, 2.0), (3, 0.1, 0.5, 1.0), (5, 1e-4, 0.75, 1.0)])
def test_local_response_normalisation_as_torch_exports_it_is_one_layer(
    constants: tuple[int, float, float, float], dynamo: bool
) -> None:
    size, alpha, beta, k = constants
    convolution = nn.Conv2d(3, 7, 1)
    module = nn.Sequential(convolution, nn.LocalResponseNorm(size, alpha, beta, k), nn.ReLU())
    network = import_graph(exported(module, dynamo=dynamo, channels=3))
    assert kinds(network) == ["conv", "local_response_norm", "relu"]
    layer = network.spec.layers[1]
    assert isinstance(layer, LocalResponseNorm)
    assert (layer.size, layer.alpha, layer.beta, layer.k) == pytest.approx((size, alpha, beta, k))


def test_an_even_number_of_maps_is_rejected_in_one_sentence() -> None:
    model = exported(nn.Sequential(nn.Conv2d(3, 7, 1), nn.LocalResponseNorm(4)), dynamo=False, channels=3)
    with pytest.raises(ValueError, match=r"^Div '/1/Div': size 4 must be odd$"):
        read_in_process(model)


def test_a_division_that_is_no_normalisation_is_rejected() -> None:
    """As in layer normalisation."""
    nodes = [
        node("Mul", ["image", "image"], ["s"]),
        node("Add", ["s", "k"], ["a"]),
        node("Pow", ["a", "k"], ["p"]),
        node("Div", ["image", "p"], ["y"], name="ratio"),
    ]
    with pytest.raises(ValueError, match=r"^Pow 'p': this operator is not supported"):
        read_in_process(make_model(nodes, {"k": np.array(0.5, np.float32)}))
