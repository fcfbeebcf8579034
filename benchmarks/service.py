"""A service as a process of its own, as `zfscope serve` starts it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from zfscope.client import Client

_SERVE = "from zfscope.cli import main; main()"
_START_S = 300


@dataclass(frozen=True)
class Running:
    """A service that serves: its address, its process, and the file that its log goes to."""

    address: str
    pid: int
    log: IO[str]

    @property
    def resident_mib(self) -> float | None:
        """The memory of the process that is resident; None once it has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        _, found, rest = status.partition(
            "VmRSS:"
        )  # a process that has ended and was not waited for lacks it
        return int(rest.split()[0]) / 1024 if found else None

    def read_log(self) -> str:
        """Return what the service has logged since its start."""
        self.log.flush()
        self.log.seek(0)
        return self.log.read()


@contextmanager
def running(*options: str, environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
    """Run a service on a free port until the end, and give it once it is warm.

    options: of `zfscope serve`. environment: on top of this process's own.
    """
    command = [sys.executable, "-c", _SERVE, "serve", "--listen", "127.0.0.1:0", *options]
    with (
        tempfile.TemporaryFile("w+") as log,  # a terminal would slow it down
        subprocess.Popen(  # noqa: S603  # is our own
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            with Client(address) as client:
                client.wait_until_ready(_START_S)
            yield Running(address, process.pid, log)
        finally:
            process.terminate()
