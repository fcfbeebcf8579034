"""Reading of request bodies: bounded in bytes and time, held in memory alone."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import from_json
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from zfscope.errors import Busy, Cancelled, InputError, TooLarge
from zfscope.page.errors import SlowUpload
from zfscope.page.settings import PARAMETER_BYTES, PageSettings

# Names of multipart parts with photos, and of the part with everything else as JSON.
_FILE_PARTS = ("photo", "photos", "masks")
_PARAMETERS = "parameters"
# Maximum number of parts of a multipart request, and seconds without a byte from the client.
_MAX_PARTS = 1000
_IDLE_S = 20.0
# Bytes of a rejected body that are read and dropped, so that the client sees the response and not a reset.
_DISCARDED_BYTES = 256 << 20
_DISCARD_S = 30.0


class UploadBudget:
    """Total size of the requests in progress; used by the event loop alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @property
    def used(self) -> int:
        """Reserved bytes."""
        return self._used

    def reserve(self, count: int) -> None:
        """Reserve bytes. Raises Busy if too many are reserved."""
        if self._used and self._used + count > self._limit:
            raise Busy(
                f"requests in progress hold {self._used:,} bytes, and this one adds {count:,}; allowed: "
                f"{self._limit:,} in total: try again in a moment"
            )
        self._used += count

    def release(self, count: int) -> None:
        """Release reserved bytes."""
        self._used -= count


@dataclass
class Reservation:
    """Bytes reserved by a request, released when the request ends."""

    budget: UploadBudget
    bytes: int = 0

    def grow_to(self, count: int) -> None:
        """Reserve up to `count` bytes. Raises Busy."""
        if count > self.bytes:
            self.budget.reserve(count - self.bytes)
            self.bytes = count

    def release(self) -> None:
        """Release all bytes."""
        self.budget.release(self.bytes)
        self.bytes = 0


class _InMemoryParser(MultiPartParser):
    """Parser of multipart bodies that never writes a part to disk; the size of the body is bounded."""

    spool_max_size = 1 << 62


@dataclass
class Upload:
    """Reader of the body of one request."""

    request: Request
    settings: PageSettings
    reservation: Reservation
    _read: int = field(default=0, init=False)

    async def read(self) -> bytes:
        """Return the whole body. Raises TooLarge, Busy, SlowUpload or Cancelled."""
        return b"".join([chunk async for chunk in self._chunks()])

    async def members(self) -> dict[str, Any]:
        """Return the members of a JSON body, or of a multipart body with files as bytes.

        Raises InputError for any other body, and the errors of `read`.
        """
        kind = self._media_type()
        if kind == "multipart/form-data":
            return await self._parts()
        if kind not in ("application/json", ""):
            raise InputError(
                f"content type is '{kind:.80}'; allowed: application/json and multipart/form-data",
                field="content-type",
            )
        return read_object(await self.read() or b"{}", what="the body")

    async def form(self) -> dict[str, str]:
        """Return the fields of a form without files. Raises InputError for any other body."""
        kind = self._media_type()
        if kind == "multipart/form-data":
            return {name: value for name, value in await self._form() if isinstance(value, str)}
        if kind == "application/x-www-form-urlencoded":
            return dict(parse_qsl((await self.read()).decode("latin-1"), keep_blank_values=True))
        raise InputError(f"content type is '{kind:.80}'; allowed: a form", field="content-type")

    def _media_type(self) -> str:
        return self.request.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def _parts(self) -> dict[str, Any]:
        form = await self._form()
        files: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in form:
            if name == _PARAMETERS:
                data = value.encode() if isinstance(value, str) else value
                _add(read_object(data, what=f"part '{_PARAMETERS}'", field=_PARAMETERS), others)
            elif isinstance(value, str) or name not in _FILE_PARTS:
                raise InputError(f"part '{name:.80}' {_part_advice(name)}", field=name[:80])
            elif name == "photo":
                _add({name: value}, files)
            else:
                files.setdefault(name, []).append(value)
        return _add(files, others)

    async def _form(self) -> list[tuple[str, str | bytes]]:
        """Return the parts of a multipart body: text, and files as bytes."""
        headers = Headers(raw=self.request.scope["headers"])
        parser = _InMemoryParser(
            headers,
            self._chunks(),
            max_files=_MAX_PARTS,
            max_fields=_MAX_PARTS,
            max_part_size=self.settings.max_request_bytes,
        )
        try:
            parts = (await parser.parse()).multi_items()
        except MultiPartException as error:
            raise InputError(f"the multipart body is not valid: {error.message}") from error
        return [(name, value if isinstance(value, str) else await _contents(value)) for name, value in parts]

    async def _chunks(self) -> AsyncGenerator[bytes]:
        """Yield the chunks of the body within the limits of bytes and time."""
        length = self.request.headers.get("content-length", "")
        deadline = time.monotonic() + self.settings.upload_timeout_s
        try:
            self._admit(int(length) if length.isdecimal() else 0)
            more = True
            while more:
                chunk, more = await self._receive(deadline)
                self._read += len(chunk)
                self._admit(self._read)
                yield chunk
        except (TooLarge, Busy):
            await self._discard()
            raise

    async def _receive(self, deadline: float) -> tuple[bytes, bool]:
        """Return the next chunk, and whether another follows. deadline: in `time.monotonic()` seconds."""
        left_s = min(deadline - time.monotonic(), _IDLE_S)
        try:
            message = await asyncio.wait_for(self.request.receive(), max(left_s, 0))
        except TimeoutError:
            limit = f"{self.settings.upload_timeout_s:g} s in total, and {_IDLE_S:g} s without a byte"
            raise SlowUpload(f"the request was sent too slowly; allowed: {limit}") from None
        if message["type"] == "http.disconnect":
            raise Cancelled("the client closed the connection while sending its request")
        return message.get("body", b""), message.get("more_body", False)

    def _admit(self, count: int) -> None:
        allowed = self.settings.max_request_bytes
        if count > allowed:
            parts = f"its max_image_bytes, and {PARAMETER_BYTES >> 20} MiB of parameters"
            limit = f"allowed: at most {allowed:,} ({parts})"
            raise TooLarge(f"the request has {count:,} bytes; {limit}", field="")
        self.reservation.grow_to(count)

    async def _discard(self) -> None:
        """Read the rest of a rejected body; a client that waits for `100 Continue` sends none."""
        if "expect" in self.request.headers:
            return
        left = _DISCARDED_BYTES
        try:
            async with asyncio.timeout(_DISCARD_S):
                while left > 0:
                    message = await self.request.receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            return


async def _contents(file: UploadFile) -> bytes:
    data = await file.read()
    await file.close()
    return data


def _add(members: Mapping[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Add members to those already known. Raises InputError for one that is set twice."""
    for name in members:
        if name in known:
            raise InputError(f"{name} is set more than once; set it once", field=name)
    known.update(members)
    return known


def read_object(data: bytes, *, what: str, field: str = "") -> dict[str, Any]:
    """Parse a JSON object. Raises InputError for anything else, NaN and infinity included."""
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InputError(f"{what} is not valid JSON: {error}", field=field) from error
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "value")
        raise InputError(f"{what} is a JSON {kind}; allowed: an object", field=field)
    return value


_KINDS: Mapping[type, str] = {
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _part_advice(name: str) -> str:
    if name in _FILE_PARTS:
        return "has no file name; send it as a file"
    return f"is not known; allowed: {', '.join(_FILE_PARTS)}, and {_PARAMETERS} with all others as JSON"
