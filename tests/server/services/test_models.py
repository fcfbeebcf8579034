"""ModelService over the wire."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from zfscope.client import Client, LabelInfo
from zfscope.errors import DamagedModel, NotFound
from zfscope.inference import inference_pb2
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.server.settings import Settings
from zfscope.v1 import model_pb2 as pb
from zfscope.v1.model_pb2_grpc import ModelServiceStub


def test_every_version_of_every_model_is_listed_and_the_default_is_marked(client: Client) -> None:
    listed = [(model.name, model.version, model.is_default) for model in client.models()]

    assert listed == [("other", 1, False), ("tiny", 2, True), ("tiny", 1, False)]


def test_a_summary_has_network_classes_and_parameters(client: Client) -> None:
    summary = client.models()[1]

    assert summary.summary == "Version 2 of a tiny network"
    assert (summary.network, summary.classes) == ("tiny", 4)
    conv1, conv5, fc6 = (3 * 5 * 5 + 1) * 6, (6 * 3 * 3 + 1) * 12, (12 * 7 * 7 + 1) * 4
    assert summary.parameters == conv1 + conv5 + fc6


def test_layers_have_the_shapes_strides_and_receptive_fields_computed_by_hand(client: Client) -> None:
    layers = {layer.name: layer for layer in client.model().layers}

    assert list(layers) == ["conv1", "relu1", "pool1", "norm1", "conv5", "relu5", "flatten", "fc6"]
    assert layers["conv1"].shape == (6, 14, 14)
    assert layers["conv5"].shape == (12, 7, 7)
    assert layers["fc6"].shape == (4,)
    fields = {
        name: (layers[name].stride_px, layers[name].receptive_field_px)
        for name in ("conv1", "pool1", "conv5")
    }
    assert fields == {"conv1": (2, 5), "pool1": (4, 9), "conv5": (4, 17)}
    assert layers["fc6"].stride_px is None
    assert layers["fc6"].receptive_field_px is None
    assert layers["conv5"].kind == "conv"
    assert layers["conv5"].parameters == (6 * 3 * 3 + 1) * 12
    assert layers["pool1"].parameters == 0


def test_labels_are_in_the_order_of_the_scores(client: Client) -> None:
    labels = client.model().labels

    assert labels == (
        LabelInfo("n0", "ant"),
        LabelInfo("n1", "bee"),
        LabelInfo("n2", "cat"),
        LabelInfo("n3", "dog"),
    )


def test_the_preprocessing_is_complete(client: Client) -> None:
    steps = client.model().preprocessing

    assert (steps.short_side_px, steps.centre_px, steps.crop_px, steps.channels) == (36, 36, 32, "RGB")
    assert steps.mean == pytest.approx((123.68, 116.779, 103.939))
    assert steps.std == (50, 50, 50)


def test_a_measured_accuracy_is_included(client: Client) -> None:
    accuracy = client.model("tiny", 2).accuracy

    assert accuracy is not None
    assert (accuracy.top1_percent, accuracy.top5_percent, accuracy.images) == (50, 100, 4)
    assert accuracy.ten_crop_top1_percent is None
    assert accuracy.data == "four photos"


def test_an_unmeasured_accuracy_is_unset(client: Client) -> None:
    assert client.model("tiny", 1).accuracy is None


def test_an_unset_version_means_the_newest(client: Client) -> None:
    assert client.model("tiny").summary.version == 2


@pytest.mark.parametrize(
    ("name", "version", "field", "message"),
    [
        ("huge", None, "model", "model 'huge' not found; available: other, tiny"),
        ("../tiny", None, "model", "model '../tiny' not found"),
        ("tiny", 9, "version", "model 'tiny' has no version 9; available: 1, 2"),
        ("tiny", 0, "version", "model 'tiny' has no version 0"),
        ("tiny", -1, "version", "model 'tiny' has no version -1"),
    ],
)
def test_an_unknown_model_or_version_is_not_found(
    client: Client, name: str, version: int | None, field: str, message: str
) -> None:
    with pytest.raises(NotFound, match=message) as caught:
        client.model(name, version)

    assert caught.value.field == field


def test_the_error_truncates_a_model_name_of_a_megabyte(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ModelServiceStub(channel).GetModel(pb.GetModelRequest(model="€" * 1_000_000), timeout=60)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details().endswith(" ...")


def test_damaged_models_are_listed_with_the_reason_and_other_models_work(
    tmp_path: Path,
    settings: Settings,
    make_service: Callable[[Settings], Any],
    write_tiny: Callable[..., None],
    photo: bytes,
) -> None:
    write_tiny(tmp_path, "tiny", 1)
    write_tiny(tmp_path, "huge", 1)
    manifest = tmp_path / "huge" / "1" / "model.json"
    content = json.loads(manifest.read_text())
    content["network"]["layers"][0]["channels"] = 10**20
    manifest.write_text(json.dumps(content))
    (tmp_path / "foo" / "1").mkdir(parents=True)
    service = make_service(settings.model_copy(update={"store": tmp_path}))
    service.warm_up()

    with Client(service.address) as client:
        foo, huge, tiny = client.models()
        assert (foo.name, foo.version, foo.is_default) == ("foo", 1, False)
        assert foo.damage.startswith("'model.json' is missing; copy the model from its source again")
        assert (huge.name, huge.version) == ("huge", 1)
        assert "'model.json' has a number that cannot be sent" in huge.damage
        assert (tiny.name, tiny.damage, tiny.is_default) == ("tiny", "", True)
        assert client.analyzers()
        assert client.classify(photo).model == "tiny"
        for call in (client.model, lambda name: client.classify(photo, model=name), client.analyzers):
            with pytest.raises(DamagedModel, match=r"^model 'foo' version 1: 'model.json' is missing"):
                call("foo")
        with pytest.raises(DamagedModel, match=r"'model.json' has a number that cannot be sent"):
            client.model("huge")

    with grpc.insecure_channel(service.address) as channel:
        inference = GRPCInferenceServiceStub(channel)
        for call, request in (
            (ModelServiceStub(channel).GetModel, pb.GetModelRequest(model="foo")),
            (inference.ModelMetadata, inference_pb2.ModelMetadataRequest(name="foo")),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=30)
            assert caught.value.code() is grpc.StatusCode.DATA_LOSS
        assert not inference.ModelReady(inference_pb2.ModelReadyRequest(name="foo"), timeout=30).ready
        assert inference.ModelMetadata(
            inference_pb2.ModelMetadataRequest(name="tiny"), timeout=30
        ).versions == ["1"]
