"""Curves: of training, and in strips beside pictures."""

import io
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from zfscope.errors import InputError
from zfscope.images.curves import Band, Chart, Strip, plot_bands, plot_charts, plot_history, plot_strips

BLUE, RED = (51, 102, 170), (214, 69, 93)
EPOCHS = [
    {
        "epoch": epoch,
        "train_loss": 2 / epoch,
        "val_top1": 10.0 * epoch,
        "val_top5": 12.0 * epoch,
        "roughness": 0.4,
        "lr": 0.1,
    }
    for epoch in range(1, 7)
]


def pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def has(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=-1) < 8).sum() > 20)


def test_all_four_plots_are_drawn() -> None:
    picture = pixels(plot_history(EPOCHS))
    height, width = picture.shape[:2]
    quarters = [
        picture[y : y + height // 2, x : x + width // 2] for y in (0, height // 2) for x in (0, width // 2)
    ]
    assert all(has(quarter, BLUE) for quarter in quarters)
    assert [has(quarter, RED) for quarter in quarters] == [False, True, False, False]


def test_what_is_absent_has_no_plot() -> None:
    loss_only = [{"epoch": entry["epoch"], "train_loss": entry["train_loss"]} for entry in EPOCHS]
    assert pixels(plot_history(loss_only)).shape[0] < pixels(plot_history(EPOCHS)).shape[0]


def test_a_key_may_be_missing_from_some_epochs() -> None:
    entries = [
        {key: value for key, value in entry.items() if key != "val_top1" or entry["epoch"] % 2}
        for entry in EPOCHS
    ]
    assert has(pixels(plot_history(entries)), BLUE)


def test_a_line_may_be_missing_from_a_plot() -> None:
    entries = [{"epoch": entry["epoch"], "val_top5": entry["val_top5"]} for entry in EPOCHS]
    picture = pixels(plot_history(entries))
    assert has(picture, RED)
    assert not has(picture, BLUE)


def test_one_epoch_is_enough() -> None:
    assert has(pixels(plot_history(EPOCHS[:1])), BLUE)


def test_other_keys_are_left_out() -> None:
    entries = [entry | {"images_per_second": 40.0} for entry in EPOCHS]
    assert plot_history(entries) == plot_history(EPOCHS)


@pytest.mark.parametrize("history", [[], [{"epoch": 1.0}], [{"epoch": 1.0, "speed": 2.0}]])
def test_a_history_without_anything_to_plot_is_refused(history: list[dict[str, float]]) -> None:
    message = f"the history of {len(history)} epochs has nothing to plot; known are train_loss, val_top1"
    with pytest.raises(InputError, match=message):
        plot_history(history)


def test_nothing_else_of_the_package_imports_matplotlib_or_torch() -> None:
    modules = "bombs, colour, decode, geometry, heat, layout, normalise, preprocess, render, sheet, tiles"
    loaded = "{'matplotlib', 'torch'} & {*sys.modules}"
    code = f"import sys; from zfscope.images import {modules}; print({loaded})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_plotting_leaves_no_state_in_pyplot() -> None:
    code = (
        "import sys; from zfscope.images.curves import plot_history; "
        "plot_history([{'epoch': 1, 'lr': 0.1}]); print('matplotlib.pyplot' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def strip(lines: int) -> Strip:
    values = np.array([2.0, 0.0, 1.0])
    grey = np.full((20, 20, 3), 77, np.uint8)
    heights = np.arange(3.0 * lines).reshape(lines, 3)
    return Strip("Scale (ratio)", "\u00d7", values, {0.0: grey, 2.0: grey}, (heights, heights))


def test_a_figure_shows_its_pictures_and_every_line() -> None:
    drawn = plot_strips([strip(2)], {"distance": None, "probability": 1.0}, ["a", "b"], title="t", note="n")
    assert drawn.scale == "n"
    assert all(has(drawn.rgb, colour) for colour in ((77, 77, 77), (214, 69, 93), (51, 102, 170)))
    assert not has(drawn.rgb, (34, 136, 51))


def test_any_name_can_stand_in_a_legend_and_a_figure_is_the_same_every_time() -> None:
    names = ["$x^$", "_hidden", "\u7a93", "%d {x} \\frac", *map(str, range(12))]
    first, second = (
        plot_strips([strip(16)], {"d": None, "p": 1.0}, names, title="$1 _a", note="n") for _ in range(2)
    )
    assert first.png() == second.png()


def test_lines_of_zeros_can_be_drawn() -> None:
    flat = replace(strip(1), plots=(np.zeros((1, 3)),))
    assert plot_strips([flat], {"d": None}, ["a"], title="t", note="n").rgb.shape[2] == 3


def chart(*names: str, **options: Any) -> Chart:
    x = np.linspace(0, 0.5, 9)
    return Chart("Spectrum", "cycles", "power", dict.fromkeys(names, (x, x * 0 + 2.0)), **options)


def apart(*names: str) -> Chart:
    x = np.linspace(0, 0.5, 9)
    return replace(chart(*names), lines={name: (x, x + place) for place, name in enumerate(names)})


def test_every_line_of_a_chart_is_drawn_in_a_colour_of_its_own() -> None:
    picture = plot_charts([apart("a", "b"), apart("a", "b")], width_px=800, height_px=200)
    assert picture.shape == (200, 800, 3)
    for half in (picture[:160, :400], picture[:160, 400:]):
        assert has(half, RED)
        assert has(half, BLUE)


def test_one_legend_below_names_every_line() -> None:
    picture = plot_charts([apart("a", "b")] * 4, width_px=800, height_px=200)
    assert has(picture[-24:], RED)
    assert has(picture[-24:], BLUE)


def test_a_mark_is_a_line_from_top_to_bottom() -> None:
    bare, marked = (
        plot_charts([chart("a", marks=marks)], width_px=800, height_px=200) for marks in ((), (0.2,))
    )
    columns = np.flatnonzero((bare != marked).any(axis=(0, 2)))
    assert 0 < columns[-1] - columns[0] < 4


def test_a_logarithmic_chart_leaves_zeros_out() -> None:
    x = np.arange(3.0)
    zeros = Chart("t", "x", "y", {"$a$": (x, np.array([0.0, 1.0, 100.0]))}, logarithmic=True)
    assert has(plot_charts([zeros], width_px=800, height_px=200), RED)


def test_a_logarithmic_chart_of_zeros_can_be_drawn() -> None:
    zeros = Chart("t", "x", "y", {"a": (np.arange(3.0), np.zeros(3))}, logarithmic=True)
    assert plot_charts([zeros], width_px=800, height_px=200).shape == (200, 800, 3)


def test_a_band_lies_over_the_places_that_have_names() -> None:
    x, middle = np.arange(2.0), np.array([0.2, 0.8])
    band = Band("$a$", x, middle, middle - 0.1, middle + 0.1)
    words: dict[str, Any] = {"title": "t", "quantity": "x", "measure": "y", "width_px": 600, "height_px": 300}
    picture, longer = (plot_bands([band], ticks=ticks, **words) for ticks in (["1", "2"], ["1", "2", "end"]))
    assert picture.shape == (300, 600, 3)
    assert has(picture, RED)
    assert [has(shown[60:, 450:], RED) for shown in (picture, longer)] == [True, False]


def test_lines_of_rounding_are_drawn_level() -> None:
    noise = np.array([1.0, 1 + 1e-7, 1 - 1e-7])
    level, noisy, changing = (
        plot_charts([Chart("t", "x", "y", {"a": (np.arange(3.0), y)})], width_px=800, height_px=200)
        for y in (np.ones(3), noise, np.array([1.0, 1.1, 0.9]))
    )
    np.testing.assert_array_equal(noisy, level)
    assert (changing != level).any()


def test_a_logarithmic_chart_does_not_reach_down_to_the_noise_of_its_largest_power() -> None:
    x = np.arange(4.0)
    powers = [np.array([100.0, 1.0, 1e-9, least]) for least in (1e-12, 1e-30, 1e-300)]
    drawn = [
        plot_charts([Chart("t", "x", "y", {"a": (x, y)}, logarithmic=True)], width_px=800, height_px=200)
        for y in powers
    ]
    lines = [(np.abs(picture.astype(int) - RED).max(axis=2) < 8).any(axis=1) for picture in drawn]
    assert len({int(np.flatnonzero(line).min()) for line in lines}) == 1


def test_a_logarithmic_chart_of_rounding_is_drawn_level() -> None:
    x = np.arange(3.0)
    y = np.array([4.0, 4 + 1e-7, 4 - 1e-7])
    drawn = plot_charts([Chart("t", "x", "y", {"a": (x, y)}, logarithmic=True)], width_px=800, height_px=200)
    plot = drawn[:140].astype(int)  # the legend is below
    rows = np.flatnonzero((np.abs(plot - RED).max(axis=2) < 60).any(axis=1))
    assert rows.max() - rows.min() < 4


def test_distances_that_are_rounding_are_drawn_on_a_scale_of_one() -> None:
    noisy, zero, one = (
        plot_strips([replace(strip(1), plots=(heights[None],))], {"d": None}, ["a"], title="t", note="n").rgb
        for heights in (np.array([1e-7, 2e-7, 0.0]), np.zeros(3), np.array([1.0, 0.0, 0.0]))
    )
    np.testing.assert_array_equal(noisy, zero)
    assert (one != zero).any()


def test_a_history_whose_values_are_the_same_but_for_rounding_is_level() -> None:
    same = [{"epoch": epoch, "val_top1": 10.0} for epoch in range(1, 5)]
    noisy = [entry | {"val_top1": 10.0 + 1e-6 * (-1) ** number} for number, entry in enumerate(same)]
    np.testing.assert_array_equal(pixels(plot_history(noisy)), pixels(plot_history(same)))


def test_a_band_of_rounding_is_level() -> None:
    words: dict[str, Any] = {"title": "t", "quantity": "x", "measure": "y", "width_px": 600, "height_px": 300}
    x = np.arange(3.0)
    level, noisy = (
        plot_bands([Band("a", x, y, y, y)], ticks=["1", "2", "3"], **words)
        for y in (np.ones(3), np.array([1 - 1e-7, 1, 1 - 2e-7]))
    )
    np.testing.assert_array_equal(noisy, level)
