"""Cost, partial results and cancellation of the analyzer `occlude`, and its figure."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from tests.analyzers.occlude.conftest import OCCLUDE, analyze, box
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import read_params
from zfscope.errors import Cancelled


def test_the_cost_is_one_pass_per_window(context: Context) -> None:
    params = read_params(OCCLUDE, {"window": 8, "stride": 4})
    assert OCCLUDE.cost(context.model, params) == 49 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"window": 1, "stride": 1})) == 32**2 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"boxes": [box(0, 0, 1, 1)] * 7})) == 7 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"masks": [b"a mask"] * 3})) == 3 + 2


def test_partial_results_show_the_map_so_far(context: Context) -> None:
    reports: list[tuple[float, Analysis | None]] = []
    analyze(
        replace(context, progress=lambda share, partial=None: reports.append((share, partial and partial())))
    )
    shares = [share for share, _ in reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert reports[-1][1] is not None
    assert reports[-1][1].pictures[0].png.startswith(b"\x89PNG")


def test_a_cancelled_call_stops_between_two_batches(context: Context) -> None:
    checks = 0

    def cancel() -> None:
        nonlocal checks
        checks += 1
        if checks == 2:
            raise Cancelled("the client cancelled the call or disconnected")

    with pytest.raises(Cancelled):
        analyze(replace(context, check_cancelled=cancel), method="full", window=4, stride=2)
    assert checks == 2


def test_a_cancelled_call_stops_between_two_masks(cancelled_context: Context) -> None:
    with pytest.raises(Cancelled):
        analyze(cancelled_context, masks=[b"not an image"])


def test_one_picture_shows_all_panels_of_figure_7(context: Context) -> None:
    (picture,) = analyze(context, classes=["ant", "bee"]).pictures
    assert picture.name == "occlusion"
    assert "viridis" in picture.scale
    assert Image.open(io.BytesIO(picture.png)).width > 1000
