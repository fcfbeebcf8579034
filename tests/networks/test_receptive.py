"""Receptive fields: equal to those of the paper, and to the pixels that units depend on."""

from collections.abc import Mapping
from itertools import product

import pytest
import torch
from torch import Tensor

from tests.support.imported_networks import squeeze_and_excitation
from zfscope.engine import receptive_fields, trace
from zfscope.networks import Network, NetworkSpec, alexnet, zfnet
from zfscope.networks.layers import AvgPool, Concat, Conv, GraphTensor, LocalResponseNorm, MaxPool

ZFNET = {
    "conv1": (7, 2),
    "pool1": (11, 4),
    "conv2": (27, 8),
    "pool2": (43, 16),
    "conv3": (75, 16),
    "conv4": (107, 16),
    "conv5": (139, 16),
    "pool5": (171, 32),
}


def test_fields_and_jumps_of_zfnet_equal_those_of_the_paper() -> None:
    fields = receptive_fields(zfnet())
    assert {layer: (fields[layer].size, fields[layer].jump) for layer in ZFNET} == ZFNET


def test_layers_without_a_window_have_the_field_of_their_input() -> None:
    fields = receptive_fields(zfnet())
    assert fields["relu1"] == fields["conv1"]
    assert fields["norm1"] == fields["pool1"]
    assert fields["drop6"] == fields["fc6"]


def test_all_fully_connected_units_have_the_same_field() -> None:
    fields = receptive_fields(zfnet())
    assert fields["fc6"] == fields["fc7"] == fields["fc8"] == fields["flatten"]
    assert (fields["fc8"].size, fields["fc8"].jump) == (171 + 5 * 32, 0)


def test_boxes_are_one_jump_apart_and_may_extend_beyond_the_image() -> None:
    field = receptive_fields(zfnet())["conv5"]
    assert field.box(0, 0) == (-48, -48, 91, 91)
    assert field.box(2, 1) == (-32, -16, 107, 123)


def sensitive_network(spec: NetworkSpec) -> Network:
    """Return a network in which a very bright pixel changes every unit whose field contains it.

    It has two maps per layer, positive weights, and hardly any normalisation.
    """
    changes: Mapping[type, dict[str, object]] = {Conv: {"channels": 2}, LocalResponseNorm: {"alpha": 1e-30}}
    layers = tuple(layer.model_copy(update=changes.get(type(layer), {})) for layer in spec.layers)
    network = Network(spec.model_copy(update={"layers": layers})).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for filters in network.filters.values():
        filters.weight.uniform_(0.5, 1, generator=generator).div_(filters.weight[0].numel())
    return network


def measured_dependence(network: Network, *, rows: bool) -> Mapping[str, Tensor]:
    """Brighten each row (or column) of pixels; return by layer which unit rows change: (pixels, units)."""
    size = network.spec.input_size
    plain = torch.ones(1, *network.shapes["input"])
    before = trace(network, plain)
    changed: dict[str, list[Tensor]] = {layer: [] for layer in before.outputs}
    for index in range(size):
        image = plain.clone()
        (image[:, :, index] if rows else image[:, :, :, index]).fill_(1e6)
        for layer, output in trace(network, image).outputs.items():
            units = output if output.dim() == 4 else output[:, :, None, None]
            original = before.outputs[layer].view(units.shape)
            changed[layer].append((units != original).any(1).any(2 if rows else 1)[0])
    return {layer: torch.stack(units) for layer, units in changed.items()}


def computed_dependence(network: Network, *, rows: bool) -> Mapping[str, Tensor]:
    """Return, by layer, which pixels are in the receptive fields of units: (pixels, units)."""
    size = network.spec.input_size
    inside = {}
    for layer, field in receptive_fields(network.spec).items():
        shape = network.shapes[layer]
        inside[layer] = torch.zeros(size, shape[1] if len(shape) == 3 else 1, dtype=torch.bool)
        for unit in range(inside[layer].shape[1]):
            left, top, right, bottom = field.box(unit, unit)
            first, last = (top, bottom) if rows else (left, right)
            inside[layer][max(first, 0) : max(last, 0), unit] = True
    return inside


def without_classifier(spec: NetworkSpec) -> NetworkSpec:
    """Return the layers up to `flatten`: all fully connected units have the same field."""
    layers = spec.layers[: [layer.name for layer in spec.layers].index("flatten") + 1]
    return spec.model_copy(update={"layers": layers})


@pytest.mark.parametrize("rows", [True, False], ids=["rows", "columns"])
def test_units_depend_exactly_on_the_pixels_of_their_fields(tiny_spec: NetworkSpec, rows: bool) -> None:
    network = sensitive_network(tiny_spec)
    measured, computed = measured_dependence(network, rows=rows), computed_dependence(network, rows=rows)
    for layer in measured:
        assert torch.equal(measured[layer], computed[layer]), layer


