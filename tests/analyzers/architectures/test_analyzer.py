"""The analyzer `compare-architectures`."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.opaque_models import add_opaque_model
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.datasets.dataset import ListedFile, build_data_set
from zfscope.errors import InputError, NotFound
from zfscope.runtimes import create_runtime
from zfscope.scan import Index, build_index, indexes_folder, open_data, open_index, plan_scan
from zfscope.store import ModelStore
from zfscope_analyzers.architectures import compare, comparison_result

COMPARE = load_analyzers().analyzer("compare-architectures")


def analyze(context: Context, *others: str, index: str = "") -> Analysis:
    return COMPARE.analyze(context, read_params(COMPARE, {"others": others, "index": index}))


def test_the_model_comes_first_and_then_the_others(plain_context: Context) -> None:
    assert plain_context.store is not None
    models = [plain_context.model, plain_context.store.load("narrow")]
    expected = comparison_result(compare(models, [plain_context.images[0].photo]))
    result = analyze(plain_context, "narrow")
    assert result.tables == expected.tables
    assert result.tables["architectures"].columns == ("measure", "tiny 1", "narrow 1")
    for name, tensor in expected.tensors.items():
        np.testing.assert_array_equal(result.tensors[name], tensor)


def test_a_version_can_be_named(plain_context: Context) -> None:
    assert analyze(plain_context, "narrow:1").tables == analyze(plain_context, "narrow").tables


@pytest.fixture
def narrow_index(context: Context) -> Iterator[Index]:
    """An index of `narrow` with two photos and one layer, under the same name as the one of `tiny`."""
    assert context.store is not None
    narrow, tiny = context.store.load("narrow"), open_index(context.model, "photos")
    data = open_data(Path(tiny.manifest.origin.data.root))
    few = build_data_set("folder", data.root, {name: ListedFile("", 0) for name in data.names[:2]})
    few = replace(few, sizes=data.sizes[:2])
    target, plan = indexes_folder(narrow) / "photos", plan_scan(narrow.network.spec, ["conv1"])
    yield build_index(narrow, few, plan, target, runtime=create_runtime("torch", narrow))
    shutil.rmtree(target)


def test_maps_that_are_dead_on_all_photos_of_an_index_are_counted(
    plain_context: Context, narrow_index: Index
) -> None:
    table = analyze(plain_context, "narrow", index="photos").tables["architectures"]
    rows = {row[0]: row[1:] for row in table.rows}
    tiny = open_index(plain_context.model, "photos")
    assert rows["photos in index 'photos'"] == (12, 2)
    dead = [100 * float((index.alive("conv1") == 0).mean()) for index in (tiny, narrow_index)]
    assert rows["conv1 maps dead on all photos of the index, %"] == tuple(dead)
    assert rows["conv5 maps dead on all photos of the index, %"] == (
        100 * float((tiny.alive("conv5") == 0).mean()),
        None,
    )


def test_an_index_that_a_model_lacks_is_reported(plain_context: Context) -> None:
    with pytest.raises(
        NotFound, match=r"index 'photos' of model 'narrow' version 1 not found.*zfscope index"
    ):
        analyze(plain_context, "narrow", index="photos")


def test_the_cost_per_photo_is_that_of_all_models(context: Context) -> None:
    costs = [COMPARE.cost(context.model, COMPARE.params(others=("narrow",) * count)) for count in (1, 3)]
    assert costs[1] == 2 * costs[0]


@pytest.mark.parametrize(
    ("others", "error", "field", "message"),
    [
        (("nobody",), NotFound, "others[0]", "model 'nobody' not found"),
        (("narrow", "narrow:2"), NotFound, "others[1]", "model 'narrow' has no version 2"),
        (("narrow:new",), InputError, "others[0]", "named as NAME or NAME:VERSION"),
        (("narrow", "narrow"), InputError, "models", "narrow.* is named 2 times"),
        (("small",), InputError, "models", "reads 32 x 32 pixels, .*small.* reads 28 x 28 pixels"),
        ((), InputError, "others", "at least 1 item"),
    ],
)
def test_models_that_cannot_be_compared_are_rejected(
    context: Context, others: Any, error: type[Exception], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        analyze(context, *others)
    assert caught.value.field == field


def test_without_a_store_no_other_model_is_found(context: Context) -> None:
    with pytest.raises(NotFound, match="no model store to load other models from"):
        analyze(replace(context, store=None), "narrow")


def test_an_opaque_model_is_rejected_before_any_is_measured(
    plain_context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_opaque_model(tmp_path, "vit")
    context = replace(plain_context, store=ModelStore(tmp_path))
    monkeypatch.setattr("zfscope_analyzers.architectures.analyzer.measure", None)
    with pytest.raises(InputError, match=r"^model 'vit' version 1 is an opaque graph") as caught:
        analyze(context, "vit")
    assert caught.value.field == "others[0]"
    with pytest.raises(InputError, match=r"^model 'vit' version 1 is an opaque graph"):
        compare([context.model, ModelStore(tmp_path).load("vit")], [context.images[0].photo])
