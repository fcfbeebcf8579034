"""Occlusion without effect, and differences that are only rounding."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.analyzers.occlude.conftest import OCCLUDE, analyze, box
from zfscope.analysis.contract import Context
from zfscope.images.heat import heat_panel
from zfscope.images.preprocess import prepare
from zfscope_analyzers.occlude import figure as occlude_figure
from zfscope_analyzers.occlude import setup
from zfscope_analyzers.occlude.passes import likeliest_classes


@pytest.fixture
def level_context(context: Context) -> Context:
    """In a photo with the colour of the fill no window changes anything."""
    photo = np.full((48, 60, 3), 128, np.uint8)
    return replace(context, images=(prepare(photo, context.model.preprocessing),), tensors=True)


@pytest.mark.parametrize("method", ["incremental", "full"])
@pytest.mark.parametrize("value", ["probability", "logit"])
def test_without_any_effect_no_window_is_named(level_context: Context, method: str, value: str) -> None:
    result = analyze(level_context, method=method, value=value, classes=["ant", "dog"])
    for row in result.tables["classes"].records():
        assert row["lowest"] == pytest.approx(row["clean"], rel=1e-5)
        assert [row[side] for side in ("x0", "y0", "x1", "y1")] == [None] * 4


def test_a_window_that_only_raises_a_class_is_not_named_as_lowest(context: Context) -> None:
    boxes = [box(x, y, x + 12, y + 12) for x in (8, 20, 32) for y in (8, 20, 32)]
    whole = analyze(replace(context, tensors=True), boxes=boxes, classes=["ant"])
    (row,), values = whole.tables["classes"].records(), whole.tensors["values"][0]
    for each, value in zip(boxes, values, strict=True):
        (alone,) = analyze(context, boxes=[each], classes=["ant"]).tables["classes"].records()
        assert (alone["x0"] is None) == (value >= row["clean"])


def test_differences_within_rounding_have_one_colour_and_a_note(
    level_context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours: dict[str, int] = {}

    def record(values: Any, view: Any, caption: str, **options: Any) -> Image.Image:
        panel = heat_panel(values, view, caption, **options)
        colours[caption] = len(np.unique(np.asarray(panel)[:400, :400].reshape(-1, 3), axis=0))
        return panel

    monkeypatch.setattr(occlude_figure, "heat_panel", record)
    analyze(level_context, classes=["dog"])
    assert len(colours) == 2
    assert all(caption.endswith("; no window changes it") for caption in colours)
    assert list(colours.values()) == [1, 1]


def test_ties_within_rounding_are_won_by_the_class_of_the_clean_photo(context: Context) -> None:
    run = setup.prepare_run(context, OCCLUDE.params())
    clean = int(run.clean.argmax())
    other = (clean + 1) % 4
    logits = np.zeros((2, 4), np.float32)
    logits[0, [clean, other]] = 1, 1 + 5e-7
    logits[1, [clean, other]] = 1, 1.01
    assert likeliest_classes(run, logits).tolist() == [clean, other]
