"""Cancellation of drawing at checkpoints."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from zfscope.cancellation import checkpoint, interruptible
from zfscope.errors import Cancelled
from zfscope.images.curves import Band, Chart, Strip, plot_bands, plot_charts, plot_strips
from zfscope.images.geometry import Box
from zfscope.images.layout import blank, hstack, vstack
from zfscope.images.render import Rendering, encode_png
from zfscope.images.tiles import Panel, projection_panel

NOISE = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
LINE = (np.arange(3.0), np.arange(3.0))


class CountingCheck:
    """Counts its calls, and cancels the work at a given one."""

    def __init__(self, last: int | None = None) -> None:
        self.count, self._last = 0, last

    def __call__(self) -> None:
        self.count += 1
        if self.count == self._last:
            raise Cancelled("gone")


def png() -> object:
    return encode_png(NOISE, text={})


def tiles() -> object:
    return projection_panel(Panel("", np.zeros((3, 8, 8)), NOISE[:8, :8], Box(0, 0, 8, 8)))


def page() -> object:
    return vstack([hstack([blank(9, 9)] * 3, gap=1) for _ in range(3)], gap=1)


def strips() -> Rendering:
    strip = Strip("x", "", LINE[0], dict.fromkeys(range(6), NOISE[:9, :9]), [LINE[1][None]])
    return plot_strips([strip], {"y": None}, ["line"], title="t", note="n")


def charts() -> object:
    return plot_charts([Chart("t", "x", "y", {"line": LINE})] * 4, width_px=600, height_px=200)


def bands() -> object:
    band = Band("b", LINE[0], LINE[1], LINE[1], LINE[1])
    size = {"width_px": 400, "height_px": 300}
    return plot_bands([band], title="t", quantity="x", ticks=["a", "b", "c"], measure="y", **size)


@pytest.mark.parametrize("draw", [png, tiles, page, strips, charts, bands])
def test_drawing_can_be_cancelled_at_every_checkpoint(draw: Callable[[], object]) -> None:
    check = CountingCheck()
    with interruptible(check):
        draw()
    assert check.count >= 1
    for last in {1, (1 + check.count) // 2, check.count}:
        cancelling = CountingCheck(last)
        with interruptible(cancelling), pytest.raises(Cancelled):
            draw()
        assert cancelling.count == last


@pytest.mark.parametrize(("draw", "fewest"), [(png, 10), (page, 4), (strips, 12), (charts, 8), (bands, 2)])
def test_drawing_has_several_checkpoints(draw: Callable[[], object], fewest: int) -> None:
    check = CountingCheck()
    with interruptible(check):
        draw()
    assert check.count >= fewest


def test_checkpoints_do_not_change_the_picture() -> None:
    expected = strips().rgb
    with interruptible(lambda: None):
        np.testing.assert_array_equal(strips().rgb, expected)


def test_checkpoints_have_no_effect_outside_or_in_another_thread() -> None:
    checkpoint()
    check = CountingCheck(1)
    with interruptible(check):
        other = threading.Thread(target=checkpoint)
        other.start()
        other.join()
        with interruptible(CountingCheck()):
            checkpoint()
    checkpoint()
    assert check.count == 0
