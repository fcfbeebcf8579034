"""Cost, partial results and cancellation of the analyzer `occlude`, and its figure."""

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from tests.analyzers.occlude.conftest import OCCLUDE, SIDE, analyze, box
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import read_params
from zfscope.errors import Cancelled
from zfscope_analyzers.occlude.windows import OcclusionWindow, batches, window_starts


def test_the_cost_is_one_pass_per_window(context: Context) -> None:
    params = read_params(OCCLUDE, {"window": 8, "stride": 4})
    assert OCCLUDE.cost(context.model, params) == 49 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"window": 1, "stride": 1})) == 32**2 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"boxes": [box(0, 0, 1, 1)] * 7})) == 7 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"masks": [b"a mask"] * 3})) == 3 + 2
    triangle = [[0, 0], [9, 0], [0, 9]]
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"polygons": [triangle] * 4})) == 4 + 2


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


@pytest.mark.parametrize("method", ["incremental", "full"])
def test_partial_results_have_the_numbers_of_the_finished_windows(
    plain_context: Context, method: str
) -> None:
    partials: list[Analysis] = []

    def progress(_: float, partial: Callable[[], Analysis] | None = None) -> None:
        if partial is not None:
            partials.append(partial())

    parameters = {"classes": ["ant", "bee"], "layer": "conv1", "map": 2, "method": method}
    whole = analyze(replace(plain_context, progress=progress), **parameters)
    assert [int(partial.numbers["finished"]) for partial in partials][-1] == whole.numbers["windows"]
    values_at = {
        tuple(window): (values, total)
        for window, values, total in zip(
            whole.tensors["windows"].tolist(),
            whole.tensors["values"].T,
            whole.tensors["totals"],
            strict=True,
        )
    }
    for partial in partials:
        tensors, finished = partial.tensors, int(partial.numbers["finished"])
        assert partial.numbers["windows"] == whole.numbers["windows"]
        assert len(tensors["windows"]) == finished
        for window, values, total in zip(
            tensors["windows"].tolist(), tensors["values"].T, tensors["totals"], strict=True
        ):
            np.testing.assert_array_equal(values, values_at[tuple(window)][0])
            assert total == values_at[tuple(window)][1]
        covered = np.zeros(tensors["total-map"].shape, bool)
        for y, x, rows, columns in tensors["windows"]:
            covered[y : y + rows, x : x + columns] = True
        for row, values, heat in zip(
            partial.tables["classes"].records(), tensors["values"], tensors["value-maps"], strict=True
        ):
            assert row["lowest"] == pytest.approx(values.min())
            assert (heat[~covered] == np.float32(row["clean"])).all()
        assert partial.pictures == ()


def test_partial_results_have_tables_only_unless_more_is_requested(plain_context: Context) -> None:
    partials: list[Analysis] = []

    def progress(_: float, partial: Callable[[], Analysis] | None = None) -> None:
        if partial is not None:
            partials.append(partial())

    whole = analyze(replace(plain_context, tensors=False, progress=progress))
    assert (dict(whole.tensors), whole.pictures) == ({}, ())
    for partial in partials:
        assert (dict(partial.tensors), partial.pictures) == ({}, ())
    assert partials[-1].tables["classes"] == whole.tables["classes"]


@pytest.mark.parametrize(("window", "stride"), [(8, 2), (4, 1), (5, 2)])
def test_a_grid_is_processed_from_coarse_to_fine(window: int, stride: int) -> None:
    starts = window_starts(SIDE, window, stride)
    grid = [OcclusionWindow(y, x, window, window) for y in starts for x in starts]
    first, *others = batches(grid)
    assert sorted([*first, *chain.from_iterable(others)]) == list(range(len(grid)))
    assert len(first) <= len(grid) / 10
    covered = np.zeros((SIDE, SIDE), bool)
    for index in first:
        covered[grid[index].area] = True
    assert covered.mean() > 0.9 * min(window / (4 * stride), 1) ** 2
    assert {grid[index].y % (4 * stride) for index in first} <= {0, starts[-1] % (4 * stride)}


def test_windows_of_several_sizes_are_processed_size_by_size() -> None:
    windows = [OcclusionWindow(0, number % 7, 1 + number % 3, 2) for number in range(200)]
    parts = list(batches(windows))
    assert sorted(chain.from_iterable(parts)) == list(range(200))
    for part in parts:
        assert len({windows[index].height for index in part}) == 1


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


def test_a_cancelled_call_stops_between_two_masks_or_polygons(cancelled_context: Context) -> None:
    with pytest.raises(Cancelled):
        analyze(cancelled_context, masks=[b"not an image"])
    with pytest.raises(Cancelled):
        analyze(cancelled_context, polygons=[[[0, 0], [1, 0], [0, 1]]])  # outside of the crop


def test_one_picture_shows_all_panels_of_figure_7(context: Context) -> None:
    (picture,) = analyze(context, classes=["ant", "bee"]).pictures
    assert picture.name == "occlusion"
    assert "viridis" in picture.scale
    assert Image.open(io.BytesIO(picture.png)).width > 1000
