"""Requests of 24 MB, one and several at once: served, or refused with a sentence that states the limit."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from benchmarks.shutdown import padded_photo
from tests.support.page_server import Answer, running_page
from tests.support.service_process import ServiceProcess
from zfscope.client import Client
from zfscope.errors import TooMuchWork
from zfscope.v1 import classification_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub

BYTES = 24_000_000


@pytest.fixture(scope="module")
def large_photo(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A JPEG file of 24 MB."""
    return padded_photo(tmp_path_factory.mktemp("photos"), BYTES).read_bytes()


def failure_of(call: Any) -> grpc.RpcError | None:
    try:
        call.result()
    except grpc.RpcError as error:
        return error
    return None


def test_several_large_requests_are_served_up_to_the_limit_of_bytes(
    start_process: Callable[..., ServiceProcess], large_photo: bytes
) -> None:
    service = start_process(queued_bytes=3 * BYTES)
    request = pb.ClassifyRequest(image=image_pb2.Image(encoded=large_photo))
    with grpc.insecure_channel(service.address) as channel, Client(service.address) as client:
        classify = ClassificationServiceStub(channel).Classify
        failures = [failure_of(call) for call in [classify.future(request, timeout=60) for _ in range(8)]]
        refused = [failure for failure in failures if failure]
        assert len(refused) < len(failures)
        assert {failure.code() for failure in refused} <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert all("more would exceed the limit of 72,000,000" in failure.details() for failure in refused)
        assert client.classify(large_photo).model == "tiny"


def test_a_request_over_the_limit_of_a_service_is_refused_by_client_and_service(
    start_process: Callable[..., ServiceProcess], large_photo: bytes, photo: bytes
) -> None:
    service = start_process(max_receive_bytes=20 << 20)
    request = pb.ClassifyRequest(image=image_pb2.Image(encoded=large_photo))
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as caught:
        ClassificationServiceStub(channel).Classify(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"Received message larger than max ({request.ByteSize()} vs. {20 << 20})" in caught.value.details()
    with Client(service.address) as client:
        client.classify(photo)
        with pytest.raises(TooMuchWork, match=r"at most 20,971,520 in a request \(its max_receive_bytes\)"):
            client.classify(large_photo)
        assert client.classify(photo).model == "tiny"


def test_a_page_serves_large_uploads_up_to_its_limit_of_bytes(
    service_process: ServiceProcess, large_photo: bytes, tmp_path: Path
) -> None:
    with Client(service_process.address) as client, running_page(client, upload_bytes=3 * BYTES) as page:

        def classify(_: int) -> Answer:
            return page.upload("v1/classify", ("photo", large_photo))

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(classify, range(8)))
        count = Counter(answer.status for answer in answers)
        assert set(count) <= {200, 429}
        assert count[200] >= 1
        for refused in (answer for answer in answers if answer.status == 429):
            assert "allowed: 72,000,000 in total" in refused.error["message"]
        assert classify(0).json["model"] == "tiny"
