"""Python processes of tests that start without the seconds of the service's imports; see `fork_server`."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TextIO

from tests.support import fork_server

ROOT = Path(__file__).parents[2]


class ForkedProcess:
    """A Python process of the fork server; its interface is that of `subprocess.Popen` in text mode."""

    def __init__(self, pid: int, stdout: TextIO, stderr: TextIO, status: int) -> None:
        """status: descriptor on which the exit code arrives."""
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], 0)[0]:
                self._read_status()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended; return its exit code: -N if signal N ended it."""
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read both outputs until their end, and wait until the process has ended."""
        outputs = {"stdout": "", "stderr": ""}

        def read(name: str) -> None:
            with getattr(self, name) as stream:
                outputs[name] = stream.read()

        readers = [threading.Thread(target=read, args=(name,), daemon=True) for name in outputs]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return outputs["stdout"], outputs["stderr"]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill the process, even if it is stopped, and close its outputs."""
        self.kill()
        self.wait()
        self.stdout.close()
        self.stderr.close()

    def _read_status(self) -> None:
        code = os.read(self._status, 16)
        os.close(self._status)
        assert code, "the fork server ended before its process"
        self.returncode = int(code)


def fork_python(
    source: str,
    *arguments: str,
    environment: Mapping[str, str] = os.environ,
    folder: str | Path | None = None,
) -> ForkedProcess:
    """Start a program in a process that has imported the service, as `python -c SOURCE ARGUMENTS` otherwise.

    environment: all variables of the process. Variables that libraries read when they are imported have no
    effect, nor has a PYTHONPATH that replaces modules of the service.
    """
    program = fork_server.Program(source, list(arguments), dict(environment), str(folder or Path.cwd()))
    return _client().fork(program)


class _Client:
    """The fork server of this process, and the socket on which it is asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # The imports of the server are not measured; its processes measure themselves.
            environment = {
                name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", fork_server.__name__, str(theirs.fileno())],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                # Pipes, as those of its processes are: Python's streams differ by the kind of file.
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, program: fork_server.Program) -> ForkedProcess:
        (out, their_out), (err, their_err), (status, their_status) = (os.pipe() for _ in range(3))
        theirs = [their_out, their_err, their_status]
        with self._lock:
            socket.send_fds(self._control, [json.dumps(vars(program)).encode()], theirs)
            for number in theirs:
                os.close(number)
            pid = self._control.recv(fork_server.MESSAGE_BYTES)
        assert pid, f"the fork server ended: {self._process.communicate()[1]!r}"
        return ForkedProcess(int(pid), os.fdopen(out), os.fdopen(err), status)

    def close(self) -> None:
        self._control.close()
        self._process.communicate()


@cache
def _client() -> _Client:
    client = _Client()
    atexit.register(client.close)
    return client
