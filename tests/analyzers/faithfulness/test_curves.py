"""Deletion and insertion curves of a network whose class score is linear in the pixels."""

from typing import Any

import numpy as np
import pytest

from tests.analyzers.faithfulness.conftest import MakeContext, measure, npy
from zfscope.analysis.contract import Analysis, Context

# A photo of 4 x 4 pixels: above grey by 8 in the first row, 4 in the second, 2 and 1 in the others.
ROWS = np.repeat(np.array([[8], [4], [2], [1]]), 4, axis=1)
RIGHT = ROWS.astype(float)
GIVEN = {"value": "logit", "random": 0, "labels": ["first"], "step": 0.25, "removal": "grey"}


def curve(result: Analysis, name: str) -> list[Any]:
    return [row[name] for row in result.tables["curves"].records()]


def context_of(linear: MakeContext) -> Context:
    return linear(np.ones((4, 4)), 128 + ROWS)


def test_deletion_removes_the_highest_attributions_first(linear: MakeContext) -> None:
    result = measure(context_of(linear), attribution=npy(RIGHT), **GIVEN)
    # Each row of four pixels is a step: 4 * (8 + 4 + 2 + 1) = 60, less 32, 16, 8 and 4.
    assert curve(result, "deletion") == pytest.approx([60, 28, 12, 4, 0], abs=1e-4)
    assert curve(result, "share") == [0, 0.25, 0.5, 0.75, 1]
    # Trapezia of width 1/4: (60 + 28) / 8 + (28 + 12) / 8 + (12 + 4) / 8 + 4 / 8.
    assert result.numbers["deletion_area"] == pytest.approx(18.5)


def test_insertion_starts_without_pixels_and_inserts_the_highest_first(linear: MakeContext) -> None:
    result = measure(context_of(linear), attribution=npy(RIGHT), **GIVEN)
    assert curve(result, "insertion") == pytest.approx([0, 32, 48, 56, 60], abs=1e-4)
    assert result.numbers["insertion_area"] == pytest.approx(41.5)


def test_a_reversed_attribution_has_the_curves_of_the_opposite(linear: MakeContext) -> None:
    wrong = measure(context_of(linear), attribution=npy(-RIGHT), **GIVEN)
    assert curve(wrong, "deletion") == pytest.approx([60, 56, 48, 32, 0], abs=1e-4)
    assert curve(wrong, "insertion") == pytest.approx([0, 4, 12, 28, 60], abs=1e-4)


def test_steps_of_all_pixels_are_equal_and_end_with_none_left(linear: MakeContext) -> None:
    result = measure(context_of(linear), attribution=npy(RIGHT), **{**GIVEN, "step": 0.3})
    # Three steps of 16 pixels: 5, 11 and 16 are removed.
    assert curve(result, "share") == [0, 5 / 16, 11 / 16, 1]
    assert curve(result, "deletion") == pytest.approx([60, 60 - 32 - 4, 60 - 48 - 6, 0], abs=1e-4)


@pytest.mark.parametrize(("removal", "left"), [("grey", 0), ("mean", 60)])
def test_removed_pixels_are_grey_or_the_mean_of_the_crop(
    linear: MakeContext, removal: str, left: float
) -> None:
    result = measure(context_of(linear), attribution=npy(RIGHT), **{**GIVEN, "removal": removal})
    # The mean level is 3.75 above grey, rounded to 4 in whole levels.
    expected = left if removal == "grey" else 16 * 4
    assert curve(result, "deletion")[-1] == pytest.approx(expected, abs=1e-4)


def test_a_blur_keeps_a_uniform_photo_as_it_is(linear: MakeContext) -> None:
    uniform = linear(np.ones((4, 4)), np.full((4, 4), 138))
    result = measure(uniform, attribution=npy(RIGHT), **{**GIVEN, "removal": "blur"})
    assert curve(result, "deletion") == pytest.approx([160] * 5, abs=1e-3)


