"""The client against a real service."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from zfscope.client import Client
from zfscope.errors import Cancelled, InputError, NotReady, TooMuchWork, ZfscopeError
from zfscope.images.decode import decode
from zfscope.server.services import classification
from zfscope.server.settings import Settings


def test_importing_the_client_does_not_import_torch() -> None:
    heavy = "torch", "onnx", "onnxruntime", "matplotlib"
    code = f"import sys, zfscope.client; print([name for name in {heavy} if name in sys.modules])"

    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert process.stdout.strip() == "[]"


def test_health_reports_whether_the_service_is_serving(client: Client, cold_service: Any) -> None:
    assert client.health() == "SERVING"
    with Client(cold_service.address) as cold:
        assert cold.health() == "NOT_SERVING"


def test_an_unreachable_service_raises_not_ready() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(NotReady, match=r"unavailable: .*127.0.0.1:1"):
        client.models()


def test_waiting_ends_when_the_service_is_ready(cold_service: Any) -> None:
    with Client(cold_service.address) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.wait_until_ready, 30)
        cold_service.warm_up()

        waiting.result(timeout=30)

        assert client.models()


def test_waiting_for_a_service_that_stays_unready_ends_with_the_reason(cold_service: Any) -> None:
    with (
        Client(cold_service.address) as client,
        pytest.raises(NotReady, match=r"127.0.0.1:\d+ is not serving after 0.1 s: NOT_SERVING"),
    ):
        client.wait_until_ready(0.1)


def test_waiting_for_an_unreachable_service_ends_with_the_reason() -> None:
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(NotReady, match=r"127.0.0.1:1 is not serving after 0.1 s: unavailable: "),
    ):
        client.wait_until_ready(0.1)


def test_a_call_to_a_service_that_becomes_ready_is_retried(cold_service: Any) -> None:
    with Client(cold_service.address) as client, ThreadPoolExecutor(1) as pool:
        listing = pool.submit(client.models)
        time.sleep(0.05)
        cold_service.warm_up()

        assert listing.result(timeout=30)


def test_a_call_over_the_timeout_raises_cancelled(
    monkeypatch: pytest.MonkeyPatch, service: Any, photo: bytes
) -> None:
    released = threading.Event()
    monkeypatch.setattr(classification, "prepare_request", lambda *_, **__: released.wait(timeout=30) and ())

    with (
        Client(service.address, timeout_s=0.1) as client,
        pytest.raises(Cancelled, match=r"deadline (exceeded|has passed)|exceeded its deadline"),
    ):
        client.classify(photo)
    released.set()


def test_an_internal_error_of_the_service_carries_the_request_id(
    monkeypatch: pytest.MonkeyPatch, client: Client, photo: bytes
) -> None:
    monkeypatch.setattr(classification, "prepare_request", lambda *_, **__: 1 // 0)

    with pytest.raises(ZfscopeError, match=r"see its log for request id [0-9a-f]{16}$") as failure:
        client.classify(photo)

    assert type(failure.value) is ZfscopeError


def test_a_photo_may_be_an_array_of_pixels(client: Client, photo: bytes) -> None:
    assert client.classify(decode(photo)).classes == client.classify(photo).classes


def test_a_response_may_exceed_the_default_limit_of_grpc(client: Client, make_photo: Any) -> None:
    answer = client.project(make_photo(900, 900), layer="conv1", units=[], top=6, tensors=True, control=True)

    assert len(answer.projections) == 6


@pytest.mark.parametrize("value", [10**10, -(10**10), "nine", 1.5])
@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda client, photo, value: client.project(photo, top=value), "top"),
        (lambda client, photo, value: client.classify(photo, top=value), "top"),
        (lambda client, photo, value: client.model("tiny", version=value), "version"),
        (lambda client, photo, value: client.correspond([photo], {}, random=value), "random"),
        (lambda client, photo, value: client.measure_invariance([photo], version=value), "version"),
        (lambda client, photo, value: client.analyze("activations", [photo], version=value), "version"),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_rejected_before_sending(
    client: Client, photo: bytes, call: Callable[..., Any], field: str, value: Any
) -> None:
    with pytest.raises(InputError, match=f"^{field}: invalid value: ") as caught:
        call(client, photo, value)
    assert caught.value.field == field


def test_a_parameter_that_cannot_be_sent_is_named(client: Client, photo: bytes) -> None:
    with pytest.raises(InputError, match=r"^parameters\.top: invalid value: ") as caught:
        client.analyze("activations", [photo], {"layer": "conv1", "top": {1, 2}})
    assert caught.value.field == "parameters.top"


@pytest.mark.parametrize("version", ["9" * 11, "9" * 5000])
def test_a_version_that_no_model_can_have_is_rejected(client: Client, photo: bytes, version: str) -> None:
    with pytest.raises(InputError, match=r"^models\[1\]: invalid value: ") as caught:
        client.compare_architectures(["tiny", f"tiny:{version}"], [photo])
    assert caught.value.field == "models[1]"


def test_a_photo_over_the_service_limit_raises_too_much_work(client: Client) -> None:
    allowed = Settings().max_receive_bytes
    message = f"^image has {allowed + 1:,} bytes; this service accepts at most {allowed:,} in a request"
    with pytest.raises(TooMuchWork, match=message):
        client.classify(bytes(allowed + 1))


def test_tensors_of_a_response_are_read_only(client: Client, photo: bytes) -> None:
    (projection,) = client.project(photo, top=1, tensors=True).projections

    assert projection.tensor is not None
    assert projection.tensor.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        projection.tensor[0, 0, 0] = 1


def test_threads_can_share_a_client(client: Client, photo: bytes) -> None:
    expected = client.classify(photo)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.classify(photo), range(24)))

    assert all(answer == expected for answer in answers)


@pytest.mark.parametrize(("stream", "field"), [(False, "image"), (True, r"images\[0\]")])
def test_a_request_over_the_service_limit_is_rejected_before_sending(
    client: Client, monkeypatch: pytest.MonkeyPatch, stream: bool, field: str
) -> None:
    huge = np.broadcast_to(np.float32(0), (3, 2200, 2200))
    sent: list[Any] = []
    monkeypatch.setitem(client._stubs, "Classify", lambda *arguments, **_: sent.append(arguments))
    monkeypatch.setitem(client._stubs, "Analyze", lambda *arguments, **_: sent.append(arguments))
    allowed = Settings().max_receive_bytes
    message = f"^{field} has 58,080,000 bytes; this service accepts at most {allowed:,} in a request"
    with pytest.raises(TooMuchWork, match=message):
        client.analyze("project", [huge]) if stream else client.classify(huge)
    assert sent == []


def test_a_large_request_within_the_service_limit_is_sent(
    settings: Settings, make_service: Callable[[Settings], Any]
) -> None:
    service = make_service(settings.model_copy(update={"max_receive_bytes": 30 << 20}))
    service.warm_up()
    with Client(service.address) as client, pytest.raises(InputError, match="1500") as refusal:
        client.classify(np.broadcast_to(np.float32(0), (3, 1500, 1500)))
    assert type(refusal.value) is InputError


def test_a_large_request_to_an_unreachable_service_raises_not_ready() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(NotReady, match=r"unavailable: .*127.0.0.1:1"):
        client.classify(np.broadcast_to(np.float32(0), (3, 1500, 1500)))
