"""All measurements of a model, on networks whose filters are set by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, ReLU
from zfscope.networks.spec import multiplications, parameter_count
from zfscope.networks.windows import Padding
from zfscope.store import Model, RecordedAccuracy
from zfscope_analyzers.architectures.measure import SHOWN_MAPS, measure

Make = Callable[..., Model]
Photos = tuple[NDArray[np.uint8], ...]


def test_all_measurements_of_a_model_are_consistent(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    accuracy = RecordedAccuracy(top1=50, top5=100, images=4, data="four photos")
    model = make_model(spec, name="net", accuracy=accuracy)
    result = measure(model, photos)
    assert (result.title, result.accuracy) == ("net 1", accuracy)
    assert result.multiplications == multiplications(spec)
    assert result.parameters == parameter_count(spec)
    np.testing.assert_array_equal(result.filters, model.network.filters["conv1"].weight)
    assert {layer: len(maxima) for layer, maxima in result.maxima.items()} == {"conv1": 6, "conv2": 8}
    assert len(result.spectrum.shares) == len(result.sizes.rms) == 6
    assert result.projections.shape == (8, 3, 96, 96)
    assert len(result.profile) == 49


def test_grids_are_measured_for_all_layers_up_to_layer_2(
    spec: NetworkSpec, coarse_spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    for each, periods in ((spec, [2, 4]), (coarse_spec, [4, 8])):
        result = measure(make_model(each), photos)
        assert [grid.lattice.period for grid in result.grids] == periods
        assert [grid.lattice.period for grid in result.control_grids] == periods


def test_a_lattice_that_the_input_does_not_resolve_is_left_out(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    result = measure(make_model(spec.model_copy(update={"input_size": 40})), photos)
    assert [grid.lattice.period for grid in result.grids] == [2]


def striding(filters: torch.Tensor) -> tuple[NetworkSpec, torch.nn.Module]:
    """Make a network of two convolutions without pooling from first-layer filters with stride 4."""
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


def test_filters_that_interpolate_over_the_stride_leave_no_grid(make_model: Make, photos: Photos) -> None:
    ramp = torch.tensor([1.0, 2, 3, 4, 3, 2, 1]) / 16
    spec, network = striding(torch.outer(ramp, ramp).expand(3, 3, 7, 7))
    (grid,) = measure(make_model(spec, network=network), photos).grids
    assert grid.share < 0.01


def test_filters_of_equal_weights_leave_a_grid_of_blocks(make_model: Make, photos: Photos) -> None:
    spec, network = striding(torch.ones(3, 3, 4, 4) / 48)
    (grid,) = measure(make_model(spec, network=network), photos).grids
    assert grid.share > 0.1


def test_dead_filters_are_left_out_of_the_spectrum(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec)
    weight = model.network.filters["conv1"].weight
    weight[2] *= 1e-3
    weight[4] = 0
    result = measure(model, photos)
    assert np.flatnonzero(result.sizes.dead).tolist() == [2, 4]
    assert len(result.spectrum.shares) == 4
    assert len(result.filters) == 6


def test_maps_that_no_photo_activates_have_no_positive_maximum(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec)
    model.network.filters["conv1"].bias[1] = -1e6
    result = measure(model, photos)
    assert np.flatnonzero(result.maxima["conv1"] <= 0).tolist() == [1]


def test_filters_and_projections_are_in_rgb_for_every_channel_order(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    options = {"short_side": 96, "centre": 96, "crop": 96, "mean": (0.0, 0.0, 0.0)}
    model = make_model(spec, preprocessing=Preprocessing(channels="BGR", **options))
    result = measure(model, photos)
    flipped = make_model(spec, preprocessing=Preprocessing(**options))
    flipped.network.filters["conv1"].weight.copy_(model.network.filters["conv1"].weight.flip(1))
    expected = measure(flipped, photos)
    np.testing.assert_array_equal(result.filters, expected.filters)
    np.testing.assert_allclose(result.projections, expected.projections, atol=1e-2)


def test_measuring_is_deterministic_and_leaves_the_model_unchanged(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    first, second = (measure(model, photos) for _ in range(2))
    assert [grid.share for grid in first.control_grids] == [grid.share for grid in second.control_grids]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_the_number_of_projections_kept_is_bounded(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    layers = [
        layer.model_copy(update={"channels": 20}) if layer.name == "conv2" else layer for layer in spec.layers
    ]
    result = measure(make_model(NetworkSpec(name="wide", input_size=96, layers=tuple(layers))), photos)
    assert len(result.projections) == SHOWN_MAPS
    assert len(result.grids[0].shares) > SHOWN_MAPS


def test_a_network_silent_in_layer_2_has_no_grids(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec)
    model.network.filters["conv2"].bias.fill_(-1e6)
    result = measure(model, photos)
    assert [grid.share for grid in result.grids] == [None, None]
    assert (result.maxima["conv2"] < 0).all()
    assert all(grid.share is not None for grid in result.control_grids)


def test_measuring_without_photos_is_rejected(spec: NetworkSpec, make_model: Make) -> None:
    with pytest.raises(InputError, match="no photos; at least one is needed") as caught:
        measure(make_model(spec), ())
    assert caught.value.field == "images"


def test_the_error_names_the_photo_that_does_not_fit_the_model(
    spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    model = make_model(spec, preprocessing=Preprocessing(short_side=0, centre=96, crop=96))
    with pytest.raises(InputError, match=r"images\[1\] has 120 x 50 pixels"):
        measure(model, (photos[0], photos[1][:50]))


def test_a_first_layer_of_zeros_is_rejected(spec: NetworkSpec, make_model: Make, photos: Photos) -> None:
    model = make_model(spec)
    model.network.filters["conv1"].weight.zero_()
    with pytest.raises(InputError, match="model 'small' version 1: all filters of its first layer are zero"):
        measure(model, photos)
