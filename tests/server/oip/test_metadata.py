"""GRPCInferenceService: readiness, metadata and configuration of models and analyzers."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.server.conftest import CallError, RunningService
from tests.server.oip.messages import (
    Request,
    raw_tensors,
    requested_outputs,
)
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.server.settings import Settings

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def test_the_server_is_live_before_it_is_ready(cold_service: RunningService) -> None:
    with grpc.insecure_channel(cold_service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        live, ready = pb.ServerLiveRequest(), pb.ModelReadyRequest(name="tiny")
        assert stub.ServerLive(live).live
        assert not stub.ServerReady(pb.ServerReadyRequest()).ready
        assert not stub.ModelReady(ready).ready
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

        cold_service.warm_up()

        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        assert stub.ModelReady(ready).ready


def test_a_service_about_to_stop_is_not_ready_but_still_answers(
    cold_service: RunningService,
) -> None:
    cold_service.warm_up()
    stopping = cold_service.submit(cold_service.service.stop(lame_duck_s=2))
    with grpc.insecure_channel(cold_service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        while stub.ServerReady(pb.ServerReadyRequest()).ready:
            pass
        assert stub.ServerLive(pb.ServerLiveRequest()).live
        assert not stub.ModelReady(pb.ModelReadyRequest(name="tiny")).ready
        assert stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny")).name == "tiny"

    stopping.result(timeout=60)


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("tiny", "", True),
        ("tiny", "1", True),
        ("other", "", True),
        ("", "", True),
        ("tiny/project", "2", True),
        ("tiny", "3", False),
        ("huge", "", False),
        ("tiny/guess", "", False),
        ("tiny/project/more", "", False),
        ("../tiny", "", False),
    ],
)
def test_a_model_is_ready_if_requests_can_use_it(
    stub: GRPCInferenceServiceStub, name: str, version: str, ready: bool
) -> None:
    assert stub.ModelReady(pb.ModelReadyRequest(name=name, version=version)).ready is ready


def test_a_damaged_model_is_not_ready(
    settings: Settings,
    tmp_path: Path,
    write_tiny: Callable[..., None],
    make_service: Callable[..., RunningService],
) -> None:
    for name in ("tiny", "other"):
        write_tiny(tmp_path, name, 1)
    (tmp_path / "other" / "1" / "weights.safetensors").write_bytes(b"nothing")
    service = make_service(settings.model_copy(update={"store": tmp_path}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelReady(pb.ModelReadyRequest(name="tiny")).ready
        assert not stub.ModelReady(pb.ModelReadyRequest(name="other")).ready


@pytest.mark.parametrize("invalid", ["v1", "0", "-1", "1.0", "١", "9" * 5000])
def test_every_method_rejects_an_invalid_version(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError], invalid: str
) -> None:
    for call, request in (
        (stub.ModelReady, pb.ModelReadyRequest(name="tiny", version=invalid)),
        (stub.ModelMetadata, pb.ModelMetadataRequest(name="tiny", version=invalid)),
        (stub.ModelConfig, pb.ModelConfigRequest(name="tiny", version=invalid)),
        (stub.ModelInfer, Request(model_name="tiny", model_version=invalid)),
    ):
        error = call_error(call, request)
        assert error.code is INVALID
        assert f"'{invalid[:80]}' is invalid; expected an integer of at least 1" in error.message


def test_server_metadata_has_name_version_and_extensions(stub: GRPCInferenceServiceStub) -> None:
    metadata = stub.ServerMetadata(pb.ServerMetadataRequest())

    assert (metadata.name, metadata.version) == ("zfscope", version("zfscope"))
    assert set(metadata.extensions) == {
        *("classification", "model_configuration", "parameters", "statistics")
    }


def test_model_metadata_has_images_in_and_class_scores_out(stub: GRPCInferenceServiceStub) -> None:
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny"))

    assert (metadata.name, metadata.versions, metadata.platform) == (
        "tiny",
        ["1", "2"],
        "zfscope_safetensors",
    )
    assert [(each.name, each.datatype, each.shape) for each in metadata.inputs] == [
        ("input", "FP32", [-1, 3, 32, 32])
    ]
    assert [(each.name, each.datatype, each.shape) for each in metadata.outputs] == [
        ("logits", "FP32", [-1, 4])
    ]


def test_the_configuration_lists_further_outputs_and_analyzers(
    stub: GRPCInferenceServiceStub, settings: Settings
) -> None:
    config = stub.ModelConfig(pb.ModelConfigRequest(name="tiny", version="1")).config

    assert (config.name, config.max_batch_size) == ("tiny", settings.max_images)
    (model_input,), (model_output,) = config.input, config.output
    assert (model_input.name, model_input.data_type, model_input.dims) == ("input", pb.TYPE_FP32, [3, 32, 32])
    assert model_input.format == pb.ModelInput.FORMAT_NCHW
    assert (model_output.name, model_output.data_type, model_output.dims) == ("logits", pb.TYPE_FP32, [4])
    further_outputs = config.parameters["outputs"].string_value.split(",")
    assert further_outputs[:3] == ["probabilities", "conv1", "relu1"]
    assert "project" in config.parameters["analyzers"].string_value.split(",")
    assert config.parameters["precision"].string_value == "float32"
    answer = stub.ModelInfer(
        raw_tensors(np.zeros((1, 3, 32, 32), np.float32), outputs=requested_outputs(*further_outputs))
    )
    assert [output.name for output in answer.outputs] == further_outputs


def test_analyzer_metadata_has_photos_in_and_pictures_out(stub: GRPCInferenceServiceStub) -> None:
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="/project", version="1"))
    config = stub.ModelConfig(pb.ModelConfigRequest(name="tiny/project")).config

    assert (metadata.name, metadata.platform) == ("tiny/project", "zfscope_analyzer")
    assert [(each.name, each.datatype, each.shape) for each in metadata.inputs] == [("images", "BYTES", [-1])]
    assert [(each.name, each.datatype, each.shape) for each in metadata.outputs] == [
        ("pictures", "BYTES", [-1]),
        ("analysis", "BYTES", [1]),
    ]
    assert (config.name, config.max_batch_size) == ("tiny/project", 0)
    assert [each.data_type for each in (*config.input, *config.output)] == [pb.TYPE_STRING] * 3
    schema = json.loads(config.parameters["parameters_schema"].string_value)
    assert schema["properties"]["layer"]["default"] == ""


def test_an_analyzer_without_photos_has_no_inputs(stub: GRPCInferenceServiceStub) -> None:
    assert not stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny/top-k")).inputs
    assert not stub.ModelConfig(pb.ModelConfigRequest(name="tiny/top-k")).config.input


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("huge", "model: model 'huge' not found; available: other, tiny"),
        ("tiny/guess", "analyzer 'guess' not found; available: activations, compare-architectures"),
    ],
)
def test_unknown_models_and_analyzers_are_not_found(
    stub: GRPCInferenceServiceStub, call_error: Callable[..., CallError], name: str, message: str
) -> None:
    for call, request in (
        (stub.ModelMetadata, pb.ModelMetadataRequest(name=name)),
        (stub.ModelConfig, pb.ModelConfigRequest(name=name)),
        (stub.ModelInfer, Request(model_name=name)),
    ):
        error = call_error(call, request)
        assert error.code is NOT_FOUND
        assert error.message.removeprefix("model: ").startswith(message.removeprefix("model: "))
