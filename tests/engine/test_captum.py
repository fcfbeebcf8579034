"""Comparison with Captum, for the same network as an `nn.Sequential` without normalisation."""

from collections.abc import Callable

import pytest
import torch
from captum.attr import NeuronDeconvolution, NeuronGuidedBackprop
from torch import Tensor

from benchmarks.sequential import as_sequential
from zfscope.engine import project, strongest_units, trace
from zfscope.engine.backward import Rule
from zfscope.engine.seeds import activation
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.layers import LocalResponseNorm


@pytest.fixture
def network(tiny_spec: NetworkSpec, seeded_network: Callable[..., Network]) -> Network:
    layers = tuple(layer for layer in tiny_spec.layers if not isinstance(layer, LocalResponseNorm))
    return seeded_network(tiny_spec.model_copy(update={"layers": layers}))


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
@pytest.mark.filterwarnings("ignore:Input Tensor . did not already require gradients")
@pytest.mark.parametrize(
    ("rule", "method"), [("deconvnet", NeuronDeconvolution), ("guided", NeuronGuidedBackprop)]
)
@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "pool2", "conv3", "relu3", "fc6", "fc8"])
def test_a_projection_is_the_attribution_of_captum_times_the_activation(
    rule: Rule,
    method: type[NeuronDeconvolution],
    layer: str,
    network: Network,
    images_for: Callable[..., Tensor],
) -> None:
    """Captum starts from 1. With rectification, results are proportional only for positive activations."""
    images = images_for(network, 1)
    traced = trace(network, images)
    units = [unit for unit in strongest_units(traced, layer, 0, 3) if activation(traced, layer, unit) > 0]
    assert units
    sequential = as_sequential(network)
    attribution = method(sequential, sequential.get_submodule(layer))
    pixels = project(network, traced, layer, units, rule=rule)
    for unit, ours in zip(units, pixels, strict=True):
        is_flat = traced.outputs[layer].dim() == 2
        theirs = attribution.attribute(images, unit.map if is_flat else (unit.map, unit.y, unit.x))
        assert theirs.any()
        torch.testing.assert_close(ours, theirs[0] * activation(traced, layer, unit), rtol=1e-9, atol=1e-12)
