"""Occlusion: values of every window compared with full passes, and the maps and tables made from them."""

import base64
import copy
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import project, trace
from zfscope.engine.seeds import strongest_unit
from zfscope.errors import Cancelled, InputError, NotFound
from zfscope.images.heat import heat_panel
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import prepare
from zfscope.store import Weights
from zfscope_analyzers.occlude import figure as occlude_figure
from zfscope_analyzers.occlude import setup
from zfscope_analyzers.occlude.passes import likeliest_classes
from zfscope_analyzers.occlude.windows import OcclusionWindow, likeliest_map

OCCLUDE = load_analyzers().analyzer("occlude")
SIDE = 32


def box(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    return {"x0": x0, "y0": y0, "x1": x1, "y1": y1}


def analyze(context: Context, **parameters: Any) -> Analysis:
    return OCCLUDE.analyze(context, read_params(OCCLUDE, {"window": 8, "stride": 4, **parameters}))


def by_brute_force(
    context: Context, windows: NDArray[np.int64], colour: NDArray[np.uint8], layer: str = "relu5"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Paint each window onto the crop and run all; return class scores and totals of the layer's maps."""
    network, steps = context.model.network, context.model.preprocessing
    images = []
    for y, x, rows, columns in windows:
        view = context.images[0].views[0].copy()
        view[y : y + rows, x : x + columns] = colour[y : y + rows, x : x + columns]
        images.append(normalise(view, steps))
    result = trace(network, torch.from_numpy(np.stack(images)))
    return result.outputs["fc8"].numpy(), result.outputs[layer].flatten(2).sum(2).numpy()


def grey(context: Context) -> NDArray[np.uint8]:
    return np.full_like(context.images[0].views[0], 128)


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


def trace_of(context: Context) -> Any:
    return trace(context.model.network, torch.from_numpy(context.images[0].pixels))


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
            over = [
                value
                for value, (top, left, rows, columns) in zip(values, tensors["windows"], strict=True)
                if top <= y < top + rows and left <= x < left + columns
            ]
            assert value_map[y, x] == pytest.approx(np.mean(over), rel=1e-5)


def test_values_of_classes_are_in_the_requested_order(plain_context: Context) -> None:
    several = analyze(plain_context, classes=["dog", "n1"]).tensors
    logits, _ = by_brute_force(plain_context, several["windows"], grey(plain_context))
    np.testing.assert_allclose(several["values"], softmax(logits)[:, [3, 1]].T, rtol=1e-4)


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


def test_the_map_s_strongest_unit_is_projected(plain_context: Context) -> None:
    result = trace_of(plain_context)
    unit = strongest_unit(result, "relu5", 0, 4)
    expected = project(plain_context.model.network, result, "relu5", [unit])[0].numpy()
    np.testing.assert_allclose(analyze(plain_context, map=4).tensors["projection"], expected, atol=1e-6)


@pytest.mark.parametrize("down_to", ["", "conv5"])
def test_the_control_equals_that_of_the_analyzer_project(plain_context: Context, down_to: str) -> None:
    wanted = {"control": True, "control_down_to": down_to}
    result = analyze(plain_context, map=4, **wanted)
    strongest = strongest_unit(trace_of(plain_context), "relu5", 0, 4)
    unit = {"map": 4, "y": strongest.y, "x": strongest.x}
    project = load_analyzers().analyzer("project")
    params = read_params(project, {"layer": "relu5", "units": [unit], **wanted})
    expected = project.analyze(plain_context, params)
    np.testing.assert_array_equal(result.tensors["control-projection"], expected.tensors["controls"][0])
    (watched,) = result.tables["watched"].records()
    (row,) = expected.tables["projections"].records()
    assert watched["ssim"] == row["ssim"]
    assert watched["rank_correlation"] == row["rank_correlation"]


def test_without_a_control_nothing_is_compared(plain_context: Context) -> None:
    result = analyze(plain_context)
    assert "control-projection" not in result.tensors
    (watched,) = result.tables["watched"].records()
    assert (watched["ssim"], watched["rank_correlation"]) == (None, None)


def test_the_control_adds_a_panel(context: Context) -> None:
    heights = [
        Image.open(
            io.BytesIO(analyze(context, classes=["ant", "cat"], control=control).pictures[0].png)
        ).height
        for control in (False, True)
    ]
    assert heights[1] > heights[0]


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


def mask_file(mask: NDArray[np.bool_]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


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
    painted = [np.where(mask[2:34, 2:34, None], (255, 128, 0), view) for mask in RANDOM_MASKS]
    pixels = np.stack([normalise(crop.astype(np.uint8), steps) for crop in (view, *painted)])
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
    clean, (one, two) = row["clean"], result.tensors["values"][0]
    both = (one + two) / 2
    assert result.tensors["windows"].tolist() == [[10, 10, 2, 2], [10, 10, 3, 2]]
    expected = [[one, both, clean], [one, two, clean], [two, clean, clean]]
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
    (drawn,) = analyze(context, masks=[mask_file(mask)], fill="#ff0000").pictures
    panel = np.asarray(Image.open(io.BytesIO(drawn.png)).convert("RGB"))[:, 36:436].astype(int)
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


def test_the_table_names_the_window_that_lowers_the_class_most(plain_context: Context) -> None:
    result = analyze(plain_context, classes=["ant", "dog"])
    for values, row in zip(result.tensors["values"], result.tables["classes"].records(), strict=True):
        y, x, rows, _ = result.tensors["windows"][values.argmin()]
        region = plain_context.images[0].geometries[0].region
        assert row["lowest"] == pytest.approx(values.min())
        assert row["x0"] == pytest.approx(region.x0 + x * region.width / SIDE)
        assert row["y1"] == pytest.approx(region.y0 + (y + rows) * region.width / SIDE)


GOOD_MASK = mask_file(np.ones((48, 60), bool))


@pytest.mark.parametrize(
    ("parameters", "error", "field", "message"),
    [
        (
            {"window": 33},
            InputError,
            "window",
            "window is 33; allowed: 1 to 32 \\(the network reads 32 x 32 pixels\\)",
        ),
        ({"window": 0}, InputError, "window", "window is 0"),
        ({"window": -4}, InputError, "window", "window is -4"),
        ({"stride": 0}, InputError, "stride", "stride is 0"),
        ({"window": 5, "stride": 8}, InputError, "stride", "stride 8 is larger than window 5"),
        ({"window": 0, "stride": 8}, InputError, "window", "window is 0"),
        ({"stride": 9}, InputError, "stride", "stride 9 is larger than window 8: some pixels would"),
        (
            {"classes": ["ant", "wolf"]},
            NotFound,
            r"classes\[1\]",
            "label 'wolf' not found; this model has 'ant'",
        ),
        ({"fill": "pink"}, InputError, "fill", "fill is 'pink'"),
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found"),
        ({"map": 12}, NotFound, "map", "no map 12 in layer 'relu5'; map runs from 0 to 11"),
        (
            {"boxes": [{"x0": 3, "y0": 3, "x1": 3, "y1": 9}]},
            InputError,
            r"boxes\[0\]",
            "the box is empty: x0 has to be less than x1",
        ),
        ({"masks": ["nose.png"]}, InputError, r"masks\[0\]", "not valid base64"),
        (
            {"masks": [b"not an image"]},
            InputError,
            r"masks\[0\]",
            r"masks\[0\] is not an image: it starts with 6e 6f",
        ),
        (
            {"masks": [GOOD_MASK, mask_file(np.ones((60, 48), bool))]},
            InputError,
            r"masks\[1\]",
            r"masks\[1\] is 48 x 60 pixels; the photo is 60 x 48",
        ),
        (
            {"masks": [GOOD_MASK, GOOD_MASK, mask_file(np.zeros((48, 60), bool))]},
            InputError,
            r"masks\[2\]",
            r"masks\[2\] has no occluded pixel within .* the network sees, \(8.66667, 2.66667\) to",
        ),
        ({"control_down_to": "conv9"}, NotFound, "control_down_to", "layer 'conv9' not found"),
        ({"control_down_to": "fc6"}, InputError, "control_down_to", "which comes after 'relu5'"),
        ({"masks": [GOOD_MASK] * 257}, InputError, "masks", "at most 256 items"),
        (
            {"masks": [GOOD_MASK], "boxes": [{"x0": 20, "y0": 10, "x1": 30, "y1": 20}]},
            InputError,
            "boxes",
            "masks are set too; set only one of them",
        ),
        ({"boxes": [box(3, 3, float("inf"), 9)]}, InputError, r"boxes\[0\].x1", "finite"),
        (
            {"boxes": [{"x0": 0, "y0": 0, "x1": 2, "y1": 2}]},
            InputError,
            r"boxes\[0\]",
            "outside of the part of the photo that the network sees",
        ),
    ],
)
def test_invalid_regions_are_rejected_before_any_pass(
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, Any],
    error: type[Exception],
    field: str,
    message: str,
) -> None:
    monkeypatch.setattr(setup, "trace", None)
    with pytest.raises(error, match=message) as caught:
        analyze(context, **parameters)
    assert re.fullmatch(field, caught.value.field)


def test_the_default_stride_must_not_exceed_a_small_window() -> None:
    with pytest.raises(InputError, match="stride 8 is larger than window 4") as caught:
        read_params(OCCLUDE, {"window": 4})
    assert caught.value.field == "stride"


def test_the_cost_is_one_pass_per_window(context: Context) -> None:
    params = read_params(OCCLUDE, {"window": 8, "stride": 4})
    assert OCCLUDE.cost(context.model, params) == 49 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"window": 1, "stride": 1})) == 32**2 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"boxes": [box(0, 0, 1, 1)] * 7})) == 7 + 2
    assert OCCLUDE.cost(context.model, read_params(OCCLUDE, {"masks": [b"a mask"] * 3})) == 3 + 2


