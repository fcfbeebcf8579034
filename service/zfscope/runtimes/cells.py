"""Division of maps into 3 x 3 cells, for their maxima."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Cells along each side of a map.
CELLS = 3


class CellWindow(NamedTuple):
    """Max pooling along one axis whose outputs are the maxima of the cells: window, stride and padding."""

    kernel: int
    stride: int
    padding: int


def cell_count(size: int) -> int:
    """Return the number of cells along an axis of `size` pixels: 3, or one per pixel of smaller maps."""
    return min(CELLS, size)


def cell_window(size: int) -> CellWindow:
    """Return the pooling along an axis of `size` pixels.

    Cell i has the pixels from floor(i * size / 3) up to, but not including, ceil((i + 1) * size / 3), so
    adjacent cells share up to one pixel. Three windows of one stride are exactly these cells, the first and
    the last with a pixel of padding if the remainder of size / 3 is 2.
    """
    if size < CELLS:
        return CellWindow(1, 1, 0)
    length, remainder = divmod(size, CELLS)
    return (
        CellWindow(length, length, 0),
        CellWindow(length + 1, length, 0),
        CellWindow(length + 2, length + 1, 1),
    )[remainder]


def compute_cell_maxima(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the maxima of the cells of a layer's outputs, (N, maps, rows, columns); units are unchanged."""
    if outputs.ndim == 2:
        return outputs
    rows = np.stack([outputs[:, :, cell].max(2) for cell in _cells(outputs.shape[2])], 2)
    maxima: NDArray[np.float32] = np.stack([rows[..., cell].max(3) for cell in _cells(outputs.shape[3])], 3)
    return maxima


def _cells(size: int) -> list[slice]:
    kernel, stride, padding = cell_window(size)
    starts = [cell * stride - padding for cell in range(cell_count(size))]
    return [slice(max(0, start), start + kernel) for start in starts]
