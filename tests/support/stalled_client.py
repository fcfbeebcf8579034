"""A gRPC client that sends requests and reads no response: it lets the service send no byte of one."""

import socket
import struct
from contextlib import AbstractContextManager
from typing import Self

from google.protobuf.message import Message

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Types and flags of HTTP/2 frames, and the setting of the bytes that a peer may send unasked.
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_INITIAL_WINDOW_SIZE = 4


class StalledClient(AbstractContextManager["StalledClient"]):
    """HTTP/2 connection with a flow-control window of zero bytes. It never reads its socket."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)))
        self._stream = 1
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, 0)))

    def call(self, method: str, request: Message) -> None:
        """Send a request. Up to 64 KiB of requests fit a connection."""
        message = request.SerializeToString()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        block = b"".join(b"\0" + _string(name) + _string(value) for name, value in headers.items())
        body = b"\0" + struct.pack(">I", len(message)) + message
        self._socket.sendall(
            _frame(_HEADERS, _END_HEADERS, self._stream, block)
            + _frame(_DATA, _END_STREAM, self._stream, body)
        )
        self._stream += 2

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _string(text: str) -> bytes:
    """Encode a header string of up to 126 characters, without Huffman coding."""
    return bytes([len(text)]) + text.encode()