@pytest.mark.parametrize(
    ("spec", "rows"), [(zfnet(), True), (alexnet(), False)], ids=["zfnet rows", "alexnet columns"]
)
def test_units_of_zfnet_and_alexnet_depend_exactly_on_the_pixels_of_their_fields(
    spec: NetworkSpec, rows: bool
) -> None:
    network = sensitive_network(without_classifier(spec))
    measured, computed = measured_dependence(network, rows=rows), computed_dependence(network, rows=rows)
    for layer in measured:
        assert torch.equal(measured[layer], computed[layer]), layer


def test_fields_after_a_join_are_the_smallest_squares_around_the_pixels_of_all_branches(
    branchy_spec: NetworkSpec,
) -> None:
    larger = branchy_spec.model_copy(update={"input_size": 95})  # so that a unit's field lies inside
    network = sensitive_network(without_classifier(larger))
    fields = receptive_fields(network.spec)
    measured = {side: measured_dependence(network, rows=side == "top") for side in ("top", "left")}
    for layer in [layer.name for layer in network.spec.layers][:-1]:
        extents = []
        for side in ("top", "left"):
            computed = computed_dependence(network, rows=side == "top")[layer]
            assert not (measured[side][layer] & ~computed).any(), layer
            middle = computed.shape[1] // 2
            pixels = measured[side][layer][:, middle].nonzero()
            assert int(pixels[0]) == getattr(fields[layer], side) + fields[layer].jump * middle, layer
            extents.append(int(pixels[-1] - pixels[0]) + 1)
        assert max(extents) == fields[layer].size, layer


def test_after_squeeze_and_excitation_units_depend_on_the_whole_image() -> None:
    """A sum with a branch around the product does not change that, nor does a convolution above."""
    spec = squeeze_and_excitation()
    fields, size = receptive_fields(spec), spec.input_size
    assert (fields["depthwise"].jump, fields["depthwise"].size) == (4, 11)
    for layer in ("se", "project", "sum", "classifier"):
        left, top, right, bottom = fields[layer].box(0, 0)
        assert fields[layer].jump == 0
        assert max(left, top) <= 0
        assert min(right, bottom) >= size - 1  # the last row and column are read by no window of the stem


def test_a_join_of_single_units_has_the_field_of_all() -> None:
    layers = (
        AvgPool(name="mean", kernel=8),
        MaxPool(name="peak", inputs=("input",), kernel=8, stride=8),
        Concat(name="both", inputs=("mean", "peak")),
    )
    field = receptive_fields(NetworkSpec(name="pooled", input_size=8, layers=layers))["both"]
    assert (field.box(0, 0), field.jump) == ((0, 0, 8, 8), 0)


def test_a_join_of_branches_with_different_jumps_is_rejected() -> None:
    spec = NetworkSpec.model_validate(
        {
            "name": "net",
            "input_size": 3,
            "layers": [
                {"kind": "conv", "name": "a", "inputs": ["input"], "channels": 1, "kernel": 1, "stride": 2},
                {"kind": "conv", "name": "b", "inputs": ["input"], "channels": 1, "kernel": 2},
                {"kind": "add", "name": "sum", "inputs": ["a", "b"]},
            ],
        }
    )
    with pytest.raises(
        ValueError, match=r"layer 'sum' joins branches with jumps \[1, 2\]; they must be equal"
    ):
        receptive_fields(spec)


@pytest.mark.parametrize(("rows", "first", "last"), [(4, 4, 28), (1, 16, 16), (5, 4, 28), (32, 0, 31)])
def test_units_of_an_opaque_network_see_the_whole_image_and_are_evenly_spaced(
    rows: int, first: int, last: int
) -> None:
    shapes = {"maps": (2, rows, rows), "scores": (3,)}
    layers = tuple(
        GraphTensor(
            name=name, tensor=name, operator="Add", shape=shape, layout="maps" if shape[1:] else "units"
        )
        for name, shape in shapes.items()
    )
    fields = receptive_fields(NetworkSpec(name="opaque", input_size=32, layers=layers))
    for y, x in product(range(rows), repeat=2):
        left, top, right, bottom = fields["maps"].box(y, x)
        assert max(left, top) <= 0
        assert min(right, bottom) >= 32
    span = fields["maps"].rows
    assert (span.centre, span.centre + (rows - 1) * span.jump) == (first, last)
    assert fields["scores"].box(0, 0) == (0, 0, 32, 32)
