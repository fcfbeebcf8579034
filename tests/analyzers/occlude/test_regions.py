"""Occlusion by boxes and masks, and the fill of the occluded pixels."""

import base64
import copy
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.analyzers.occlude.conftest import SIDE, analyze, box, by_brute_force, grey, mask_file
from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Context
from zfscope.engine import trace
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import prepare
from zfscope.store import Weights
from zfscope_analyzers.occlude.windows import OcclusionWindow, likeliest_map


@pytest.mark.parametrize(
    ("fill", "colour"),
    [
        ("grey", lambda view: np.full_like(view, 128)),
        (
            "mean",
            lambda view: np.broadcast_to(view.reshape(-1, 3).mean(0).round().astype(np.uint8), view.shape),
        ),
        ("#ff8000", lambda view: np.full_like(view, (255, 128, 0))),
    ],
)
def test_the_fill_is_painted_before_preprocessing(
    plain_context: Context, fill: str, colour: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    result = analyze(plain_context, fill=fill, classes=["bee"]).tensors
    logits, _ = by_brute_force(plain_context, result["windows"], colour(plain_context.images[0].views[0]))
    np.testing.assert_allclose(result["values"][0], softmax(logits)[:, 1], rtol=1e-4)


def test_a_blur_keeps_the_local_colours(plain_context: Context) -> None:
    grey_drop, blur_drop = (analyze(plain_context, fill=fill).tensors["values"] for fill in ("grey", "blur"))
    assert not np.allclose(grey_drop, blur_drop)
    flat = np.full((48, 60, 3), 77, np.uint8)
    still = replace(plain_context, images=(prepare(flat, plain_context.model.preprocessing),))
    values = analyze(still, fill="blur").tensors["values"]
    np.testing.assert_allclose(values, values[0, 0], rtol=1e-5)


def test_boxes_replace_the_sliding_window(plain_context: Context) -> None:
    # The 32-pixel crop is 32/36 of the photo's height of 48: a scale of 4/3, starting at (8.67, 2.67).
    boxes = [box(20, 10, 30, 30), box(-5, -5, 12, 12)]
    result = analyze(plain_context, boxes=boxes).tensors
    region = plain_context.images[0].geometries[0].region
    scale = region.width / SIDE
    first = [int((10 - region.y0) / scale), int((20 - region.x0) / scale)]
    assert result["windows"][0, :2].tolist() == first
    assert result["windows"][1, :2].tolist() == [0, 0]
    logits, _ = by_brute_force(plain_context, result["windows"], grey(plain_context))
    np.testing.assert_array_equal(result["likeliest"], logits.argmax(1))


@pytest.fixture
def in_float64(plain_context: Context) -> Context:
    """A photo of 36 x 36 pixels; the model sees the central 32 x 32, and runs in double precision."""
    photo = np.random.default_rng(5).integers(0, 256, (36, 36, 3), np.uint8)
    network = copy.deepcopy(plain_context.model.network).double()
    images = (prepare(photo, plain_context.model.preprocessing),)
    model = replace(plain_context.model, weights=Weights.from_network(network))
    return replace(plain_context, model=model, images=images)


RANDOM_MASKS = (
    np.random.default_rng(9).random((5, 36, 36)) < np.array([0.001, 0.01, 0.1, 0.5, 0.9])[:, None, None]
)
RANDOM_MASKS[:, 10:14, 20:22] |= np.random.default_rng(3).random((5, 4, 2)) < 0.5
RANDOM_MASKS[:, 30, 30] = True


def test_a_mask_matches_a_full_pass_over_its_painted_pixels(in_float64: Context) -> None:
    network, steps = in_float64.model.network, in_float64.model.preprocessing
    view = in_float64.images[0].views[0]
    occluded = [np.where(mask[2:34, 2:34, None], (255, 128, 0), view) for mask in RANDOM_MASKS]
    pixels = np.stack([normalise(crop.astype(np.uint8), steps) for crop in (view, *occluded)])
    expected = trace(network, torch.from_numpy(pixels).double()).outputs
    clean, *logits = expected["fc8"].numpy()
    totals = expected["conv5"][1:, 4].sum((1, 2)).numpy()

    masks = [mask_file(mask) for mask in RANDOM_MASKS]
    result = analyze(in_float64, masks=masks, fill="#ff8000", layer="conv5", map=4).tensors

    probabilities = softmax(np.array(logits, np.float64))[:, clean.argmax()]
    np.testing.assert_allclose(result["values"][0], probabilities, rtol=1e-6)
    np.testing.assert_array_equal(result["likeliest"], np.argmax(logits, axis=1))
    np.testing.assert_allclose(result["totals"], totals, rtol=1e-5)


@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_both_methods_agree_on_masks(plain_context: Context, fill: str) -> None:
    masks = [
        mask_file(np.random.default_rng(seed).random((48, 60)) < share)
        for seed, share in enumerate((0.02, 0.5))
    ]
    parameters = {"masks": masks, "fill": fill, "value": "logit", "classes": ["ant", "dog"]}
    fast, full = (analyze(plain_context, **parameters, method=m).tensors for m in ("incremental", "full"))
    for name, tensor in fast.items():
        np.testing.assert_allclose(tensor, full[name], rtol=1e-4, atol=1e-4)


def test_a_rectangular_mask_equals_a_box(in_float64: Context) -> None:
    mask = np.zeros((36, 36), bool)
    mask[8:20, 5:15] = True
    boxed = analyze(in_float64, boxes=[box(5, 8, 15, 20)])
    masked = analyze(in_float64, masks=[base64.b64encode(mask_file(mask)).decode()])
    assert masked.tables == boxed.tables
    for name, tensor in boxed.tensors.items():
        np.testing.assert_array_equal(masked.tensors[name], tensor)


def test_maps_average_a_mask_only_over_its_own_pixels(in_float64: Context) -> None:
    """Two masks of three pixels each in 2 x 2 windows; they share a window and one pixel."""
    masks = np.zeros((2, 36, 36), bool)
    masks[0, 12:14, 12:14] = [[1, 1], [1, 0]]
    masks[1, 12:14, 12:14] = [[0, 1], [0, 1]]
    masks[1, 14, 12] = True
    result = analyze(in_float64, masks=[mask_file(mask) for mask in masks])
    (row,) = result.tables["classes"].records()
    clean, (first, second) = row["clean"], result.tensors["values"][0]
    both = (first + second) / 2
    assert result.tensors["windows"].tolist() == [[10, 10, 2, 2], [10, 10, 3, 2]]
    expected = [[first, both, clean], [first, second, clean], [second, clean, clean]]
    np.testing.assert_allclose(result.tensors["value-maps"][0, 10:13, 10:13], expected, rtol=1e-6)
    np.testing.assert_allclose(result.tensors["photo-value-maps"][0, 12:15, 12:15], expected, rtol=1e-6)
    assert (result.tensors["value-maps"] != np.float32(clean)).sum() == 5
    (watched,) = result.tables["watched"].records()
    assert (np.abs(result.tensors["total-map"] - watched["clean_total"]) > 1e-4).sum() == 5


def test_the_most_likely_class_of_a_pixel_is_voted_by_its_masks() -> None:
    windows = [
        OcclusionWindow(0, 0, 1, 3, np.array([[1, 0, 1]], bool)),
        OcclusionWindow(0, 1, 1, 2),
        OcclusionWindow(0, 2, 1, 1),
    ]
    result = likeliest_map(np.array([5, 7, 5]), windows, (1, 4), elsewhere=2)
    assert result.tolist() == [[5, 7, 5, 2]]


def test_the_picture_paints_only_the_mask(context: Context) -> None:
    """Panel (a) is the first one: 400 pixels wide, at the left margin, below the heading."""
    mask = np.zeros((48, 60), bool)
    mask[10:40, 20:40] = True
    mask[20:30, 26:34] = False
    photo = np.full((48, 60, 3), 60, np.uint8)
    context = replace(context, images=(prepare(photo, context.model.preprocessing),))
    (picture,) = analyze(context, masks=[mask_file(mask)], fill="#ff0000").pictures
    panel = np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB"))[:, 36:436].astype(int)
    red = (panel[..., 0] > 250) & (panel[..., 1] < 5)
    window = red[red.any(1)][:, red.any(0)]
    assert window.mean() == pytest.approx(mask[10:40, 20:40].mean(), abs=0.05)
    assert not window[len(window) // 2, window.shape[1] // 2]


def test_pixels_outside_of_all_boxes_have_the_clean_value(plain_context: Context) -> None:
    result = analyze(plain_context, boxes=[box(20, 10, 30, 20)])
    (row,) = result.tables["classes"].records()
    assert result.tensors["value-maps"][0, -1, -1] == pytest.approx(row["clean"])
    assert result.tensors["photo-value-maps"][0, 0, 0] == pytest.approx(row["clean"])
    assert result.tensors["photo-value-maps"].shape == (1, 48, 60)
    assert result.tensors["photo-value-maps"][0, 15, 25] == pytest.approx(row["lowest"], rel=1e-5)
