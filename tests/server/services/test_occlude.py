"""Occlude over the wire, compared with the analyzer in process."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.support.calls import call_of
from tests.support.numeric import assert_close
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.answers import OCCLUDE
from zfscope.client import Client
from zfscope.errors import Cancelled, InputError, NotFound, TooMuchWork, ZfscopeError
from zfscope.images.decode import decode
from zfscope.images.geometry import Box
from zfscope.images.preprocess import prepare
from zfscope.runtimes import create_runtime
from zfscope.server.deadline import CallCancellation
from zfscope.server.services import analysis
from zfscope.server.settings import Settings
from zfscope.store import ModelStore
from zfscope.v1 import analysis_pb2 as pb

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_response_matches_the_analyzer_in_process(client: Client, photo: bytes, store: Path) -> None:
    model = ModelStore(store).load("tiny")
    occlude = load_analyzers().analyzer("occlude")
    params = occlude.params(window=8, stride=6, classes=("cat", "n0"), layer="conv1", map=3, value="logit")
    images = (prepare(decode(photo), model.preprocessing),)
    expected = occlude.analyze(Context(model, create_runtime("torch", model), images, tensors=True), params)

    answer = client.occlude(
        photo, window=8, stride=6, classes=["cat", "n0"], layer="conv1", map=3, value="logit", tensors=True
    )

    assert (answer.model, answer.version, answer.photo_size, answer.windows) == ("tiny", 2, (48, 60), 25)
    for index, (actual, record) in enumerate(
        zip(answer.classes, expected.tables["classes"].records(), strict=True)
    ):
        assert (actual.label_id, actual.label) == (record["label_id"], record["label"])
        assert_close([actual.clean, actual.lowest], [record["clean"], record["lowest"]])
        assert actual.lowest_at == Box(record["x0"], record["y0"], record["x1"], record["y1"])
        assert_close(actual.values, expected.tensors["values"][index])
        assert_close(actual.value_map, expected.tensors["value-maps"][index])
        assert_close(actual.photo_value_map, expected.tensors["photo-value-maps"][index])
    (expected_map,) = expected.tables["watched"].records()
    assert (answer.map.layer, answer.map.map) == ("conv1", 3)
    assert_close(answer.map.clean_total, expected_map["clean_total"])
    assert_close(answer.map.totals, expected.tensors["totals"])
    assert_close(answer.map.projection, expected.tensors["projection"])
    np.testing.assert_array_equal(answer.positions, expected.tensors["windows"])
    np.testing.assert_array_equal(answer.likeliest, expected.tensors["likeliest"])
    assert answer.picture is not None
    assert answer.picture.png.startswith(PNG)


def test_the_control_has_similarity_measures(client: Client, photo: bytes) -> None:
    without = client.occlude(photo, window=16, stride=16, tensors=True).map
    assert (without.control_projection, without.control_ssim, without.control_rank_correlation) == (None,) * 3
    with_control = client.occlude(photo, window=16, stride=16, layer="conv1", tensors=True, control=True).map
    (projection,) = client.project(photo, layer="conv1", top=1, tensors=True, control=True).projections
    assert projection.map == with_control.map
    assert_close(with_control.control_projection, projection.control_tensor)
    assert (with_control.control_ssim, with_control.control_rank_correlation) == pytest.approx(
        (projection.control_ssim, projection.control_rank_correlation), abs=1e-4
    )


def test_unset_fields_get_the_defaults_of_the_analyzer() -> None:
    params = load_analyzers().analyzer("occlude").params
    assert params.model_validate(call_of(OCCLUDE, pb.OccludeRequest()).parameters) == params()


def test_tensors_are_sent_only_on_request_and_the_picture_by_default(client: Client, photo: bytes) -> None:
    answer = client.occlude(photo, window=16, stride=16)
    assert answer.picture is not None
    assert answer.positions is None
    assert answer.classes[0].values is None
    assert answer.map.projection is None
    assert client.occlude(photo, window=16, stride=16, pictures=False).picture is None


def test_both_methods_return_the_same_values(client: Client, photo: bytes) -> None:
    fast, full = (
        client.occlude(photo, window=9, stride=5, method=m, tensors=True) for m in ("incremental", "full")
    )
    assert_close(fast.classes[0].values, full.classes[0].values)
    assert_close(fast.map.totals, full.map.totals)


def test_boxes_are_occluded_instead_of_a_sliding_window(client: Client, photo: bytes) -> None:
    answer = client.occlude(photo, boxes=[Box(20, 10, 40, 30)], fill="#102030", tensors=True)
    assert answer.windows == 1
    assert answer.positions is not None
    assert answer.positions.shape == (1, 4)


def test_a_single_window_has_the_classes_before_and_after_without_tensors(
    client: Client, photo: bytes
) -> None:
    shape = Box(20, 10, 40, 30)
    answer = client.occlude(photo, boxes=[shape], pictures=False)
    before = {each.label: each.probability for each in client.classify(photo).classes}
    assert {change.label for change in answer.changes} >= {answer.classes[0].label}
    for change in answer.changes:
        (watched,) = client.occlude(photo, boxes=[shape], classes=[change.label], pictures=False).classes
        assert change.clean == pytest.approx(before[change.label], rel=1e-3)
        assert (change.clean, change.occluded) == (watched.clean, watched.lowest)
    assert client.occlude(photo, boxes=[shape, shape], pictures=False).changes == ()


def mask_file(width: int, height: int, x: int) -> bytes:
    """Return a PNG mask that occludes everything to the right of a column."""
    file = io.BytesIO()
    Image.fromarray(np.arange(width)[None].repeat(height, axis=0) > x).save(file, "PNG")
    return file.getvalue()


def test_masks_match_the_analyzer_in_process(
    client: Client, photo: bytes, store: Path, tmp_path: Path
) -> None:
    model = ModelStore(store).load("tiny")
    occlude = load_analyzers().analyzer("occlude")
    masks = (mask_file(60, 48, 20), mask_file(60, 48, 40))
    images = (prepare(decode(photo), model.preprocessing),)
    context = Context(model, create_runtime("torch", model), images, tensors=True)
    expected = occlude.analyze(context, occlude.params(masks=masks)).tensors
    (tmp_path / "right.png").write_bytes(masks[1])

    answer = client.occlude(photo, masks=[masks[0], tmp_path / "right.png"], tensors=True)

    assert answer.windows == 2
    np.testing.assert_array_equal(answer.positions, expected["windows"])
    assert_close(answer.classes[0].values, expected["values"][0])
    assert_close(answer.classes[0].value_map, expected["value-maps"][0])
    assert_close(answer.map.totals, expected["totals"])


def test_polygons_match_the_analyzer_in_process_and_analyze(
    client: Client, photo: bytes, store: Path
) -> None:
    model = ModelStore(store).load("tiny")
    occlude = load_analyzers().analyzer("occlude")
    polygons = [[(20.0, 10.0), (40.0, 12.5), (25.0, 40.0)], [(10.0, 5.0), (50.0, 40.0), (50.0, 5.0)]]
    images = (prepare(decode(photo), model.preprocessing),)
    context = Context(model, create_runtime("torch", model), images, tensors=True)
    expected = occlude.analyze(context, occlude.params(polygons=polygons)).tensors

    answer = client.occlude(photo, polygons=polygons, tensors=True)
    untyped = client.analyze("occlude", [photo], {"polygons": polygons}, tensors=True).analysis.tensors

    assert answer.windows == 2
    np.testing.assert_array_equal(answer.positions, expected["windows"])
    np.testing.assert_array_equal(untyped["windows"], expected["windows"])
    assert_close(answer.classes[0].values, expected["values"][0])
    assert_close(answer.classes[0].value_map, expected["value-maps"][0])
    assert_close(untyped["value-maps"], expected["value-maps"])


@pytest.mark.parametrize(
    ("options", "error", "field", "message"),
    [
        (
            {"polygons": [[(20, 10), (40, 12), (25, 40)]] * 2 + [[(0, 0), (1, 0), (0, 1)]]},
            InputError,
            "polygons[2]",
            r"polygons\[2\] has no pixel within the part of the photo that the network sees",
        ),
        (
            {"polygons": [[(20, 10), (40, float("inf")), (25, 40)]]},
            InputError,
            "polygons[0].vertices[1].y",
            "finite number",
        ),
        ({"window": 33}, InputError, "window", r"window is 33; allowed: 1 to 32 \(the network reads 32 x 32"),
        ({"stride": 0}, InputError, "stride", "stride is 0"),
        ({"window": -3}, InputError, "window", "window is -3"),
        (
            {"classes": ["ant", "wolf"]},
            NotFound,
            "classes[1]",
            r"label 'wolf' not found; this model has 'ant' \(n0\), ",
        ),
        ({"boxes": [Box(5, 5, 5, 9)]}, InputError, "boxes[0]", "the box is empty: x0 has to be less than x1"),
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found; available: conv1"),
        ({"map": 99}, NotFound, "map", "allowed: 0 to 11"),
        ({"value": "rank"}, InputError, "value", "'rank' is not valid; allowed: probability, logit"),
        ({"fill": "pink"}, InputError, "fill", "fill is 'pink'"),
        ({"control_down_to": "conv9"}, NotFound, "control_down_to", "layer 'conv9' not found"),
        ({"masks": [b"a nose"]}, InputError, "masks[0]", r"masks\[0\] is not an image: it starts with 61 20"),
        (
            {"masks": [mask_file(60, 48, 20), mask_file(48, 60, 20)]},
            InputError,
            "masks[1]",
            r"masks\[1\] is 48 x 60 pixels; the photo is 60 x 48",
        ),
        (
            {"masks": [mask_file(60, 48, 55)]},
            InputError,
            "masks[0]",
            "has no occluded pixel within the part of the photo that the network sees",
        ),
        (
            {"masks": [mask_file(60, 48, 20)], "boxes": [Box(20, 10, 40, 30)]},
            InputError,
            "boxes",
            "masks are set too; set only one of them",
        ),
    ],
)
def test_errors_name_the_field_its_value_and_what_is_allowed(
    client: Client, photo: bytes, options: dict[str, Any], error: type[ZfscopeError], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        client.occlude(photo, **{"window": 8, "stride": 8, **options})
    assert caught.value.field == field


def test_requests_over_the_budget_are_rejected(
    settings: Settings, make_service: Callable[[Settings], Any], photo: bytes
) -> None:
    service = make_service(settings.model_copy(update={"max_passes": 100}))
    service.warm_up()
    with Client(service.address) as client:
        with pytest.raises(
            TooMuchWork, match=r"'occlude' would cost 627 forward passes.*allowed: at most 100"
        ):
            client.occlude(photo, window=8, stride=1)
        assert client.occlude(photo, window=8, stride=8).windows == 16


def test_a_cancelled_occlusion_frees_its_worker(
    client: Client, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle_typed, started, ended = analysis.handle_typed, threading.Event(), Future[Any]()

    def delayed(typed: Any, backend: Any, request: pb.OccludeRequest, cancel: CallCancellation) -> Any:
        """Start the work after the service has noticed the cancellation."""
        started.set()
        assert cancel._ended.wait(timeout=60)
        with pytest.raises(Cancelled) as raised:
            handle_typed(typed, backend, request, cancel)
        ended.set_result(raised.value)
        raise raised.value

    request = pb.OccludeRequest(window=2, stride=1, method=pb.METHOD_FULL)
    request.image.encoded = photo
    with monkeypatch.context() as patched:
        patched.setattr(analysis, "handle_typed", delayed)
        call = client._stubs["Occlude"].future(request)
        assert started.wait(timeout=60)
        call.cancel()
        with pytest.raises((grpc.FutureCancelledError, grpc.RpcError)):
            call.result(timeout=60)
        assert ended.result(timeout=60).message == "the client cancelled the call or disconnected"
    assert client.occlude(photo, window=16, stride=16).windows == 4


def test_lowest_at_is_none_if_no_window_lowers_the_class(client: Client) -> None:
    grey = io.BytesIO()
    Image.new("RGB", (60, 48), (128, 128, 128)).save(grey, "PNG")
    (target,) = client.occlude(grey.getvalue(), window=8, stride=6).classes
    assert target.lowest_at is None
    assert target.lowest == pytest.approx(target.clean, rel=1e-5)
