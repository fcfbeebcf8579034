"""Grids found in pictures that are grids, noise, and stripes of other widths."""

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


def measured(picture: Picture, period: int, within: int = 1) -> Grid:
    """Measure one picture, (rows, columns), or several, (n, rows, columns), as grey ones."""
    pictures = np.broadcast_to(picture.reshape(-1, 1, SIZE, SIZE), (picture.size // SIZE**2, 3, SIZE, SIZE))
    (found,) = measure_grids(power_spectra(pictures), [Lattice("conv1", period, within)])
    return found


def dots(period: int, start: tuple[int, int] = (0, 0)) -> Picture:
    picture = np.zeros((SIZE, SIZE))
    picture[start[0] :: period, start[1] :: period] = 1
    return picture


def lines(period: int) -> Picture:
    return np.broadcast_to(np.arange(SIZE) % period == 0, (SIZE, SIZE)).astype(float)


def noise(count: int, *, falling: float = 0.0) -> Picture:
    """Make noise whose power falls with that power of its frequency: 2 is much like a photo."""
    white = np.fft.fft2(np.random.default_rng(0).normal(size=(count, SIZE, SIZE)))
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))
    frequency[0, 0] = 1
    return np.fft.ifft2(white / frequency ** (falling / 2)).real


@pytest.mark.parametrize("period", [2, 3, 4, 8])
@pytest.mark.parametrize("made", [dots, lines])
def test_nothing_but_a_grid_has_all_its_energy_there(made: type, period: int) -> None:
    found = measured(made(period), period)
    assert found.share == pytest.approx(1)
    assert found.excess == pytest.approx(1)
    assert found.ratio is None


def test_a_period_that_is_no_part_of_the_picture_loses_little() -> None:
    assert measured(lines(5), 5).excess > 0.99
    assert measured(dots(7), 7).excess > 0.98


def test_where_a_grid_begins_does_not_matter() -> None:
    assert measured(dots(4, (3, 1)), 4).share == pytest.approx(1)


def test_a_single_wave_of_the_period_is_a_grid_too() -> None:
    wave = np.cos(np.pi / 2 * np.arange(SIZE)) * np.ones((SIZE, 1))
    assert measured(wave, 4).share == pytest.approx(1)


@pytest.mark.parametrize(("made", "period"), [(5, 4), (6, 4), (4, 3)])
def test_a_grid_of_another_period_is_none_of_this(made: int, period: int) -> None:
    assert measured(lines(made), period).share < 0.01 + 0.5 * (made == 6)


@pytest.mark.parametrize("falling", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("period", [2, 4, 8])
def test_noise_has_as_much_beside_a_grid_as_on_it(period: int, falling: float) -> None:
    found = measured(noise(60, falling=falling), period)
    assert found.ratio == pytest.approx(1, abs=0.3)
    assert abs(found.excess) < 0.012


def test_the_share_of_white_noise_is_the_area_of_the_discs() -> None:
    # Around each of 15 frequencies 13 points lie within 2 steps of it.
    found = measured(noise(60), 4)
    assert found.share == pytest.approx(15 * 13 / SIZE**2, rel=0.05)
    assert found.control == pytest.approx(15 * 13 / SIZE**2, rel=0.05)


def test_level_edges_do_not_look_like_a_grid() -> None:
    picture = np.zeros((SIZE, SIZE))
    picture[37:, :] = 1
    picture[:, 61:] += 1
    found = measured(picture, 4)
    assert found.ratio == pytest.approx(1, abs=0.3)
    assert abs(found.excess) < 0.01


def test_a_grid_in_noise_is_found_by_its_energy() -> None:
    grid = dots(4) - dots(4).mean()
    hidden = noise(20) / noise(20).std() + 0.5 * grid / grid.std()
    # A quarter of the noise's energy is added: 0.25 / 1.25.
    assert measured(hidden, 4).excess == pytest.approx(0.2, abs=0.02)


def test_a_coarser_lattice_counts_only_what_the_finer_one_has_not() -> None:
    assert measured(dots(4), 8, 4).share == pytest.approx(0, abs=1e-6)
    # Of the 63 frequencies of dots of 8 px, 15 are those of 4 px; all are equally strong.
    assert measured(dots(8), 4).share == pytest.approx(15 / 63)
    assert measured(dots(8), 8, 4).share == pytest.approx(48 / 63)


def test_the_strength_of_a_picture_does_not_matter_and_each_counts_alike() -> None:
    both = np.stack([1000 * dots(4), np.sqrt(1e-3) * noise(1)[0]])
    found = measured(both, 4)
    assert found.shares[0] == pytest.approx(1)
    assert found.share == pytest.approx(found.shares.mean())
    np.testing.assert_allclose(measured(both * 7, 4).shares, found.shares)


def test_a_level_picture_has_no_grid() -> None:
    found = measured(np.full((SIZE, SIZE), 3.0), 4)
    assert (found.share, found.control) == (0, 0)
    assert measured(np.zeros((SIZE, SIZE)), 4).share == 0


def test_of_no_picture_there_is_nothing_to_say() -> None:
    (found,) = measure_grids(power_spectra(np.zeros((0, 3, SIZE, SIZE))), [Lattice("conv1", 4, 1)])
    assert (found.share, found.control, found.excess, found.ratio) == (None,) * 4


def test_a_lattice_needs_pictures_of_twelve_periods() -> None:
    assert is_resolved(Lattice("conv1", 8, 1), 96)
    assert not is_resolved(Lattice("conv1", 8, 1), 95)


def test_the_profile_shows_peaks_at_multiples_of_the_grid_and_is_level_for_noise() -> None:
    peaks = axis_profile(power_spectra(np.broadcast_to(dots(4), (1, 3, SIZE, SIZE))))
    assert len(peaks) == SIZE // 2 + 1
    assert np.flatnonzero(peaks > 1).tolist() == [23, 24, 25, 47, 48]
    level = axis_profile(power_spectra(noise(300)[:, None]))
    np.testing.assert_allclose(level[3:], 1, atol=0.25)
    assert axis_profile(power_spectra(np.zeros((0, 3, 8, 8)))).tolist() == [0] * 5
