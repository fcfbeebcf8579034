"""A service in a separate process, started by `zfscope serve`."""

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
class RunningService:
    """A running service: its address, process id and log file."""

    address: str
    pid: int
    log: IO[str]

    @property
    def resident_mib(self) -> float | None:
        """Resident memory of the process in MiB; None if the process has ended."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        _, key, rest = status.partition("VmRSS:")  # missing for a zombie process
        return int(rest.split()[0]) / 1024 if key else None

    def read_log(self) -> str:
        """Return the log of the service since its start."""
        self.log.flush()
        self.log.seek(0)
        return self.log.read()


@contextmanager
def running_service(
    *options: str, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[RunningService]:
    """Run a service on a free port, and yield it once it is ready.

    options: further options of `zfscope serve`. environment: variables added to those of this process.
    """
    command = [sys.executable, "-c", _SERVE, "serve", "--listen", "127.0.0.1:0", *options]
    with (
        tempfile.TemporaryFile("w+") as log,  # writing to a terminal would slow the service down
        subprocess.Popen(  # noqa: S603  # our own module
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            with Client(address) as client:
                client.wait_until_ready(_START_S)
            yield RunningService(address, process.pid, log)
        finally:
            process.terminate()
