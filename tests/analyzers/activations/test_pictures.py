"""Pictures of `activations`: tiles, the sheet, their scales and how many there are."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zfscope.analysis.contract import Analysis, Context, images_of
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import ReceptiveField, receptive_fields, trace
from zfscope.images.sheet import badge
from zfscope.networks.receptive import Span
from zfscope.results import Picture
from zfscope_analyzers.activations import figure

ACTIVATIONS = load_analyzers().analyzer("activations")


def analyze(context: Context, **parameters: Any) -> Analysis:
    return ACTIVATIONS.analyze(context, read_params(ACTIVATIONS, parameters))


def pixels(picture: Picture | None) -> "np.ndarray":
    assert picture is not None
    return np.asarray(Image.open(io.BytesIO(picture.png)))


def test_there_are_a_sheet_and_a_tile_per_map(context: Context) -> None:
    result = analyze(context, maps=[4, 0])
    names = ["conv5-activations", "conv5-activations-4", "conv5-activations-0"]
    assert [picture.name for picture in result.pictures] == names
    assert [row["picture"] for row in result.tables["units"].records()] == names[1:]
    sheet = result.pictures[0].scale
    for picture in result.pictures[1:]:
        assert picture.scale in sheet


def test_the_sheet_can_be_left_out(context: Context) -> None:
    whole, tiles = (analyze(context, layer="relu5", top=2, sheet=sheet).pictures for sheet in (True, False))
    assert {picture.name: picture.png for picture in tiles} == {
        picture.name: picture.png for picture in whole if picture.name != "relu5-activations"
    }
    assert len(tiles) == 2
    assert analyze(context, layer="fc8", sheet=False).pictures == ()


def test_a_tile_of_signed_activations_is_grey_at_zero(context: Context) -> None:
    """Units are squares of 32 pixels, as 7 x 7 units fill a tile of 224."""
    network, image = context.model.network, images_of(context.model, context.images[0].pixels)
    values = trace(network, image).outputs["conv5"][0, 4].numpy()
    result = analyze(context, layer="conv5", maps=[4])
    tile = pixels(result.picture("conv5-activations-4"))
    assert tile.shape == (224, 224, 3)
    centres = tile[16::32, 16::32, 0].astype(int) - 128
    np.testing.assert_array_equal(np.sign(centres), np.sign(np.round(values / np.abs(values).max() * 127)))
    np.testing.assert_array_equal(tile[:32, :32], np.broadcast_to(tile[0, 0], (32, 32, 3)))


def test_a_tile_without_negative_activations_is_dark_at_zero(context: Context) -> None:
    result = analyze(context, layer="relu5", maps=[4])
    tile = result.picture("relu5-activations-4")
    assert tile is not None
    assert tile.scale.startswith("viridis, linear; dark violet = 0; yellow = ")
    network, image = context.model.network, images_of(context.model, context.images[0].pixels)
    silent = trace(network, image).outputs["relu5"][0, 4].numpy() == 0
    drawn = pixels(tile)[16::32, 16::32]
    assert silent.any()
    assert (drawn[silent] == (68, 1, 84)).all()


@pytest.mark.parametrize(
    ("parameters", "badges"), [({"top": 3}, 3), ({"top": 3, "y": 24, "x": 30}, 0), ({"maps": [2]}, 1)]
)
def test_the_photo_numbers_receptive_fields_unless_all_are_the_same(
    context: Context, parameters: dict[str, Any], badges: int, find_badges: Any
) -> None:
    photo = pixels(analyze(context, **parameters).pictures[0])[:, : figure._PHOTO_PX + 36]
    assert find_badges(photo) == badges


@pytest.fixture
def find_badges() -> Any:
    """Return a function that counts the numbers 1, 2, ... in a picture, found by their pixels."""

    def count(picture: "np.ndarray") -> int:
        def is_in(number: int) -> bool:
            mark = np.asarray(badge(number))
            windows = np.lib.stride_tricks.sliding_window_view(picture, mark.shape)[:, :, 0]
            first = (windows[..., 0, :, :] == mark[0]).all((2, 3))
            return any(np.array_equal(windows[y, x], mark) for y, x in zip(*np.nonzero(first), strict=True))

        return sum(is_in(number) for number in range(1, 10))

    return count


def test_receptive_fields_that_all_cover_the_photo_are_drawn_once(
    context: Context, find_badges: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They differ only outside of it."""
    spans = [Span(size=400, jump=8, start=-200)] * 2
    fields = {**receptive_fields(context.model.spec), "conv5": ReceptiveField(*spans)}
    monkeypatch.setattr("zfscope_analyzers.activations.measure.receptive_fields", lambda _: fields)
    result = analyze(context, top=3)
    assert len({(row["y"], row["x"]) for row in result.tables["units"].records()}) > 1
    assert find_badges(pixels(result.pictures[0])[:, : figure._PHOTO_PX + 36]) == 0


def test_a_fully_connected_layer_has_only_a_sheet(context: Context) -> None:
    result = analyze(context, layer="fc8")
    assert [picture.name for picture in result.pictures] == ["fc8-activations"]
    assert result.pictures[0].scale.startswith("bars on a common linear scale from ")
    assert {row["picture"] for row in result.tables["units"].records()} == {None}


def test_bars_extend_from_zero_in_proportion_to_the_activation() -> None:
    bar = np.asarray(figure._bar(1.0, -1.0, 3.0))[figure._ROW_PX // 2]
    filled = np.flatnonzero((bar == figure._BAR_COLOUR).all(1))
    quarter = (figure._BAR_PX - 1) / 4
    assert filled.min() == pytest.approx(quarter, abs=2)
    assert filled.max() == pytest.approx(2 * quarter, abs=2)


def test_pictures_are_limited_and_a_notice_says_so(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "MAX_TILES", 2)
    monkeypatch.setattr("zfscope_analyzers.activations.analyzer.MAX_TILES", 2)
    result = analyze(context, top=5)
    assert len(result.pictures) == 3
    rows = result.tables["units"].records()
    assert [row["picture"] is None for row in rows] == [False, False, True, True, True]
    (notice,) = result.warnings
    assert (notice.code, notice.field) == ("pictures-of-first-maps", "top")
    assert notice.message == "pictures show the first 2 of 5 maps; name others in `maps`"
    assert analyze(context, maps=[1, 2, 3]).warnings[0].field == "maps"
    assert analyze(replace(context, pictures=False), top=5).warnings == ()


def test_the_sheet_names_layer_ranking_and_area(context: Context) -> None:
    box = {"x0": 10, "y0": 10, "x1": 40, "y1": 40}
    sheets = [
        pixels(analyze(context, **parameters).pictures[0])
        for parameters in ({}, {"rank": "sum"}, {"box": box}, {"y": 20, "x": 20}, {"maps": [0]})
    ]
    assert len({sheet.tobytes() for sheet in sheets}) == 5
