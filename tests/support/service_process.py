"""Services in separate processes, which tests signal, kill and restart."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.support.forked import ForkedProcess, fork_python

ROOT = Path(__file__).parents[2]
# Timeout of events that must happen, long enough for a busy machine.
TIMEOUT_S = 60
SERVE = "from zfscope.cli import main; main()"


def wait_until(condition: Callable[[], object], description: str) -> None:
    """Wait until a condition holds. description: the condition, for the failure message."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, f"never happened: {description}"
        time.sleep(0.01)


@dataclass(frozen=True)
class ConnectedService:
    """Running service in a separate process, with a plaintext channel to it."""

    process: ForkedProcess
    address: str
    channel: grpc.Channel


class ServiceProcess:
    """Service in a separate process, with its log; a restart uses the same port."""

    def __init__(
        self, environment: Mapping[str, str], within: Sequence[str] = (), *, before: str = ""
    ) -> None:
        """within: command prefix of the process, such as one that enters a network namespace.

        Without one it is a forked process, which starts without the seconds of imports. before: code that the
        process runs first.
        """
        self.address = environment["ZFSCOPE_LISTEN"]
        self.log: list[dict[str, Any]] = []
        # Lines printed by the last start.
        self.announced: list[str] = []
        self._environment, self._within = dict(environment), within
        self._source = before + SERVE
        self._process: subprocess.Popen[str] | ForkedProcess | None = None
        self._reader = threading.Thread()

    @property
    def process(self) -> "subprocess.Popen[str] | ForkedProcess":
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the process and wait until the model is served."""
        self.log.clear()
        self._process = self._new_process()
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,))
        self._reader.start()
        assert self._process.stdout is not None
        self.announced = [self._process.stdout.readline().strip()]
        self.address = self.announced[0].removeprefix("zfscope listens on ")
        while self.announced[-1] and not self.announced[-1].startswith("zfscope serves"):
            self.announced.append(self._process.stdout.readline().strip())
        assert self.announced[-1], self.log

    def ensure_running(self) -> None:
        """Start the process if it has ended; otherwise continue it if stopped, and clear the log."""
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.log.clear()
            return
        if self._process is not None:
            self.wait()
        self.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until the process has ended; return the exit code."""
        code = self.process.wait(timeout=TIMEOUT_S)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def wait_for_log(self, event: str) -> dict[str, Any]:
        """Wait for a log line with the event; return the first."""
        return self.wait_for_logs(event, 1)[0]

    def wait_for_logs(self, event: str, count: int, *, reason: str = "") -> list[dict[str, Any]]:
        """Wait for a number of log lines with the event, and a text in their reason; return all of them."""

        def lines() -> list[dict[str, Any]]:
            return [
                line for line in list(self.log) if line["event"] == event and reason in line.get("reason", "")
            ]

        wait_until(lambda: len(lines()) >= count, f"{count} of '{event}' in the log: {self.log}")
        return lines()

    def close(self) -> None:
        """Kill the process, even if it is stopped."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def _new_process(self) -> "subprocess.Popen[str] | ForkedProcess":
        environment = {**os.environ, **self._environment, "ZFSCOPE_LISTEN": self.address}
        if not self._within:
            return fork_python(self._source, "serve", environment=environment)
        command = [*self._within, sys.executable, "-c", self._source, "serve"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    def _read(self, lines: Any) -> None:
        with lines:
            for line in lines:
                try:
                    self.log.append(json.loads(line))
                except json.JSONDecodeError:
                    self.log.append({"event": "not JSON", "line": line})


def memory_kib(process: "subprocess.Popen[str] | ForkedProcess", field: str) -> int:
    """Return a field of /proc/PID/status in KiB: VmRSS, resident memory, or VmHWM, its peak."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0])
