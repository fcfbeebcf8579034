"""GRPCInferenceService: opaque models, as any others."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.server.conftest import RunningService
from tests.server.oip.messages import raw_outputs, raw_tensors, requested_outputs
from tests.support.opaque_models import CLASSES, SIZE, add_opaque_model, reference_scores, reference_tensors
from zfscope.inference import inference_pb2 as pb
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.networks.layers import GraphTensor
from zfscope.server.settings import Settings
from zfscope.store import ModelStore


@pytest.fixture
def models(tmp_path: Path) -> ModelStore:
    for name in ("convnext", "int8-dynamic"):
        add_opaque_model(tmp_path, name)
    return ModelStore(tmp_path)


@pytest.fixture
def opaque_stub(
    models: ModelStore, settings: Settings, make_service: Callable[[Settings], RunningService]
) -> Iterator[GRPCInferenceServiceStub]:
    service = make_service(settings.model_copy(update={"store": models.root, "default_model": "convnext"}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1, (5, 3, SIZE, SIZE)).astype(np.float32)


@pytest.mark.parametrize("name", ["convnext", "int8-dynamic"])
def test_scores_equal_those_of_the_exported_file(
    name: str, opaque_stub: GRPCInferenceServiceStub, images: np.ndarray
) -> None:
    answer = opaque_stub.ModelInfer(raw_tensors(images, model_name=name))
    np.testing.assert_allclose(raw_outputs(answer)["logits"], reference_scores(name, images), atol=1e-5)


def test_layers_are_outputs(
    opaque_stub: GRPCInferenceServiceStub, models: ModelStore, images: np.ndarray
) -> None:
    layer = models.load("convnext").spec.by_name["block1.norm"]
    assert isinstance(layer, GraphTensor)
    request = raw_tensors(images[:2], model_name="convnext", outputs=requested_outputs("block1.norm"))
    values = raw_outputs(opaque_stub.ModelInfer(request))["block1.norm"]
    (_, tensor) = reference_tensors("convnext", images[:2], [layer.tensor])
    assert layer.layout == "channels_last"
    np.testing.assert_allclose(values, tensor.transpose(0, 3, 1, 2), atol=1e-5)


def test_metadata_describes_images_scores_and_layers(
    opaque_stub: GRPCInferenceServiceStub, models: ModelStore
) -> None:
    answer = opaque_stub.ModelMetadata(pb.ModelMetadataRequest(name="convnext"))
    config = opaque_stub.ModelConfig(pb.ModelConfigRequest(name="convnext")).config
    assert [(output.name, tuple(output.shape)) for output in answer.outputs] == [("logits", (-1, CLASSES))]
    assert tuple(answer.inputs[0].shape) == (-1, 3, SIZE, SIZE)
    assert answer.platform == config.platform == "zfscope_onnx"
    layers = {layer.name for layer in models.load("convnext").spec.layers}
    assert layers < set(config.parameters["outputs"].string_value.split(","))


def test_an_analyzer_that_needs_layers_is_rejected_with_the_reason(
    opaque_stub: GRPCInferenceServiceStub, images: np.ndarray
) -> None:
    request = raw_tensors(images[:1], model_name="convnext/project")
    with pytest.raises(grpc.RpcError) as caught:
        opaque_stub.ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (
        "needs a network of layers to walk; model 'convnext' version 1 is an opaque" in caught.value.details()
    )
