"""A page in a thread of this process, on a port of its own, and a client for it."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from zfscope.client import ClientMethods
from zfscope.page.serve import PageServer
from zfscope.page.settings import PageSettings

_BOUNDARY = "boundary-of-a-test"


@dataclass(frozen=True)
class Answer:
    """A response that was read completely."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


@dataclass(frozen=True)
class PageClient:
    """Sends requests to a page, each on a connection of its own."""

    url: str
    server: PageServer

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, f"/{path}", body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())  # type: ignore[arg-type]
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, members: Any = None, **headers: str) -> Answer:
        """Post JSON."""
        return self.request(
            "POST", path, json.dumps(members or {}), {"Content-Type": "application/json", **headers}
        )

    def upload(self, path: str, *parts: tuple[str, bytes | str], **headers: str) -> Answer:
        """Post a multipart form of parts (name, content); bytes are files."""
        body, kind = multipart(*parts)
        return self.request("POST", path, body, {"Content-Type": kind, **headers})


def multipart(*parts: tuple[str, bytes | str]) -> tuple[bytes, str]:
    """Return a multipart body and its content type."""
    lines = b""
    for name, content in parts:
        file = '; filename="file"' if isinstance(content, bytes) else ""
        data = content if isinstance(content, bytes) else content.encode()
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        lines += head.encode() + data + b"\r\n"
    return lines + f"--{_BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={_BOUNDARY}"


@contextmanager
def running_page(client: ClientMethods, **settings: Any) -> Iterator[PageClient]:
    """Serve a page on a free port."""
    ready = threading.Event()
    server = PageServer(
        client,
        PageSettings(**{"listen": "127.0.0.1:0", **settings}),
        announce=lambda url: ready.set(),
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.run()))
    thread.start()
    try:
        assert ready.wait(60)
        yield PageClient(server.url, server)
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()
