"""Server-sent events of an analysis: progress, and then its result or an error."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from zfscope.answers import Progress
from zfscope.cancellation import Cancellation
from zfscope.page.calls import Lane, abandon, result_of
from zfscope.page.errors import error_body

MEDIA_TYPE = "text/event-stream"
# Seconds of silence after which a comment is sent: proxies close silent connections, often after 60 s.
_KEEPALIVE_S = 10.0
_KEEPALIVE = b": still running\n\n"
Report = Callable[[Progress], None]


class EventResponse(StreamingResponse):
    """Response that starts work in a thread and sends its events; a client that leaves cancels it.

    A slow client gets the newest progress only.
    """

    def __init__(
        self,
        lane: Lane,
        work: Callable[[Cancellation, Report], Any],
        encode: Callable[[Any], Any],
        *,
        request_id: str,
    ) -> None:
        """Start the work. encode: converts results and partial results to JSON, in the thread of the work.

        Raises the errors of `Lane.start`.
        """
        self._request_id, self._newest, self._changed = request_id, _Newest(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            partial = {} if progress.partial is None else {"partial": encode(progress.partial)}
            self._newest.event = {
                "fraction": progress.fraction,
                "seconds_left": progress.seconds_left,
                **partial,
            }
            loop.call_soon_threadsafe(self._changed.set)

        self._cancel = Cancellation()
        self._running = lane.start(lambda cancel: encode(work(cancel, report)), self._cancel)
        self._running.add_done_callback(lambda _: self._changed.set())
        # nginx must not collect events before it sends them.
        super().__init__(self._events(), media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            abandon(self._running, self._cancel)

    async def _events(self) -> AsyncIterator[bytes]:
        while not self._running.done():
            if not await _wait(self._changed):
                yield _KEEPALIVE
            elif progress := self._newest.take():
                yield _event("progress", progress)
        yield _outcome(self._running, self._request_id)


class _Newest:
    """The newest event that was not sent; set by the thread of the work, taken by the event loop."""

    def __init__(self) -> None:
        self.event: dict[str, Any] | None = None

    def take(self) -> dict[str, Any] | None:
        event, self.event = self.event, None
        return event


async def _wait(changed: asyncio.Event) -> bool:
    """Wait for a change and clear it; return False after a time of silence."""
    try:
        await asyncio.wait_for(changed.wait(), _KEEPALIVE_S)
    except TimeoutError:
        return False
    changed.clear()
    return True


def _outcome(running: "asyncio.Future[Any]", request_id: str) -> bytes:
    try:
        return _event("result", result_of(running))
    except Exception as error:
        return _event("error", error_body(error, request_id=request_id)[1])


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n".encode()
