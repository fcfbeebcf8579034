"""Shutdown: signal handling, and stopping the server once the requests in progress are complete."""

import asyncio
import signal

import grpc
import structlog

from zfscope.server.lifecycle.admission import AdmissionControl
from zfscope.server.lifecycle.health import HealthService

# Seconds for requests that are still being received: they get a status instead of a connection reset.
LATE_CALLS_S = 5
_log = structlog.get_logger("zfscope.server")


def stop_signal() -> "asyncio.Future[int]":
    """Return a future of the number of the first SIGTERM, SIGINT or SIGHUP; a second kills the process."""
    loop = asyncio.get_running_loop()
    received = loop.create_future()
    # Windows has no SIGHUP. Under nohup it is ignored, and must stay so.
    hangup = [
        number
        for number in signal.Signals
        if number.name == "SIGHUP" and signal.getsignal(number) is not signal.SIG_IGN
    ]
    handled = (signal.SIGTERM, signal.SIGINT, *hangup)

    def on_signal(number: int) -> None:
        if not received.done():  # two signals may have arrived together
            received.set_result(number)
        for handled_number in handled:  # restore the default: the next signal kills the process
            try:
                loop.remove_signal_handler(handled_number)
            except NotImplementedError:
                signal.signal(handled_number, signal.SIG_DFL)

    for number in handled:
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:  # on Windows event loops do not handle signals
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(on_signal, number))
    return received


async def drain(
    server: grpc.aio.Server,
    admission: AdmissionControl,
    health: HealthService,
    *,
    lame_duck_s: float,
    grace_s: float,
) -> int:
    """Stop the server: report NOT_SERVING, accept nothing new after the lame-duck time, complete what runs.

    lame_duck_s: seconds for load balancers to notice NOT_SERVING. grace_s: seconds for requests in progress.
    Returns the number of requests aborted after the grace time.
    """
    health.shut_down()
    await asyncio.sleep(lame_duck_s)
    admission.close()
    _log.info("rejecting requests", requests=admission.admitted)
    # While requests in progress complete, connections are refused and open ones get GOAWAY. A proxy that does
    # not check health then calls another replica; it would take a rejection for a response and pass it on.
    stopping = asyncio.create_task(server.stop(grace_s + 2 * LATE_CALLS_S))
    aborted = await _complete_requests(admission, grace_s)
    health.end_watches()
    await server.stop(LATE_CALLS_S)
    await stopping
    return aborted


async def _complete_requests(admission: AdmissionControl, grace_s: float) -> int:
    """Wait for the requests in progress; return the number of those aborted after the grace time."""
    if await admission.wait_until_idle(grace_s):
        return 0
    count = admission.abort_all(
        "the service is shutting down, and the call did not finish within the grace time of "
        f"{grace_s:g} s; send it again"
    )
    _log.warning("requests aborted", reason="still running after the grace time", requests=count)
    await admission.wait_until_idle(LATE_CALLS_S)  # so that their clients receive the status
    return count
