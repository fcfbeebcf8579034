"""Projections: agreement with autograd, and the absence of common defects of other implementations.

Expected values come from autograd through torch's own layers, with a custom backward of ReLU (conftest.py).
"""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from zfscope.engine import Maps, Seed, Trace, Unit, project, receptive_fields, strongest_units, trace
from zfscope.engine.backward import Normalisation, Rule
from zfscope.engine.deconvnet import BATCH_VALUES
from zfscope.networks import Network

NETWORKS = ["tiny", "branchy"]
RULES: list[Rule] = ["deconvnet", "guided", "gradient"]
NORMALISATIONS: list[Normalisation] = ["skip", "gradient"]
MixedSeeds = Callable[[Trace, str], list[Seed]]


def named_fixtures(request: pytest.FixtureRequest, name: str) -> tuple[Network, Tensor, Trace]:
    parts = ("network", "images", "trace")
    network, images, traced = (request.getfixturevalue(f"{name}_{part}") for part in parts)
    return network, images, traced


def layer_names(network: Network) -> list[str]:
    return [layer.name for layer in network.spec.layers]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_projections_of_every_layer_equal_autograd_with_a_custom_relu(
    name: str,
    rule: Rule,
    normalisation: Normalisation,
    request: pytest.FixtureRequest,
    by_autograd: Callable[..., Tensor],
    mixed_seeds: MixedSeeds,
) -> None:
    """For units, whole maps, fully connected units and class scores, of two images."""
    network, images, traced = named_fixtures(request, name)
    for layer in layer_names(network):
        seeds = mixed_seeds(traced, layer)
        pixels = project(network, traced, layer, seeds, rule=rule, normalisation=normalisation)
        expected = by_autograd(network, images, layer, seeds, rule=rule, normalisation=normalisation)
        torch.testing.assert_close(pixels, expected, rtol=1e-9, atol=1e-12, msg=layer)


@pytest.mark.parametrize("rule", RULES)
def test_projections_of_zfnet_at_full_size_equal_autograd(
    rule: Rule,
    narrow_zfnet: Network,
    images_for: Callable[..., Tensor],
    by_autograd: Callable[..., Tensor],
    mixed_seeds: MixedSeeds,
) -> None:
    images = images_for(narrow_zfnet)
    traced = trace(narrow_zfnet, images)
    for layer in ("conv2", "conv5", "fc8"):
        seeds = mixed_seeds(traced, layer)
        expected = by_autograd(narrow_zfnet, images, layer, seeds, rule=rule)
        pixels = project(narrow_zfnet, traced, layer, seeds, rule=rule)
        torch.testing.assert_close(pixels, expected, rtol=1e-9, atol=1e-12, msg=layer)


