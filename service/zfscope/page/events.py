"""Server-sent events of an analysis: progress, and then its result or an error."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from zfscope.answers import Progress
from zfscope.cancellation import Cancellation
from zfscope.page.calls import Lane, abandon
from zfscope.page.errors import error_body

MEDIA_TYPE = "text/event-stream"
# Seconds of silence after which a comment is sent: proxies close silent connections, often after 60 s.
_KEEPALIVE_S = 10.0
_KEEPALIVE = b": still running\n\n"
Report = Callable[[Progress], None]


async def events(
    lane: Lane,
    work: Callable[[Cancellation, Report], Any],
    encode: Callable[[Any], Any],
    *,
    request_id: str,
) -> AsyncIterator[bytes]:
    """Run `work` and yield its events; a reader that leaves cancels it.

    encode: converts a result or a partial result to JSON, in the thread of the work. A slow reader gets
    the newest progress only.
    """
    loop, newest, changed = asyncio.get_running_loop(), _Newest(), asyncio.Event()

    def report(progress: Progress) -> None:
        partial = {} if progress.partial is None else {"partial": encode(progress.partial)}
        newest.event = {"fraction": progress.fraction, "seconds_left": progress.seconds_left, **partial}
        loop.call_soon_threadsafe(changed.set)

    cancel = Cancellation()
    running = lane.start(lambda handle: encode(work(handle, report)), cancel)
    running.add_done_callback(lambda _: changed.set())
    try:
        while not running.done():
            if not await _wait(changed):
                yield _KEEPALIVE
            elif progress := newest.take():
                yield _event("progress", progress)
        yield _outcome(running, request_id)
    finally:
        abandon(running, cancel)


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
        return _event("result", running.result())
    except (Exception, asyncio.CancelledError) as error:
        return _event("error", error_body(error, request_id=request_id)[1])


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n".encode()
