"""Sliding windows of layers, and the arithmetic of their sizes. Rows come before columns."""

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, PositiveInt

# Rows and columns.
Pair = tuple[int, int]

Rounding = Literal["floor", "ceil"]


def pair(extent: int | Pair) -> Pair:
    """Return an extent as rows and columns."""
    return (extent, extent) if isinstance(extent, int) else extent


def _collapse(extent: int | Pair) -> int | Pair:
    if isinstance(extent, int):
        return extent
    rows, columns = extent
    return rows if rows == columns else extent


# Rows and columns of a window, or a single number if they are equal: a unique form, because networks are
# identified by a hash of their fields.
Extent = Annotated[PositiveInt | tuple[PositiveInt, PositiveInt], AfterValidator(_collapse)]


class Padding(NamedTuple):
    """Padding of a map in pixels, on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


class Window(NamedTuple):
    """A sliding window: rows and columns of its kernel, stride and dilation.

    rounding: `ceil` keeps a last window that extends beyond the padded map, unless it starts in the padding,
    as in Caffe, cuda-convnet and torch. padding_value: value of padded positions.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = Padding()
    rounding: Rounding = "floor"
    padding_value: float = 0.0
    dilation: Pair = (1, 1)

    @property
    def reach(self) -> Pair:
        """Rows and columns that a window extends over; larger than the kernel with dilation."""
        return self.span((1, 1))

    def grid(self, rows: int, columns: int) -> Pair:
        """Return the number of windows, as rows and columns, on maps of rows x columns."""
        left, top, right, bottom = self.padding
        return self._count(0, rows, top, bottom), self._count(1, columns, left, right)

    def _count(self, axis: int, size: int, before: int, after: int) -> int:
        stride, slack = self.stride[axis], size + before + after - self.reach[axis]
        if slack < 0:
            return 0
        count = slack // stride + 1
        # Complete windows leave a remainder. With `ceil`, one more window is kept if it starts before the
        # padding at the end: stride 2, padding 1 (-), windows a, b, c:
        #
        #   kernel 3   -  0  1  2  3  -           kernel 2   -  0  1  2  -
        #              a  a  a                               a  a
        #                    b  b  b                               b  b
        #                          c  c  c kept                          c  c dropped
        has_remainder = slack % stride > 0
        starts_inside = count * stride < size + before
        return count + (self.rounding == "ceil" and has_remainder and starts_inside)

    def span(self, counts: Pair) -> Pair:
        """Return the rows and columns that adjacent windows cover. counts: windows down and across."""
        rows, columns = (
            (count - 1) * stride + (kernel - 1) * dilation + 1
            for count, stride, kernel, dilation in zip(
                counts, self.stride, self.kernel, self.dilation, strict=True
            )
        )
        return rows, columns

    def whole_padding(self, rows: int, columns: int) -> Padding:
        """Return the padding that makes every window lie within the padded map, including the last one."""
        left, top, right, bottom = self.padding
        last_row, last_column = self.span(self.grid(rows, columns))
        return Padding(
            left, top, max(right, last_column - left - columns), max(bottom, last_row - top - rows)
        )


def same_padding(
    size: Pair, kernel: int | Pair, stride: int | Pair, dilation: int | Pair = 1, *, at_end: bool = True
) -> Padding:
    """Return TensorFlow's padding `SAME`: with it there are size / stride windows, rounded up.

    at_end: where padding is odd, pad one more at the right and bottom; else at the left and top.
    """
    extents = zip(size, pair(kernel), pair(stride), pair(dilation), strict=True)
    (top, bottom), (left, right) = (_same_padding(*axis, at_end=at_end) for axis in extents)
    return Padding(left, top, right, bottom)


def _same_padding(size: int, kernel: int, stride: int, dilation: int, *, at_end: bool) -> Pair:
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if at_end else (more, less)
