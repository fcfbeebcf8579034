"""How large the filters of a first layer are: whether one dominates, and which are dead (Fig 6a, Sec 3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.rounding import rounding
from zfscope.training.filters import DEAD_SHARE


@dataclass(frozen=True, eq=False)
class Sizes:
    """The root mean squares of n filters, (n,): as they are, and renormalised to `radius`, their median.

    The paper's radius is 0.1, for pixels of -128 to 128; another preprocessing makes filters of other sizes.
    """

    rms: NDArray[np.float64]
    radius: float

    @property
    def renormalised(self) -> NDArray[np.float64]:
        """What the renormalisation of Sec 3 leaves: those beyond the radius are scaled down to it."""
        return np.minimum(self.rms, self.radius)

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Which filters have less than a twentieth of the median, as a training run counts them.

        So has one that is rounding of the largest, where most are.
        """
        return self.rms <= max(DEAD_SHARE * self.radius, rounding(float(self.rms.max())))

    @property
    def dominance(self) -> float | None:
        """The largest over the median: 1 where none stands out. None where most filters are zero."""
        largest = float(self.rms.max())
        return largest / self.radius if self.radius > rounding(largest) else None


def sizes(filters: NDArray[np.floating]) -> Sizes:
    """Measure filters (n, colours, k, k)."""
    rms = np.sqrt((filters.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    return Sizes(rms, float(np.median(rms)))
