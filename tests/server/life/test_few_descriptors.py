"""300 idle connections to a service and to a page that may open 256 files: refused, later served again."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from tests.support.forked import ForkedProcess, fork_python
from tests.support.page_server import PageClient
from tests.support.service_process import SERVE, ServiceProcess, wait_until
from zfscope.client import Client
from zfscope.errors import NotReady
from zfscope.v1 import classification_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
FEW_FILES = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"


# The preface of HTTP/2 with empty SETTINGS: the service closes connections that do not send it in time.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def idle_connections(address: str, *, first: bytes = b"") -> Iterator[None]:
    """Open 300 connections to HOST:PORT that send nothing but their first bytes."""
    host, port = address.rsplit(":", 1)
    with ExitStack() as opened:
        for _ in range(300):
            connection = opened.enter_context(socket.create_connection((host, int(port)), timeout=60))
            with suppress(OSError):  # rejected
                connection.sendall(first)
        yield


def processor_s(process: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_rests(process: int) -> None:
    """Assert that a process does not accept in a loop: in a second, it uses less than half a second."""
    before = processor_s(process)
    time.sleep(1)
    assert processor_s(process) - before < 0.5


def test_a_service_refuses_connections_answers_probes_and_recovers(
    start_process: Callable[..., ServiceProcess], photo: bytes
) -> None:
    service = start_process(before=FEW_FILES, health_listen="127.0.0.1:0", max_idle_s=300)
    health = next(line.split()[-1] for line in service.announced if line.startswith("health"))
    request = pb.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    # A channel with a connection of its own, not one that it shares with the clients.
    with grpc.insecure_channel(service.address, [("grpc.use_local_subchannel_pool", 1)]) as earlier:
        classify = ClassificationServiceStub(earlier).Classify
        assert classify(request, timeout=60).model == "tiny"
        with idle_connections(service.address, first=PREFACE):
            service.wait_for_log("connections rejected")
            with (
                Client(service.address, timeout_s=60) as client,
                pytest.raises(NotReady, match=r"^unavailable: "),
            ):
                client.health()
            assert classify(request, timeout=60).model == "tiny"
            with Client(health) as probe:
                assert probe.health() == "SERVING"
            assert_rests(service.process.pid)
        service.wait_for_log("connections accepted again")
        with Client(service.address, timeout_s=60) as client:
            assert client.classify(photo).model == "tiny"
    assert len([line for line in service.log if line["event"] == "connections rejected"]) == 1
    assert not [line for line in service.log if line["event"] == "not JSON"]


@pytest.fixture
def page(environment: Mapping[str, str]) -> Iterator[tuple[ForkedProcess, PageClient]]:
    """A page in a process that may open 256 files."""
    process = fork_python(
        FEW_FILES + SERVE, "page", "--listen", "127.0.0.1:0", environment={**os.environ, **environment}
    )
    threading.Thread(target=process.stderr.read, daemon=True).start()
    url = process.stdout.readline().split()[-1]
    yield process, PageClient(url, server=None)
    process.close()


def test_a_page_refuses_connections_and_recovers(page: tuple[ForkedProcess, PageClient]) -> None:
    process, client = page
    host, port = client.address
    assert client.get("v1/session").status == 200
    with idle_connections(f"{host}:{port}"):
        assert_rests(process.pid)
        with pytest.raises(ConnectionError):  # far over the limit, a connection is closed
            client.get("v1/session")
    wait_until(lambda: client.get("v1/session").status == 200, "the page answers again")
