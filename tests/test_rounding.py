"""Tolerance of rounding."""

import numpy as np
import pytest

from zfscope.rounding import first_lowest, is_level, rounding

EPSILON = float(np.finfo(np.float32).eps)


def test_rounding_is_sixteen_units_of_float32_of_the_magnitude() -> None:
    assert rounding(1) == 16 * EPSILON
    assert rounding(-4) == 64 * EPSILON
    assert rounding(0) == 0


def test_rounding_in_bfloat16_is_two_units_in_the_last_of_its_8_bits() -> None:
    assert rounding(-4, "bfloat16") == 4 * 2 * 2**-7


def test_rounding_in_tf32_is_four_units_in_the_last_of_its_11_bits() -> None:
    assert rounding(-4, "tf32") == 4 * 4 * 2**-10
    assert rounding(1) < rounding(1, "tf32") < rounding(1, "bfloat16")


@pytest.mark.parametrize("magnitude", [1e-20, 0.98, 300.0])
def test_values_that_differ_by_rounding_are_level_at_every_magnitude(magnitude: float) -> None:
    noise = magnitude * np.array([1, 1 + 9 * EPSILON, 1 - 6 * EPSILON])
    assert is_level(noise)
    assert is_level(-noise)
    assert not is_level(magnitude * np.array([1, 1 + 1e-5]))


def test_zeros_are_level_but_not_next_to_a_tiny_value() -> None:
    assert is_level(np.zeros(3))
    assert is_level([])
    assert not is_level([0, 0, 1e-30])


def test_a_floor_can_exceed_the_rounding() -> None:
    assert is_level([1, 1.01], floor=0.02)
    assert not is_level([1, 1.03], floor=0.02)


def test_first_lowest_ignores_differences_within_rounding() -> None:
    assert first_lowest(np.array([3.0, 1 + 5 * EPSILON, 1.0, 1 - 5 * EPSILON])) == 1
    assert first_lowest(np.array([3.0, 1.01, 1.0])) == 2
    assert first_lowest(np.array([3.0, 1.01, 1.0]), floor=0.1) == 1
    assert first_lowest(np.array([0.0, -0.0, 1.0])) == 0
