"""Correspond over the wire, compared with the analyzer in process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.support.calls import call_of
from zfscope.analysis import call as orchestration
from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import CORRESPOND
from zfscope.client import Box, Client
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

# The network sees (8.7, 2.7) to (51.3, 45.3) of the first and third photos, 60 x 48, and (17.8, 2.8) to
# (62.2, 47.2) of the second, 80 x 50.
PARTS = {
    "nose": [Box(20, 12, 36, 30), Box(30.5, 10, 44, 21.5), Box(9, 3, 22, 20)],
    "left eye": [Box(30, 20, 40, 30), Box(20, 25, 33, 36), Box(40, 30, 51, 45)],
}
LAYERS = ("pool1", "fc6")
# No option has its default value.
OPTIONS: dict[str, Any] = {"layers": LAYERS, "random": 3, "seed": 5, "fill": "black"}


@pytest.fixture
def photos(make_photo: Callable[..., bytes]) -> list[bytes]:
    """Three photos: a PNG, a PNG of another size, and a JPEG."""
    return [make_photo(), make_photo(80, 50), make_photo(kind="JPEG")]


@pytest.fixture
def expected_analysis(store: Path, photos: list[bytes]) -> Analysis:
    """The result of the analyzer in this process."""
    model = ModelStore(store).load("tiny")
    correspond = load_analyzers().analyzer("correspond")
    images = tuple(prepare(decode(photo), model.preprocessing) for photo in photos)
    context = Context(model, create_runtime("torch", model), images, tensors=True)
    parts = [{"name": name, "boxes": [vars(box) for box in boxes]} for name, boxes in PARTS.items()]
    return correspond.analyze(context, correspond.params(parts=parts, **OPTIONS))


def part(*boxes: tuple[float, float, float, float], name: str = "nose") -> pb.Part:
    sides = ("x0", "y0", "x1", "y1")
    return pb.Part(name=name, boxes=[image_pb2.Box(**dict(zip(sides, box, strict=True))) for box in boxes])


VALID_BOX = (20, 12, 36, 30)


def request(*photos: bytes, **fields: Any) -> pb.CorrespondRequest:
    images = [image_pb2.Image(encoded=photo) for photo in photos]
    defaults = {"layers": ["conv1"], "parts": [part(*[VALID_BOX] * len(photos))]}
    return pb.CorrespondRequest(images=images, **{**defaults, **fields})


def test_rows_match_the_analyzer_in_process(
    client: Client, photos: list[bytes], expected_analysis: Analysis
) -> None:
    answer = client.correspond(photos, PARTS, **OPTIONS)

    assert (answer.model, answer.version) == ("tiny", 2)
    rows = expected_analysis.tables["correspondence"].rows
    assert [(row.part, row.layer, row.pairs) for row in answer.rows] == [(*row[:2], row[4]) for row in rows]
    assert [(row.part, row.layer, row.pairs) for row in answer.rows] == [
        ("nose", "pool1", 3),
        ("nose", "fc6", 3),
        ("left eye", "pool1", 3),
        ("left eye", "fc6", 3),
        ("random", "pool1", 9),
        ("random", "fc6", 9),
    ]
    for actual, row in zip(answer.rows, rows, strict=True):
        # A change close to the rounding threshold may or may not count as zero.
        assert (actual.mean, actual.deviation) == pytest.approx(row[2:4], abs=1e-3)


def test_tensors_match_the_analyzer_in_process(
    client: Client, photos: list[bytes], expected_analysis: Analysis
) -> None:
    answer = client.correspond(photos, PARTS, **OPTIONS, tensors=True)

    assert answer.hamming is not None
    assert answer.random_hamming is not None
    np.testing.assert_allclose(answer.hamming, expected_analysis.tensors["hamming"], atol=1e-3)
    np.testing.assert_allclose(answer.random_hamming, expected_analysis.tensors["random-hamming"], atol=1e-3)
    np.testing.assert_array_equal(answer.boxes, expected_analysis.tensors["boxes"])
    np.testing.assert_array_equal(answer.random_boxes, expected_analysis.tensors["random-boxes"])


def test_the_picture_matches_the_analyzer_in_process(
    client: Client, photos: list[bytes], expected_analysis: Analysis
) -> None:
    answer = client.correspond(photos, PARTS, **OPTIONS)

    expected_picture = expected_analysis.picture("correspondence")
    assert answer.picture is not None
    assert expected_picture is not None
    assert answer.picture.png.startswith(PNG)
    assert (answer.picture.name, answer.picture.scale) == (expected_picture.name, expected_picture.scale)


def test_unset_fields_get_the_defaults_of_the_analyzer() -> None:
    params = load_analyzers().analyzer("correspond").params
    call = call_of(CORRESPOND, pb.CorrespondRequest(parts=[part(VALID_BOX)]))

    boxes = [dict(zip(("x0", "y0", "x1", "y1"), VALID_BOX, strict=True))]
    assert params.model_validate(call.parameters) == params(parts=[{"name": "nose", "boxes": boxes}])


def test_without_draws_there_is_no_control(client: Client, photos: list[bytes]) -> None:
    answer = client.correspond(photos, PARTS, layers=["conv1"], random=0, tensors=True)

    assert {row.part for row in answer.rows} == set(PARTS)
    assert answer.random_hamming is None
    assert answer.random_boxes is None


def test_the_seed_determines_the_boxes_of_the_control(client: Client, photos: list[bytes]) -> None:
    boxes = [
        client.correspond(photos, PARTS, layers=["conv1"], random=2, tensors=True, **seed).random_boxes
        for seed in ({}, {"seed": 0}, {"seed": 1})
    ]
    np.testing.assert_array_equal(boxes[0], boxes[1])
    assert (boxes[0] != boxes[2]).any()


def test_tensors_are_sent_only_on_request_and_the_picture_by_default(
    client: Client, photos: list[bytes]
) -> None:
    answer = client.correspond(photos, PARTS, layers=["conv1"], random=1)

    assert answer.picture is not None
    tensors = answer.hamming, answer.boxes, answer.random_hamming, answer.random_boxes
    assert tensors == (None, None, None, None)
    without = client.correspond(photos, PARTS, layers=["conv1"], random=1, pictures=False)
    assert without.picture is None
    assert without.rows == answer.rows


def test_the_default_response_for_five_photos_and_parts_fits_the_default_message_limit(
    channel: grpc.Channel, make_photo: Callable[..., bytes]
) -> None:
    photos = [make_photo(400 + number, 400) for number in range(5)]
    parts = [part(*[(100, 100, 200, 200)] * 5, name=f"part {number}") for number in range(5)]

    response = AnalysisServiceStub(channel).Correspond(request(*photos, parts=parts))

    assert len(response.rows) == 6
    assert response.ByteSize() < 4 << 20


NAN, INFINITY = float("nan"), float("inf")
INVALID_REQUESTS: dict[str, tuple[dict[str, Any], grpc.StatusCode, str, str]] = {
    "no parts": ({"parts": []}, INVALID, "parts", "parts is missing; it is required"),
    "too many parts": (
        {"parts": [part(VALID_BOX, VALID_BOX, name=str(number)) for number in range(17)]},
        INVALID,
        "parts",
        "at most 16 items",
    ),
    "no name": (
        {"parts": [part(VALID_BOX, VALID_BOX, name="")]},
        INVALID,
        "parts[0].name",
        "at least 1 character",
    ),
    "the control's name": (
        {"parts": [part(VALID_BOX, VALID_BOX, name="random")]},
        INVALID,
        "parts[0].name",
        "'random' is reserved for the control",
    ),
    "no boxes": (
        {"parts": [part(VALID_BOX, VALID_BOX), part(name="eye")]},
        INVALID,
        "parts[1].boxes",
        "parts[1].boxes of 'eye' has 0 boxes for 2 photos: give one box per photo, in order",
    ),
    "a box too few": (
        {"parts": [part(VALID_BOX)]},
        INVALID,
        "parts[0].boxes",
        "parts[0].boxes of 'nose' has 1 boxes for 2 photos",
    ),
    "an empty box": (
        {"parts": [part(VALID_BOX, (0, 0, 0, 0))]},
        INVALID,
        "parts[0].boxes[1]",
        "the box is empty: x0 has to be less than x1, and y0 less than y1",
    ),
    "a negative width": (
        {"parts": [part((36, 12, 20, 30), VALID_BOX)]},
        INVALID,
        "parts[0].boxes[0]",
        "is empty",
    ),
    "a negative height": (
        {"parts": [part(VALID_BOX, VALID_BOX), part(VALID_BOX, (20, 30, 36, 12), name="eye")]},
        INVALID,
        "parts[1].boxes[1]",
        "the box is empty",
    ),
    "a box outside": (
        {"parts": [part(VALID_BOX, (20, 12, 70, 30))]},
        INVALID,
        "parts[0].boxes[1]",
        "parts[0].boxes[1] is (20, 12) to (70, 30); it must lie within (8.66667, 2.66667) to (51.3333, 45.3",
    ),
    "a box too small": (
        {"parts": [part((20, 12, 20.1, 30), VALID_BOX)]},
        INVALID,
        "parts[0].boxes[0]",
        "empty at the network's resolution",
    ),
    "a NaN": (
        {"parts": [part(VALID_BOX, (NAN, 12, 36, 30))]},
        INVALID,
        "parts[0].boxes[1].x0",
        "parts[0].boxes[1].x0 is nan: Input should be a finite number",
    ),
    "an infinite side": (
        {"parts": [part((20, 12, 36, INFINITY), VALID_BOX)]},
        INVALID,
        "parts[0].boxes[0].y1",
        "parts[0].boxes[0].y1 is inf: Input should be a finite number",
    ),
    "an unknown layer": (
        {"layers": ["conv1", "conv9"]},
        NOT_FOUND,
        "layers[1]",
        "layer 'conv9' not found; available: conv1",
    ),
    "a layer twice": (
        {"layers": ["fc6", "fc6"]},
        INVALID,
        "layers",
        "layers is ['fc6', 'fc6']: 'fc6' is named more than once",
    ),
    "a part twice": (
        {"parts": [part(VALID_BOX, VALID_BOX), part(VALID_BOX, VALID_BOX)]},
        INVALID,
        "parts",
        "'nose' is named more than once",
    ),
    "too many draws": (
        {"random": 101},
        INVALID,
        "random",
        "random is 101: Input should be less than or equal",
    ),
    "a negative number of draws": (
        {"random": -1},
        INVALID,
        "random",
        "random is -1: Input should be greater than",
    ),
    "a negative seed": (
        {"seed": -1},
        INVALID,
        "seed",
        "seed is -1: Input should be greater than or equal to 0",
    ),
    "an unknown fill": (
        {"fill": 77},
        INVALID,
        "fill",
        "fill: value 77 is not valid; allowed: FILL_COLOUR_MEAN, FILL_COLOUR_GREY, FILL_COLOUR_BLACK",
    ),
    "an unknown model": (
        {"model": "huge"},
        NOT_FOUND,
        "model",
        "model 'huge' not found; available: other, tiny",
    ),
}


@pytest.mark.parametrize("case", INVALID_REQUESTS)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    channel: grpc.Channel, call_error: Callable[..., Any], photo: bytes, case: str
) -> None:
    fields, code, field, message = INVALID_REQUESTS[case]

    error = call_error(AnalysisServiceStub(channel).Correspond, request(photo, photo, **fields))

    assert (error.code, error.field) == (code, field)
    assert message in error.message


@pytest.mark.parametrize("count", [0, 1, 33])
def test_fewer_than_two_photos_or_too_many_are_rejected(
    channel: grpc.Channel, call_error: Callable[..., Any], photo: bytes, count: int
) -> None:
    error = call_error(AnalysisServiceStub(channel).Correspond, request(*[photo] * count))

    assert (error.code, error.field) == (INVALID, "images")
    assert error.message == f"images: {count} photo{'s' * (count != 1)}; 'correspond' takes 2 to 32"


def test_the_error_names_a_missing_photo(
    channel: grpc.Channel, call_error: Callable[..., Any], photo: bytes
) -> None:
    incomplete = request(photo, photo)
    incomplete.images[1].Clear()

    error = call_error(AnalysisServiceStub(channel).Correspond, incomplete)

    assert (error.code, error.field) == (INVALID, "images[1]")
    assert (
        "image is missing; set images[1].encoded to the bytes of a file, or images[1].tensor" in error.message
    )


def test_requests_over_the_budget_are_rejected_before_any_work(
    settings: Settings,
    make_service: Callable[[Settings], Any],
    call_error: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    photo: bytes,
) -> None:
    service = make_service(settings.model_copy(update={"max_passes": 23}))
    service.warm_up()
    with grpc.insecure_channel(service.address) as channel:
        stub = AnalysisServiceStub(channel)
        with monkeypatch.context() as patched:
            runs: list[Any] = []
            patched.setattr(orchestration, "run", lambda *arguments: runs.append(arguments))
            error = call_error(stub.Correspond, request(photo, photo))
        assert runs == []
        assert (error.code, error.field) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        assert error.message == (
            "'correspond' would cost 24 forward passes with these parameters, 12 for each photo; allowed: "
            "at most 23 per request"
        )
        assert len(stub.Correspond(request(photo, photo, random=9)).rows) == 2
