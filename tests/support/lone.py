"""A service as a process that can be hurt in every way and started again, with its log."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
"""For what has to happen, on a busy machine too."""
SERVE = "from zfscope.cli import main; main()"


def eventually(happened: Callable[[], object], what: str) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.01)


class Lone:
    """A service as a process, on the same port whenever it is started."""

    def __init__(self, environment: Mapping[str, str], within: Sequence[str] = ()) -> None:
        """within: the command that starts it somewhere else, such as in a network namespace."""
        self.address = environment["ZFSCOPE_LISTEN"]
        self.log: list[dict[str, Any]] = []
        self._environment, self._within = dict(environment), within
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()

    @property
    def process(self) -> "subprocess.Popen[str]":
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.log.clear()
        self._process = subprocess.Popen(
            [*self._within, sys.executable, "-c", SERVE, "serve"],
            env={**os.environ, **self._environment, "ZFSCOPE_LISTEN": self.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,))
        self._reader.start()
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip().removeprefix("zfscope listens on ")
        assert self._process.stdout.readline().startswith("zfscope serves"), self.log

    def start_if_ended(self) -> None:
        """Start it unless it runs; have it go on if it was stopped, with an empty log."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.log.clear()
            return
        if self._process is not None:
            self.ended()
        self.start()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait until it has ended; return the exit code."""
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def logged(self, event: str) -> dict[str, Any]:
        """Wait for a line of the log; return it."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [line for line in list(self.log) if line["event"] == event]
            return bool(found)

        eventually(look, f"'{event}' in the log: {self.log}")
        return found[0]

    def close(self) -> None:
        """End it at once, whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self.ended()

    def _read(self, lines: Any) -> None:
        with lines:
            for line in lines:
                try:
                    self.log.append(json.loads(line))
                except json.JSONDecodeError:
                    self.log.append({"event": "not JSON", "line": line})
