"""Correspondence analysis: the same part occluded in different photos."""

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import check_photos, read_params
from zfscope.engine.trace import trace
from zfscope.errors import Cancelled, InputError, NotFound
from zfscope.images.preprocess import prepare, prepare_tensor
from zfscope_analyzers.correspond import Correspond, CorrespondParams
from zfscope_analyzers.correspond.compare import change_signs, hamming_distances

WithPhotos = Callable[[Context, int], Context]
Boxes = list[dict[str, float]]

LAYERS = ("relu5", "relu7")


def box(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    return {"x0": x0, "y0": y0, "x1": x1, "y1": y1}


def part(*boxes: dict[str, float], name: str = "nose") -> dict[str, Any]:
    return {"name": name, "boxes": list(boxes)}


def analyze(context: Context, *parts: dict[str, Any], **params: Any) -> Analysis:
    read = read_params(Correspond(), {"parts": parts, "layers": LAYERS, "random": 0} | params)
    assert isinstance(read, CorrespondParams)
    return Correspond().analyze(context, read)


@pytest.fixture
def unscaled(plain_context: Context) -> Context:
    """Three photos of 36 x 36 pixels; the model sees the central 32 x 32 without resampling."""
    steps = plain_context.model.preprocessing
    photos = (np.random.default_rng(seed).integers(0, 256, (36, 36, 3), np.uint8) for seed in range(3))
    return replace(plain_context, images=tuple(prepare(photo, steps) for photo in photos))


def test_signs_of_features_that_decrease_increase_or_stay() -> None:
    before = np.array([[0.0, 2.0, 1.0, 4.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]], np.float32)
    after = np.array([[0.0, 1.0, 3.0, 4.0, 0.5], [1.0, 0.0, 1.0, 2.0, 1.0]], np.float32)
    assert change_signs(before, after).tolist() == [[0, 1, -1, 0, -1], [0, 1, 0, -1, 0]]


def test_a_change_within_rounding_counts_as_zero() -> None:
    before = np.array([[1000.0, 1.0, 1.0], [1.0, 1.0, 1.0]], np.float32)
    after = before - np.array([[0, 0.0009, 0.002], [0, 0.0009, 5e-7]], np.float32)
    assert change_signs(before, after).tolist() == [[0, 0, 1], [0, 1, 0]]


def test_the_distance_is_the_share_of_signs_that_differ() -> None:
    patterns = np.array([[0, 1, -1, 0], [0, 1, 1, 1], [1, 1, -1, 0]], np.int8)
    expected = [[0, 0.5, 0.25], [0.5, 0, 0.75], [0.25, 0.75, 0]]
    np.testing.assert_array_equal(hamming_distances(patterns), np.array(expected, np.float32))


def test_independent_signs_differ_in_two_thirds_of_the_features() -> None:
    """Three equally likely signs; the standard deviation of the mean over 20,000 is 0.0033."""
    patterns = np.random.default_rng(1).integers(-1, 2, (6, 20_000)).astype(np.int8)
    shares = hamming_distances(patterns)[np.triu_indices(6, k=1)]
    np.testing.assert_allclose(shares, 2 / 3, atol=4 * 0.0034)
    two_signs = np.where(patterns > 0, 1, -1).astype(np.int8)
    np.testing.assert_allclose(hamming_distances(two_signs)[0, 1], 2 * (1 / 3) * (2 / 3), atol=4 * 0.0036)


def test_distances_match_full_passes_over_photos_occluded_by_hand(unscaled: Context) -> None:
    corners = [(5, 8), (10, 4), (20, 17)]
    boxes = [box(x, y, x + 9, y + 7) for x, y in corners]
    result = analyze(unscaled, part(*boxes))
    patterns: dict[str, list[NDArray[np.floating]]] = {layer: [] for layer in LAYERS}
    for prepared, (x, y) in zip(unscaled.images, corners, strict=True):
        occluded = prepared.photo.copy()
        occluded[y : y + 7, x : x + 9] = 128
        pixels = np.concatenate([prepared.pixels, prepare(occluded, unscaled.model.preprocessing).pixels])
        outputs = trace(unscaled.model.network, torch.from_numpy(pixels)).outputs
        for layer, kept in patterns.items():
            x_before, x_after = outputs[layer].numpy().astype(np.float64).reshape(2, -1)
            change = x_before - x_after
            kept.append(np.sign(np.where(np.abs(change) > 1e-6 * x_before.max(), change, 0)))
    for column, layer in enumerate(LAYERS):
        pairs = [np.mean(a != b) for a, b in combinations(patterns[layer], 2)]
        row = result.tables["correspondence"].records()[column]
        assert (row["part"], row["layer"], row["pairs"]) == ("nose", layer, 3)
        # One feature at the rounding limit may count as changed or not.
        assert row["mean"] == pytest.approx(np.mean(pairs), abs=1e-3)
        assert row["deviation"] == pytest.approx(np.std(pairs), abs=1e-3)
        assert 0 < row["mean"] < 1


def test_identical_photos_change_identically(plain_context: Context) -> None:
    context = replace(plain_context, images=plain_context.images * 3)
    result = analyze(context, part(*[box(20, 12, 36, 30)] * 3))
    assert (result.tensors["hamming"] == 0).all()
    assert [row[2:] for row in result.tables["correspondence"].rows] == [(0.0, 0.0, 3)] * 2


def test_different_boxes_in_the_same_photo_change_differently(plain_context: Context) -> None:
    context = replace(plain_context, images=plain_context.images * 2)
    result = analyze(context, part(box(12, 6, 24, 18), box(30, 20, 42, 32)))
    assert all(row[2] > 0 for row in result.tables["correspondence"].rows)


def test_the_table_summarises_the_pairs_in_the_tensors(
    plain_context: Context, with_photos: WithPhotos
) -> None:
    context = with_photos(plain_context, 3)
    parts = part(*[box(20, 12, 36, 30)] * 3), part(*[box(30, 20, 40, 30)] * 3, name="eye")
    result = analyze(context, *parts, random=4)
    shares, control = result.tensors["hamming"], result.tensors["random-hamming"]
    assert (shares.shape, control.shape) == ((2, 2, 3, 3), (4, 2, 3, 3))
    pairs = [shares[0, 0], shares[0, 1], shares[1, 0], shares[1, 1]]
    upper = [pair[np.triu_indices(3, k=1)] for pair in pairs]
    upper += [control[:, layer][:, [0, 0, 1], [1, 2, 2]].flatten() for layer in (0, 1)]
    rows = result.tables["correspondence"].rows
    assert [row[:2] for row in rows] == [
        (name, layer) for name in ("nose", "eye", "random") for layer in LAYERS
    ]
    for row, expected in zip(rows, upper, strict=True):
        assert row[2:] == pytest.approx((expected.mean(), expected.std(), len(expected)), rel=1e-5)
    np.testing.assert_array_equal(shares, shares.transpose(0, 1, 3, 2))


def test_boxes_are_rounded_to_whole_pixels_of_the_crop(unscaled: Context) -> None:
    result = analyze(unscaled, part(box(5, 8, 9, 11), box(5.4, 7.6, 9.4, 11.4), box(1.6, 1.6, 34.4, 34)))
    assert result.tensors["boxes"].dtype == np.int64
    assert result.tensors["boxes"].tolist() == [[[3, 6, 7, 9], [3, 6, 7, 9], [0, 0, 32, 32]]]


def test_random_boxes_lie_in_the_crop_and_have_the_mean_size_of_the_parts_of_their_photo(
    unscaled: Context,
) -> None:
    first = part(box(5, 8, 9, 11), box(5, 8, 9, 11), box(5, 8, 30, 30))
    second = part(box(5, 8, 11, 13), box(5, 8, 9, 11), box(5, 8, 30, 30), name="eye")
    boxes = analyze(unscaled, first, second, random=50).tensors["random-boxes"]
    assert boxes.shape == (50, 3, 4)
    assert boxes.min() >= 0
    assert boxes.max() <= 32
    sizes = boxes[..., 2:] - boxes[..., :2]
    assert (sizes == [[5, 4], [4, 3], [25, 22]]).all()
    assert len({tuple(index) for index in boxes[:, 0].tolist()}) > 40


def test_random_boxes_come_from_the_seed(unscaled: Context) -> None:
    nose = part(*[box(5, 8, 12, 13)] * 3)
    draws = [
        analyze(unscaled, nose, random=3, **seed).tensors["random-boxes"].tolist()
        for seed in ({}, {"seed": 0}, {"seed": 1})
    ]
    assert draws[0] == draws[1] != draws[2]


def test_a_part_that_fills_the_crop_leaves_one_position_for_the_control(unscaled: Context) -> None:
    result = analyze(unscaled, part(*[box(2, 2, 34, 34)] * 3), random=2)
    assert (result.tensors["random-boxes"] == [0, 0, 32, 32]).all()


def test_the_fill_is_what_the_network_sees(unscaled: Context) -> None:
    nose = part(*[box(5, 8, 20, 25)] * 3)
    grey, black = (analyze(unscaled, nose, fill=fill).tensors["hamming"] for fill in ("grey", "black"))
    assert (grey != black).any()


def test_occlusion_of_an_image_tensor_changes_only_the_part(unscaled: Context) -> None:
    """Normalising the rounded view of the whole crop would change all features slightly."""
    generator = np.random.default_rng(4)
    tensors = [generator.normal(0, 1, (3, 32, 32)).astype(np.float32) for _ in range(2)]
    images = tuple(prepare_tensor(tensor, unscaled.model.preprocessing) for tensor in tensors)
    result = analyze(replace(unscaled, images=images), part(*[box(0, 0, 2, 2)] * 2), layers=("conv1",))
    assert result.tables["correspondence"].rows[0][2] < 4 / 14**2


@pytest.mark.parametrize(
    ("boxes", "field", "message"),
    [
        ([box(5, 8, 9, 11)] * 2, "parts[0].boxes", "of 'nose' has 2 boxes for 3 photos: give one box per"),
        (
            [box(5, 8, 9, 11)] * 2 + [box(30, 8, 36, 11)],
            "parts[0].boxes[2]",
            r"is \(30, 8\) to \(36, 11\); it must lie within \(2, 2\) to \(34, 34\), the part of the photo",
        ),
        ([box(5, 40, 9, 50), *[box(5, 8, 9, 11)] * 2], "parts[0].boxes[0]", "it must lie within"),
        (
            [box(5, 8, 5.2, 11), *[box(5, 8, 9, 11)] * 2],
            "parts[0].boxes[0]",
            "empty at the network's resolution",
        ),
        (
            [box(9, 8, 5, 11), *[box(5, 8, 9, 11)] * 2],
            "parts[0].boxes[0]",
            "the box is empty: x0 has to be less",
        ),
        ([box(5, 8, 9, 8), *[box(5, 8, 9, 11)] * 2], "parts[0].boxes[0]", "and y0 less than y1"),
        ([box(5, 8, float("nan"), 9)], "parts[0].boxes[0].x1", "finite"),
    ],
)
def test_boxes_that_do_not_fit_are_rejected_before_any_pass(
    unscaled: Context, boxes: Boxes, field: str, message: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a forward pass was run")

    with pytest.raises(InputError, match=message) as error:
        analyze(replace(unscaled, check_cancelled=never), part(*boxes))
    assert error.value.field == field


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({"parts": []}, "parts", "at least 1 item"),
        (
            {"parts": [part(name="random")]},
            "parts[0].name",
            "'random' is reserved for the control",
        ),
        ({"parts": [part(), part(name="eye"), part()]}, "parts", "'nose' is named more than once"),
        ({"parts": [part()], "layers": ["relu5", "relu5"]}, "layers", "'relu5' is named more than once"),
        ({"parts": [part()], "random": 101}, "random", "random is 101"),
        ({"parts": [part()], "fill": "edge"}, "fill", "fill is 'edge'"),
    ],
)
def test_parameters_out_of_range_are_rejected(params: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_params(Correspond(), params)
    assert error.value.field == field


def test_an_unknown_layer_is_rejected(plain_context: Context, with_photos: WithPhotos) -> None:
    with pytest.raises(NotFound, match=r"^layer 'pool5' not found; available: conv1") as error:
        analyze(with_photos(plain_context, 2), part(*[box(20, 12, 36, 30)] * 2), layers=("relu5", "pool5"))
    assert error.value.field == "layers[1]"


def test_a_single_photo_is_rejected() -> None:
    with pytest.raises(InputError, match=r"^1 photo; 'correspond' takes 2 to 32$"):
        check_photos(Correspond(), 1)


def test_the_cost_is_one_pass_without_occlusion_and_one_per_region(context: Context) -> None:
    params = read_params(Correspond(), {"parts": [part(*[box(0, 0, 1, 1)] * 5)], "random": 7})
    assert isinstance(params, CorrespondParams)
    assert Correspond().cost(context.model, params) == 1 + 1 + 7


def test_progress_increases_and_a_cancelled_call_stops(
    plain_context: Context, with_photos: WithPhotos
) -> None:
    reports: list[float] = []
    context = replace(with_photos(plain_context, 5), progress=lambda share, _: reports.append(share))
    nose = part(*[box(20, 12, 36, 30)] * 5)
    analyze(context, nose, random=2)
    assert reports == sorted(reports)
    assert len(reports) == 2 * 4
    assert reports[-1] == 1
    reports.clear()

    def check() -> None:
        if len(reports) == 3:
            raise Cancelled("the client cancelled the call or disconnected")

    with pytest.raises(Cancelled):
        analyze(replace(context, check_cancelled=check), nose)
    assert len(reports) == 3


@pytest.mark.parametrize("count", [2, 9, 32])
def test_the_picture_has_a_row_for_each_part_and_one_for_the_control(
    context: Context, with_photos: WithPhotos, count: int
) -> None:
    context = with_photos(context, count)
    parts = [part(*[box(20, 12, 36, 30)] * count, name=name) for name in ("nose", "a part with a long name")]
    heights = []
    for shown, draws in ((parts[:1], 0), (parts, 0), (parts, 1)):
        (picture,) = analyze(context, *shown, random=draws).pictures
        image = Image.open(io.BytesIO(picture.png))
        image.load()
        assert picture.name == "correspondence"
        assert image.text["zfscope:scale"] == picture.scale  # type: ignore[attr-defined]
        heights.append(image.height)
    assert heights[0] < heights[1] < heights[2]
