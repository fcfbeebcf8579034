"""Programs that listen on an address of this machine, such as proxies."""

import os
import signal
import socket
import subprocess
from collections.abc import Sequence

from tests.support.service_process import wait_until


class ListeningProcess:
    """A process, with the processes it starts, that listens on HOST:PORT."""

    def __init__(self, command: Sequence[str], address: str) -> None:
        """Start the command and wait until it listens."""
        self._process = subprocess.Popen(command, start_new_session=True)
        host, port = address.split(":")

        def listens() -> bool:
            assert self._process.poll() is None, f"ended before it listens on {address}: {command}"
            try:
                socket.create_connection((host, int(port))).close()
            except ConnectionRefusedError:
                return False
            return True

        wait_until(listens, f"{command[0]} listens")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to the processes it started."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Kill the process and the processes it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
