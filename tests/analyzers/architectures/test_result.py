"""The result of a comparison, and its figure."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.analysis.check import validate_analysis
from zfscope.networks import NetworkSpec
from zfscope.store import Model
from zfscope_analyzers.architectures import Measurements, compare, comparison_result
from zfscope_analyzers.architectures.figure import WIDTH_PX, draw_comparison

Make = Callable[..., Model]
Photos = tuple[NDArray[np.uint8], ...]


@pytest.fixture
def measures(
    spec: NetworkSpec, coarse_spec: NetworkSpec, make_model: Make, photos: Photos
) -> tuple[Measurements, ...]:
    return compare([make_model(spec, name="fine"), make_model(coarse_spec, name="coarse")], photos)


def test_a_result_passes_validation(measures: tuple[Measurements, ...]) -> None:
    result = validate_analysis(comparison_result(measures))
    assert [picture.name for picture in result.pictures] == ["architectures"]
    assert result.tables["architectures"].columns == ("measure", "fine 1", "coarse 1")


def test_tensors_are_named_by_model(measures: tuple[Measurements, ...]) -> None:
    tensors = comparison_result(measures, pictures=False).tensors
    np.testing.assert_array_equal(tensors["coarse-1-filters"], measures[1].filters)
    assert tensors["fine-1-shares"].shape == (6, 3)
    assert tensors["fine-1-maxima-conv2"].shape == (8,)
    assert len(tensors["fine-1-frequencies"]) == len(tensors["fine-1-density"])
    renormalised, rms = tensors["fine-1-rms-renormalised"], tensors["fine-1-rms"]
    np.testing.assert_allclose(renormalised, np.minimum(rms, np.median(rms)), rtol=1e-6)


def test_pictures_are_drawn_only_if_requested(measures: tuple[Measurements, ...]) -> None:
    assert comparison_result(measures, pictures=False).pictures == ()


def test_the_figure_has_a_fixed_width_and_explains_its_scales(measures: tuple[Measurements, ...]) -> None:
    figure = draw_comparison(measures)
    assert figure.rgb.shape[1] == WIDTH_PX
    assert figure.scale.startswith("fine 1: full white of the filters on the common scale = +")
    assert "; coarse 1: " in figure.scale


def test_the_figure_has_a_row_for_each_model(measures: tuple[Measurements, ...]) -> None:
    assert draw_comparison(measures).rgb.shape[0] > draw_comparison(measures[:1]).rgb.shape[0] + 300


def test_the_figure_is_deterministic(measures: tuple[Measurements, ...]) -> None:
    assert draw_comparison(measures).png() == draw_comparison(measures).png()


def test_a_model_silent_in_layer_2_is_drawn_without_projections(
    spec: NetworkSpec, coarse_spec: NetworkSpec, make_model: Make, photos: Photos
) -> None:
    models = [make_model(spec, name="fine"), make_model(coarse_spec, name="silent")]
    for model in models:
        model.network.filters["conv2"].bias.fill_(-1e6)
    result = compare(models, photos)
    assert draw_comparison(result).rgb.shape[1] == WIDTH_PX
    assert validate_analysis(comparison_result(result)).tables
