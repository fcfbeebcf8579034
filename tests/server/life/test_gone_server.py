"""A service that goes away without a word: killed, stopped, or never there. See docs/life-of-a-call.md."""

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
from tests.support.lone import Lone
from zfscope.client import Access, Client, channel
from zfscope.errors import Cancelled, NotReady

Begin = Callable[[Client], "Future[Any]"]


@pytest.fixture(scope="module")
def tls_lone(environment: Mapping[str, str], pems: Certificates) -> Iterator[Lone]:
    """A service with TLS for all tests here."""
    with_tls = {f"ZFSCOPE_{name.upper()}": str(path) for name, path in pems.server.items()}
    with closing(Lone({**environment, **with_tls})) as lone:
        yield lone


@pytest.fixture(params=["plain", "TLS"])
def secured(request: pytest.FixtureRequest, pems: Certificates) -> tuple[Lone, Access]:
    """A service without TLS, and one with it, and how clients reach it."""
    if request.param == "plain":
        return request.getfixturevalue("lone"), Access()
    lone: Lone = request.getfixturevalue("tls_lone")
    lone.start_if_ended()
    return lone, Access(tls_ca=pems.ca)


def test_a_call_whose_service_is_killed_is_not_ready_at_once(
    secured: tuple[Lone, Access], begin: Begin
) -> None:
    lone, access = secured
    with Client(lone.address, access=access) as client:
        running = begin(client)
        lone.send(signal.SIGKILL)

        assert type(running.exception(timeout=60)) is NotReady
    lone.ended()


def test_a_call_whose_service_is_killed_is_not_begun_by_another_replica(
    lone: Lone, start_lone: Callable[..., Lone], held: HeldCall, begin: Begin, photo: bytes
) -> None:
    lones = [lone, start_lone()]
    with Client("ipv4:" + ",".join(lone.address for lone in lones)) as client:
        running = begin(client)
        (busy,) = (lone for lone in lones if lone.process.pid in held.processes("begun"))
        busy.send(signal.SIGKILL)

        assert type(running.exception(timeout=60)) is NotReady
        for _ in range(4):  # in turn, and no call is lost
            assert client.classify(photo).model == "tiny"
    busy.ended()
    assert held.count("begun") == 1


@pytest.mark.usefixtures("prompt_client")
def test_a_call_whose_service_is_stopped_is_not_ready_once_its_silence_is_noticed(
    secured: tuple[Lone, Access], held: HeldCall, begin: Begin
) -> None:
    lone, access = secured
    with Client(lone.address, access=access) as client:
        running = begin(client)
        lone.send(signal.SIGSTOP)

        assert type(running.exception(timeout=60)) is NotReady
        lone.send(signal.SIGCONT)
        held.wait_for("cancelled")
    assert held.count("begun") == 1


@pytest.mark.usefixtures("prompt_client")
def test_calls_that_are_sent_to_a_stopped_service_end_and_are_answered_once_it_goes_on(
    lone: Lone, photo: bytes, held: HeldCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "CONNECT_S", 0.3)
    with Client(lone.address, timeout_s=1) as client:
        assert client.classify(photo).model == "tiny"
        lone.send(signal.SIGSTOP)

        with pytest.raises((NotReady, Cancelled)):
            client.classify(photo)
        with pytest.raises(NotReady):
            client.analyze("held", [photo], held.parameters)
        with pytest.raises(NotReady, match="is not serving after"):
            client.wait_until_ready(0.1)
        lone.send(signal.SIGCONT)

        client.wait_until_ready(60)
        assert client.classify(photo).model == "tiny"


def test_a_service_that_was_never_there_is_not_ready(photo: bytes) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        with Client(f"127.0.0.1:{unused.getsockname()[1]}") as client:
            with pytest.raises(NotReady, match="unavailable: "):
                client.classify(photo)
            with pytest.raises(NotReady, match="unavailable: "):
                client.analyze("held", [photo])


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of something that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended, kept = threading.Event(), []

        def take() -> None:
            while not ended.is_set():
                kept.append(listener.accept()[0])

        thread = threading.Thread(target=take)
        thread.start()
        port = listener.getsockname()[1]
        yield f"127.0.0.1:{port}"
        ended.set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_peer_that_takes_connections_and_says_nothing_is_not_ready(
    mute: str, photo: bytes, pems: Certificates, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "CONNECT_S", 0.3)
    access = Access(tls_ca=pems.ca) if tls else Access()
    with Client(mute, access=access) as client:
        with pytest.raises(NotReady):
            client.classify(photo)
        with pytest.raises(NotReady):
            client.analyze("held", [photo])
