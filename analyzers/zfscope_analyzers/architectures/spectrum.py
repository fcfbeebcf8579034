"""Spatial frequencies of first-layer filters, in cycles per pixel of the image (Sec 4.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError

# Side of the Fourier transform. Filters of all sizes are zero-padded to it, so that they share frequencies.
SIZE = 64
# Largest filter whose power spectrum a transform of `SIZE` samples completely: the power spectrum of a k x k
# filter is that of its autocorrelation, which is 2k - 1 wide.
LARGEST_FILTER = SIZE // 2
# Limits of the bands in cycles per pixel. A period of 12 px does not fit AlexNet's 11 x 11 filters: below
# 1/12 a filter has a level and a slope, but no grating. Above 1/4, a period below 4 px, even ZFNet's stride
# of 2 aliases.
LOW_BELOW, HIGH_ABOVE = 1 / 12, 1 / 4
BANDS = ("low", "middle", "high")


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Power spectra of n filters, summed over colours; frequencies are radial, in cycles per pixel.

    shares:     (n, 3), share of a filter's energy in each of `BANDS`; the three sum to 1.
    energies:   (n,), sum of squares of a filter's weights.
    constants:  (n,), share of a filter's energy in the mean of each colour (DC).
    peaks:      (n,), frequency at which a filter's power is largest, on a raster of 1/64.
    folded:     (n,), share of a filter's energy above 1 / (2 stride) horizontally or vertically, which a map
                with this stride aliases to lower frequencies.
    frequencies, density: (33,), mean power at a frequency over filters scaled to equal energy; white noise
                has 1.

    White noise has 2 % of its energy in `low`, 17 % in `middle` and 81 % in `high`. The mean of a filter is
    not subtracted before the transform: the zero frequency is part of `low`. A colour blob passes low
    frequencies, its level among them. Without its mean it would be a ring, whose peak is at one period per
    filter: at a higher frequency, the smaller the filter.

    A small filter cannot be narrow in frequency: a constant filter has 81 % of its energy in `low` if it is
    11 x 11, and 63 % if it is 7 x 7; the peak of both is 0. The peak of a single edge is at 0.06, which is
    low, in an 11 x 11 filter, and at 0.09, which is not, in a 7 x 7 filter.
    """

    shares: NDArray[np.float64]
    energies: NDArray[np.float64]
    constants: NDArray[np.float64]
    peaks: NDArray[np.float64]
    folded: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    density: NDArray[np.float64]

    @property
    def mean_shares(self) -> Mapping[str, float]:
        """Mean share of each band; all filters have the same weight."""
        return _by_band(self.shares.mean(axis=0))

    @property
    def energy_shares(self) -> Mapping[str, float]:
        """Share of each band in the total energy of all filters: filters are weighted by their energy."""
        return _by_band(self.energies @ self.shares / self.energies.sum())

    @property
    def peak_shares(self) -> Mapping[str, float]:
        """Share of the filters whose peak lies in each band."""
        return _by_band(np.stack([band.mean() for band in _bands(self.peaks)]))


def filter_spectrum(filters: NDArray[np.floating], stride: int) -> Spectrum:
    """Return the spectrum of filters (n, colours, k, k) that are applied every `stride` pixels.

    Raises InputError for an empty array, for a filter that is zero everywhere, and for k > 32.
    """
    weights = _validate_filters(filters.astype(np.float64))
    power = (np.abs(np.fft.fft2(weights, s=(SIZE, SIZE))) ** 2).sum(axis=1)
    power /= power.sum(axis=(1, 2), keepdims=True)
    energies = (weights**2).sum(axis=(1, 2, 3))
    levels = weights.sum(axis=(2, 3)) ** 2 / weights[0, 0].size
    radius, folds = _radius(), np.abs(np.fft.fftfreq(SIZE)) > 1 / (2 * stride)
    return Spectrum(
        shares=np.stack([power[:, band].sum(axis=1) for band in _bands(radius)], axis=1),
        energies=energies,
        constants=levels.sum(axis=1) / energies,
        peaks=radius.ravel()[power.reshape(len(power), -1).argmax(axis=1)],
        folded=power[:, folds | folds[:, None]].sum(axis=1),
        frequencies=np.arange(SIZE // 2 + 1) / SIZE,
        density=_density(power.mean(axis=0), radius),
    )


def _density(power: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean power on rings 1/64 wide, up to a radius of 1/2, relative to white noise."""
    rings = np.round(radius * SIZE).astype(int).ravel()
    mean: NDArray[np.float64] = np.bincount(rings, power.ravel()) / np.bincount(rings)
    return mean[: SIZE // 2 + 1] * SIZE**2


def _radius() -> NDArray[np.float64]:
    axis = np.fft.fftfreq(SIZE)
    radius: NDArray[np.float64] = np.hypot(axis[:, None], axis)
    return radius


def _bands(frequencies: NDArray[np.float64]) -> tuple[NDArray[np.bool_], ...]:
    low, high = frequencies < LOW_BELOW, frequencies > HIGH_ABOVE
    return low, ~(low | high), high


def _by_band(shares: NDArray[np.float64]) -> Mapping[str, float]:
    return dict(zip(BANDS, map(float, shares), strict=True))


def _validate_filters(filters: NDArray[np.float64]) -> NDArray[np.float64]:
    if filters.ndim != 4 or not filters.size:
        raise InputError(
            f"filters have shape {filters.shape}; expected (filters, colours, rows, columns), not empty"
        )
    if max(filters.shape[2:]) > LARGEST_FILTER:
        sides = " x ".join(map(str, filters.shape[2:]))
        raise InputError(f"filters have {sides} pixels; allowed: at most {LARGEST_FILTER} per side")
    empty = np.flatnonzero(~filters.any(axis=(1, 2, 3)))
    if len(empty):
        raise InputError(f"filter {empty[0]} is zero everywhere and has no spectrum; remove such filters")
    return filters