def check_windows(network: Network, traced: Trace, layer: str, units: list[Seed], rule: Rule) -> None:
    """Compare projections within receptive fields with those over whole maps, forced by a whole-map seed."""
    windowed = project(network, traced, layer, units, rule=rule, normalisation="gradient")
    full = project(network, traced, layer, [*units, Maps(0, (0,))], rule=rule, normalisation="gradient")[:-1]
    torch.testing.assert_close(windowed, full, rtol=1e-9, atol=1e-12, msg=layer)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_windowed_projections_of_every_unit_equal_those_over_whole_maps(
    name: str, rule: Rule, request: pytest.FixtureRequest
) -> None:
    network, _, traced = named_fixtures(request, name)
    for layer in layer_names(network):
        shape = traced.outputs[layer].shape
        if len(shape) == 4:
            positions = product(range(shape[2]), range(shape[3]))
            units: list[Seed] = [
                Unit(index % 2, index % shape[1], y, x) for index, (y, x) in enumerate(positions)
            ]
            check_windows(network, traced, layer, units, rule)


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5"])
def test_windowed_projections_of_zfnet_equal_those_over_whole_maps(
    layer: str, narrow_zfnet: Network, images_for: Callable[..., Tensor]
) -> None:
    traced = trace(narrow_zfnet, images_for(narrow_zfnet, 1))
    last = traced.outputs[layer].shape[2] - 1
    positions = product((0, 1, last // 2, last), repeat=2)
    check_windows(narrow_zfnet, traced, layer, [Unit(0, 1, y, x) for y, x in positions], "deconvnet")


@pytest.mark.parametrize("name", NETWORKS)
def test_projections_are_zero_outside_the_receptive_field(name: str, request: pytest.FixtureRequest) -> None:
    network, _, traced = named_fixtures(request, name)
    for layer, field in receptive_fields(network.spec).items():
        if layer != "input" and traced.outputs[layer].dim() == 4:
            last = traced.outputs[layer].shape[2] - 1
            for y, x in product((0, last // 2, last), repeat=2):
                (pixels,) = project(network, traced, layer, [Unit(0, 0, y, x)])
                left, top, right, bottom = field.box(y, x)
                pixels[:, max(top, 0) : bottom, max(left, 0) : right] = 0
                assert not pixels.any(), layer


def test_a_projection_does_not_depend_on_other_seeds(tiny_network: Network, tiny_trace: Trace) -> None:
    units = [unit for image in (0, 1) for unit in strongest_units(tiny_trace, "conv3", image, 8)]
    batch = project(tiny_network, tiny_trace, "conv3", units)
    single = torch.cat([project(tiny_network, tiny_trace, "conv3", [unit]) for unit in units])
    torch.testing.assert_close(batch, single, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("values", [1, 1000])
def test_splitting_batches_changes_neither_projections_nor_their_order(
    name: str,
    values: int,
    request: pytest.FixtureRequest,
    mixed_seeds: MixedSeeds,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, _, traced = named_fixtures(request, name)
    layer = "norm1" if name == "tiny" else "both"
    units = [seed for seed in mixed_seeds(traced, layer) if isinstance(seed, Unit)]
    whole_batch = project(network, traced, layer, units)
    monkeypatch.setitem(BATCH_VALUES, "cpu", values)  # type: ignore[misc]  # a dict
    torch.testing.assert_close(project(network, traced, layer, units), whole_batch, rtol=1e-12, atol=1e-14)


def test_projections_do_not_depend_on_the_index_of_the_image(
    tiny_network: Network, tiny_images: Tensor, tiny_trace: Trace
) -> None:
    second_image = trace(tiny_network, tiny_images[1:])
    expected = project(tiny_network, second_image, "conv3", [Unit(0, 2, 1, 1), Maps(0, (3,))])
    pixels = project(tiny_network, tiny_trace, "conv3", [Unit(1, 2, 1, 1), Maps(1, (3,))])
    torch.testing.assert_close(pixels, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_a_zero_activation_projects_to_exact_zeros(
    name: str, rule: Rule, request: pytest.FixtureRequest
) -> None:
    """Guards against transposed convolutions that add biases."""
    network, _, traced = named_fixtures(request, name)
    for layer in layer_names(network):
        silent = Trace({**traced.outputs, layer: torch.zeros_like(traced.outputs[layer])}, traced.switches)
        seeds: list[Seed] = [Unit(0, 1), Maps(1, (0, 1))]
        assert not project(network, silent, layer, seeds, rule=rule).any(), layer
        assert not project(network, traced, layer, [Maps(0, ())], rule=rule).any(), layer


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_projections_do_not_depend_on_biases(
    name: str, rule: Rule, request: pytest.FixtureRequest, mixed_seeds: MixedSeeds
) -> None:
    """Biases are changed after the trace."""
    network, _, traced = named_fixtures(request, name)
    seeds = {layer: mixed_seeds(traced, layer) for layer in layer_names(network)}
    before = {layer: project(network, traced, layer, seeds[layer], rule=rule) for layer in seeds}
    for filters in network.filters.values():
        filters.bias.normal_(0, 10)
    for layer, expected in before.items():
        assert torch.equal(project(network, traced, layer, seeds[layer], rule=rule), expected), layer


@pytest.mark.parametrize("rule", RULES)
def test_a_projection_is_proportional_to_the_activation(
    rule: Rule, tiny_network: Network, tiny_trace: Trace
) -> None:
    """A seed of 1 would discard how strong units are relative to each other."""
    units = strongest_units(tiny_trace, "conv3", 0, 3)
    threefold = Trace({**tiny_trace.outputs, "conv3": tiny_trace.outputs["conv3"] * 3}, tiny_trace.switches)
    pixels = project(tiny_network, tiny_trace, "conv3", units, rule=rule)
    torch.testing.assert_close(project(tiny_network, threefold, "conv3", units, rule=rule), pixels * 3)


def test_seeds_before_and_after_rectification_differ(tiny_network: Network, tiny_trace: Trace) -> None:
    """Activations of conv3 may be negative; those of relu3 may not."""
    position = (tiny_trace.outputs["conv3"][0, 0] < 0).nonzero()[0].tolist()
    unit = Unit(0, 0, *position)
    assert project(tiny_network, tiny_trace, "conv3", [unit]).any()
    assert not project(tiny_network, tiny_trace, "relu3", [unit]).any()


def test_pixels_are_signed(tiny_network: Network, tiny_trace: Trace) -> None:
    """The projection is not rectified at the pixels."""
    pixels = project(tiny_network, tiny_trace, "conv3", strongest_units(tiny_trace, "conv3", 0, 3))
    assert pixels.min() < 0 < pixels.max()


def test_the_rules_differ_for_class_scores(tiny_network: Network, tiny_trace: Trace) -> None:
    """The signal is rectified in the classifier too, not only in feature maps."""
    deconvnet, guided, gradient = (
        project(tiny_network, tiny_trace, "fc8", [Unit(0, 1)], rule=rule) for rule in RULES
    )
    assert not torch.allclose(deconvnet, guided)
    assert not torch.allclose(guided, gradient)


def test_contrast_normalisation_is_skipped_by_default(tiny_network: Network, tiny_trace: Trace) -> None:
    seeds = strongest_units(tiny_trace, "conv3", 0, 3)
    skipped = project(tiny_network, tiny_trace, "conv3", seeds)
    assert torch.equal(skipped, project(tiny_network, tiny_trace, "conv3", seeds, normalisation="skip"))
    assert not torch.allclose(
        skipped, project(tiny_network, tiny_trace, "conv3", seeds, normalisation="gradient")
    )


def test_the_trace_may_end_at_the_projected_layer(
    tiny_network: Network, tiny_images: Tensor, tiny_trace: Trace
) -> None:
    short = trace(tiny_network, tiny_images, until="conv3")
    units = strongest_units(short, "conv3", 1, 4)
    assert torch.equal(
        project(tiny_network, short, "conv3", units), project(tiny_network, tiny_trace, "conv3", units)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_float32_agrees_with_float64(
    name: str, request: pytest.FixtureRequest, mixed_seeds: MixedSeeds
) -> None:
    network, images, traced = named_fixtures(request, name)
    layer = layer_names(network)[-1]
    seeds = mixed_seeds(traced, layer)
    expected = project(network, traced, layer, seeds)
    network = network.float()
    pixels = project(network, trace(network, images.float()), layer, seeds)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels.double(), expected, rtol=1e-4, atol=float(expected.abs().max()) * 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_projections_on_a_gpu_equal_those_on_the_cpu(
    name: str, request: pytest.FixtureRequest, mixed_seeds: MixedSeeds
) -> None:
    network, images, traced = named_fixtures(request, name)
    seeds = {layer: mixed_seeds(traced, layer) for layer in layer_names(network)}
    expected = {
        (layer, rule): project(network, traced, layer, seeds[layer], rule=rule, normalisation="gradient")
        for layer, rule in product(seeds, RULES)
    }
    network = network.cuda()
    traced = trace(network, images.cuda())
    for (layer, rule), values in expected.items():
        pixels = project(network, traced, layer, seeds[layer], rule=rule, normalisation="gradient")
        assert pixels.is_cuda
        torch.testing.assert_close(pixels.cpu(), values, rtol=1e-9, atol=1e-12, msg=layer)
