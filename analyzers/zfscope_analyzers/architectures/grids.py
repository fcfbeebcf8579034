"""How much of a picture is a grid: energy at the frequencies of a lattice of pixels, against those beside."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.cancellation import checkpoint
from zfscope_analyzers.architectures.layers import Lattice

_RADIUS = 2
"""Of a disc around a frequency, in steps of the picture's resolution: what a Hann window makes of a line."""
_SHIFT = 2 * _RADIUS
"""From a disc to those that it is compared with."""
_SMALLEST = 1e-12
"""Share of the energy: less is rounding."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The share of n pictures' energy on the lattice of a layer, (n,) each; of no picture all is None.

    shares: in narrow discs around the frequencies (i, j) / period. controls: in equal discs beside them.
    """

    lattice: Lattice
    shares: NDArray[np.float64]
    controls: NDArray[np.float64]

    @property
    def share(self) -> float | None:
        """The mean share of the pictures."""
        return _mean(self.shares)

    @property
    def control(self) -> float | None:
        """The mean share beside: what a picture without a grid has on the lattice too."""
        return _mean(self.controls)

    @property
    def excess(self) -> float | None:
        """Share minus control: near 1 for nothing but the grid, near 0 for noise and for photos."""
        return _mean(self.shares - self.controls)

    @property
    def ratio(self) -> float | None:
        """Share over control: near 1 without a grid. None too where there is nothing beside."""
        share, control = self.share, self.control
        return None if share is None or control is None or control < _SMALLEST else share / control


def fits(lattice: Lattice, size_px: int) -> bool:
    """Return whether pictures of that many pixels resolve the lattice: no disc meets that of a neighbour."""
    return size_px >= 2 * (_SHIFT + _RADIUS) * lattice.period


def spectra(pictures: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the power of square pictures (n, colours, size, size) at each frequency: (n, size, size).

    Zero frequency is in the corner, as in a Fourier transform; what lies around it is left out. Colours are
    added up, seen through a Hann window; the powers of a picture add up to 1, or to 0 where it is level.
    """
    size = pictures.shape[-1]
    window = np.hanning(size + 1)[:-1]
    steps = np.fft.fftfreq(size) * size
    around_zero = _in_disc(*np.meshgrid(steps, steps))
    power = np.zeros((len(pictures), size, size))
    for place, picture in enumerate(pictures):
        checkpoint()
        seen = picture.astype(np.float64) * window * window[:, None]
        power[place] = (np.abs(np.fft.fft2(seen)) ** 2).sum(axis=0)
    least = _SMALLEST * power.sum(axis=(1, 2), keepdims=True)
    power *= ~around_zero
    total = power.sum(axis=(1, 2), keepdims=True)
    shares = np.zeros_like(power)
    np.divide(power, total, out=shares, where=total > least)
    return shares


def grids(power: NDArray[np.float64], lattices: Sequence[Lattice]) -> tuple[Grid, ...]:
    """Measure pictures, by their `spectra` (n, size, size), for every lattice.

    What lies on a lattice of spacing p repeats its spectrum every 1/p: its low frequencies come back at
    (i, j) / p, which is what a large stride shows as (Sec 4.1). Of each lattice the frequencies count
    that those of the layers before it do not have. The control is measured beside each frequency, at
    both sides on an axis, at four elsewhere: where horizontal and vertical edges put energy too.
    """
    found = []
    for lattice in lattices:
        discs, beside = _masks(power.shape[-1], lattice)
        found.append(Grid(lattice, (power * discs).sum(axis=(1, 2)), (power * beside).sum(axis=(1, 2))))
    return tuple(found)


def axis_profile(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean power across and down at 0, 1/size ... 1/2, where white noise has 1, of `spectra`."""
    size = power.shape[-1]
    mean = power.sum(axis=0)[: size // 2 + 1, : size // 2 + 1] * size**2 / max(1, len(power))
    profile: NDArray[np.float64] = (mean[0] + mean[:, 0]) / 2
    return profile


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _masks(size: int, lattice: Lattice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights, (size, size), of frequencies in the discs, and in those beside: equal in sum."""
    frequency = np.fft.fftfreq(size)
    nearest = np.round(frequency * lattice.period)
    steps, index = (frequency - nearest / lattice.period) * size, nearest.astype(int) % lattice.period
    (across, down), (i, j) = np.meshgrid(steps, steps), np.meshgrid(index, index)
    finer = lattice.period // lattice.within
    own = (i % finer != 0) | (j % finer != 0)
    beside = _in_disc(np.abs(across) - _SHIFT * (i != 0), np.abs(down) - _SHIFT * (j != 0))
    share = np.where((i != 0) & (j != 0), 1 / 4, 1 / 2)
    return (own & _in_disc(across, down)).astype(np.float64), (own & beside) * share


def _in_disc(across: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (
        np.hypot(across, down) < _RADIUS + 1e-6
    )  # the rim is inside, however it rounds
    return inside