def test_partial_results_show_the_map_so_far(context: Context) -> None:
    reports: list[tuple[float, Analysis | None]] = []
    analyze(
        replace(context, progress=lambda share, partial=None: reports.append((share, partial and partial())))
    )
    shares = [share for share, _ in reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert reports[-1][1] is not None
    assert reports[-1][1].pictures[0].png.startswith(b"\x89PNG")


def test_a_cancelled_call_stops_between_two_batches(context: Context) -> None:
    asked = 0

    def cancel() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Cancelled("the client cancelled the call or disconnected")

    with pytest.raises(Cancelled):
        analyze(replace(context, check_cancelled=cancel), method="full", window=4, stride=2)
    assert asked == 2


def test_a_cancelled_call_stops_between_two_masks(cancelled_context: Context) -> None:
    with pytest.raises(Cancelled):
        analyze(cancelled_context, masks=[b"not an image"])


def test_all_of_figure_7_is_in_one_picture(context: Context) -> None:
    (drawn,) = analyze(context, classes=["ant", "bee"]).pictures
    assert drawn.name == "occlusion"
    assert "viridis" in drawn.scale
    assert Image.open(io.BytesIO(drawn.png)).width > 1000


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
    drawn: dict[str, int] = {}

    def record(values: Any, view: Any, caption: str, **options: Any) -> Image.Image:
        panel = heat_panel(values, view, caption, **options)
        drawn[caption] = len(np.unique(np.asarray(panel)[:400, :400].reshape(-1, 3), axis=0))
        return panel

    monkeypatch.setattr(occlude_figure, "heat_panel", record)
    analyze(level_context, classes=["dog"])
    assert len(drawn) == 2
    assert all(caption.endswith("; no window changes it") for caption in drawn)
    assert list(drawn.values()) == [1, 1]


def test_ties_within_rounding_are_won_by_the_class_of_the_clean_photo(context: Context) -> None:
    run = setup.prepare_run(context, OCCLUDE.params())
    clean = int(run.clean.argmax())
    other = (clean + 1) % 4
    logits = np.zeros((2, 4), np.float32)
    logits[0, [clean, other]] = 1, 1 + 5e-7
    logits[1, [clean, other]] = 1, 1.01
    assert likeliest_classes(run, logits).tolist() == [clean, other]
