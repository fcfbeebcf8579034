"""Measurements as numbers and as a table."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.networks import NetworkSpec
from zfscope.networks.spec import multiplications
from zfscope.store import Model, RecordedAccuracy
from zfscope_analyzers.architectures import Measurements, measure
from zfscope_analyzers.architectures.table import ROW_LABELS, comparison_table, numbers_by_name


@pytest.fixture
def measurements(
    spec: NetworkSpec,
    coarse_spec: NetworkSpec,
    make_model: Callable[..., Model],
    photos: tuple[NDArray[np.uint8], ...],
) -> tuple[Measurements, Measurements]:
    """A network with an accuracy, a dead filter and a silent map, and one in which layer 2 is silent."""
    fine = make_model(
        spec, name="fine", accuracy=RecordedAccuracy(top1=75, top5=90, images=4, data="four photos")
    )
    fine.network.filters["conv1"].weight[0] *= 1e-3
    fine.network.filters["conv2"].bias[:2] = -1e6
    coarse = make_model(coarse_spec, name="coarse")
    coarse.network.filters["conv2"].bias.fill_(-1e6)
    return measure(fine, photos), measure(coarse, photos)


def test_numbers_match_the_measurements(
    measurements: tuple[Measurements, Measurements], spec: NetworkSpec
) -> None:
    fine, _ = measurements
    result = numbers_by_name(fine)
    assert list(result) == list(ROW_LABELS)
    assert (result["top1"], result["top5"]) == (75, 90)
    assert result["multiplications"] == pytest.approx(multiplications(spec) / 1e6)
    assert (result["filters"], result["kernel_px"], result["stride_px"]) == (6, 5, 2)
    assert result["dead_filters"] == pytest.approx(100 / 6)
    assert result["silent_2"] == 25
    assert result["dominance"] == fine.sizes.dominance
    assert result["peaks_high"] == 100 * fine.spectrum.peak_shares["high"]
    assert (result["grid1_layer"], result["grid1_period_px"]) == ("conv1", 2)
    assert (result["grid2_layer"], result["grid2_period_px"]) == ("pool1", 4)
    assert result["grid3_layer"] is None
    assert result["grid1_share"] == pytest.approx(100 * fine.grids[0].share)
    assert result["grid1_random"] == pytest.approx(100 * fine.control_grids[0].share)
    assert result["grids_excess"] == pytest.approx(100 * sum(grid.excess for grid in fine.grids))


@pytest.mark.parametrize("key", ["energy", "weighted", "peaks"])
def test_shares_of_the_bands_add_up_to_a_hundred(
    measurements: tuple[Measurements, Measurements], key: str
) -> None:
    for each in measurements:
        result = numbers_by_name(each)
        total = sum(float(result[f"{key}_{band}"] or 0) for band in ("low", "middle", "high"))
        assert total == pytest.approx(100)


def test_numbers_that_a_model_lacks_are_none(measurements: tuple[Measurements, Measurements]) -> None:
    result = numbers_by_name(measurements[1])
    assert result["silent_2"] == 100
    grids = {f"grid{number}_{key}" for number in (1, 2) for key in ("share", "beside", "ratio")}
    third = {name for name in ROW_LABELS if name.startswith("grid3")}
    missing = {"top1", "top5", "grids_excess", *grids, *third}
    assert {name for name, value in result.items() if value is None} == missing


def test_a_table_has_a_column_for_each_model_and_no_row_without_a_number(
    measurements: tuple[Measurements, Measurements],
) -> None:
    result = comparison_table(measurements)
    assert result.columns == ("measure", "fine 1", "coarse 1")
    rows = {str(row[0]): row[1:] for row in result.rows}
    assert rows["top-1 accuracy, %"] == (75, None)
    assert rows["first-layer stride, px"] == (2, 4)
    assert "grid 2: period, px" in rows
    assert "grid 3: period, px" not in rows
