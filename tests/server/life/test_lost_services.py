"""Services that are killed, stopped, absent or silent. See docs/explanation/life-of-a-call.md."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import pytest

from tests.server.life.conftest import HeldCall
from tests.support.certificates import Certificates
from tests.support.service_process import ServiceProcess
from zfscope.client import Access, Client, channel
from zfscope.errors import Cancelled, NotReady

StartAnalysis = Callable[[Client], "Future[Any]"]


@pytest.fixture(scope="module")
def tls_process(environment: Mapping[str, str], pems: Certificates) -> Iterator[ServiceProcess]:
    """A service with TLS, shared by the tests of this module."""
    with_tls = {f"ZFSCOPE_{name.upper()}": str(path) for name, path in pems.server.items()}
    with closing(ServiceProcess({**environment, **with_tls})) as service_process:
        yield service_process


@pytest.fixture(params=["plain", "TLS"])
def service_and_access(request: pytest.FixtureRequest, pems: Certificates) -> tuple[ServiceProcess, Access]:
    """A service without or with TLS, and the access that its clients need."""
    if request.param == "plain":
        return request.getfixturevalue("service_process"), Access()
    service_process: ServiceProcess = request.getfixturevalue("tls_process")
    service_process.ensure_running()
    return service_process, Access(tls_ca=pems.ca)


def test_a_call_fails_at_once_when_its_service_is_killed(
    service_and_access: tuple[ServiceProcess, Access], start_analysis: StartAnalysis
) -> None:
    service_process, access = service_and_access
    with Client(service_process.address, access=access) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGKILL)

        assert type(running.exception(timeout=60)) is NotReady
    service_process.wait()


def test_a_call_of_a_killed_service_is_not_started_by_another_replica(
    service_process: ServiceProcess,
    start_process: Callable[..., ServiceProcess],
    held: HeldCall,
    start_analysis: StartAnalysis,
    photo: bytes,
) -> None:
    replicas = [service_process, start_process()]
    with Client("ipv4:" + ",".join(replica.address for replica in replicas)) as client:
        running = start_analysis(client)
        (running_replica,) = (
            replica for replica in replicas if replica.process.pid in held.processes("begun")
        )
        running_replica.send(signal.SIGKILL)

        assert type(running.exception(timeout=60)) is NotReady
        for _ in range(4):  # alternates between the replicas; no call fails
            assert client.classify(photo).model == "tiny"
    running_replica.wait()
    assert held.count("begun") == 1


@pytest.mark.usefixtures("short_keepalive")
def test_a_call_to_a_stopped_service_fails_after_the_keepalive_timeout(
    service_and_access: tuple[ServiceProcess, Access], held: HeldCall, start_analysis: StartAnalysis
) -> None:
    service_process, access = service_and_access
    with Client(service_process.address, access=access) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGSTOP)

        assert type(running.exception(timeout=60)) is NotReady
        service_process.send(signal.SIGCONT)
        held.wait_for("cancelled")
    assert held.count("begun") == 1


@pytest.mark.usefixtures("short_keepalive")
def test_calls_to_a_stopped_service_fail_and_succeed_after_it_continues(
    service_process: ServiceProcess, photo: bytes, held: HeldCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "CONNECT_S", 0.3)
    with Client(service_process.address, timeout_s=1) as client:
        assert client.classify(photo).model == "tiny"
        service_process.send(signal.SIGSTOP)

        with pytest.raises((NotReady, Cancelled)):
            client.classify(photo)
        with pytest.raises(NotReady):
            client.analyze("held", [photo], held.parameters)
        with pytest.raises(NotReady, match="is not serving after"):
            client.wait_until_ready(0.1)
        service_process.send(signal.SIGCONT)

        client.wait_until_ready(60)
        assert client.classify(photo).model == "tiny"


def test_a_call_without_a_service_raises_not_ready(photo: bytes) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        with Client(f"127.0.0.1:{unused.getsockname()[1]}") as client:
            with pytest.raises(NotReady, match="unavailable: "):
                client.classify(photo)
            with pytest.raises(NotReady, match="unavailable: "):
                client.analyze("held", [photo])


@pytest.fixture
def silent_peer() -> Iterator[str]:
    """The address of a listener that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended, connections = threading.Event(), []

        def accept() -> None:
            while not ended.is_set():
                connections.append(listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        port = listener.getsockname()[1]
        yield f"127.0.0.1:{port}"
        ended.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_call_to_a_silent_peer_raises_not_ready(
    silent_peer: str, photo: bytes, pems: Certificates, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "CONNECT_S", 0.3)
    access = Access(tls_ca=pems.ca) if tls else Access()
    with Client(silent_peer, access=access) as client:
        with pytest.raises(NotReady):
            client.classify(photo)
        with pytest.raises(NotReady):
            client.analyze("held", [photo])
