"""MeasureInvariance over the wire, compared with the analyzer in process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.support.calls import call_of
from tests.support.numeric import assert_close
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import INVARIANCE
from zfscope.client import Client
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

PNG = b"\x89PNG\r\n\x1a\n"

# No option has its default value. Two scales are equal: duplicates are allowed.
OPTIONS: dict[str, Any] = {
    "transformations": ("rotation", "horizontal", "scale"),
    "translations_px": (-3, 0, 2.5),
    "scales": (0.5, 2, 2),
    "rotations_deg": (0, 90),
    "layers": ("conv1", "fc6", "relu5"),
    "fill": "edge",
    "labels": ("dog", ""),
}


@pytest.fixture(scope="module")
def photos(make_photo: Callable[..., bytes]) -> list[bytes]:
    """Two photos of different sizes."""
    return [make_photo(), make_photo(80, 50)]


@pytest.fixture(scope="module")
def expected_analysis(store: Path, photos: list[bytes]) -> Analysis:
    """The result of the analyzer in this process. Shared by all tests; do not modify."""
    model = ModelStore(store).load("tiny")
    invariance = load_analyzers().analyzer("invariance")
    images = tuple(prepare(decode(photo), model.preprocessing) for photo in photos)
    context = Context(model, create_runtime("torch", model), images, tensors=True)
    return invariance.analyze(context, invariance.params(**OPTIONS))


def test_curves_match_the_analyzer_in_process(
    client: Client, photos: list[bytes], expected_analysis: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS)

    assert (answer.model, answer.version) == ("tiny", 2)
    actual = [
        (number, curve.transformation, value, layer.layer, distance, normalised, probability)
        for number, photo in enumerate(answer.photos)
        for curve in photo.curves
        for index, (value, probability) in enumerate(zip(curve.values, curve.probabilities, strict=True))
        for layer in curve.layers
        for distance, normalised in [(layer.distances[index], layer.normalised_distances[index])]
    ]
    rows = expected_analysis.tables["curves"].rows
    assert len(actual) == len(rows) == 2 * (2 + 3 + 3) * 3
    assert [row[:4] for row in actual] == [row[:4] for row in rows]
    for layer in OPTIONS["layers"]:
        for column in (4, 5, 6):
            values, expected = ([row[column] for row in each if row[3] == layer] for each in (actual, rows))
            assert_close(values, expected, name=f"{layer}, column {column}")


def test_every_photo_has_a_class_and_states_how_it_was_chosen(
    client: Client, photos: list[bytes], expected_analysis: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS)

    rows = expected_analysis.tables["photos"].rows
    for actual, (_, label_id, label, chosen, probability) in zip(answer.photos, rows, strict=True):
        assert (actual.label_id, actual.label, actual.chosen) == (label_id, label, chosen)
        assert_close(actual.probability, probability)
    assert [photo.chosen for photo in answer.photos] == ["given", "likeliest"]
    assert answer.photos[0].label == "dog"


def test_tensors_match_the_analyzer_in_process(
    client: Client, photos: list[bytes], expected_analysis: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS, tensors=True)

    assert [tensors.transformation for tensors in answer.tensors] == list(OPTIONS["transformations"])
    for actual in answer.tensors:
        for field, name in (
            ("values", "values"),
            ("distances", "distances"),
            ("normalised_distances", "normalised"),
            ("probabilities", "probabilities"),
        ):
            expected = expected_analysis.tensors[f"{actual.transformation}-{name}"]
            assert getattr(actual, field).dtype == np.float32
            assert_close(getattr(actual, field), expected, name=name)


def test_the_picture_matches_the_analyzer_in_process(
    client: Client, photos: list[bytes], expected_analysis: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS)

    expected = expected_analysis.picture("invariance")
    assert answer.picture is not None
    assert expected is not None
    assert answer.picture.png.startswith(PNG)
    assert (answer.picture.name, answer.picture.scale) == (expected.name, expected.scale)


def test_unset_fields_get_the_defaults_of_the_analyzer() -> None:
    params = load_analyzers().analyzer("invariance").params
    assert params.model_validate(call_of(INVARIANCE, pb.MeasureInvarianceRequest()).parameters) == params()


def test_without_labels_the_likeliest_class_of_each_photo_is_used(
    client: Client, photos: list[bytes]
) -> None:
    options = {"layers": ("fc6",), "transformations": ("scale",), "scales": (2,)}
    unset = client.measure_invariance(photos, **options)

    assert [photo.chosen for photo in unset.photos] == ["likeliest"] * 2
    assert unset.photos == client.measure_invariance(photos, **options, labels=["", ""]).photos
    likeliest = [client.classify(photo, top=1).classes[0].label for photo in photos]
    assert [photo.label for photo in unset.photos] == likeliest


def test_tensors_are_sent_only_on_request_and_the_picture_by_default(client: Client, photo: bytes) -> None:
    options = {"layers": ("conv1",), "transformations": ("scale",), "scales": (1, 2)}
    answer = client.measure_invariance([photo], **options)

    assert answer.picture is not None
    assert answer.tensors == ()
    without = client.measure_invariance([photo], **options, pictures=False, tensors=True)
    assert without.picture is None
    assert [tensors.distances.shape for tensors in without.tensors] == [(1, 2, 1)]
    assert without.photos == answer.photos


def test_the_default_response_for_the_most_photos_fits_the_default_message_limit(
    channel: grpc.Channel, make_photo: Callable[..., bytes]
) -> None:
    photos = [make_photo(60 + number) for number in range(16)]
    request = pb.MeasureInvarianceRequest(
        images=[image_pb2.Image(encoded=photo) for photo in photos], layers=["relu1", "relu5"]
    )

    response = AnalysisServiceStub(channel).MeasureInvariance(request)

    assert len(response.photos) == 16
    assert [len(curve.values) for curve in response.photos[0].curves] == [21, 13, 36]
    assert response.ByteSize() < 4 << 20


def test_a_tensor_can_replace_a_photo(client: Client, photo: bytes) -> None:
    pixels = np.random.default_rng(1).normal(0, 1, (3, 32, 32)).astype(np.float32)

    answer = client.measure_invariance([photo, pixels], layers=["conv1"], scales=[1], rotations_deg=[180])

    assert len(answer.photos) == 2
