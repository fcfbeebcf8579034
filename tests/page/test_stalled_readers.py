"""Clients that read nothing of a response are disconnected; slow ones are not."""

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from tests.page.conftest import photo_file
from tests.support.page_server import PageClient, running_page
from tests.support.service_process import wait_until
from zfscope.local import LocalClient
from zfscope.page import serve


def open_connections(page: PageClient) -> int:
    return len(page.server._server.server_state.connections)


def test_a_client_that_reads_nothing_is_disconnected_and_others_are_served(
    local: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_READ_S", 0.5)
    with running_page(local) as page:
        photo = photo_file(size=(2600, 2600), kind="BMP")  # more than the buffers of a connection
        path = f"v1/photos/{page.upload('v1/photos', ('photo', photo)).json['photo']}"
        wait_until(lambda: not open_connections(page), "the connection of the upload is closed")
        with socket.create_connection(page.address, timeout=60) as silent:
            silent.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wait_until(lambda: open_connections(page), "the request arrives")
            assert page.get("v1/session").status == 200
            wait_until(lambda: not open_connections(page), "the silent client is disconnected")
        assert page.get(path).body == photo


class Timers:
    """Event loop whose timers run when a test says so."""

    def __init__(self) -> None:
        self.pending: list[Any] = []

    def call_later(self, seconds: float, callback: Any, *arguments: Any) -> Any:
        timer = SimpleNamespace(run=lambda: callback(*arguments), cancel=lambda: self.pending.remove(timer))
        self.pending.append(timer)
        return timer


class Transport:
    """Transport with a number of bytes that the client has not read."""

    def __init__(self) -> None:
        self.unsent, self.aborted = 0, False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


def test_a_client_that_reads_slowly_stays_connected_until_it_stops_reading() -> None:
    timers, transport = Timers(), Transport()
    protocol = serve._PatientProtocol.__new__(serve._PatientProtocol)
    protocol.loop, protocol.transport, protocol._reading = timers, transport, None
    protocol.flow = SimpleNamespace(pause_writing=lambda: None, resume_writing=lambda: None)
    for first in (1000, 5000):
        transport.unsent = first
        protocol.pause_writing()
        for read in range(1, 4):
            transport.unsent = first - read
            timers.pending.pop().run()
        if first == 1000:
            protocol.resume_writing()
            assert not timers.pending
    assert not transport.aborted
    timers.pending.pop().run()
    assert transport.aborted
