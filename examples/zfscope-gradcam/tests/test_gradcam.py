"""Grad-CAM compared with plain torch and with sums on paper."""

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_models import BRANCHY, LABELS, ON_PAPER, context_of, run_gradcam, seeded
from torch import Tensor, nn

from zfscope.analysis.contract import Context
from zfscope.networks import Network


def torch_model(network: Network) -> nn.Sequential:
    """Build TINY from torch's own modules, with the same weights."""
    modules = {
        "conv1": nn.Conv2d(3, 6, 5, stride=2),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        "norm1": nn.LocalResponseNorm(5, alpha=0.5, k=2),
        "conv5": nn.Conv2d(6, 12, 3, padding=1),
        "relu5": nn.ReLU(),
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(12 * 7 * 7, 9),
        "relu6": nn.ReLU(),
        "fc7": nn.Linear(9, 4),
    }
    model = nn.Sequential(OrderedDict(modules)).double()
    model.load_state_dict(network.layers.state_dict())
    return model


def by_autograd(score: Tensor, maps: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return Grad-CAM's map and weights for a score, written exactly as in the paper."""
    (gradients,) = torch.autograd.grad(score, maps)
    weights = [float(gradient.sum()) / gradient.numel() for gradient in gradients[0]]
    total = sum(weight * single for weight, single in zip(weights, maps.detach()[0].numpy(), strict=True))
    return np.maximum(total, 0), np.array(weights)


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "norm1", "conv5", "relu5"])
@pytest.mark.parametrize("label", LABELS)
def test_the_map_equals_that_of_autograd_through_the_whole_network(
    context: Context, layer: str, label: str
) -> None:
    result = run_gradcam(context, layer=layer, label=label)
    outputs = {}
    x = torch.from_numpy(context.images[0].pixels).double()
    for name, module in torch_model(context.model.network).named_children():
        x = outputs[name] = module(x)
    score = x[0, LABELS.index(label)]
    cam, weights = by_autograd(score, outputs[layer])

    np.testing.assert_allclose(result.tensors["weights"], weights, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(result.tensors["cam"], cam, rtol=1e-5, atol=1e-7)
    assert result.numbers["score"] == pytest.approx(score.item(), rel=1e-5)


def test_at_the_default_layer_most_classes_have_evidence(context: Context) -> None:
    peaks = [run_gradcam(context, label=label).numbers["peak"] for label in LABELS]
    assert sum(peak > 0 for peak in peaks) >= 3


def on_paper() -> Context:
    """Return a context for two classes and three maps, which equal the channels of the image.

    The weights of the first class have means of 1, -1 and 0.5 over the maps; those of the second are -1.
    """
    network = seeded(ON_PAPER)
    filters = network.filters
    filters["conv5"].weight.data = torch.eye(3).double()[:, :, None, None]
    filters["conv5"].bias.data.zero_()
    filters["scores"].weight.data = torch.tensor(
        [[4.0, 0, 0, 0, -1, -1, -1, -1, 2, 0, 0, 0], [-1.0] * 12]
    ).double()
    filters["scores"].bias.data.zero_()
    image = np.array([[[1, 0], [0, 2]], [[0, 3], [0, 0]], [[1, 1], [1, 1]]], np.float32)
    return context_of(network, image)


def test_the_map_equals_the_one_computed_on_paper() -> None:
    result = run_gradcam(on_paper(), label="ant")
    # [[1, 0], [0, 2]] - [[0, 3], [0, 0]] + 0.5 [[1, 1], [1, 1]], and nothing below 0
    np.testing.assert_array_equal(result.tensors["cam"], [[1.5, 0], [0.5, 2.5]])
    np.testing.assert_array_equal(result.tensors["weights"], [1, -1, 0.5])
    assert result.numbers == {"score": 4 - 3 + 2, "peak": 2.5}


def test_evidence_against_a_class_is_not_shown() -> None:
    result = run_gradcam(on_paper(), label="bee")
    np.testing.assert_array_equal(result.tensors["weights"], [-1, -1, -1])
    assert not result.tensors["cam"].any()
    assert result.numbers == {"score": -10, "peak": 0}
    assert run_gradcam(replace(on_paper(), pictures=True), label="bee").pictures


def test_a_layer_read_by_two_layers_contributes_through_both() -> None:
    network = seeded(BRANCHY)
    context = context_of(network)
    weights = {name: (filters.weight, filters.bias) for name, filters in network.filters.items()}
    images = torch.from_numpy(context.images[0].pixels).double()
    maps = nn.functional.conv2d(images, *weights["conv1"]).relu().requires_grad_()
    total = maps + nn.functional.conv2d(maps, *weights["straight"])
    total = total + nn.functional.conv2d(images, *weights["skip"])
    scores = total.flatten(1) @ weights["scores"][0].T + weights["scores"][1]
    cam, alphas = by_autograd(scores[0, 2], maps)

    result = run_gradcam(context, layer="relu1", label="cat")
    np.testing.assert_allclose(result.tensors["cam"], cam, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(result.tensors["weights"], alphas, rtol=1e-5)


def test_the_heat_interpolates_between_the_centres_of_units(context: Context) -> None:
    result = run_gradcam(context).tensors
    rows, columns = result["cam"].shape
    centres = [(np.arange(32) + 0.5) * count / 32 - 0.5 for count in (rows, columns)]
    stretched = np.stack([np.interp(centres[1], np.arange(columns), row) for row in result["cam"]])
    heat = np.stack([np.interp(centres[0], np.arange(rows), column) for column in stretched.T], axis=1)
    assert result["attribution"].shape == (32, 32)
    np.testing.assert_allclose(result["attribution"], heat, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("label", ["n2", "cat"])
def test_a_class_is_found_by_id_or_by_name(context: Context, label: str) -> None:
    (row,) = run_gradcam(context, label=label).tables["classes"].records()
    assert (row["label_id"], row["label"]) == ("n2", "cat")


def test_without_a_label_the_most_likely_class_is_explained(context: Context) -> None:
    rows = [
        run_gradcam(context, label=label).tables["classes"].records()[0] for label in ("n0", "n1", "n2", "n3")
    ]
    assert sum(row["probability"] for row in rows) == pytest.approx(1)
    most_likely = max(rows, key=lambda row: row["probability"])
    assert run_gradcam(context).tables["classes"].records() == [most_likely]


def test_tensors_have_the_shapes_of_layer_and_crop(context: Context) -> None:
    shapes = {
        name: (tensor.shape, tensor.dtype.name) for name, tensor in run_gradcam(context).tensors.items()
    }
    assert shapes == {
        "cam": ((7, 7), "float32"),
        "weights": ((12,), "float32"),
        "attribution": ((32, 32), "float32"),
    }
