"""Receptive fields: the paper's numbers, and what units really react to."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from zfscope.engine import receptive_fields, trace
from zfscope.networks import Network, NetworkSpec, alexnet, zfnet
from zfscope.networks.layers import Conv, LocalResponseNorm

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


def test_zfnets_fields_and_jumps_are_those_of_the_paper() -> None:
    fields = receptive_fields(zfnet())
    assert {layer: (fields[layer].size, fields[layer].jump) for layer in ZFNET} == ZFNET


def test_a_rectified_normalised_or_dropped_layer_sees_what_the_one_below_sees() -> None:
    fields = receptive_fields(zfnet())
    assert fields["relu1"] == fields["conv1"]
    assert fields["norm1"] == fields["pool1"]
    assert fields["drop6"] == fields["fc6"]


def test_fully_connected_units_all_see_the_same() -> None:
    fields = receptive_fields(zfnet())
    assert fields["fc6"] == fields["fc7"] == fields["fc8"] == fields["flatten"]
    assert (fields["fc8"].size, fields["fc8"].jump) == (171 + 5 * 32, 0)


def test_the_box_of_a_unit_moves_by_the_jump_and_may_overhang() -> None:
    field = receptive_fields(zfnet())["conv5"]
    assert field.box(0, 0) == (-48, -48, 91, 91)
    assert field.box(2, 1) == (-32, -16, 107, 123)


def attentive(spec: NetworkSpec) -> Network:
    """Give a network that loses nothing: two maps a layer, weights above zero, no normalisation to speak of.

    A pixel that is made very bright then changes every unit that sees it.
    """
    changes: Mapping[type, dict[str, object]] = {Conv: {"channels": 2}, LocalResponseNorm: {"alpha": 1e-30}}
    layers = tuple(layer.model_copy(update=changes.get(type(layer), {})) for layer in spec.layers)
    network = Network(spec.model_copy(update={"layers": layers})).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for filters in network.filters.values():
        filters.weight.uniform_(0.5, 1, generator=generator).div_(filters.weight[0].numel())
    return network


def reactions(network: Network, *, rows: bool) -> Mapping[str, Tensor]:
    """Brighten each row (or column) of pixels: by layer, (pixel row, unit row), whether the unit changed."""
    size = network.spec.input_size
    plain = torch.ones(1, *network.shapes["input"])
    before = trace(network, plain)
    changed: dict[str, list[Tensor]] = {layer: [] for layer in before.outputs}
    for place in range(size):
        image = plain.clone()
        (image[:, :, place] if rows else image[:, :, :, place]).fill_(1e6)
        for layer, output in trace(network, image).outputs.items():
            units = output if output.dim() == 4 else output[:, :, None, None]
            other = before.outputs[layer].view(units.shape)
            changed[layer].append((units != other).any(1).any(2 if rows else 1)[0])
    return {layer: torch.stack(units) for layer, units in changed.items()}


def seen_by_arithmetic(network: Network, *, rows: bool) -> Mapping[str, Tensor]:
    size = network.spec.input_size
    traced = {}
    for layer, field in receptive_fields(network.spec).items():
        shape = network.shapes[layer]
        traced[layer] = torch.zeros(size, shape[1] if len(shape) == 3 else 1, dtype=torch.bool)
        for unit in range(traced[layer].shape[1]):
            left, top, right, bottom = field.box(unit, unit)
            first, last = (top, bottom) if rows else (left, right)
            traced[layer][max(first, 0) : max(last, 0), unit] = True
    return traced


def narrowed(spec: NetworkSpec) -> NetworkSpec:
    """Leave out the classifier: what is fully connected sees everything."""
    layers = spec.layers[: [layer.name for layer in spec.layers].index("flatten") + 1]
    return spec.model_copy(update={"layers": layers})


@pytest.mark.parametrize("rows", [True, False], ids=["rows", "columns"])
def test_units_react_to_all_of_their_fields_and_to_nothing_else(tiny_spec: NetworkSpec, rows: bool) -> None:
    network = attentive(tiny_spec)
    found, computed = reactions(network, rows=rows), seen_by_arithmetic(network, rows=rows)
    for layer in found:
        assert torch.equal(found[layer], computed[layer]), layer


@pytest.mark.parametrize(
    ("spec", "rows"), [(zfnet(), True), (alexnet(), False)], ids=["zfnet rows", "alexnet columns"]
)
def test_units_of_the_papers_networks_react_to_all_of_their_fields_and_to_nothing_else(
    spec: NetworkSpec, rows: bool
) -> None:
    network = attentive(narrowed(spec))
    found, computed = reactions(network, rows=rows), seen_by_arithmetic(network, rows=rows)
    for layer in found:
        assert torch.equal(found[layer], computed[layer]), layer


def test_where_branches_meet_the_field_is_the_smallest_square_around_what_units_react_to(
    branchy_spec: NetworkSpec,
) -> None:
    larger = branchy_spec.model_copy(update={"input_size": 95})  # so that a unit's field lies inside
    network = attentive(narrowed(larger))
    fields = receptive_fields(network.spec)
    found = {side: reactions(network, rows=side == "top") for side in ("top", "left")}
    for layer in [layer.name for layer in network.spec.layers][:-1]:
        extents = []
        for side in ("top", "left"):
            computed = seen_by_arithmetic(network, rows=side == "top")[layer]
            assert not (found[side][layer] & ~computed).any(), layer
            middle = computed.shape[1] // 2
            pixels = found[side][layer][:, middle].nonzero()
            assert int(pixels[0]) == getattr(fields[layer], side) + fields[layer].jump * middle, layer
            extents.append(int(pixels[-1] - pixels[0]) + 1)
        assert max(extents) == fields[layer].size, layer


def test_branches_of_different_jumps_cannot_be_compared() -> None:
    spec = NetworkSpec.model_validate(
        {
            "name": "net",
            "input_size": 2,
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
