"""Strength of a grid in pictures: energy at a lattice's frequencies, compared with adjacent frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.cancellation import checkpoint
from zfscope_analyzers.architectures.layers import Lattice

# Radius of the disc around a frequency, in frequency bins of the picture: a Hann window spreads a spectral
# line over +-2 bins.
_RADIUS = 2
# Distance in bins from a disc to its control discs: they touch, but do not overlap.
_SHIFT = 2 * _RADIUS
# Shares of the energy below this are rounding.
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class Grid:
    """Share of n pictures' energy at the frequencies of a layer's lattice; its means are None for n = 0.

    shares: (n,), in narrow discs around the frequencies (i, j) / period. controls: (n,), in discs of the same
    size next to them.
    """

    lattice: Lattice
    shares: NDArray[np.float64]
    controls: NDArray[np.float64]

    @property
    def share(self) -> float | None:
        """Mean share over the pictures."""
        return _mean(self.shares)

    @property
    def control(self) -> float | None:
        """Mean share in the control discs: what a picture without a grid also has on the lattice."""
        return _mean(self.controls)

    @property
    def excess(self) -> float | None:
        """Share minus control: near 1 for a pure grid, near 0 for noise and photos."""
        return _mean(self.shares - self.controls)

    @property
    def ratio(self) -> float | None:
        """Share divided by control: near 1 without a grid; None if the control discs are empty, too."""
        share, control = self.share, self.control
        return None if share is None or control is None or control < _SMALLEST else share / control


def is_resolved(lattice: Lattice, size_px: int) -> bool:
    """Return whether pictures of this side resolve the lattice: no disc overlaps one of its neighbours."""
    return size_px >= 2 * (_SHIFT + _RADIUS) * lattice.period


def power_spectra(pictures: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the power spectra of square pictures (n, colours, size, size): (n, size, size).

    The zero frequency is in the corner, as `numpy.fft` leaves it; a disc around it is set to 0. The pictures
    pass a Hann window, and the powers of the colours are summed. The spectrum of a picture sums to 1, or to 0
    if the picture is constant.
    """
    size = pictures.shape[-1]
    window = np.hanning(size + 1)[:-1]
    steps = np.fft.fftfreq(size) * size
    around_zero = _in_disc(*np.meshgrid(steps, steps))
    power = np.zeros((len(pictures), size, size))
    for index, picture in enumerate(pictures):
        checkpoint()
        windowed = picture.astype(np.float64) * window * window[:, None]
        power[index] = (np.abs(np.fft.fft2(windowed)) ** 2).sum(axis=0)
    # The floor is taken before zero frequency is removed: a constant picture has all of its energy there.
    least = _SMALLEST * power.sum(axis=(1, 2), keepdims=True)
    power *= ~around_zero
    total = power.sum(axis=(1, 2), keepdims=True)
    shares = np.zeros_like(power)
    np.divide(power, total, out=shares, where=total > least)
    return shares


def measure_grids(power: NDArray[np.float64], lattices: Sequence[Lattice]) -> tuple[Grid, ...]:
    """Measure the grid of every lattice in pictures, given their `power_spectra` (n, size, size).

    A signal sampled on a lattice with spacing p has a spectrum that repeats every 1/p: low frequencies
    reappear at (i, j) / p. These are the aliasing artifacts that a large stride causes (Sec 4.1). For each
    lattice only frequencies count that the lattices of earlier layers do not have. A frequency on an axis has
    two control discs, on either side along the axis, where horizontal and vertical edges have energy, too;
    any other frequency has four, placed diagonally.
    """
    result = []
    for lattice in lattices:
        discs, controls = _masks(power.shape[-1], lattice)
        result.append(Grid(lattice, (power * discs).sum(axis=(1, 2)), (power * controls).sum(axis=(1, 2))))
    return tuple(result)


def axis_profile(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean power along both axes at 0, 1/size ... 1/2 cycles per pixel; white noise has 1.

    power: `power_spectra` of n pictures, (n, size, size).
    """
    size = power.shape[-1]
    mean = power.sum(axis=0)[: size // 2 + 1, : size // 2 + 1] * size**2 / max(1, len(power))
    profile: NDArray[np.float64] = (mean[0] + mean[:, 0]) / 2
    return profile


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _masks(size: int, lattice: Lattice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights of frequencies in the discs and in the control discs, (size, size), of equal sum."""
    frequency = np.fft.fftfreq(size)
    nearest = np.round(frequency * lattice.period)
    # Distance in bins from each frequency to the nearest lattice frequency (i, j) / period, along each axis.
    steps, index = (frequency - nearest / lattice.period) * size, nearest.astype(int) % lattice.period
    (across, down), (i, j) = np.meshgrid(steps, steps), np.meshgrid(index, index)
    # A lattice of an earlier layer with period `finer` has every (period / finer)-th of these frequencies.
    factor = lattice.period // lattice.finer
    own = (i % factor != 0) | (j % factor != 0)
    # Two control discs along an axis, else four diagonally; the weights make each set count as one disc.
    controls = _in_disc(np.abs(across) - _SHIFT * (i != 0), np.abs(down) - _SHIFT * (j != 0))
    weight = np.where((i != 0) & (j != 0), 1 / 4, 1 / 2)
    return (own & _in_disc(across, down)).astype(np.float64), (own & controls) * weight


def _in_disc(across: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.bool_]:
    # The tolerance puts the rim inside, however its radius rounds.
    inside: NDArray[np.bool_] = np.hypot(across, down) < _RADIUS + 1e-6
    return inside
