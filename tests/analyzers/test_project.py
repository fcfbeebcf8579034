"""The analyzer `project`: its control, and the similarity of projection and control."""

import copy
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.control import randomised, similarity
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import Unit, project, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.tiles import SILENT_NOTE
from zfscope.store import Weights

PROJECT = load_analyzers().analyzer("project")


def analyze(context: Context, **parameters: Any) -> Analysis:
    return PROJECT.analyze(context, read_params(PROJECT, parameters))


def test_the_control_randomises_from_the_top_down_to_a_layer(context: Context) -> None:
    network = context.model.network
    control = randomised(network, until="fc7", generator=torch.Generator().manual_seed(0), down_to="conv5")
    original, changed = network.filters, control.filters
    assert torch.equal(changed["conv1"].weight, original["conv1"].weight)
    assert torch.equal(changed["conv1"].bias, original["conv1"].bias)
    for name in ("conv5", "fc6", "fc7"):
        assert not torch.equal(changed[name].weight, original[name].weight)
        sizes = [float(filters[name].weight.square().mean()) for filters in (original, changed)]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.6)
    assert not changed["fc8"].weight.any()


def test_the_sheet_can_be_left_out_and_tiles_have_the_given_size(context: Context) -> None:
    pictures = analyze(context, layer="relu5", top=2, sheet=False, tile_px=40).pictures
    assert len(pictures) == 2
    sizes = {Image.open(io.BytesIO(picture.png)).size for picture in pictures}
    assert sizes == {(2 * 40 + 4, 40)}


def test_the_control_is_more_similar_with_fewer_randomised_layers(context: Context) -> None:
    def mean_similarity(down_to: str) -> float:
        projected = analyze(context, layer="relu5", control=True, control_down_to=down_to)
        rows = projected.tables["projections"].records()
        return float(np.mean([row["rank_correlation"] for row in rows]))

    # Down to relu5 there are no weights to randomise; down to conv5 there is one layer.
    assert mean_similarity("") < mean_similarity("relu5")


def test_without_a_control_similarities_are_none(context: Context) -> None:
    rows = analyze(context, top=2).tables["projections"].records()
    assert [(row["ssim"], row["rank_correlation"]) for row in rows] == [(None, None)] * 2


def test_a_projection_is_like_itself_and_unlike_its_negative() -> None:
    projected = np.random.default_rng(0).normal(size=(3, 20, 20)).astype(np.float32)
    same, negative = similarity(projected, 5 * projected), similarity(projected, -projected)
    assert (same.ssim, same.rank_correlation) == pytest.approx((1, 1))
    assert negative.ssim is not None
    assert negative.ssim < 0.5
    assert negative.rank_correlation == pytest.approx(-1)


def test_independent_noise_has_similarity_near_zero() -> None:
    noise = np.random.default_rng(0)
    score = similarity(*(noise.normal(size=(3, 60, 60)).astype(np.float32) for _ in range(2)))
    assert score.ssim == pytest.approx(0, abs=0.05)
    assert score.rank_correlation == pytest.approx(0, abs=0.03)


def test_the_similarity_of_a_projection_of_zeros_is_none() -> None:
    projected = np.ones((3, 9, 9), np.float32)
    assert similarity(projected, np.zeros_like(projected)).ssim is None


def test_small_receptive_fields_are_compared_only_by_rank() -> None:
    noise = np.random.default_rng(1)
    score = similarity(*(noise.normal(size=(3, 2, 5)).astype(np.float32) for _ in range(2)))
    assert score.ssim is None
    assert score.rank_correlation is not None


@pytest.mark.parametrize(
    ("down_to", "error", "message"),
    [("conv9", NotFound, "layer 'conv9' not found"), ("fc6", InputError, "'fc6', which comes after 'conv5'")],
)
def test_an_invalid_lowest_layer_is_rejected(
    context: Context, down_to: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        analyze(context, control=True, control_down_to=down_to)
    assert caught.value.field == "control_down_to"


def test_batches_of_units_match_one_call_of_the_engine(plain_context: Context) -> None:
    network = plain_context.model.network
    images = torch.from_numpy(plain_context.images[0].pixels)
    maps, rows, columns = network.shapes["conv1"]
    units = [Unit(0, number % maps, number // maps % rows, (7 * number) % columns) for number in range(60)]
    expected = project(network, trace(network, images, until="conv1"), "conv1", units)

    named = [{"map": unit.map, "y": unit.y, "x": unit.x} for unit in units]
    projected = analyze(plain_context, layer="conv1", units=named)

    np.testing.assert_allclose(projected.tensors["projections"], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("duplicate", [{"map": 1, "y": 2, "x": 3}, {"map": 1}])
def test_a_duplicate_unit_is_rejected(plain_context: Context, duplicate: dict[str, int]) -> None:
    """Named by its position, or as the strongest unit of its map."""
    first = {"map": 1, "y": 2, "x": 3}
    if "y" not in duplicate:
        row = analyze(plain_context, layer="conv5", units=[duplicate]).tables["projections"].records()[0]
        first = {name: row[name] for name in ("map", "y", "x")}
    with pytest.raises(InputError, match=r"units\[1\] is unit \(map 1, .*\), as is units\[0\]") as caught:
        analyze(plain_context, layer="conv5", units=[first, duplicate])
    assert caught.value.field == "units[1]"


def test_the_similarity_of_a_constant_projection_is_none() -> None:
    projected = np.random.default_rng(0).normal(size=(3, 20, 20)).astype(np.float32)
    assert similarity(projected, np.ones_like(projected)) == similarity(np.ones_like(projected), projected)
    assert similarity(projected, np.ones_like(projected)).rank_correlation is None


def test_the_projection_of_a_unit_whose_activation_is_rounding_is_drawn_grey(context: Context) -> None:
    model = replace(context.model, weights=Weights.from_network(copy.deepcopy(context.model.network)))
    with torch.no_grad():
        model.network.filters["conv5"].weight[3] *= 1e-9
        model.network.filters["conv5"].bias[3] = 0
    projected = analyze(replace(context, model=model), layer="conv5", units=[{"map": 3}, {"map": 4}])
    silent, loud = (picture for picture in projected.pictures if "-map" in picture.name)
    assert SILENT_NOTE in silent.scale
    assert SILENT_NOTE not in loud.scale
    grey, drawn = (np.asarray(Image.open(io.BytesIO(each.png)))[:, :224] for each in (silent, loud))
    assert (grey == 128).all()
    assert (drawn != 128).any()


def test_units_of_the_class_scores_are_drawn_with_and_without_labels(context: Context) -> None:
    manifest = context.model.manifest.model_copy(update={"labels": ()})
    nameless = replace(context, model=replace(context.model, manifest=manifest))
    named, plain = (analyze(each, layer="fc8", units=[{"map": 2}]) for each in (context, nameless))
    assert [picture.name for picture in plain.pictures] == ["fc8-map2", "fc8-sheet"]
    assert named.tables == plain.tables
    assert named.pictures[-1].png != plain.pictures[-1].png
    assert context.model.class_of("fc8", 2) == "cat"
    assert context.model.class_of("fc7", 2) == nameless.model.class_of("fc8", 2) == ""
    assert [context.model.unit_name(layer, 2) for layer in ("conv5", "fc8")] == ["map 2", "unit 2"]
