"""MeasureInvariance over the wire."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.support.calls import call_of
from tests.support.numeric import assert_close
from zfscope.analysis import call as orchestration
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import INVARIANCE
from zfscope.client import Client
from zfscope.errors import TooMuchWork
from zfscope.images.decode import decode
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.server.settings import Settings
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

PNG = b"\x89PNG\r\n\x1a\n"
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND

# Every option has a value that is not its default; two of the scales are the same on purpose.
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
def analysed(store: Path, photos: list[bytes]) -> Analysis:
    """What the analyzer gives in this process. Not to be changed."""
    model = ModelStore(store).load("tiny")
    invariance = load_analyzers().analyzer("invariance")
    images = tuple(prepare(decode(photo), model.preprocessing) for photo in photos)
    context = Context(model, create_runtime("torch", model), images, tensors=True)
    return invariance.analyze(context, invariance.params(**OPTIONS))


def request(*photos: bytes, **fields: Any) -> pb.MeasureInvarianceRequest:
    images = [image_pb2.Image(encoded=photo) for photo in photos]
    return pb.MeasureInvarianceRequest(images=images, **{"layers": ["conv1"], "scales": [1, 2], **fields})


def test_curves_match_the_analyzer_in_process(
    client: Client, photos: list[bytes], analysed: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS)

    assert (answer.model, answer.version) == ("tiny", 2)
    told = [
        (number, curve.transformation, value, layer.layer, distance, normalised, probability)
        for number, photo in enumerate(answer.photos)
        for curve in photo.curves
        for place, (value, probability) in enumerate(zip(curve.values, curve.probabilities, strict=True))
        for layer in curve.layers
        for distance, normalised in [(layer.distances[place], layer.normalised_distances[place])]
    ]
    rows = analysed.tables["curves"].rows
    assert len(told) == len(rows) == 2 * (2 + 3 + 3) * 3
    assert [row[:4] for row in told] == [row[:4] for row in rows]
    for layer in OPTIONS["layers"]:
        for column in (4, 5, 6):
            got, wanted = ([row[column] for row in each if row[3] == layer] for each in (told, rows))
            assert_close(got, wanted, name=f"{layer}, column {column}")


def test_every_photo_has_a_class_and_states_how_it_was_chosen(
    client: Client, photos: list[bytes], analysed: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS)

    rows = analysed.tables["photos"].rows
    for got, (_, label_id, label, chosen, probability) in zip(answer.photos, rows, strict=True):
        assert (got.label_id, got.label, got.chosen) == (label_id, label, chosen)
        assert_close(got.probability, probability)
    assert [photo.chosen for photo in answer.photos] == ["given", "likeliest"]
    assert answer.photos[0].label == "dog"


def test_tensors_match_the_analyzer_in_process(
    client: Client, photos: list[bytes], analysed: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS, tensors=True)

    assert [tensors.transformation for tensors in answer.tensors] == list(OPTIONS["transformations"])
    for got in answer.tensors:
        for field, name in (
            ("values", "values"),
            ("distances", "distances"),
            ("normalised_distances", "normalised"),
            ("probabilities", "probabilities"),
        ):
            wanted = analysed.tensors[f"{got.transformation}-{name}"]
            assert getattr(got, field).dtype == np.float32
            assert_close(getattr(got, field), wanted, name=name)


def test_the_picture_matches_the_analyzer_in_process(
    client: Client, photos: list[bytes], analysed: Analysis
) -> None:
    answer = client.measure_invariance(photos, **OPTIONS)

    wanted = analysed.picture("invariance")
    assert answer.picture is not None
    assert wanted is not None
    assert answer.picture.png.startswith(PNG)
    assert (answer.picture.name, answer.picture.scale) == (wanted.name, wanted.scale)


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
    best = [client.classify(photo, top=1).classes[0].label for photo in photos]
    assert [photo.label for photo in unset.photos] == best


def test_tensors_are_sent_only_on_request_and_the_picture_by_default(client: Client, photo: bytes) -> None:
    options = {"layers": ("conv1",), "transformations": ("scale",), "scales": (1, 2)}
    answer = client.measure_invariance([photo], **options)

    assert answer.picture is not None
    assert answer.tensors == ()
    plain = client.measure_invariance([photo], **options, pictures=False, tensors=True)
    assert plain.picture is None
    assert [tensors.distances.shape for tensors in plain.tensors] == [(1, 2, 1)]
    assert plain.photos == answer.photos


def test_the_default_response_for_the_most_photos_fits_the_default_message_limit(
    channel: grpc.Channel, make_photo: Callable[..., bytes]
) -> None:
    photos = [make_photo(60 + number) for number in range(16)]
    asked = pb.MeasureInvarianceRequest(
        images=[image_pb2.Image(encoded=photo) for photo in photos], layers=["relu1", "relu5"]
    )

    response = AnalysisServiceStub(channel).MeasureInvariance(asked)

    assert len(response.photos) == 16
    assert [len(curve.values) for curve in response.photos[0].curves] == [21, 13, 36]
    assert response.ByteSize() < 4 << 20


def test_a_tensor_can_replace_a_photo(client: Client, photo: bytes) -> None:
    pixels = np.random.default_rng(1).normal(0, 1, (3, 32, 32)).astype(np.float32)

    answer = client.measure_invariance([photo, pixels], layers=["conv1"], scales=[1], rotations_deg=[180])

    assert len(answer.photos) == 2


NAN, INFINITE = float("nan"), float("inf")
BAD: dict[str, tuple[dict[str, Any], grpc.StatusCode, str, str]] = {
    "a moved NaN": (
        {"translations_px": [0, NAN]},
        INVALID,
        "translations_px[1]",
        "translations_px[1] is nan",
    ),
    "an infinite scale": (
        {"scales": [INFINITE]},
        INVALID,
        "scales[0]",
        "scales[0] is inf: Input should be l",
    ),
    "an infinite turn": (
        {"rotations_deg": [-INFINITE]},
        INVALID,
        "rotations_deg[0]",
        "greater than or equal",
    ),
    "a negative scale": (
        {"scales": [1, 1, -2]},
        INVALID,
        "scales[2]",
        "scales[2] is -2.0: Input should be gr",
    ),
    "a long move": ({"translations_px": [1025]}, INVALID, "translations_px[0]", "less than or equal to 1024"),
    "too many values": ({"scales": [1.0] * 201}, INVALID, "scales", "at most 200 items"),
    "too many layers": ({"layers": ["conv1"] * 9}, INVALID, "layers", "at most 8 items"),
    "a layer twice": (
        {"layers": ["conv1", "conv1"]},
        INVALID,
        "layers",
        "layers is ['conv1', 'conv1']: 'conv1' is named more than once",
    ),
    "an unknown layer": (
        {"layers": ["conv1", "conv9"]},
        NOT_FOUND,
        "layers[1]",
        "layer 'conv9' not found; available: conv1",
    ),
    "an unknown label": (
        {"labels": ["cow"]},
        NOT_FOUND,
        "labels[0]",
        "labels[0]: label 'cow' not found; this model has 'ant' (n0)",
    ),
    "too many labels": (
        {"labels": ["ant", "bee"]},
        INVALID,
        "labels",
        "2 labels for 1 photos; give one for each, or none",
    ),
    "an unspecified transformation": (
        {"transformations": [pb.TRANSFORMATION_SCALE, 0]},
        INVALID,
        "transformations[1]",
        "transformations[1]: value 0 is not allowed; TRANSFORMATION_VERTICAL, TRANSFORMATION_HORIZONTAL, ",
    ),
    "a nameless transformation": (
        {"transformations": [77]},
        INVALID,
        "transformations[0]",
        "transformations[0]: value 77 is not allowed; TRANSFORMATION_VERTICAL, ",
    ),
    "a transformation twice": (
        {"transformations": [pb.TRANSFORMATION_SCALE] * 2},
        INVALID,
        "transformations",
        "'scale' is named more than once",
    ),
    "a nameless fill": (
        {"fill": 77},
        INVALID,
        "fill",
        "fill: value 77 is not allowed; FILL_MEAN, FILL_GREY, FILL_BLACK, FILL_EDGE are",
    ),
    "an unknown model": (
        {"model": "huge"},
        NOT_FOUND,
        "model",
        "model 'huge' not found; available: other, tiny",
    ),
    "an unknown version": ({"version": 7}, NOT_FOUND, "version", "model 'tiny' has no version 7"),
}


@pytest.mark.parametrize("bad", BAD)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    channel: grpc.Channel, call_error: Callable[..., Any], photo: bytes, bad: str
) -> None:
    fields, code, field, message = BAD[bad]

    error = call_error(AnalysisServiceStub(channel).MeasureInvariance, request(photo, **fields))

    assert (error.code, error.field) == (code, field)
    assert message in error.message


@pytest.mark.parametrize("count", [0, 17])
def test_no_photo_or_too_many_are_rejected(
    channel: grpc.Channel, call_error: Callable[..., Any], photo: bytes, count: int
) -> None:
    error = call_error(AnalysisServiceStub(channel).MeasureInvariance, request(*[photo] * count))

    assert (error.code, error.field) == (INVALID, "images")
    assert error.message == f"images: {count} photos; 'invariance' takes 1 to 16"


@pytest.mark.parametrize(
    ("images", "field", "message"),
    [
        (
            [image_pb2.Image()],
            "images[0]",
            "image is missing; set images[0].encoded to the bytes of a file, or images[0]",
        ),
        ([image_pb2.Image(encoded=b"hello")], "images[0].encoded", "images[0].encoded is not an image"),
        ([None, image_pb2.Image()], "images[1]", "image is missing; set images[1].encoded"),
    ],
)
def test_the_error_names_an_unreadable_photo(
    channel: grpc.Channel,
    call_error: Callable[..., Any],
    photo: bytes,
    images: list[Any],
    field: str,
    message: str,
) -> None:
    asked = request()
    asked.images.extend(image or image_pb2.Image(encoded=photo) for image in images)

    error = call_error(AnalysisServiceStub(channel).MeasureInvariance, asked)

    assert (error.code, error.field) == (INVALID, field)
    assert message in error.message


def test_requests_over_the_budget_are_rejected_before_any_work(
    settings: Settings,
    make_service: Callable[[Settings], Any],
    call_error: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    photo: bytes,
) -> None:
    service = make_service(settings.model_copy(update={"max_passes": 8}))
    service.warm_up()
    three, two = (
        request(*[photo] * count, transformations=[pb.TRANSFORMATION_SCALE], scales=[1, 1.5, 2])
        for count in (3, 2)
    )
    with grpc.insecure_channel(service.address) as channel:
        stub = AnalysisServiceStub(channel)
        with monkeypatch.context() as watched:
            worked: list[Any] = []
            watched.setattr(orchestration, "run", lambda *given: worked.append(given))
            error = call_error(stub.MeasureInvariance, three)
        assert worked == []
        assert (error.code, error.field) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        assert error.message == (
            "'invariance' would cost 12 forward passes with these parameters, 4 for each photo; one request "
            "may cost 8"
        )
        assert len(stub.MeasureInvariance(two).photos) == 2


def test_photos_cost_the_same_with_and_without_labels(
    settings: Settings, make_service: Callable[[Settings], Any], photo: bytes
) -> None:
    """A photo costs three passes: as it is, and at two scales."""
    service = make_service(settings.model_copy(update={"max_passes": 47}))
    service.warm_up()
    options = {"layers": ["conv1"], "transformations": ["scale"], "scales": [1.5, 2]}
    told = "would cost 48 forward passes with these parameters, 3 for each photo; one request may cost 47"
    with Client(service.address) as client:
        for labels in ([], [""] * 16):
            with pytest.raises(TooMuchWork, match=told):
                client.measure_invariance([photo] * 16, **options, labels=labels)
            with pytest.raises(TooMuchWork, match=told):
                client.analyze("invariance", [photo] * 16, {**options, "labels": labels})
        assert len(client.measure_invariance([photo], **options).photos) == 1
        assert len(client.analyze("invariance", [photo], options).analysis.tables["photos"].rows) == 1
