"""Spectra of gratings and noise, whose frequencies are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope_analyzers.architectures.spectrum import BANDS, LARGEST_FILTER, filter_spectrum

Filters = NDArray[np.float64]


def grating(side: int, frequency: float, *, angle: float = 0.0, envelope: float = np.inf) -> Filters:
    """Make a grey grating, (1, 3, side, side), with this frequency in cycles per pixel."""
    down, across = np.mgrid[:side, :side] - (side - 1) / 2
    along = across * np.cos(angle) + down * np.sin(angle)
    wave = np.cos(2 * np.pi * frequency * along) * np.exp(-(down**2 + across**2) / (2 * envelope**2))
    return np.broadcast_to(wave, (1, 3, side, side)).copy()


def noise(count: int, side: int) -> Filters:
    return np.random.default_rng(0).normal(size=(count, 3, side, side))


@pytest.mark.parametrize("angle", [0.0, np.pi / 2, np.pi / 5])
@pytest.mark.parametrize(("frequency", "band"), [(0.05, "low"), (0.16, "middle"), (0.4, "high")])
def test_a_large_grating_has_its_energy_in_its_band(frequency: float, band: str, angle: float) -> None:
    result = filter_spectrum(grating(LARGEST_FILTER, frequency, angle=angle, envelope=8), 2)
    assert result.mean_shares[band] > 0.98
    assert result.peak_shares == {name: float(name == band) for name in BANDS}
    assert result.peaks[0] == pytest.approx(frequency, abs=0.01)


@pytest.mark.parametrize("frequency", [1 / 6, 1 / 5, 0.3, 0.4])
def test_the_same_grating_in_filters_of_7_and_of_11_pixels_has_one_frequency(frequency: float) -> None:
    small, large = (filter_spectrum(grating(side, frequency), 2) for side in (7, 11))
    assert small.peak_shares == large.peak_shares
    assert small.peaks[0] == pytest.approx(frequency, abs=1.5 / 64)
    assert large.peaks[0] == pytest.approx(frequency, abs=1.5 / 64)
    for band, share in large.peak_shares.items():
        assert (small.mean_shares[band] > 0.7) == (large.mean_shares[band] > 0.7) == bool(share)


def test_a_checkerboard_has_the_highest_frequency() -> None:
    down, across = np.mgrid[:8, :8]
    board = np.broadcast_to((-1.0) ** (down + across), (1, 3, 8, 8))
    assert filter_spectrum(board, 1).peaks[0] == pytest.approx(np.sqrt(1 / 2))


def test_shares_add_up_to_one() -> None:
    result = filter_spectrum(noise(5, 7), 2)
    np.testing.assert_allclose(result.shares.sum(axis=1), 1)
    for shares in (result.mean_shares, result.energy_shares, result.peak_shares):
        assert sum(shares.values()) == pytest.approx(1)


def test_white_noise_has_the_area_of_each_band_as_its_share() -> None:
    result = filter_spectrum(noise(400, 11), 4)
    expected = {"low": np.pi / 144, "middle": np.pi / 16 - np.pi / 144, "high": 1 - np.pi / 16}
    assert result.mean_shares == pytest.approx(expected, abs=0.005)
    np.testing.assert_allclose(result.density[4:], 1, atol=0.1)


def test_the_scale_of_filters_changes_only_their_energy() -> None:
    filters = noise(4, 7)
    spectrum, scaled = filter_spectrum(filters, 2), filter_spectrum(1000 * filters, 2)
    np.testing.assert_allclose(scaled.energies, 1e6 * spectrum.energies)
    for name in ("shares", "constants", "peaks", "folded", "density"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(spectrum, name))


def test_a_large_filter_counts_more_only_in_energy_weighted_shares() -> None:
    filters = np.concatenate([grating(32, 0.02, envelope=8), 3 * grating(32, 0.4, envelope=8)])
    result = filter_spectrum(filters, 2)
    assert result.mean_shares["low"] == pytest.approx(0.5, abs=0.01)
    low, high = result.energies
    assert [low, high] == pytest.approx([(each**2).sum() for each in filters])
    assert high > 6 * low
    assert result.energy_shares["low"] == pytest.approx(low / (low + high), abs=0.01)


def test_a_constant_filter_has_its_peak_and_all_its_energy_at_zero_frequency() -> None:
    for side, low in ((7, 0.63), (11, 0.81)):
        result = filter_spectrum(np.full((1, 3, side, side), -0.3), 2)
        assert result.peaks[0] == 0
        assert result.constants[0] == pytest.approx(1)
        assert result.mean_shares["low"] == pytest.approx(low, abs=0.005)


@pytest.mark.parametrize(("side", "band"), [(7, "middle"), (11, "low")])
def test_the_peak_of_an_edge_is_lower_in_a_larger_filter(side: int, band: str) -> None:
    edge = np.broadcast_to(np.sign(np.arange(side) - side // 2), (1, 3, side, side))
    assert filter_spectrum(edge, 2).peak_shares[band] == 1


def test_the_constant_part_is_that_of_each_colour() -> None:
    # Red 1, green -1, blue 0: the mean over colours is 0, but each colour is constant.
    opponent = np.broadcast_to(np.array([1.0, -1.0, 0.0])[:, None, None], (1, 3, 7, 7))
    assert filter_spectrum(opponent, 2).constants[0] == pytest.approx(1)


def test_the_mean_of_a_filter_is_part_of_the_low_band() -> None:
    wave = grating(32, 0.25, envelope=6)
    level = np.sqrt((wave**2).mean())
    centred = wave - wave.mean(axis=(2, 3), keepdims=True)
    result = filter_spectrum(centred + level, 2)
    without = filter_spectrum(centred, 2)
    assert without.constants[0] == pytest.approx(0, abs=1e-12)
    assert result.constants[0] == pytest.approx(0.5, abs=0.01)
    assert without.mean_shares["low"] < 0.01
    assert result.mean_shares["low"] == pytest.approx(0.5, abs=0.05)


def test_a_stride_aliases_energy_above_half_its_sampling_rate() -> None:
    waves = np.concatenate([grating(32, frequency, envelope=8) for frequency in (0.06, 0.18, 0.4)])
    np.testing.assert_allclose(filter_spectrum(waves, 1).folded, [0, 0, 0], atol=0.001)
    np.testing.assert_allclose(filter_spectrum(waves, 2).folded, [0, 0, 1], atol=0.01)
    np.testing.assert_allclose(filter_spectrum(waves, 4).folded, [0, 1, 1], atol=0.01)


def test_a_stride_aliases_white_noise_in_proportion_to_area() -> None:
    assert filter_spectrum(noise(300, 7), 4).folded.mean() == pytest.approx(1 - 1 / 16, abs=0.02)


@pytest.mark.parametrize("shape", [(0, 3, 7, 7), (3, 7, 7), (2, 3, 0, 0)])
def test_arrays_that_are_not_filters_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"expected \(filters, colours, rows, columns\)"):
        filter_spectrum(np.ones(shape), 2)


def test_the_error_has_the_number_of_a_filter_of_zeros() -> None:
    filters = noise(3, 7)
    filters[1] = 0
    with pytest.raises(InputError, match="filter 1 is zero everywhere and has no spectrum"):
        filter_spectrum(filters, 2)


def test_filters_larger_than_half_the_transform_are_rejected() -> None:
    with pytest.raises(InputError, match="filters have 33 x 33 pixels; allowed: at most 32 per side"):
        filter_spectrum(noise(1, 33), 2)
