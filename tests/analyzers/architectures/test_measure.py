"""All measures of a model, on networks whose filters are set by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, Padding, ReLU
from zfscope.networks.spec import multiplications, parameter_count
from zfscope.store import Model, RecordedAccuracy
from zfscope_analyzers.architectures.measure import SHOWN_MAPS, measure

Make = Callable[..., Model]
Photos = tuple[NDArray[np.uint8], ...]


def test_a_model_is_measured_as_a_whole(spec: NetworkSpec, make_model: Make, photos: Photos) -> None:
    accuracy = RecordedAccuracy(top1=50, top5=100, images=4, data="four photos")
    model = make_model(spec, name="net", accuracy=accuracy)
    found = measure(model, photos)
    assert (found.title, found.accuracy) == ("net 1", accuracy)
    assert found.multiplications == multiplications(spec)
    assert found.parameters == parameter_count(spec)
    np.testing.assert_array_equal(found.filters, model.network.filters["conv1"].weight)
    assert {layer: len(maxima) for layer, maxima in found.maxima.items()} == {"conv1": 6, "conv2": 8}
    assert len(found.spectrum.shares) == len(found.sizes.rms) == 6
    assert found.projections.shape == (8, 3, 96, 96)
    assert len(found.profile) == 49


def test_grids_are_those_of_the_layers_up_to_layer_2(
    spec: NetworkSpec, coarse_spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    for each, periods in ((spec, [2, 4]), (coarse_spec, [4, 8])):
        found = measure(make_model(each), photos)
        assert [grid.lattice.period for grid in found.grids] == periods
        assert [grid.lattice.period for grid in found.control_grids] == periods


def test_a_lattice_that_the_network_s_input_is_too_small_for_is_left_out(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    found = measure(make_model(spec.model_copy(update={"input_size": 40})), photos)
    assert [grid.lattice.period for grid in found.grids] == [2]


def striding(filters: torch.Tensor) -> tuple[NetworkSpec, torch.nn.Module]:
    """Make a network of two layers, without pools, whose first filters are given: stride 4."""
    count, _, side, _ = filters.shape
    layers = (
        Conv(name="conv1", channels=count, kernel=side, stride=4, padding=Padding(2, 2, 2, 2)),
        ReLU(name="relu1"),
        Conv(name="conv2", channels=4, kernel=3),
        Flatten(name="flatten"),
        Linear(name="fc3", units=2),
    )
    spec = NetworkSpec(name="striding", input_size=96, layers=layers)
    network = build(spec, generator=torch.Generator().manual_seed(0)).eval().requires_grad_(False)
    network.filters["conv1"].weight.copy_(filters)
    network.filters["conv1"].bias.fill_(1.0)
    network.filters["conv2"].weight.abs_()
    return spec, network


def test_filters_of_one_pixel_leave_a_grid_of_the_stride(make_model: Make, photos: Photos) -> None:
    points = torch.zeros(3, 3, 5, 5)
    points[range(3), range(3), 2, 2] = 1
    spec, network = striding(points)
    (grid,) = measure(make_model(spec, network=network), photos).grids
    assert grid.lattice.period == 4
    assert grid.share > 0.8
    assert grid.ratio is not None
    assert grid.ratio > 10


def test_filters_that_interpolate_over_a_stride_leave_none(make_model: Make, photos: Photos) -> None:
    ramp = torch.tensor([1.0, 2, 3, 4, 3, 2, 1]) / 16
    spec, network = striding(torch.outer(ramp, ramp).expand(3, 3, 7, 7))
    (grid,) = measure(make_model(spec, network=network), photos).grids
    assert grid.share < 0.01


def test_filters_of_equal_weights_leave_the_blocks_that_they_draw(make_model: Make, photos: Photos) -> None:
    spec, network = striding(torch.ones(3, 3, 4, 4) / 48)
    (grid,) = measure(make_model(spec, network=network), photos).grids
    assert grid.share > 0.1


def test_dead_filters_have_no_part_in_the_spectrum(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec)
    weight = model.network.filters["conv1"].weight
    weight[2] *= 1e-3
    weight[4] = 0
    found = measure(model, photos)
    assert np.flatnonzero(found.sizes.dead).tolist() == [2, 4]
    assert len(found.spectrum.shares) == 4
    assert len(found.filters) == 6


def test_maps_that_no_photo_excites_are_known(spec: NetworkSpec, make_model: Make, photos: Photos) -> None:
    model = make_model(spec)
    model.network.filters["conv1"].bias[1] = -1e6
    found = measure(model, photos)
    assert np.flatnonzero(found.maxima["conv1"] <= 0).tolist() == [1]


def test_filters_and_projections_are_in_rgb_whatever_the_network_reads(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    options = {"short_side": 96, "centre": 96, "crop": 96, "mean": (0.0, 0.0, 0.0)}
    model = make_model(spec, preprocessing=Preprocessing(channels="BGR", **options))
    found = measure(model, photos)
    flipped = make_model(spec, preprocessing=Preprocessing(**options))
    flipped.network.filters["conv1"].weight.copy_(model.network.filters["conv1"].weight.flip(1))
    expected = measure(flipped, photos)
    np.testing.assert_array_equal(found.filters, expected.filters)
    np.testing.assert_allclose(found.projections, expected.projections, atol=1e-2)


def test_the_same_is_found_every_time_and_nothing_is_changed(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    first, second = (measure(model, photos) for _ in range(2))
    assert [grid.share for grid in first.control_grids] == [grid.share for grid in second.control_grids]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_at_most_some_projections_are_kept(spec: NetworkSpec, make_model: Make, photos: Photos) -> None:
    layers = [
        layer.model_copy(update={"channels": 20}) if layer.name == "conv2" else layer for layer in spec.layers
    ]
    found = measure(make_model(NetworkSpec(name="wide", input_size=96, layers=tuple(layers))), photos)
    assert len(found.projections) == SHOWN_MAPS
    assert len(found.grids[0].shares) > SHOWN_MAPS


def test_a_network_silent_in_layer_2_has_no_grids(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec)
    model.network.filters["conv2"].bias.fill_(-1e6)
    found = measure(model, photos)
    assert [grid.share for grid in found.grids] == [None, None]
    assert (found.maxima["conv2"] < 0).all()
    assert all(grid.share is not None for grid in found.control_grids)


def test_no_photo_is_refused(spec: NetworkSpec, make_model: Make) -> None:
    with pytest.raises(InputError, match="no photos; pass at least one, to find silent maps") as refused:
        measure(make_model(spec), ())
    assert refused.value.field == "images"


def test_a_photo_that_does_not_fit_the_model_is_named(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec, preprocessing=Preprocessing(short_side=0, centre=96, crop=96))
    with pytest.raises(InputError, match=r"images\[1\] is 120 x 50 pixels"):
        measure(model, (photos[0], photos[1][:50]))


def test_a_first_layer_of_zeros_is_refused(spec: NetworkSpec, make_model: Make, photos: Photos) -> None:
    model = make_model(spec)
    model.network.filters["conv1"].weight.zero_()
    with pytest.raises(InputError, match="model 'small' version 1: all filters of its first layer are zero"):
        measure(model, photos)
