"""RMS of filters, compared with values computed by hand."""

import numpy as np
import pytest

from zfscope_analyzers.architectures.measure import filter_sizes


def test_sizes_are_root_mean_squares() -> None:
    filters = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, -1.0]]).reshape(3, 1, 1, 2)
    np.testing.assert_allclose(filter_sizes(filters).rms, [np.sqrt(12.5), 0, 1])


def constant(*levels: float) -> np.ndarray:
    return np.ones((len(levels), 3, 5, 5)) * np.array(levels)[:, None, None, None]


def test_dominance_is_the_largest_over_the_median() -> None:
    assert filter_sizes(constant(1, 2, -8, 2, 2)).dominance == pytest.approx(4)


def test_renormalisation_limits_filters_to_the_median_and_keeps_small_ones() -> None:
    result = filter_sizes(constant(1, 2, -8))
    assert result.radius == pytest.approx(2)
    np.testing.assert_allclose(result.renormalised, [1, 2, 2])


def test_filters_below_a_twentieth_of_the_median_are_dead() -> None:
    assert (
        filter_sizes(constant(2, 2, 0.11, 0.09, 0, 2, 2)).dead.tolist()
        == [False] * 3 + [True] * 2 + [False] * 2
    )


def test_if_most_filters_are_zero_they_are_dead_and_dominance_is_none() -> None:
    result = filter_sizes(constant(0, 0, 3))
    assert result.dead.tolist() == [True, True, False]
    assert result.dominance is None


def test_if_most_filters_are_only_rounding_they_count_as_zero() -> None:
    result = filter_sizes(constant(1e-9, 2e-9, 3))
    assert result.dead.tolist() == [True, True, False]
    assert result.dominance is None
