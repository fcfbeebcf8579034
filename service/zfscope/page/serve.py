"""The server of the page: its socket, its signals and a quick end."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from socket import socket
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from zfscope.address import bracket_ipv6
from zfscope.client.methods import ClientMethods
from zfscope.listening import bind_socket, check_exposure
from zfscope.open_files import connection_limit, raise_open_file_limit
from zfscope.page.application import create_application
from zfscope.page.settings import PageSettings, warn_about_unknown_variables
from zfscope.page.state import PageState
from zfscope.wire.credentials import read_pair, read_tokens

# Seconds for responses in progress at the end; analyses are cancelled at once.
_GRACE_S = 5
# Seconds for the head of a request, and for the next request of an idle connection.
_HEAD_S, _IDLE_S = 20, 30
# Seconds within which a client must read some of a response.
_READ_S = 60
# Connections over the limit whose requests are answered with an error; further ones are closed at once.
_ANSWERED = 16
# Seconds between two removals of photos and results that have expired.
_EVICTION_S = 10


class _PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes connections whose client does not send the head of a request in time.

    It also closes those whose client reads nothing of a response, and those far over the limit.
    """

    def __init__(self, *arguments: Any, max_connections: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=1, low=0)  # writing pauses while the client has not read all
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting_for_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting_for_reader()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_waiting:  # for the rest of a head
            self._wait_for_head()

    @property
    def _is_waiting(self) -> bool:
        return bool(getattr(self.cycle, "response_complete", True))  # None before the first request

    def _wait_for_head(self) -> None:
        self.loop.call_later(_HEAD_S, self._close_unless_received, self.cycle)

    def _wait_for_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(_READ_S, self._abort_unless_read, unsent)

    def _stop_waiting_for_reader(self) -> None:
        if self._reading:
            self._reading.cancel()

    def _abort_unless_read(self, unsent: int) -> None:
        """Drop a connection whose client has read nothing: a close would wait until it has."""
        if self.transport.get_write_buffer_size() < unsent:
            self._wait_for_reader()
        else:
            self.transport.abort()

    def _close_unless_received(self, last: object) -> None:
        """Close the connection if no request arrived after the last one."""
        if self._is_waiting and self.cycle is last and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """Server that cancels analyses when it is stopped by a signal, and then ends the process normally."""

    def __init__(self, config: uvicorn.Config, state: PageState, announce: Callable[[], object]) -> None:
        super().__init__(config)
        self._state, self._announce = state, announce

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._state.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT, SIGTERM and SIGHUP; a second signal ends the process."""
        if threading.current_thread() is not threading.main_thread():  # only it receives signals
            yield
            return
        loop, handled = asyncio.get_running_loop(), [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handled.append(signal.SIGHUP)

        def stop() -> None:
            self.should_exit = True
            for number in handled:
                loop.remove_signal_handler(number)

        for number in handled:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)


def serve(client: ClientMethods, settings: PageSettings, *, announce: Callable[[str], object]) -> None:
    """Serve the page until SIGINT, SIGTERM or SIGHUP.

    announce: called with the URL of the page once it accepts connections. Raises the errors of `PageServer`.
    """
    warn_about_unknown_variables()
    raise_open_file_limit()
    asyncio.run(PageServer(client, settings, announce=announce).run())


class PageServer:
    """A page on its bound socket; `run` serves it."""

    def __init__(
        self, client: ClientMethods, settings: PageSettings, *, announce: Callable[[str], object]
    ) -> None:
        """Bind the socket.

        Raises InputError for unusable credential files, for an address of other machines without TLS or a
        token, and for one that cannot be bound.
        """
        settings = settings.model_copy(
            update={"max_connections": min(settings.max_connections, connection_limit())}
        )
        tokens = read_tokens(settings.token, settings.token_file)
        pair = read_pair(settings.tls_certificate, settings.tls_key, prefix="tls")
        check_exposure(
            settings.listen,
            tls=pair is not None,
            authenticated=bool(tokens),
            allow_insecure=settings.allow_insecure,
            authentication="token_file",
        )
        self._socket = bind_socket(settings.listen)
        self.url = _url_of(settings, self._socket)
        app, self.state = create_application(client, settings, tokens)
        configuration = _configuration(app, settings, self.state)
        self._server = _Server(configuration, self.state, lambda: announce(self.url))
        app.state.connections = self._server.server_state.connections

    async def run(self) -> None:
        """Serve until a signal or `stop`. Call it once."""
        await self._server.serve([self._socket])

    def stop(self) -> None:
        """End `run`. Thread-safe."""
        self._server.should_exit = True

    def close(self) -> None:
        """Release the socket and the threads of a page that was not run."""
        self.state.close()
        self._socket.close()


def _configuration(app: FastAPI, settings: PageSettings, state: PageState) -> uvicorn.Config:
    async def evict() -> None:
        state.evict()

    protocol = partial(_PatientProtocol, max_connections=settings.max_connections + _ANSWERED)
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        lifespan="off",
        access_log=False,
        log_level=logging.WARNING,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key and str(settings.tls_key),
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_GRACE_S,
        callback_notify=evict,
        timeout_notify=_EVICTION_S,
    )


def _url_of(settings: PageSettings, bound: socket) -> str:
    scheme = "http" if settings.tls_certificate is None else "https"
    host = settings.listen.rpartition(":")[0].strip("[]")
    return f"{scheme}://{bracket_ipv6(host)}:{bound.getsockname()[1]}/"
