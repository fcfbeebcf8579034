"""Strength of grids in pictures of grids, of noise, and of stripes of other widths."""

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope_analyzers.architectures.grids import (
    Grid,
    axis_profile,
    is_resolved,
    measure_grids,
    power_spectra,
)
from zfscope_analyzers.architectures.layers import Lattice

SIZE = 96
Picture = NDArray[np.float64]


def measured(picture: Picture, period: int, finer: int = 1) -> Grid:
    """Measure one grey picture, (rows, columns), or several, (n, rows, columns)."""
    pictures = np.broadcast_to(picture.reshape(-1, 1, SIZE, SIZE), (picture.size // SIZE**2, 3, SIZE, SIZE))
    (result,) = measure_grids(power_spectra(pictures), [Lattice("conv1", period, finer)])
    return result


def dots(period: int, start: tuple[int, int] = (0, 0)) -> Picture:
    picture = np.zeros((SIZE, SIZE))
    picture[start[0] :: period, start[1] :: period] = 1
    return picture


def lines(period: int) -> Picture:
    return np.broadcast_to(np.arange(SIZE) % period == 0, (SIZE, SIZE)).astype(float)


def noise(count: int, *, falling: float = 0.0) -> Picture:
    """Make noise whose power falls with frequency ** -exponent; 2 resembles a photo."""
    white = np.fft.fft2(np.random.default_rng(0).normal(size=(count, SIZE, SIZE)))
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))
    frequency[0, 0] = 1
    return np.fft.ifft2(white / frequency ** (falling / 2)).real


@pytest.mark.parametrize("period", [2, 3, 4, 8])
@pytest.mark.parametrize("draw", [dots, lines])
def test_a_pure_grid_has_all_its_energy_at_the_lattice_frequencies(draw: type, period: int) -> None:
    result = measured(draw(period), period)
    assert result.share == pytest.approx(1)
    assert result.excess == pytest.approx(1)
    assert result.ratio is None


def test_a_period_that_does_not_divide_the_picture_loses_little_energy() -> None:
    assert measured(lines(5), 5).excess > 0.99
    assert measured(dots(7), 7).excess > 0.98


def test_the_phase_of_a_grid_does_not_matter() -> None:
    assert measured(dots(4, (3, 1)), 4).share == pytest.approx(1)


def test_a_single_sine_wave_of_the_period_counts_as_a_grid() -> None:
    wave = np.cos(np.pi / 2 * np.arange(SIZE)) * np.ones((SIZE, 1))
    assert measured(wave, 4).share == pytest.approx(1)


@pytest.mark.parametrize(("actual_period", "period"), [(5, 4), (6, 4), (4, 3)])
def test_a_grid_with_another_period_does_not_count(actual_period: int, period: int) -> None:
    assert measured(lines(actual_period), period).share < 0.01 + 0.5 * (actual_period == 6)


@pytest.mark.parametrize("falling", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("period", [2, 4, 8])
def test_noise_has_equal_energy_on_the_grid_and_in_the_control(period: int, falling: float) -> None:
    result = measured(noise(60, falling=falling), period)
    assert result.ratio == pytest.approx(1, abs=0.3)
    assert abs(result.excess) < 0.012


def test_the_share_of_white_noise_is_the_area_of_the_discs() -> None:
    # 13 bins lie within 2 steps of each of the 15 frequencies.
    result = measured(noise(60), 4)
    assert result.share == pytest.approx(15 * 13 / SIZE**2, rel=0.05)
    assert result.control == pytest.approx(15 * 13 / SIZE**2, rel=0.05)


def test_horizontal_and_vertical_edges_do_not_count_as_a_grid() -> None:
    picture = np.zeros((SIZE, SIZE))
    picture[37:, :] = 1
    picture[:, 61:] += 1
    result = measured(picture, 4)
    assert result.ratio == pytest.approx(1, abs=0.3)
    assert abs(result.excess) < 0.01


def test_a_grid_in_noise_has_its_share_of_the_energy() -> None:
    grid = dots(4) - dots(4).mean()
    hidden = noise(20) / noise(20).std() + 0.5 * grid / grid.std()
    # The grid adds a quarter of the noise's energy: 0.25 / 1.25.
    assert measured(hidden, 4).excess == pytest.approx(0.2, abs=0.02)


def test_a_coarser_lattice_counts_only_frequencies_that_the_finer_one_lacks() -> None:
    assert measured(dots(4), 8, 4).share == pytest.approx(0, abs=1e-6)
    # Dots with a period of 8 px have 63 equally strong frequencies; 15 belong to a period of 4 px.
    assert measured(dots(8), 4).share == pytest.approx(15 / 63)
    assert measured(dots(8), 8, 4).share == pytest.approx(48 / 63)


def test_pictures_count_equally_whatever_their_contrast() -> None:
    pictures = np.stack([1000 * dots(4), np.sqrt(1e-3) * noise(1)[0]])
    result = measured(pictures, 4)
    assert result.shares[0] == pytest.approx(1)
    assert result.share == pytest.approx(result.shares.mean())
    np.testing.assert_allclose(measured(pictures * 7, 4).shares, result.shares)


def test_a_constant_picture_has_no_grid() -> None:
    result = measured(np.full((SIZE, SIZE), 3.0), 4)
    assert (result.share, result.control) == (0, 0)
    assert measured(np.zeros((SIZE, SIZE)), 4).share == 0


def test_without_pictures_all_values_are_none() -> None:
    (result,) = measure_grids(power_spectra(np.zeros((0, 3, SIZE, SIZE))), [Lattice("conv1", 4, 1)])
    assert (result.share, result.control, result.excess, result.ratio) == (None,) * 4


def test_a_lattice_is_resolved_by_pictures_of_twelve_periods() -> None:
    assert is_resolved(Lattice("conv1", 8, 1), 96)
    assert not is_resolved(Lattice("conv1", 8, 1), 95)


def test_the_profile_has_peaks_at_multiples_of_the_grid_and_is_flat_for_noise() -> None:
    peaks = axis_profile(power_spectra(np.broadcast_to(dots(4), (1, 3, SIZE, SIZE))))
    assert len(peaks) == SIZE // 2 + 1
    assert np.flatnonzero(peaks > 1).tolist() == [23, 24, 25, 47, 48]
    level = axis_profile(power_spectra(noise(300)[:, None]))
    np.testing.assert_allclose(level[3:], 1, atol=0.25)
    assert axis_profile(power_spectra(np.zeros((0, 3, 8, 8)))).tolist() == [0] * 5
