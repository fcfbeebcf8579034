"""ModelService over the wire."""

import grpc
import pytest

from zfscope.client import Client, Label
from zfscope.errors import NotFound
from zfscope.v1 import model_pb2 as pb
from zfscope.v1.model_pb2_grpc import ModelServiceStub


def test_every_version_of_every_model_is_listed_and_one_is_the_default(client: Client) -> None:
    listed = [(model.name, model.version, model.is_default) for model in client.models()]

    assert listed == [("other", 1, False), ("tiny", 2, True), ("tiny", 1, False)]


def test_a_summary_says_what_the_model_is(client: Client) -> None:
    summary = client.models()[1]

    assert summary.summary == "Version 2 of a tiny network"
    assert (summary.network, summary.classes) == ("tiny", 4)
    conv1, conv5, fc6 = (3 * 5 * 5 + 1) * 6, (6 * 3 * 3 + 1) * 12, (12 * 7 * 7 + 1) * 4
    assert summary.parameters == conv1 + conv5 + fc6


def test_layers_have_the_shapes_strides_and_receptive_fields_of_the_arithmetic(client: Client) -> None:
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


def test_labels_come_in_the_order_of_the_scores(client: Client) -> None:
    labels = client.model().labels

    assert labels == (Label("n0", "ant"), Label("n1", "bee"), Label("n2", "cat"), Label("n3", "dog"))


def test_the_preprocessing_is_told_in_full(client: Client) -> None:
    steps = client.model().preprocessing

    assert (steps.short_side_px, steps.centre_px, steps.crop_px, steps.channels) == (36, 36, 32, "RGB")
    assert steps.mean == pytest.approx((123.68, 116.779, 103.939))
    assert steps.std == (50, 50, 50)


def test_an_accuracy_that_was_measured_is_told(client: Client) -> None:
    accuracy = client.model("tiny", 2).accuracy

    assert accuracy is not None
    assert (accuracy.top1_percent, accuracy.top5_percent, accuracy.images) == (50, 100, 4)
    assert accuracy.ten_crop_top1_percent is None
    assert accuracy.data == "four photos"


def test_an_accuracy_that_was_never_measured_is_unset(client: Client) -> None:
    assert client.model("tiny", 1).accuracy is None


def test_an_unset_version_is_the_newest(client: Client) -> None:
    assert client.model("tiny").summary.version == 2


@pytest.mark.parametrize(
    ("name", "version", "field", "message"),
    [
        ("huge", None, "model", "no model 'huge'; this store has other, tiny"),
        ("../tiny", None, "model", "no model '../tiny'"),
        ("tiny", 9, "version", "no version 9 of model 'tiny'; there is 1, 2"),
        ("tiny", 0, "version", "no version 0 of model 'tiny'"),
        ("tiny", -1, "version", "no version -1 of model 'tiny'"),
    ],
)
def test_a_model_that_is_not_there_is_not_found(
    client: Client, name: str, version: int | None, field: str, message: str
) -> None:
    with pytest.raises(NotFound, match=message) as refusal:
        client.model(name, version)

    assert refusal.value.field == field


def test_a_model_name_of_a_megabyte_is_not_found_like_any_other(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        ModelServiceStub(channel).GetModel(pb.GetModelRequest(model="€" * 1_000_000), timeout=10)

    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    assert refusal.value.details().endswith(" ...")
