"""How a service is stopped: the signals that ask for it, and the end of the requests in progress."""

import asyncio
import signal

import structlog

from zfscope.server.lifecycle.admission import AdmissionControl
from zfscope.server.lifecycle.health import HealthService

# How long requests that are still being received get, to be refused rather than cut off.
LATE_CALLS_S = 5
_log = structlog.get_logger("zfscope.server")


def stop_signal() -> "asyncio.Future[int]":
    """Return a future of the number of the first signal to stop; a second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()
    # Where nohup has it ignored, SIGHUP stays so; Windows has none.
    hang_up = [number for number in signal.Signals if number.name == "SIGHUP"]
    heeded = [number for number in hang_up if signal.getsignal(number) is not signal.SIG_IGN]
    handled = (signal.SIGTERM, signal.SIGINT, *heeded)

    def on_signal(number: int) -> None:
        if not stopped.done():  # two signals may have come at once
            stopped.set_result(number)
        for each in handled:  # the next one ends the process
            try:
                loop.remove_signal_handler(each)
            except NotImplementedError:
                signal.signal(each, signal.SIG_DFL)

    for number in handled:
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:  # on Windows, where Python itself has to be asked
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(on_signal, number))
    return stopped


async def drain(
    admission: AdmissionControl, health: HealthService, *, lame_duck_s: float, grace_s: float
) -> int:
    """Report NOT_SERVING, wait for load balancers to notice, refuse new requests, wait for those in progress.

    Returns the number of requests that still ran after the grace time, and were cut off.
    """
    health.shut_down()
    await asyncio.sleep(lame_duck_s)
    admission.close()
    _log.info("refusing requests", requests=admission.admitted)
    if await admission.wait_until_idle(grace_s):
        return 0
    count = admission.abort_all(
        "the service is shutting down, and the call was not done within the grace time of "
        f"{grace_s:g} s; send it again"
    )
    _log.warning("cut off", reason="requests still ran at the end of the grace time", requests=count)
    await admission.wait_until_idle(LATE_CALLS_S)  # so that their callers get the status
    return count
