"""Invariance: features and classes of photos that are translated, scaled and rotated."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.classification import classify
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.run import read_params
from zfscope.engine.trace import trace
from zfscope.errors import Cancelled, InputError, NotFound
from zfscope.images.preprocess import prepare
from zfscope.store import Label
from zfscope_analyzers.invariance import InvarianceAnalyzer, InvarianceParams

Rgb = NDArray[np.uint8]
WithPhotos = Callable[[Context, int], Context]

FEW: dict[str, Any] = {"translations_px": (-2, 0, 1), "scales": (1, 1.5), "rotations_deg": (0, 90)}


def analysed(context: Context, **params: Any) -> Analysis:
    read = read_params(InvarianceAnalyzer(), FEW | params)
    assert isinstance(read, InvarianceParams)
    return InvarianceAnalyzer().analyze(context, read)


@pytest.fixture
def unscaled(plain_context: Context) -> Context:
    """A photo of 36 x 36 pixels; the model sees the central 32 x 32 without resampling."""
    photo = np.random.default_rng(5).integers(0, 256, (36, 36, 3), np.uint8)
    return replace(plain_context, images=(prepare(photo, plain_context.model.preprocessing),))


def outputs(context: Context, view: Rgb) -> dict[str, NDArray[np.float64]]:
    """Run a single crop through the whole network, with the preprocessing written out."""
    mean = np.array([123.68, 116.779, 103.939], np.float32)
    pixels = ((view.astype(np.float32) - mean) / 50).transpose(2, 0, 1)
    traced = trace(context.model.network, torch.from_numpy(np.ascontiguousarray(pixels)[None]))
    return {name: maps.numpy().astype(np.float64).flatten() for name, maps in traced.outputs.items()}


def test_distances_match_full_passes_over_crops_made_by_hand(unscaled: Context) -> None:
    photo = unscaled.images[0].photo
    result = analysed(
        unscaled, transformations=("vertical", "horizontal", "rotation"), layers=("relu1", "fc7")
    )
    crops = {
        "vertical": [photo[4:36, 2:34], photo[2:34, 2:34], photo[1:33, 2:34]],
        "horizontal": [photo[2:34, 4:36], photo[2:34, 2:34], photo[2:34, 1:33]],
        "rotation": [photo[2:34, 2:34], np.rot90(photo)[2:34, 2:34]],
    }
    before = outputs(unscaled, photo[2:34, 2:34])
    for kind, views in crops.items():
        after = [outputs(unscaled, view) for view in views]
        expected = [[np.linalg.norm(x[name] - before[name]) for name in ("relu1", "fc7")] for x in after]
        norms = [np.linalg.norm(before[name]) for name in ("relu1", "fc7")]
        np.testing.assert_allclose(result.tensors[f"{kind}-distances"][0], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            result.tensors[f"{kind}-normalised"][0], np.array(expected) / norms, rtol=1e-4, atol=1e-6
        )
        powers = np.exp([x["fc8"] for x in after])
        target = int(before["fc8"].argmax())
        probabilities = powers[:, target] / powers.sum(axis=1)
        np.testing.assert_allclose(result.tensors[f"{kind}-probabilities"][0], probabilities, rtol=1e-4)


def test_an_identity_transformation_has_distance_zero_and_the_original_probability(
    plain_context: Context,
) -> None:
    result = analysed(plain_context, transformations=("vertical", "scale", "rotation"))
    best = classify(plain_context.model, plain_context.runtime, plain_context.images[0], top=1)[0]
    for kind, index in (("vertical", 1), ("scale", 0), ("rotation", 0)):
        assert (result.tensors[f"{kind}-distances"][0, index] == 0).all()
        assert result.tensors[f"{kind}-probabilities"][0, index] == pytest.approx(best.probability, rel=1e-5)
    photo, label_id, label, chosen, probability = result.tables["photos"].rows[0]
    assert (photo, label_id, label, chosen) == (0, best.label_id, best.label, "likeliest")
    assert probability == pytest.approx(best.probability, rel=1e-5)


def test_every_other_transformation_changes_the_features(plain_context: Context) -> None:
    result = analysed(plain_context)
    assert (result.tensors["vertical-distances"][0, [0, 2]] > 0).all()
    assert (result.tensors["scale-distances"][0, 1] > 0).all()
    assert (result.tensors["rotation-distances"][0, 1] > 0).all()


def test_without_features_any_change_has_a_normalised_distance_of_one(plain_context: Context) -> None:
    steps = plain_context.model.preprocessing.model_copy(update={"mean": (0.0, 0.0, 0.0)})
    manifest = plain_context.model.manifest.model_copy(update={"preprocessing": steps})
    black = prepare(np.zeros((36, 36, 3), np.uint8), steps)
    context = replace(plain_context, model=replace(plain_context.model, manifest=manifest), images=(black,))
    result = analysed(context, transformations=("vertical",), translations_px=(1, 8), fill="grey")
    np.testing.assert_array_equal(result.tensors["vertical-normalised"][0, :, 0], [0, 1])


def test_photos_are_measured_independently(plain_context: Context, with_photos: WithPhotos) -> None:
    together = analysed(with_photos(plain_context, 3))
    for number, prepared in enumerate(with_photos(plain_context, 3).images):
        alone = analysed(replace(plain_context, images=(prepared,)))
        for name, values in alone.tensors.items():
            expected = values if name.endswith("-values") else values[0]
            result = together.tensors[name] if name.endswith("-values") else together.tensors[name][number]
            np.testing.assert_array_equal(result, expected)


def test_the_table_matches_the_tensors(plain_context: Context, with_photos: WithPhotos) -> None:
    result = analysed(with_photos(plain_context, 2), transformations=("scale", "rotation"))
    records = result.tables["curves"].records()
    assert len(records) == 2 * (2 + 2) * 2
    layers = ("relu1", "relu7")
    for record in records:
        kind, photo, layer = record["transformation"], record["photo"], layers.index(record["layer"])
        index = (FEW["scales"] if kind == "scale" else FEW["rotations_deg"]).index(record["value"])
        assert record["distance"] == result.tensors[f"{kind}-distances"][photo, index, layer]
        assert record["normalised_distance"] == result.tensors[f"{kind}-normalised"][photo, index, layer]
        assert record["probability"] == result.tensors[f"{kind}-probabilities"][photo, index]
    assert list(result.tensors) == [
        f"{kind}-{quantity}"
        for kind in ("scale", "rotation")
        for quantity in ("values", "distances", "normalised", "probabilities")
    ]


@pytest.mark.parametrize("label", ["n2", "cat"])
def test_the_true_class_can_be_an_id_or_a_name(plain_context: Context, label: str) -> None:
    result = analysed(plain_context, labels=(label,))
    assert result.tables["photos"].rows[0][1:4] == ("n2", "cat", "given")
    scores = classify(plain_context.model, plain_context.runtime, plain_context.images[0])
    probability = next(score.probability for score in scores if score.label == "cat")
    assert result.tensors["rotation-probabilities"][0, 0] == pytest.approx(probability, rel=1e-5)


def test_an_empty_label_means_the_most_likely_class(plain_context: Context, with_photos: WithPhotos) -> None:
    context = with_photos(plain_context, 2)
    mixed, plain = analysed(context, labels=("dog", "")), analysed(context)
    assert mixed.tables["photos"].rows[0][2:4] == ("dog", "given")
    assert mixed.tables["photos"].rows[1] == plain.tables["photos"].rows[1]


@pytest.mark.parametrize(
    ("labels", "field", "message"),
    [
        (("cow",), "labels[0]", r"^label 'cow' not found; this model has 'ant' \(n0\), 'bee' \(n1\), 'cat'"),
        (("cat", "dog"), "labels", "^2 labels for 1 photos; give one for each, or none$"),
    ],
)
def test_labels_that_do_not_fit_are_rejected(
    plain_context: Context, labels: tuple[str, ...], field: str, message: str
) -> None:
    with pytest.raises((NotFound, InputError), match=message) as error:
        analysed(plain_context, labels=labels)
    assert error.value.field == field


def test_a_name_that_several_classes_share_is_rejected(plain_context: Context) -> None:
    labels = tuple(Label(id=f"n{n}", name="crane" if n < 2 else "dog" * n) for n in range(4))
    manifest = plain_context.model.manifest.model_copy(update={"labels": labels})
    context = replace(plain_context, model=replace(plain_context.model, manifest=manifest))
    with pytest.raises(InputError, match=r"^2 labels are named 'crane'; use an id instead: n0, n1$") as error:
        analysed(context, labels=("crane",))
    assert error.value.field == "labels[0]"


def test_an_unknown_layer_is_rejected(plain_context: Context) -> None:
    with pytest.raises(NotFound, match=r"^layer 'conv9' not found; available: conv1") as error:
        analysed(plain_context, layers=("relu1", "conv9"))
    assert error.value.field == "layers[1]"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"scales": [1.0] * 201}, "scales"),
        ({"scales": [0.01]}, "scales[0]"),
        ({"translations_px": []}, "translations_px"),
        ({"translations_px": [float("nan")]}, "translations_px[0]"),
        ({"rotations_deg": [0, 400]}, "rotations_deg[1]"),
        ({"transformations": ["shear"]}, "transformations[0]"),
        ({"transformations": ["scale", "rotation", "scale"]}, "transformations"),
        ({"layers": ["relu1", "relu1"]}, "layers"),
        ({"speed": 3}, "speed"),
    ],
)
def test_parameters_out_of_range_are_rejected(params: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as error:
        read_params(InvarianceAnalyzer(), params)
    assert error.value.field == field


def test_the_cost_is_one_pass_per_value_and_one_for_the_original(plain_context: Context) -> None:
    model = plain_context.model
    assert InvarianceAnalyzer().cost(model, InvarianceParams()) == 1 + 21 + 13 + 36
    few = InvarianceParams(**FEW, transformations=("horizontal", "scale"), labels=("cat", "dog"))
    assert InvarianceAnalyzer().cost(model, few) == 1 + 3 + 2


def test_progress_increases_to_one(plain_context: Context, with_photos: WithPhotos) -> None:
    reports: list[float] = []
    context = replace(with_photos(plain_context, 2), progress=lambda share, _: reports.append(share))
    analysed(context, scales=tuple(1 + n / 10 for n in range(10)))
    assert reports == sorted(reports)
    assert len(reports) > 4
    assert reports[-1] == 1


def test_a_cancelled_call_stops_between_batches(plain_context: Context) -> None:
    looked: list[float] = []

    def check() -> None:
        if len(looked) == 2:
            raise Cancelled("the client cancelled the call or disconnected")

    context = replace(plain_context, check_cancelled=check, progress=lambda share, _: looked.append(share))
    with pytest.raises(Cancelled):
        analysed(context, scales=tuple(1 + n / 100 for n in range(100)))
    assert looked[-1] < 0.1


def test_the_figure_has_a_row_for_each_transformation(context: Context) -> None:
    sizes = []
    for kinds in (("vertical",), ("vertical", "scale"), ("vertical", "horizontal", "rotation")):
        (picture,) = analysed(context, transformations=kinds).pictures
        image = Image.open(io.BytesIO(picture.png))
        image.load()
        assert picture.name == "invariance"
        assert image.text["zfscope:scale"] == picture.scale  # type: ignore[attr-defined]
        sizes.append(image.size)
    assert len({width for width, _ in sizes}) == 1
    rows = np.diff([height for _, height in sizes])
    assert rows.min() > 300
    assert rows[0] == pytest.approx(rows[1], abs=1)  # whole pixels


def test_one_layer_and_one_value_are_enough_for_a_figure(context: Context) -> None:
    result = analysed(context, transformations=("scale",), scales=(1.0,), layers=("fc7",))
    assert result.pictures[0].png.startswith(b"\x89PNG")
