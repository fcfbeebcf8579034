"""The figure of the analyzer `top-k`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.analyzers.top_k.conftest import DEAD, analyze, records
from zfscope.analysis.contract import Context
from zfscope.images.decode import decode


def test_a_page_with_only_dead_maps_can_be_drawn(ready: Context) -> None:
    assert analyze(ready, layer="relu5", maps=[DEAD]).picture("top-k") is not None


@pytest.mark.parametrize(
    ("spoil", "colour"),
    [
        (lambda path: path.unlink(), (150, 50, 150)),
        (lambda path: path.write_text("other"), (190, 40, 20)),
    ],
)
def test_marked_records_are_framed_in_the_picture_and_explained(
    ready: Context, photos: Path, spoil: Callable[[Path], Any], colour: tuple[int, int, int]
) -> None:
    spoil(photos / records(analyze(ready, maps=[0]))[4]["path"])
    picture = analyze(ready, maps=[0]).picture("top-k")
    assert picture is not None
    pixels = decode(picture.png)
    assert ((pixels == colour).all(axis=2)).sum() > 4 * 3 * 70


def test_the_picture_states_the_scale_of_each_projection(ready: Context) -> None:
    picture = analyze(ready, maps=[2, 0], top=3).picture("top-k")
    assert picture is not None
    assert "128 grey = 0" in picture.scale
    _, *maps = picture.scale.split(". ")
    assert [text.split(":")[0] for text in maps] == ["map 2", "map 0"]
    assert [len(text.split(", ")) for text in maps] == [3, 3]


@pytest.mark.parametrize("top", [1, 2, 3, 4, 5, 9])
def test_any_number_of_photos_and_maps_can_be_drawn(ready: Context, top: int) -> None:
    for count in (1, 4, 12):
        assert analyze(ready, top=top, count=count, control=top == 4).picture("top-k") is not None
