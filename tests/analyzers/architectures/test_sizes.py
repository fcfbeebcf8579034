"""FilterSizes of filters, by hand."""

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


def test_renormalised_filters_keep_to_the_median_and_small_ones_stay_small() -> None:
    found = filter_sizes(constant(1, 2, -8))
    assert found.radius == pytest.approx(2)
    np.testing.assert_allclose(found.renormalised, [1, 2, 2])


def test_filters_below_a_twentieth_of_the_median_are_dead() -> None:
    assert (
        filter_sizes(constant(2, 2, 0.11, 0.09, 0, 2, 2)).dead.tolist()
        == [False] * 3 + [True] * 2 + [False] * 2
    )


def test_where_most_filters_are_zero_these_are_dead_and_nothing_dominates() -> None:
    found = filter_sizes(constant(0, 0, 3))
    assert found.dead.tolist() == [True, True, False]
    assert found.dominance is None


def test_where_most_filters_are_rounding_of_the_largest_they_count_as_zero() -> None:
    found = filter_sizes(constant(1e-9, 2e-9, 3))
    assert found.dead.tolist() == [True, True, False]
    assert found.dominance is None
