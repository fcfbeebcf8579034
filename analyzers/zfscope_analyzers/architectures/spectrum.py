"""Which spatial frequencies the filters of a first layer pass, in cycles per pixel of the image (Sec 4.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError

SIZE = 64
"""Side of the transform: filters of all sizes are padded with zeros to it, and so share frequencies."""
LARGEST_FILTER = SIZE // 2
"""Up to here a transform of `SIZE` says all that there is to say of a power spectrum."""
LOW_BELOW, HIGH_ABOVE = 1 / 12, 1 / 4
"""Where the bands meet, in cycles per pixel.

A period of 12 px has no room in AlexNet's 11 x 11 filters: what lies below is level and slope, no grating.
Above 1/4, a period of less than 4 px, lies what even ZFNet's stride of 2 cannot sample any more.
"""
BANDS = ("low", "middle", "high")


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The power spectra of n filters, colours summed; frequencies are radial, in cycles per pixel.

    shares:     (n, 3), the share of a filter's energy in each of `BANDS`; they add up to 1.
    energies:   (n,), the sum of squares of a filter's weights.
    constants:  (n,), the share of a filter's energy that is the mean of each colour (DC).
    peaks:      (n,), the frequency that a filter passes best, its centre frequency, on a raster of 1/64.
    folded:     (n,), the share of a filter's energy beyond 1 / (2 stride) across or down: maps of that stride
                cannot tell it from lower frequencies.
    frequencies, density: (33,), mean power at a frequency, of filters of equal energy; white noise has 1.

    Of white noise `low` holds 2 % of the energy, `middle` 17 % and `high` 81 %. Nothing is taken out of a
    filter before it is transformed: zero frequency is a part of `low` like any other. A blob of colour passes
    low frequencies, its level among them; without its mean it would look like a ring, which passes those of
    one period per filter: higher ones, the smaller the filter is.

    A small filter cannot be narrow in frequency: of one that is level all over, `low` holds 81 % of the
    energy where it is 11 x 11, and 63 % where it is 7 x 7; its peak is 0 in both. The peak of a single edge
    lies at 0.06 in the one, which is low, and at 0.09 in the other, which is not.
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
        """The shares of the bands, each filter counted alike."""
        return _by_band(self.shares.mean(axis=0))

    @property
    def energy_shares(self) -> Mapping[str, float]:
        """The shares of the bands in the energy of all filters together: large ones count more."""
        return _by_band(self.energies @ self.shares / self.energies.sum())

    @property
    def peak_shares(self) -> Mapping[str, float]:
        """The share of the filters whose peak lies in each band."""
        return _by_band(np.stack([band.mean() for band in _bands(self.peaks)]))


def spectrum(filters: NDArray[np.floating], stride: int) -> Spectrum:
    """Measure filters (n, colours, k, k) that are applied every `stride` pixels.

    Raises InputError for none, one of zeros, or k beyond 32.
    """
    weights = _checked(filters.astype(np.float64))
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
    """Return the mean power on rings of 1/64, out to 1/2, relative to that of white noise."""
    rings = np.round(radius * SIZE).astype(int).ravel()
    mean: NDArray[np.float64] = np.bincount(rings, power.ravel()) / np.bincount(rings)
    return mean[: SIZE // 2 + 1] * SIZE**2


def _radius() -> NDArray[np.float64]:
    axis = np.fft.fftfreq(SIZE)
    found: NDArray[np.float64] = np.hypot(axis[:, None], axis)
    return found


def _bands(frequencies: NDArray[np.float64]) -> tuple[NDArray[np.bool_], ...]:
    low, high = frequencies < LOW_BELOW, frequencies > HIGH_ABOVE
    return low, ~(low | high), high


def _by_band(shares: NDArray[np.float64]) -> Mapping[str, float]:
    return dict(zip(BANDS, map(float, shares), strict=True))


def _checked(filters: NDArray[np.float64]) -> NDArray[np.float64]:
    if filters.ndim != 4 or not filters.size:
        raise InputError(
            f"filters of shape {filters.shape}; a spectrum takes (filters, colours, rows, columns)"
        )
    if max(filters.shape[2:]) > LARGEST_FILTER:
        sides = " x ".join(map(str, filters.shape[2:]))
        raise InputError(f"filters of {sides} pixels; spectra are taken of at most {LARGEST_FILTER}")
    empty = np.flatnonzero(~filters.any(axis=(1, 2, 3)))
    if len(empty):
        raise InputError(f"filter {empty[0]} is zero everywhere and has no spectrum; leave such filters out")
    return filters
