"""Occlusion: values of every window compared with full passes, and the maps and tables made from them."""

from dataclasses import replace

import numpy as np
import pytest

from tests.analyzers.occlude.conftest import SIDE, analyze, box, by_brute_force, grey, trace_of
from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Context


@pytest.mark.parametrize("method", ["incremental", "full"])
@pytest.mark.parametrize(("window", "stride"), [(8, 4), (5, 3), (32, 32), (7, 7)])
def test_every_window_matches_a_full_pass_over_the_occluded_photo(
    plain_context: Context, method: str, window: int, stride: int
) -> None:
    result = analyze(plain_context, window=window, stride=stride, method=method).tensors
    logits, totals = by_brute_force(plain_context, result["windows"], grey(plain_context))
    clean = softmax(trace_of(plain_context).outputs["fc8"].numpy())[0]
    map_number = int(trace_of(plain_context).outputs["relu5"][0].amax((1, 2)).argmax())

    np.testing.assert_allclose(result["values"][0], softmax(logits)[:, clean.argmax()], rtol=1e-4)
    np.testing.assert_array_equal(result["likeliest"], logits.argmax(1))
    np.testing.assert_allclose(result["totals"], totals[:, map_number], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (5, 4), (9, 9), (32, 5), (1, 1)])
def test_windows_cover_every_pixel_and_stay_inside_the_crop(
    plain_context: Context, window: int, stride: int
) -> None:
    windows = analyze(plain_context, window=window, stride=stride).tensors["windows"]
    covered = np.zeros((SIDE, SIDE), int)
    for y, x, rows, columns in windows:
        assert (rows, columns) == (window, window)
        assert 0 <= y <= SIDE - window
        assert 0 <= x <= SIDE - window
        covered[y : y + rows, x : x + columns] += 1
    assert covered.min() >= 1
    assert len(np.unique(windows, axis=0)) == len(windows)


def test_overlapping_windows_are_averaged_pixel_by_pixel(plain_context: Context) -> None:
    tensors = analyze(plain_context, window=9, stride=4).tensors
    for value_map, values in (
        (tensors["value-maps"][0], tensors["values"][0]),
        (tensors["total-map"], tensors["totals"]),
    ):
        for y, x in ((0, 0), (13, 7), (31, 31)):
            overlapping = [
                value
                for value, (top, left, rows, columns) in zip(values, tensors["windows"], strict=True)
                if top <= y < top + rows and left <= x < left + columns
            ]
            assert value_map[y, x] == pytest.approx(np.mean(overlapping), rel=1e-5)


def test_values_of_classes_are_in_the_requested_order(plain_context: Context) -> None:
    result = analyze(plain_context, classes=["dog", "n1"]).tensors
    logits, _ = by_brute_force(plain_context, result["windows"], grey(plain_context))
    np.testing.assert_allclose(result["values"], softmax(logits)[:, [3, 1]].T, rtol=1e-4)


def test_values_may_be_scores_before_the_softmax(plain_context: Context) -> None:
    result = analyze(plain_context, classes=["cat"], value="logit").tensors
    logits, _ = by_brute_force(plain_context, result["windows"], grey(plain_context))
    np.testing.assert_allclose(result["values"][0], logits[:, 2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["conv1", "relu5", "norm1"])
def test_any_map_of_any_layer_can_be_watched(plain_context: Context, layer: str) -> None:
    result = analyze(plain_context, layer=layer, map=2)
    _, totals = by_brute_force(plain_context, result.tensors["windows"], grey(plain_context), layer)
    np.testing.assert_allclose(result.tensors["totals"], totals[:, 2], rtol=1e-4, atol=1e-3)
    (watched,) = result.tables["watched"].records()
    clean = trace_of(plain_context).outputs[layer][0, 2].sum().item()
    assert (watched["layer"], watched["map"]) == (layer, 2)
    assert watched["clean_total"] == pytest.approx(clean, rel=1e-5)


def test_a_unit_of_a_fully_connected_layer_can_be_watched(plain_context: Context) -> None:
    result = analyze(plain_context, layer="fc7", map=3).tensors
    full = analyze(plain_context, layer="fc7", map=3, method="full").tensors
    np.testing.assert_allclose(result["totals"], full["totals"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", ["probability", "logit"])
@pytest.mark.parametrize("method", ["incremental", "full"])
def test_a_single_window_has_the_most_likely_classes_before_and_after(
    plain_context: Context, value: str, method: str
) -> None:
    bare = replace(plain_context, tensors=False)
    shape = box(10, 5, 50, 40)
    result = analyze(bare, boxes=[shape], classes=["dog"], value=value, method=method)
    window = analyze(plain_context, boxes=[shape]).tensors["windows"]
    logits, _ = by_brute_force(plain_context, window, grey(plain_context))
    clean, occluded = trace_of(plain_context).outputs["fc8"].numpy()[0], logits[0]
    if value == "probability":
        clean, occluded = softmax(clean[None])[0], softmax(occluded[None])[0]
    rows = result.tables["changes"].records()
    assert (dict(result.tensors), result.pictures) == ({}, ())
    assert [row["label"] for row in rows] == [
        plain_context.model.labels[index].name for index in (-clean).argsort()
    ]
    np.testing.assert_allclose([row["clean"] for row in rows], sorted(clean, reverse=True), rtol=1e-4)
    np.testing.assert_allclose([row["occluded"] for row in rows], occluded[(-clean).argsort()], rtol=1e-4)


def test_only_the_leading_classes_are_compared(
    plain_context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope_analyzers.occlude.result._COMPARED", 1)
    rows = analyze(plain_context, boxes=[box(10, 5, 50, 40)], fill="#ff0000").tables["changes"].records()
    every = [row["label"] for row in rows]
    before = max(rows, key=lambda row: row["clean"])["label"]
    assert every[0] == before
    assert len(every) <= 2


def test_several_windows_have_no_table_of_changes(plain_context: Context) -> None:
    assert "changes" not in analyze(plain_context).tables
    assert "changes" not in analyze(plain_context, boxes=[box(10, 5, 50, 40)] * 2).tables


def test_the_table_names_the_window_that_lowers_the_class_most(plain_context: Context) -> None:
    result = analyze(plain_context, classes=["ant", "dog"])
    for values, row in zip(result.tensors["values"], result.tables["classes"].records(), strict=True):
        y, x, rows, _ = result.tensors["windows"][values.argmin()]
        region = plain_context.images[0].geometries[0].region
        assert row["lowest"] == pytest.approx(values.min())
        assert row["x0"] == pytest.approx(region.x0 + x * region.width / SIDE)
        assert row["y1"] == pytest.approx(region.y0 + (y + rows) * region.width / SIDE)
