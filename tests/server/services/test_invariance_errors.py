"""Errors of MeasureInvariance over the wire."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from zfscope.analysis import call as orchestration
from zfscope.client import Client
from zfscope.errors import TooMuchWork
from zfscope.server.settings import Settings
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def request(*photos: bytes, **fields: Any) -> pb.MeasureInvarianceRequest:
    images = [image_pb2.Image(encoded=photo) for photo in photos]
    return pb.MeasureInvarianceRequest(images=images, **{"layers": ["conv1"], "scales": [1, 2], **fields})


NAN, INFINITY = float("nan"), float("inf")
INVALID_REQUESTS: dict[str, tuple[dict[str, Any], grpc.StatusCode, str, str]] = {
    "a NaN translation": (
        {"translations_px": [0, NAN]},
        INVALID,
        "translations_px[1]",
        "translations_px[1] is nan",
    ),
    "an infinite scale": (
        {"scales": [INFINITY]},
        INVALID,
        "scales[0]",
        "scales[0] is inf: Input should be l",
    ),
    "an infinite rotation": (
        {"rotations_deg": [-INFINITY]},
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
    "a long translation": (
        {"translations_px": [1025]},
        INVALID,
        "translations_px[0]",
        "less than or equal to 1024",
    ),
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
        "transformations[1]: value 0 is not valid; allowed: TRANSFORMATION_VERTICAL, TRANSFORMATION_HORIZ",
    ),
    "an unknown transformation": (
        {"transformations": [77]},
        INVALID,
        "transformations[0]",
        "transformations[0]: value 77 is not valid; allowed: TRANSFORMATION_VERTICAL, ",
    ),
    "a transformation twice": (
        {"transformations": [pb.TRANSFORMATION_SCALE] * 2},
        INVALID,
        "transformations",
        "'scale' is named more than once",
    ),
    "an unknown fill": (
        {"fill": 77},
        INVALID,
        "fill",
        "fill: value 77 is not valid; allowed: FILL_MEAN, FILL_GREY, FILL_BLACK, FILL_EDGE",
    ),
    "an unknown model": (
        {"model": "huge"},
        NOT_FOUND,
        "model",
        "model 'huge' not found; available: other, tiny",
    ),
    "an unknown version": ({"version": 7}, NOT_FOUND, "version", "model 'tiny' has no version 7"),
}


@pytest.mark.parametrize("case", INVALID_REQUESTS)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    channel: grpc.Channel, call_error: Callable[..., Any], photo: bytes, case: str
) -> None:
    fields, code, field, message = INVALID_REQUESTS[case]

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
    unreadable = request()
    unreadable.images.extend(image or image_pb2.Image(encoded=photo) for image in images)

    error = call_error(AnalysisServiceStub(channel).MeasureInvariance, unreadable)

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
        with monkeypatch.context() as patched:
            runs: list[Any] = []
            patched.setattr(orchestration, "run", lambda *arguments: runs.append(arguments))
            error = call_error(stub.MeasureInvariance, three)
        assert runs == []
        assert (error.code, error.field) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        assert error.message == (
            "'invariance' would cost 12 forward passes with these parameters, 4 for each photo; allowed: "
            "at most 8 per request"
        )
        assert len(stub.MeasureInvariance(two).photos) == 2


def test_photos_cost_the_same_with_and_without_labels(
    settings: Settings, make_service: Callable[[Settings], Any], photo: bytes
) -> None:
    """A photo costs three passes: one unchanged and two scaled."""
    service = make_service(settings.model_copy(update={"max_passes": 47}))
    service.warm_up()
    options = {"layers": ["conv1"], "transformations": ["scale"], "scales": [1.5, 2]}
    message = "would cost 48 forward passes with these parameters, 3 for each photo; allowed: at most 47"
    with Client(service.address) as client:
        for labels in ([], [""] * 16):
            with pytest.raises(TooMuchWork, match=message):
                client.measure_invariance([photo] * 16, **options, labels=labels)
            with pytest.raises(TooMuchWork, match=message):
                client.analyze("invariance", [photo] * 16, {**options, "labels": labels})
        assert len(client.measure_invariance([photo], **options).photos) == 1
        assert len(client.analyze("invariance", [photo], options).analysis.tables["photos"].rows) == 1
