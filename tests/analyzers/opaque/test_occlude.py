"""Occlusion of opaque models, compared with bare ONNX Runtime on windows that are pasted by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.analyzers.opaque.conftest import REASON, analyze, softmax_by_hand, without_passes
from tests.support.opaque_models import input_by_hand, reference_outputs, reference_scores
from zfscope.analysis.contract import Analysis, Context
from zfscope.errors import InputError
from zfscope_analyzers.occlude import figure

WINDOWS = {"window": 8, "stride": 6}


def occluded_inputs(context: Context, windows: NDArray[np.int64]) -> NDArray[np.float32]:
    inputs = []
    for y, x, rows, columns in windows.tolist():
        view = context.images[0].views[0].copy()
        view[y : y + rows, x : x + columns] = 128
        inputs.append(input_by_hand(view))
    return np.stack(inputs)


def watched_of(result: Analysis) -> dict[str, object]:
    (row,) = result.tables["watched"].records()
    return row


@pytest.mark.parametrize("value", ["logit", "probability"])
def test_values_equal_those_of_single_passes(context: Context, value: str) -> None:
    result = analyze("occlude", context, **WINDOWS, value=value, classes=["a", "d"])
    windows = result.tensors["windows"]
    assert len(windows) == 25
    expected = reference_scores(context.model.name, occluded_inputs(context, windows))
    if value == "probability":
        expected = softmax_by_hand(expected).astype(np.float32)
    assert np.ptp(expected, axis=0).min() > 1e-3, "the windows matter"
    np.testing.assert_allclose(result.tensors["values"], expected[:, [0, 3]].T, rtol=0, atol=1e-5)


def test_every_pixel_has_the_mean_of_its_windows(context: Context) -> None:
    result = analyze("occlude", context, **WINDOWS, value="logit", classes=["b"])
    windows = result.tensors["windows"]
    scores = reference_scores(context.model.name, occluded_inputs(context, windows))[:, 1]
    clean = reference_scores(context.model.name, input_by_hand(context.images[0].views[0])[None])[0, 1]
    expected = np.zeros((32, 32))
    for y, x in np.ndindex(32, 32):
        inside = [n for n, (top, left, *_) in enumerate(windows) if 0 <= y - top < 8 and 0 <= x - left < 8]
        expected[y, x] = scores[inside].mean()
    np.testing.assert_allclose(result.tensors["value-maps"][0], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.tensors["attribution"], clean - expected, rtol=0, atol=1e-5)


def test_totals_are_sums_of_the_watched_map(context: Context) -> None:
    result = analyze("occlude", context, **WINDOWS, map=2)
    layer = str(watched_of(result)["layer"])
    inputs = occluded_inputs(context, result.tensors["windows"])
    totals = reference_outputs(context.model, inputs, [layer])[layer][:, 2].reshape(len(inputs), -1).sum(1)
    # A quantised value next to the edge of its step may be rounded to the other.
    tolerance = 1e-4 if "int8" not in context.model.name else 2e-2 * np.abs(totals).max()
    np.testing.assert_allclose(result.tensors["totals"], totals, rtol=1e-4, atol=tolerance)


def test_full_passes_are_what_auto_does(context: Context) -> None:
    auto = analyze("occlude", context, **WINDOWS)
    full = analyze("occlude", context, **WINDOWS, method="full")
    np.testing.assert_array_equal(auto.tensors["values"], full.tensors["values"])


def test_partial_results_cover_the_finished_windows(context: Context) -> None:
    partial: list[Analysis] = []

    def progress(share: float, result: Callable[[], Analysis] | None) -> None:
        if result is not None and share < 1:
            partial.append(result())

    complete = analyze("occlude", replace(context, progress=progress, pictures=True), **WINDOWS)
    known = dict(zip(map(tuple, complete.tensors["windows"]), complete.tensors["values"][0], strict=True))
    assert [result.numbers["finished"] for result in partial] == [4, 8, 12, 16, 20, 24]
    for result in partial:
        assert [picture.name for picture in result.pictures] == ["occlusion"]
        for window, value in zip(result.tensors["windows"], result.tensors["values"][0], strict=True):
            assert value == known[tuple(window)]


def test_letters_of_panels_have_no_gap(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    for name in ("heat_panel", "photo_panel", "class_panel"):
        draw = getattr(figure, name)

        def drawn(*arguments: Any, draw: Any = draw, **options: Any) -> Any:
            captions.extend(each for each in arguments if isinstance(each, str))
            return draw(*arguments, **options)

        monkeypatch.setattr(figure, name, drawn)
    analyze("occlude", replace(context, pictures=True), **WINDOWS)
    assert [caption[:3] for caption in captions] == ["(a)", "(b)", "(c)", "(d)"]


def test_projections_are_left_out(context: Context) -> None:
    result = analyze("occlude", replace(context, pictures=True), **WINDOWS)
    assert [picture.name for picture in result.pictures] == ["occlusion"]
    assert {"projection", "control-projection"}.isdisjoint(result.tensors)
    assert watched_of(result)["ssim"] is None
    assert watched_of(result)["rank_correlation"] is None


@pytest.mark.parametrize(
    ("parameters", "field", "message"),
    [
        ({"method": "incremental"}, "method", "method is 'incremental', but model '.*' version 1 "),
        ({"control": True}, "control", "control is set, but model '.*' version 1 "),
    ],
)
def test_what_needs_layers_is_rejected_before_any_pass(
    context: Context, parameters: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(InputError, match=message + REASON) as caught:
        analyze("occlude", without_passes(context), **parameters)
    assert caught.value.field == field
