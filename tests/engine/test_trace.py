"""Traces: outputs, switches, and errors."""

import dataclasses
import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine import Trace, trace
from zfscope.engine.trace import extend
from zfscope.errors import InputError, NotFound
from zfscope.networks import Network


@pytest.mark.parametrize("name", ["tiny", "branchy"])
def test_a_trace_has_the_outputs_of_all_layers(name: str, request: pytest.FixtureRequest) -> None:
    network: Network = request.getfixturevalue(f"{name}_network")
    images: Tensor = request.getfixturevalue(f"{name}_images")
    traced = trace(network, images)
    assert {layer: tuple(output.shape[1:]) for layer, output in traced.outputs.items()} == network.shapes
    assert torch.equal(traced.outputs["input"], images)
    assert torch.equal(traced.outputs[network.spec.scores], network(images))
    assert traced.images == 2


def test_switches_are_the_indices_of_the_maxima(tiny_trace: Trace) -> None:
    assert set(tiny_trace.switches) == {"pool1", "pool2"}
    below, pooled = tiny_trace.outputs["relu1"], tiny_trace.outputs["pool1"]
    switches = tiny_trace.switches["pool1"]
    assert torch.equal(below.flatten(2).gather(2, switches.flatten(2)), pooled.flatten(2))
    _, indices = F.max_pool2d(below, 3, 2, ceil_mode=True, return_indices=True)
    assert torch.equal(switches, indices)


def test_a_trace_ends_at_the_given_layer(tiny_network: Network, tiny_images: Tensor) -> None:
    traced = trace(tiny_network, tiny_images, until="pool1")
    assert list(traced.outputs) == ["input", "conv1", "relu1", "pool1"]
    assert list(traced.switches) == ["pool1"]


def test_a_trace_records_no_autograd_graph(tiny_network: Network, tiny_images: Tensor) -> None:
    tiny_network.requires_grad_(True)
    traced = trace(tiny_network, tiny_images.requires_grad_())
    assert not any(output.requires_grad for name, output in traced.outputs.items() if name != "input")


def test_a_trace_is_immutable(tiny_trace: Trace) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_trace.outputs = {}  # type: ignore[misc]  # expected to fail


def test_rectification_does_not_overwrite_its_input(tiny_trace: Trace) -> None:
    assert tiny_trace.outputs["conv1"].min() < 0
    assert torch.equal(tiny_trace.outputs["relu1"], tiny_trace.outputs["conv1"].clamp(min=0))


@pytest.mark.parametrize("shape", [(2, 3, 33, 32), (2, 1, 33, 33), (3, 33, 33), (2, 3, 224, 224)])
def test_images_of_the_wrong_shape_are_rejected(tiny_network: Network, shape: tuple[int, ...]) -> None:
    message = re.escape(f"images of shape {shape}; expected (N, 3, 33, 33)")
    with pytest.raises(InputError, match=message) as caught:
        trace(tiny_network, torch.zeros(shape))
    assert caught.value.field == "image"


def test_an_unknown_last_layer_is_rejected_with_the_available_ones(
    tiny_network: Network, tiny_images: Tensor
) -> None:
    with pytest.raises(
        NotFound, match=r"layer 'conv9' not found; available: conv1, relu1, .*, fc8 \.\.\. and 5 more"
    ) as caught:
        trace(tiny_network, tiny_images, until="conv9")
    assert caught.value.field == "layer"


@pytest.mark.parametrize("name", ["tiny", "branchy"])
def test_a_trace_extended_layer_by_layer_equals_one_forward_pass(
    name: str, request: pytest.FixtureRequest
) -> None:
    network: Network = request.getfixturevalue(f"{name}_network")
    images: Tensor = request.getfixturevalue(f"{name}_images")
    whole = trace(network, images)
    extended = trace(network, images, until=network.spec.layers[0].name)
    for layer in network.spec.layers[1:]:
        before, extended = extended, extend(network, extended, until=layer.name)
        assert list(before.outputs) == list(extended.outputs)[:-1]
    assert list(extended.outputs) == list(whole.outputs)
    assert list(extended.switches) == list(whole.switches)
    assert all(torch.equal(extended.outputs[layer], whole.outputs[layer]) for layer in whole.outputs)
    assert all(torch.equal(extended.switches[layer], whole.switches[layer]) for layer in whole.switches)


def test_a_trace_that_contains_the_layer_is_not_extended(tiny_network: Network, tiny_trace: Trace) -> None:
    assert extend(tiny_network, tiny_trace, until="conv1") is tiny_trace
    assert extend(tiny_network, tiny_trace) is tiny_trace
