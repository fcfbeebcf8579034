"""MeasureFaithfulness over the wire, compared with the analyzer in process."""

from typing import Any

import grpc
import numpy as np
import pytest

from tests.support.calls import call_of
from tests.support.numeric import assert_close
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params, run
from zfscope.answers import FAITHFULNESS
from zfscope.client import Client
from zfscope.errors import InputError, NotFound, ZfscopeError
from zfscope.images.decode import decode
from zfscope.images.geometry import Box
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

# No option has its default value, except those that exclude each other.
OPTIONS: dict[str, Any] = {
    "method_parameters": {"window": 16, "stride": 16, "fill": "mean"},
    "labels": ("dog",),
    "removal": "mean",
    "step": 0.25,
    "value": "logit",
    "random": 2,
    "seed": 3,
    "boxes": (Box(10, 10, 40, 30),),
}


def test_the_result_matches_the_analyzer_in_process(client: Client, photo: bytes, store: Any) -> None:
    model = ModelStore(store).load("tiny")
    analyzer = load_analyzers().analyzer("faithfulness")
    images = (prepare(decode(photo), model.preprocessing),)
    context = Context(model, create_runtime("torch", model), images, tensors=True, pictures=False)
    expected = run(analyzer, context, read_params(analyzer, OPTIONS))

    result = client.measure_faithfulness([photo], **OPTIONS, tensors=True)

    assert (result.model, result.version) == ("tiny", 2)
    ((measured,), (row,)) = result.photos, expected.tables["photos"].records()
    curves = expected.tables["curves"].records()
    assert (measured.label_id, measured.label) == (row["label_id"], "dog")
    assert_close(list(measured.shares), [each["share"] for each in curves])
    for name in ("deletion", "insertion", "random_deletion", "control_deletion", "control_insertion"):
        curve = getattr(measured, name)
        assert_close(list(curve.values), [each[name] for each in curves], name=name)
        area = row["random_area" if name == "random_deletion" else f"{name}_area"]
        assert curve.area == pytest.approx(area, rel=1e-4)
    assert measured.share_inside == pytest.approx(row["share_inside"], rel=1e-4)
    assert (measured.maximum_inside, measured.area_inside) == (
        bool(row["maximum_inside"]),
        row["area_inside"],
    )
    assert measured.random_deviation == pytest.approx(row["random_deviation"], rel=1e-2)
    assert_close(result.attributions, expected.tensors["attributions"])
    assert_close(result.control_attributions, expected.tensors["control-attributions"])
    assert result.mean("deletion_area") == pytest.approx(measured.deletion.area)
    assert result.mean("nothing") is None
    assert result.picture is not None
    assert result.picture.name == "faithfulness"


def test_unset_fields_get_the_defaults_of_the_analyzer() -> None:
    params = load_analyzers().analyzer("faithfulness").params
    call = call_of(FAITHFULNESS, pb.MeasureFaithfulnessRequest())
    assert params.model_validate(call.parameters) == params()


@pytest.mark.parametrize("as_file", [True, False])
def test_a_given_attribution_is_measured(client: Client, photo: bytes, tmp_path: Any, as_file: bool) -> None:
    attribution = np.random.default_rng(1).normal(size=(32, 32))
    np.save(tmp_path / "map.npy", attribution)
    given: Any = tmp_path / "map.npy" if as_file else attribution
    result = client.measure_faithfulness([photo], attribution=given, step=0.5, tensors=True)
    assert result.attributions is not None
    np.testing.assert_array_equal(result.attributions[0], attribution.astype(np.float32))
    assert result.control_attributions is None
    assert result.photos[0].control_deletion is None


@pytest.mark.parametrize(
    ("options", "kind", "field"),
    [
        ({"method": "oclude"}, NotFound, "method"),
        ({"method": "top-k"}, InputError, "method"),
        ({"method": "faithfulness"}, InputError, "method"),
        ({"method_parameters": {"window": 999}}, InputError, "method_parameters.window"),
        ({"method_parameters": {"widow": 9}}, InputError, "method_parameters.widow"),
        ({"attribution": np.zeros((32, 32))}, InputError, "attribution"),
        ({"attribution": np.array([object()])}, InputError, "attribution"),
        ({"labels": ["cow"]}, NotFound, "labels[0]"),
        ({"boxes": [Box(1000, 0, 1001, 1)]}, InputError, "boxes[0]"),
    ],
)
def test_errors_name_the_parameter(
    client: Client, photo: bytes, options: Any, kind: type[ZfscopeError], field: str
) -> None:
    with pytest.raises(kind) as error:
        client.measure_faithfulness([photo], **options, step=0.5)
    assert error.value.field == field


def test_analyze_names_parameters_below_its_own(client: Client, photo: bytes) -> None:
    with pytest.raises(InputError) as error:
        client.analyze("faithfulness", [photo], {"method_parameters": {"window": 999}, "step": 0.5})
    assert error.value.field == "parameters.method_parameters.window"


def test_the_cost_of_the_method_is_counted_before_anything_runs(client: Client, photo: bytes) -> None:
    costs = {each.name: each.cost for each in client.analyzers("tiny")}
    own = 2 + (2 + 5 + 2) * 49 + 1
    assert costs["occlude"] is not None
    assert costs["faithfulness"] == own + 2 * costs["occlude"]


def test_photos_of_one_call_have_a_result_each(channel: grpc.Channel, photo: bytes) -> None:
    request = pb.MeasureFaithfulnessRequest(
        images=[image_pb2.Image(encoded=photo)] * 3, step=0.5, random=0, control=False
    )
    request.method_parameters.update({"window": 16, "stride": 16})
    response = AnalysisServiceStub(channel).MeasureFaithfulness(request)
    assert [len(each.shares) for each in response.photos] == [3, 3, 3]
    assert not response.photos[0].HasField("random_deletion")
    assert not response.HasField("attributions")
