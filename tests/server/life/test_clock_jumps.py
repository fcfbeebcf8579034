"""A wall clock that jumps by hours in both directions: no call, connection, photo or model expires early."""

import datetime
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.server.life.conftest import HeldCall
from tests.support.programs import require_program
from tests.support.service_process import ServiceProcess
from zfscope.client import Access, Client
from zfscope.errors import Unauthenticated

TOKENS = ["an-old-token-of-the-service", "a-new-token-of-the-service"]


class WallClock:
    """Wall clock of a process; its monotonic clock is not changed, as by a correction of a machine's time."""

    def __init__(self, folder: Path) -> None:
        """Skip the test without faketime; fail it if CI=true."""
        faketime = require_program("faketime", package="faketime")
        library = subprocess.check_output([faketime, "-m", "-f", "+0", "printenv", "LD_PRELOAD"], text=True)
        self._offset = folder / "offset"
        self.jump(0)
        variables = {
            "LD_PRELOAD": library.strip(),
            "FAKETIME_TIMESTAMP_FILE": self._offset,
            "FAKETIME_CACHE_DURATION": 1,  # in seconds
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        }
        # Command prefix of the process.
        self.within = ["env", *(f"{name}={value}" for name, value in variables.items())]

    def jump(self, hours: int) -> None:
        """Let the clock differ by hours from the real one; the process notices it within a second."""
        partial = self._offset.with_suffix(".new")
        partial.write_text(f"{hours:+}h\n")
        partial.replace(self._offset)


def hours_off(service: ServiceProcess, client: Client, photo: bytes) -> float:
    """Make a call; return the hours between the time of its log line and the real time."""
    service.log.clear()
    client.classify(photo)
    logged = datetime.datetime.fromisoformat(service.wait_for_log("answered")["timestamp"])
    return round((logged - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(hours=1))


def wait_for_hours(service: ServiceProcess, client: Client, photo: bytes, hours: int) -> None:
    while hours_off(service, client, photo) != hours:
        pass


def test_a_clock_that_jumps_ends_no_call_and_keeps_deadlines_and_tokens(
    start_process: Callable[..., ServiceProcess],
    held: HeldCall,
    start_analysis: Callable[[Client], "Future[Any]"],
    photo: bytes,
    tmp_path: Path,
) -> None:
    clock, tokens = WallClock(tmp_path), tmp_path / "tokens"
    tokens.write_text(TOKENS[0])
    service = start_process(clock.within, token_file=tokens, max_idle_s=3600, max_connection_age_s=7200)
    old, new = (Access(token=token) for token in TOKENS)
    with Client(service.address, access=old, timeout_s=60) as client:
        running = start_analysis(client)
        for hours in (6, -6):
            clock.jump(hours)
            wait_for_hours(service, client, photo, hours)
            assert not running.done()
        held.release()
        assert running.result(timeout=60).analysis.numbers == {"held": 1}

        clock.jump(0)
        wait_for_hours(service, client, photo, 0)
        tokens.write_text(TOKENS[1])  # of the same size, while the clock is behind that of the first
        service.wait_for_log("tokens reloaded")
        with pytest.raises(Unauthenticated):
            client.classify(photo)
    with Client(service.address, access=new) as client:
        assert client.classify(photo).model == "tiny"
    assert not [line for line in service.log if line["event"] in ("failed", "not JSON")]