def test_a_random_order_has_the_area_under_the_diagonal(linear: MakeContext) -> None:
    generator = np.random.default_rng(1)
    weights = generator.uniform(0, 1, (32, 32))
    photo = 128 + generator.integers(1, 100, (32, 32))
    options = {**GIVEN, "random": 10, "step": 0.05}
    result = measure(linear(weights, photo), attribution=npy(weights), **options)
    clean = float((weights * (photo - 128)).sum())
    assert result.numbers["clean"] == pytest.approx(clean, rel=1e-4)
    assert result.numbers["random_area"] == pytest.approx(clean / 2, rel=0.02)
    shares = np.array(curve(result, "share"))
    np.testing.assert_allclose(curve(result, "random_deletion"), clean * (1 - shares), atol=0.05 * clean)
    np.testing.assert_allclose(curve(result, "random_insertion"), clean * shares, atol=0.05 * clean)
    assert (
        result.numbers["deletion_area"] < 0.9 * clean / 2 < 1.1 * clean / 2 < result.numbers["insertion_area"]
    )


def test_pixels_with_equal_attributions_are_removed_in_random_order(linear: MakeContext) -> None:
    # Only the left half of the photo counts. An order by position would remove row by row: half of each.
    weights = np.zeros((16, 16))
    weights[:, :8] = 1
    step = np.zeros((16, 16))
    step[0, 0] = 1
    context = linear(weights, np.full((16, 16), 129))
    areas = {
        measure(context, attribution=npy(step), seed=seed, **GIVEN).numbers["deletion_area"]
        for seed in range(3)
    }
    assert len(areas) == 3


def test_the_same_seed_gives_the_same_orders(linear: MakeContext) -> None:
    generator = np.random.default_rng(2)
    weights = generator.normal(size=(8, 8))
    context = linear(weights, 128 + generator.integers(0, 100, (8, 8)))
    options = {**GIVEN, "random": 3, "attribution": npy(weights)}
    first, again, other = (measure(context, seed=seed, **options) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.tensors["random"], again.tensors["random"])
    assert (first.tensors["random"] != other.tensors["random"]).any()


def test_several_photos_have_means_with_deviations(linear: MakeContext) -> None:
    context = linear(np.ones((4, 4)), 128 + ROWS, 128 + 2 * ROWS)
    options = {**GIVEN, "labels": [], "method_parameters": {"window": 1, "stride": 1, "value": "logit"}}
    result = measure(context, control=False, **options)
    areas = [row["deletion_area"] for row in result.tables["photos"].records()]
    assert areas == pytest.approx([18.5, 37], abs=1e-3)
    (row,) = [each for each in result.tables["summary"].records() if each["measure"] == "deletion_area"]
    assert row == {
        "measure": "deletion_area",
        "mean": pytest.approx(27.75, abs=1e-3),
        "deviation": pytest.approx(18.5 / 2**0.5, abs=1e-3),
        "photos": 2,
    }
    assert result.tensors["attributions"].shape == (2, 4, 4)


def test_the_pointing_game_tells_how_much_lies_inside(linear: MakeContext) -> None:
    attribution = np.array([[4, 0, 0, 0], [0, 3, 0, 0], [0, 0, 2, 0], [0, 0, 0, -9]])
    box = {"x0": 0, "y0": 0, "x1": 2, "y1": 2}
    result = measure(context_of(linear), attribution=npy(attribution), boxes=[box], **GIVEN)
    (photo,) = result.tables["photos"].records()
    assert photo["share_inside"] == pytest.approx(7 / 9)
    assert (photo["maximum_inside"], photo["area_inside"]) == (1, 0.25)
    outside = measure(
        context_of(linear),
        attribution=npy(attribution),
        boxes=[{"x0": 2, "y0": 2, "x1": 4, "y1": 4}],
        **GIVEN,
    )
    assert outside.tables["photos"].records()[0]["maximum_inside"] == 0


def test_an_attribution_without_positive_values_has_no_share_inside(linear: MakeContext) -> None:
    box = {"x0": 0, "y0": 0, "x1": 2, "y1": 2}
    result = measure(context_of(linear), attribution=npy(RIGHT - 100), boxes=[box], **GIVEN)
    (photo,) = result.tables["photos"].records()
    assert (photo["share_inside"], photo["maximum_inside"]) == (None, 1)


def test_an_attribution_that_does_not_win_is_said_to(linear: MakeContext) -> None:
    options = {**GIVEN, "random": 4}
    lost = measure(context_of(linear), attribution=npy(-RIGHT), **options)
    assert [notice.code for notice in lost.warnings] == ["no-better-than-random"] * 2
    # Equal for all photos, so that a run over a data set reports it once: without the areas.
    assert lost.warnings[0].message == (
        "the area of deletion by the given attribution is not below that of random orders: by this measure "
        "it ranks the pixels no better"
    )
    assert measure(context_of(linear), attribution=npy(RIGHT), **options).warnings == ()
