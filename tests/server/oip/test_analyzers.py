"""GRPCInferenceService: inference by analyzers."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.server.conftest import CallError, RunningService
from tests.server.oip.messages import (
    Request,
    parameters,
    raw_outputs,
    raw_photos,
    raw_tensors,
    requested_outputs,
    typed_photos,
    unpack,
)
from zfscope.client import Box, Client
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.server.settings import Settings
from zfscope.store import Model

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("send", [raw_photos, typed_photos])
def test_outputs_match_analyze(
    stub: GRPCInferenceServiceStub, client: Client, photo: bytes, send: Callable[..., Request]
) -> None:
    expected = client.analyze(
        "project", [photo], {"layer": "conv5", "top": 2, "control": True}, tensors=True
    ).analysis

    answer = stub.ModelInfer(
        send(
            photo,
            model_name="tiny/project",
            id="a",
            parameters=parameters(layer="conv5", top=2, control=True),
            outputs=requested_outputs("pictures", "projections", "analysis"),
        )
    )

    assert (answer.model_name, answer.model_version, answer.id) == ("tiny/project", "2", "a")
    if answer.raw_output_contents:
        pictures, tensor, texts = answer.raw_output_contents
        outputs = unpack(pictures), np.frombuffer(tensor, "<f4"), unpack(texts)
    else:
        first, second, third = (output.contents for output in answer.outputs)
        outputs = list(first.bytes_contents), np.array(second.fp32_contents), list(third.bytes_contents)
    assert outputs[0] == [picture.png for picture in expected.pictures]
    assert answer.outputs[0].shape == [len(expected.pictures)]
    assert answer.outputs[1].shape == list(expected.tensors["projections"].shape)
    np.testing.assert_array_equal(outputs[1], expected.tensors["projections"].ravel())
    analysis = json.loads(outputs[2][0])
    assert analysis["tables"]["projections"]["columns"] == list(expected.tables["projections"].columns)
    assert analysis["tables"]["projections"]["rows"] == [
        list(row) for row in expected.tables["projections"].rows
    ]
    assert analysis["numbers"] == expected.numbers
    assert analysis["pictures"] == [{"name": each.name, "scale": each.scale} for each in expected.pictures]
    assert set(analysis["tensors"]) == set(expected.tensors)


def test_activations_in_a_box_match_the_client(
    stub: GRPCInferenceServiceStub, client: Client, photo: bytes
) -> None:
    expected = client.activations(photo, layer="conv5", top=2, box=Box(12, 9, 40, 33), tensors=True)
    box = json.dumps({"x0": 12, "y0": 9, "x1": 40, "y1": 33})

    answer = stub.ModelInfer(
        raw_photos(
            photo,
            model_name="tiny/activations",
            parameters=parameters(layer="conv5", top=2, box=box),
            outputs=requested_outputs("maps", "analysis"),
        )
    )

    maps, texts = answer.raw_output_contents
    assert expected.maps is not None
    np.testing.assert_array_equal(np.frombuffer(maps, "<f4"), expected.maps.ravel())
    table = json.loads(unpack(texts)[0])["tables"]["units"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(row["map"], row["y"], row["x"]) for row in rows] == [
        (each.map, each.y, each.x) for each in expected.units
    ]


def test_by_default_pictures_and_the_analysis_as_json_are_returned(
    stub: GRPCInferenceServiceStub, photo: bytes
) -> None:
    answer = stub.ModelInfer(raw_photos(photo, model_name="tiny/project", parameters=parameters(top=1)))

    assert [(each.name, each.datatype) for each in answer.outputs] == [
        ("pictures", "BYTES"),
        ("analysis", "BYTES"),
    ]
    assert all(png.startswith(b"\x89PNG") for png in unpack(answer.raw_output_contents[0]))
    assert json.loads(unpack(answer.raw_output_contents[1])[0])["tensors"] == []


def test_an_analyzer_accepts_tensors(stub: GRPCInferenceServiceStub, photo: bytes, model: Model) -> None:
    pixels = prepare(decode(photo), model.preprocessing).pixels
    options = {
        "model_name": "tiny/project",
        "parameters": parameters(top=1),
        "outputs": requested_outputs("projections"),
    }

    of_tensor = raw_outputs(stub.ModelInfer(raw_tensors(pixels, **options)))
    of_photo = raw_outputs(stub.ModelInfer(raw_photos(photo, **options)))

    np.testing.assert_array_equal(of_tensor["projections"], of_photo["projections"])


def test_list_parameters_are_json_text(stub: GRPCInferenceServiceStub, photo: bytes) -> None:
    units = json.dumps([{"map": 3}, {"map": 1, "y": 2, "x": 4}])

    answer = stub.ModelInfer(
        raw_photos(
            photo,
            model_name="tiny/project",
            parameters=parameters(units=units),
            outputs=requested_outputs("analysis"),
        )
    )

    table = json.loads(unpack(answer.raw_output_contents[0])[0])["tables"]["projections"]
    records = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [(record["map"], record["y"], record["x"]) for record in records[1:]] == [(1, 2, 4)]


def test_polygons_are_json_text(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError], photo: bytes
) -> None:
    def request(*polygons: list[list[float]]) -> pb.ModelInferRequest:
        return raw_photos(
            photo,
            model_name="tiny/occlude",
            parameters=parameters(polygons=json.dumps(polygons)),
            outputs=requested_outputs("analysis"),
        )

    inside, outside = [[20, 10], [40, 10], [20, 30]], [[0, 0], [1, 0], [0, 1]]
    answer = stub.ModelInfer(request(inside, inside))
    assert json.loads(unpack(answer.raw_output_contents[0])[0])["numbers"] == {"windows": 2}
    error = call_error(stub.ModelInfer, request(inside, outside))
    assert (error.code, error.field) == (INVALID, "parameters.polygons[1]")


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"layer": "conv9"}, "parameters.layer", "layer 'conv9' not found; available: conv1, relu1"),
        ({"lair": "conv1"}, "parameters.lair", "lair is not known; allowed: layer, "),
        ({"top": "many"}, "parameters.top", "top is 'many', which is not valid JSON"),
        ({"top": 0}, "parameters.top", "top is 0: Input should be greater than 0"),
        ({"top": float("nan")}, "parameters.top", "top is nan, which is not finite"),
        ({"units": "[" * 100_000}, "parameters.units", "which is not valid JSON"),
        ({"units": '[{"map": -1}]'}, "parameters.units[0].map", "map is -1"),
        ({"priority": 3, "timeout": 3, "rule": "guess"}, "parameters.rule", "rule is 'guess'"),
    ],
)
def test_the_error_names_an_invalid_parameter(
    stub: GRPCInferenceServiceStub,
    call_error: Callable[..., CallError],
    photo: bytes,
    values: dict[str, Any],
    field: str,
    message: str,
) -> None:
    request = raw_photos(photo, model_name="tiny/project", parameters=parameters(**values))

    error = call_error(stub.ModelInfer, request)

    assert error.code is (NOT_FOUND if values == {"layer": "conv9"} else INVALID)
    assert error.field == field
    assert message in error.message


def test_a_parameter_without_a_value_is_rejected(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError], photo: bytes
) -> None:
    request = raw_photos(photo, model_name="tiny/project", parameters={"top": pb.InferParameter()})

    assert call_error(stub.ModelInfer, request).message == "parameters.top: top has no value"


@pytest.mark.parametrize(
    ("original", "code", "message"),
    [
        (Request(), INVALID, "0 photos; 'project' takes 1"),
        (raw_photos(b"", b""), INVALID, "2 photos; 'project' takes 1"),
        (raw_photos(b""), INVALID, "images[0].encoded is empty"),
        (
            raw_photos(b"", outputs=requested_outputs("pictures", classes=1)),
            INVALID,
            "'pictures' has no classes",
        ),
    ],
)
def test_invalid_photos_and_outputs_are_rejected(
    stub: GRPCInferenceServiceStub,
    call_error: Callable[..., CallError],
    original: Request,
    code: grpc.StatusCode,
    message: str,
) -> None:
    request = Request()
    request.CopyFrom(original)
    request.model_name = "tiny/project"

    error = call_error(stub.ModelInfer, request)

    assert error.code is code
    assert message in error.message


def test_the_error_for_an_unknown_output_lists_those_of_the_analysis(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError], photo: bytes
) -> None:
    request = raw_photos(
        photo, model_name="tiny/project", parameters=parameters(top=1), outputs=requested_outputs("heat")
    )

    error = call_error(stub.ModelInfer, request)

    assert (error.code, error.field) == (NOT_FOUND, "outputs[0].name")
    assert "output 'heat' not found; available: projections, attribution, pictures, analysis" in error.message


def test_an_analyzer_without_photos_needs_no_inputs(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError]
) -> None:
    error = call_error(stub.ModelInfer, Request(model_name="tiny/top-k"))

    assert error.code is NOT_FOUND
    assert "index" in error.message


def test_work_over_the_budget_is_rejected(
    settings: Settings, make_service: Callable[..., RunningService], photo: bytes
) -> None:
    service = make_service(settings.model_copy(update={"max_passes": 1}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as caught:
        GRPCInferenceServiceStub(channel).ModelInfer(raw_photos(photo, model_name="/occlude"), timeout=30)

    assert caught.value.code() is EXHAUSTED
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "TOO_MUCH_WORK"
