"""Tests of the line charts: training history, strips, charts and bands."""

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


def contains_colour(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=-1) < 8).sum() > 20)


def test_all_four_plots_are_drawn() -> None:
    picture = pixels(plot_history(EPOCHS))
    height, width = picture.shape[:2]
    quarters = [
        picture[y : y + height // 2, x : x + width // 2] for y in (0, height // 2) for x in (0, width // 2)
    ]
    assert all(contains_colour(quarter, BLUE) for quarter in quarters)
    assert [contains_colour(quarter, RED) for quarter in quarters] == [False, True, False, False]


def test_missing_keys_have_no_plot() -> None:
    loss_only = [{"epoch": entry["epoch"], "train_loss": entry["train_loss"]} for entry in EPOCHS]
    assert pixels(plot_history(loss_only)).shape[0] < pixels(plot_history(EPOCHS)).shape[0]


def test_a_key_may_be_missing_from_some_epochs() -> None:
    entries = [
        {key: value for key, value in entry.items() if key != "val_top1" or entry["epoch"] % 2}
        for entry in EPOCHS
    ]
    assert contains_colour(pixels(plot_history(entries)), BLUE)


def test_a_plot_may_lack_one_of_its_lines() -> None:
    entries = [{"epoch": entry["epoch"], "val_top5": entry["val_top5"]} for entry in EPOCHS]
    picture = pixels(plot_history(entries))
    assert contains_colour(picture, RED)
    assert not contains_colour(picture, BLUE)


def test_a_single_epoch_is_plotted() -> None:
    assert contains_colour(pixels(plot_history(EPOCHS[:1])), BLUE)


def test_unknown_keys_are_ignored() -> None:
    entries = [entry | {"images_per_second": 40.0} for entry in EPOCHS]
    assert plot_history(entries) == plot_history(EPOCHS)


@pytest.mark.parametrize("history", [[], [{"epoch": 1.0}], [{"epoch": 1.0, "speed": 2.0}]])
def test_a_history_without_known_keys_is_rejected(history: list[dict[str, float]]) -> None:
    message = f"the history of {len(history)} epochs has none of the keys to plot: train_loss, val_top1"
    with pytest.raises(InputError, match=message):
        plot_history(history)


def test_other_modules_import_neither_matplotlib_nor_torch() -> None:
    modules = "bombs, colour, decode, geometry, heat, layout, normalise, preprocess, render, sheet, tiles"
    loaded = "{'matplotlib', 'torch'} & {*sys.modules}"
    code = f"import sys; from zfscope.images import {modules}; print({loaded})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_plotting_does_not_import_pyplot() -> None:
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


def test_a_strip_figure_shows_its_pictures_and_all_lines() -> None:
    figure = plot_strips([strip(2)], {"distance": None, "probability": 1.0}, ["a", "b"], title="t", note="n")
    assert figure.scale == "n"
    assert all(
        contains_colour(figure.rgb, colour) for colour in ((77, 77, 77), (214, 69, 93), (51, 102, 170))
    )
    assert not contains_colour(figure.rgb, (34, 136, 51))


def test_any_text_is_accepted_as_a_legend_entry_and_figures_are_reproducible() -> None:
    names = ["$x^$", "_hidden", "\u7a93", "%d {x} \\frac", *map(str, range(12))]
    first, second = (
        plot_strips([strip(16)], {"d": None, "p": 1.0}, names, title="$1 _a", note="n") for _ in range(2)
    )
    assert first.png() == second.png()


def test_constant_zero_lines_are_drawn() -> None:
    flat = replace(strip(1), plots=(np.zeros((1, 3)),))
    assert plot_strips([flat], {"d": None}, ["a"], title="t", note="n").rgb.shape[2] == 3


def chart(*names: str, **options: Any) -> Chart:
    x = np.linspace(0, 0.5, 9)
    return Chart("Spectrum", "cycles", "power", dict.fromkeys(names, (x, x * 0 + 2.0)), **options)


def separate_lines(*names: str) -> Chart:
    x = np.linspace(0, 0.5, 9)
    return replace(chart(*names), lines={name: (x, x + index) for index, name in enumerate(names)})


def test_each_line_of_a_chart_has_its_own_colour() -> None:
    picture = plot_charts([separate_lines("a", "b"), separate_lines("a", "b")], width_px=800, height_px=200)
    assert picture.shape == (200, 800, 3)
    for half in (picture[:160, :400], picture[:160, 400:]):
        assert contains_colour(half, RED)
        assert contains_colour(half, BLUE)


def test_the_legend_below_lists_all_lines() -> None:
    picture = plot_charts([separate_lines("a", "b")] * 4, width_px=800, height_px=200)
    assert contains_colour(picture[-24:], RED)
    assert contains_colour(picture[-24:], BLUE)


def test_a_mark_is_a_vertical_line() -> None:
    bare, marked = (
        plot_charts([chart("a", marks=marks)], width_px=800, height_px=200) for marks in ((), (0.2,))
    )
    columns = np.flatnonzero((bare != marked).any(axis=(0, 2)))
    assert 0 < columns[-1] - columns[0] < 4


def test_a_logarithmic_chart_omits_zeros() -> None:
    x = np.arange(3.0)
    zeros = Chart("t", "x", "y", {"$a$": (x, np.array([0.0, 1.0, 100.0]))}, logarithmic=True)
    assert contains_colour(plot_charts([zeros], width_px=800, height_px=200), RED)


def test_a_logarithmic_chart_of_zeros_is_drawn() -> None:
    zeros = Chart("t", "x", "y", {"a": (np.arange(3.0), np.zeros(3))}, logarithmic=True)
    assert plot_charts([zeros], width_px=800, height_px=200).shape == (200, 800, 3)


def test_a_band_is_drawn_over_the_ticks() -> None:
    x, middle = np.arange(2.0), np.array([0.2, 0.8])
    band = Band("$a$", x, middle, middle - 0.1, middle + 0.1)
    labels: dict[str, Any] = {
        "title": "t",
        "quantity": "x",
        "measure": "y",
        "width_px": 600,
        "height_px": 300,
    }
    picture, longer = (plot_bands([band], ticks=ticks, **labels) for ticks in (["1", "2"], ["1", "2", "end"]))
    assert picture.shape == (300, 600, 3)
    assert contains_colour(picture, RED)
    assert [contains_colour(each[60:, 450:], RED) for each in (picture, longer)] == [True, False]


def test_lines_that_differ_by_rounding_are_drawn_flat() -> None:
    noise = np.array([1.0, 1 + 1e-7, 1 - 1e-7])
    level, noisy, changing = (
        plot_charts([Chart("t", "x", "y", {"a": (np.arange(3.0), y)})], width_px=800, height_px=200)
        for y in (np.ones(3), noise, np.array([1.0, 1.1, 0.9]))
    )
    np.testing.assert_array_equal(noisy, level)
    assert (changing != level).any()


def test_a_logarithmic_chart_does_not_show_rounding_noise() -> None:
    x = np.arange(4.0)
    powers = [np.array([100.0, 1.0, 1e-9, least]) for least in (1e-12, 1e-30, 1e-300)]
    figure = [
        plot_charts([Chart("t", "x", "y", {"a": (x, y)}, logarithmic=True)], width_px=800, height_px=200)
        for y in powers
    ]
    lines = [(np.abs(picture.astype(int) - RED).max(axis=2) < 8).any(axis=1) for picture in figure]
    assert len({int(np.flatnonzero(line).min()) for line in lines}) == 1


def test_a_logarithmic_chart_of_rounding_is_drawn_flat() -> None:
    x = np.arange(3.0)
    y = np.array([4.0, 4 + 1e-7, 4 - 1e-7])
    figure = plot_charts([Chart("t", "x", "y", {"a": (x, y)}, logarithmic=True)], width_px=800, height_px=200)
    plot = figure[:140].astype(int)  # the legend is below
    rows = np.flatnonzero((np.abs(plot - RED).max(axis=2) < 60).any(axis=1))
    assert rows.max() - rows.min() < 4


def test_rounding_errors_of_a_strip_are_drawn_on_a_scale_up_to_one() -> None:
    noisy, zero, one = (
        plot_strips([replace(strip(1), plots=(heights[None],))], {"d": None}, ["a"], title="t", note="n").rgb
        for heights in (np.array([1e-7, 2e-7, 0.0]), np.zeros(3), np.array([1.0, 0.0, 0.0]))
    )
    np.testing.assert_array_equal(noisy, zero)
    assert (one != zero).any()


def test_a_history_that_varies_by_rounding_is_drawn_flat() -> None:
    same = [{"epoch": epoch, "val_top1": 10.0} for epoch in range(1, 5)]
    noisy = [entry | {"val_top1": 10.0 + 1e-6 * (-1) ** number} for number, entry in enumerate(same)]
    np.testing.assert_array_equal(pixels(plot_history(noisy)), pixels(plot_history(same)))


def test_a_band_that_varies_by_rounding_is_drawn_flat() -> None:
    labels: dict[str, Any] = {
        "title": "t",
        "quantity": "x",
        "measure": "y",
        "width_px": 600,
        "height_px": 300,
    }
    x = np.arange(3.0)
    level, noisy = (
        plot_bands([Band("a", x, y, y, y)], ticks=["1", "2", "3"], **labels)
        for y in (np.ones(3), np.array([1 - 1e-7, 1, 1 - 2e-7]))
    )
    np.testing.assert_array_equal(noisy, level)
