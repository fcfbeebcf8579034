"""Clients that read nothing: memory stays bounded, others are served, and the service stops in time."""

import signal
from collections.abc import Callable

import grpc
import pytest

from tests.support.service_process import ServiceProcess
from tests.support.stalled_client import StalledClient
from zfscope.client import Client
from zfscope.errors import Busy
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

PROJECT = "/zfscope.v1.AnalysisService/Project"
# Requests of Project at once; a client that reads nothing holds them all.
SLOTS = 4
# All units of the layer conv5, whose projections are a response of 7 MB.
UNITS = [pb.UnitRef(map=number, y=y, x=x) for number in range(12) for y in range(7) for x in range(7)]
RESPONSE_BYTES = len(UNITS) * 3 * 32 * 32 * 4
# Sets the time limit for reading a response; the second part of it would be 28 seconds.
READ_S = """
from zfscope.server.interceptors import responses
responses._READ_S, responses._READ_BYTES_PER_S = {}, 10 << 20
"""


@pytest.fixture
def request_of_tensors(make_photo: Callable[..., bytes]) -> pb.ProjectRequest:
    """A request of 5 kB for the projections of all units, as tensors."""
    image = image_pb2.Image(encoded=make_photo(8, 8))
    return pb.ProjectRequest(image=image, layer="conv5", units=UNITS, pictures=False, tensors=True)


@pytest.fixture
def start_projecting(start_process: Callable[..., ServiceProcess]) -> Callable[..., ServiceProcess]:
    """Return a function that starts a service with few slots for Project. read_s: limit of reading."""

    def start(read_s: float, **changes: object) -> ServiceProcess:
        queues = f'{{"Project": {SLOTS}}}'
        # The client answers no pings; one that does would not be disconnected after the keepalive timeout.
        settings = {"analyzers": '["project"]', "queues": queues, "keepalive_timeout_s": 300}
        return start_process(before=READ_S.format(read_s), max_units=len(UNITS), **settings, **changes)

    return start


def test_a_client_that_does_not_read_its_responses_in_time_gets_no_more_until_it_disconnects(
    start_projecting: Callable[..., ServiceProcess], request_of_tensors: pb.ProjectRequest, photo: bytes
) -> None:
    service = start_projecting(read_s=0.3, queued_bytes=3 * RESPONSE_BYTES)
    with Client(service.address, timeout_s=60) as other:
        with StalledClient(service.address) as stalled:
            for _ in range(SLOTS):
                stalled.call(PROJECT, request_of_tensors)
            late = service.wait_for_logs("rejected", SLOTS, reason="did not read a response of 7,")
            for _ in range(SLOTS):
                stalled.call(PROJECT, request_of_tensors)
            refused = service.wait_for_logs("rejected", SLOTS, reason="this connection has not read 29,")
            assert len(other.project(photo, top=1).projections) == 1  # the slots are free
        assert {line["code"] for line in late} == {"DEADLINE_EXCEEDED"}
        assert {line["code"] for line in refused} == {"RESOURCE_EXHAUSTED"}
        with StalledClient(service.address) as stalled:
            stalled.call(PROJECT, request_of_tensors)
            service.wait_for_logs("rejected", SLOTS + 1, reason="did not read a response of 7,")


def test_other_clients_are_served_while_a_client_holds_all_slots_of_a_method(
    start_projecting: Callable[..., ServiceProcess], request_of_tensors: pb.ProjectRequest, photo: bytes
) -> None:
    service = start_projecting(read_s=300, grace_s=0.2)
    with Client(service.address, timeout_s=60) as other, StalledClient(service.address) as stalled:
        for _ in range(3 * SLOTS):
            stalled.call(PROJECT, request_of_tensors)
        service.wait_for_logs("rejected", 2 * SLOTS, reason="too many Project requests in progress (limit 4)")
        assert other.classify(photo).model == "tiny"
        with pytest.raises(Busy, match=r"too many Project requests in progress \(limit 4\)"):
            other.project(photo, top=1)

        service.send(signal.SIGTERM)  # the grace time also ends calls whose responses nobody reads

        assert service.wait() == 0
    assert service.wait_for_log("stopped")["cut_off"] == SLOTS
    assert not [line for line in service.log if line["event"] in ("failed", "not JSON")]


def test_a_response_over_the_limit_is_refused_with_its_size_and_the_setting(
    start_projecting: Callable[..., ServiceProcess], request_of_tensors: pb.ProjectRequest
) -> None:
    service = start_projecting(read_s=60, max_send_bytes=100_000)
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as caught:
        AnalysisServiceStub(channel).Project(request_of_tensors, timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "bytes; allowed: at most 100,000, max_send_bytes of the service;" in caught.value.details()
