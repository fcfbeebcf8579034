"""Clients that are killed, stopped or closed, cancel, or exceed a deadline.

See docs/explanation/life-of-a-call.md.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from tests.server.life.conftest import HeldCall
from tests.support.calls import analyze_request
from tests.support.service_process import ROOT, ServiceProcess, wait_until
from zfscope.client import Client
from zfscope.errors import Cancelled
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

ANALYZE = "/zfscope.v1.AnalysisService/Analyze"
CALL = """
import sys
from pathlib import Path
from zfscope.client import Client
address, photo, folder = sys.argv[1:]
Client(address).analyze("held", [Path(photo)], {"folder": folder})
"""


@pytest.fixture
def caller(
    service_process: ServiceProcess, held: HeldCall, photo: bytes, tmp_path: Any
) -> Iterator["subprocess.Popen[str]"]:
    """A client process with a running analysis."""
    (tmp_path / "photo.png").write_bytes(photo)
    arguments = (service_process.address, str(tmp_path / "photo.png"), held.parameters["folder"])
    with subprocess.Popen([sys.executable, "-c", CALL, *arguments], cwd=ROOT, text=True) as process:
        held.wait_for("begun")
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_work_of_a_killed_or_stopped_client_is_cancelled(
    caller: "subprocess.Popen[str]", service_process: ServiceProcess, held: HeldCall, number: signal.Signals
) -> None:
    caller.send_signal(number)

    held.wait_for("cancelled")  # for a stopped client, after the keepalive timeout

    assert (held.count("begun"), held.count("done")) == (1, 0)
    assert service_process.wait_for_log("cancelled")["method"] == ANALYZE
    assert_healthy(service_process)


def test_the_work_of_a_cancelled_call_is_cancelled(
    service_process: ServiceProcess, held: HeldCall, photo: bytes
) -> None:
    with grpc.insecure_channel(service_process.address) as channel:
        call = AnalysisServiceStub(channel).Analyze(analyze_request("held", [photo], held.parameters))
        held.wait_for("begun")
        call.cancel()

        assert call.code() is grpc.StatusCode.CANCELLED
        held.wait_for("cancelled")
    assert service_process.wait_for_log("cancelled")["code"] == "CANCELLED"
    assert_healthy(service_process)


def test_the_work_of_a_call_past_its_deadline_is_cancelled(
    service_process: ServiceProcess, held: HeldCall, photo: bytes
) -> None:
    with grpc.insecure_channel(service_process.address) as channel:
        request = analyze_request("held", [photo], held.parameters)
        call = AnalysisServiceStub(channel).Analyze(request, timeout=2)
        held.wait_for("begun")

        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        held.wait_for("cancelled")
    assert_healthy(service_process)


def test_closing_a_client_cancels_its_analysis(
    service_process: ServiceProcess, held: HeldCall, start_analysis: Callable[[Client], Any]
) -> None:
    client = Client(service_process.address)
    running = start_analysis(client)
    client.close()

    assert type(running.exception(timeout=60)) is Cancelled
    held.wait_for("cancelled")
    assert_healthy(service_process)


def assert_healthy(service_process: ServiceProcess) -> None:
    """Assert that a service is serving and has logged no failure."""
    with Client(service_process.address) as client:
        wait_until(lambda: client.health() == "SERVING", "the service serves")
    assert not [line for line in service_process.log if line["event"] in ("failed", "not JSON")]
