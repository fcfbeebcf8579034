"""Selection of the index and the maps by the analyzer `top-k`, and its errors."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.analyzers.top_k.conftest import MakeIndex, analyze, records
from zfscope.analysis.contract import Context
from zfscope.errors import InputError, NotFound
from zfscope.runtimes import create_runtime
from zfscope.store import Model
from zfscope.store.manifest import WEIGHTS


@pytest.mark.parametrize(
    ("params", "error", "field", "message"),
    [
        (
            {"index": "nothing"},
            NotFound,
            "index",
            "index 'nothing' of model 'tiny' version 1 not found .* zfscope index",
        ),
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1, relu1"),
        (
            {"layer": "norm1"},
            NotFound,
            "layer",
            "not in index 'photos'; available: conv1, conv5, relu5, fc6, fc8",
        ),
        ({"maps": [0, 12]}, NotFound, r"maps[1]", "no map 12 in layer 'conv5'; allowed: 0 to 11"),
        ({"maps": [3, 3]}, InputError, "maps", "'3' is named more than once"),
        ({"maps": [-1]}, InputError, "maps[0]", "greater than or equal to 0"),
        ({"maps": list(range(65))}, InputError, "maps", "at most 64 items"),
        ({"count": 0}, InputError, "count", "greater than or equal to 1"),
        ({"count": 65}, InputError, "count", "less than or equal to 64"),
        ({"maps": [1], "count": 9}, InputError, "count", "maps are set too; set only one of them"),
        ({"maps": [1], "first": 1}, InputError, "first", "maps are set too; set only one of them"),
        ({"first": 12}, InputError, "first", r"first is 12; allowed: 0 to 11 \(layer 'conv5' has 12 maps\)"),
        ({"first": -1}, InputError, "first", "greater than or equal to 0"),
        ({"top": 0}, InputError, "top", "greater than or equal to 1"),
        ({"top": 10}, InputError, "top", "less than or equal to 9"),
        ({"control_down_to": "fc6"}, InputError, "control_down_to", "comes after 'conv5'"),
        ({"data": "/etc"}, InputError, "data", "data is not known; allowed: index, "),
    ],
)
def test_errors_name_what_is_available(
    ready: Context, params: dict[str, Any], error: type[Exception], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        analyze(ready, **params)
    assert caught.value.field == field  # type: ignore[attr-defined]


def test_a_top_beyond_the_index_is_rejected_only_if_it_is_explicit(
    ready: Context, photos: Path, make_index: MakeIndex
) -> None:
    make_index(photos, "few", top=2)
    assert analyze(ready, index="few").tensors["states"].shape == (9, 2)
    with pytest.raises(InputError, match=r"top is 3; allowed: 1 to 2 \(index 'few' has 2 photos per map\)"):
        analyze(ready, index="few", top=3)


def test_with_several_indexes_one_must_be_named(ready: Context, photos: Path, make_index: MakeIndex) -> None:
    make_index(photos / "ant", "ants")
    with pytest.raises(InputError, match="has several indexes; name one of ants, photos") as caught:
        analyze(ready)
    assert caught.value.field == "index"
    assert analyze(ready, index="ants").tables["maps"].records()[0]["images"] == 12


def test_the_error_for_a_missing_index_has_the_command_that_makes_it(model: Model) -> None:
    context = Context(model, create_runtime("torch", model), ())
    with pytest.raises(
        NotFound, match="has no index; build one from your photos with: zfscope index"
    ) as caught:
        analyze(context)
    assert caught.value.field == "index"


def with_other_weights(context: Context) -> Context:
    digest = hashlib.sha256(b"other weights").hexdigest()
    manifest = context.model.manifest.model_copy(update={"files": {WEIGHTS: digest}})
    return replace(context, model=replace(context.model, manifest=manifest))


def test_the_index_of_an_earlier_epoch_is_used_only_by_its_checkpoint(
    ready: Context, photos: Path, make_index: MakeIndex
) -> None:
    early = with_other_weights(ready)
    make_index(photos / "ant", "photos-epoch-001", by=early.model)
    assert analyze(ready).tables["maps"].records()[0]["images"] == 20
    assert analyze(early).tables["maps"].records()[0]["images"] == 12


def test_an_index_of_other_weights_is_not_used(ready: Context) -> None:
    other = with_other_weights(ready)
    with pytest.raises(NotFound, match="has no index"):
        analyze(other)
    with pytest.raises(
        NotFound,
        match=r"index 'photos' was not made with the current model .*: it differs in weights",
    ) as caught:
        analyze(other, index="photos")
    assert caught.value.field == "index"


def test_maps_ranked_by_their_sum_are_paged_by_it(
    ready: Context, photos: Path, make_index: MakeIndex
) -> None:
    index = make_index(photos, "sums", rank="sum", layers=["relu5"])
    result = analyze(ready, index="sums", layer="relu5", count=12, top=1)
    scores = [index.records("relu5", row["map"])[0].score for row in records(result)]
    assert scores == sorted(scores, reverse=True)
