"""nginx on a free port, configured by the content of a server block or of the http block."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.support.listening_process import ListeningProcess
from tests.support.ports import free_ports
from tests.support.programs import require_program

_CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""
_SERVER = """
server {{
    listen {address}{protocol};
    {server}
}}
"""


class Nginx:
    """An nginx process."""

    def __init__(
        self, folder: Path, server: str = "", *, protocol: str = "", http: Callable[[str], str] | None = None
    ) -> None:
        """server: content of the server block. protocol: of the port, such as http2.

        http: instead of both, a function that returns the content of the http block for an address.
        """
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        parts = {"address": self.address, "protocol": f" {protocol}" if protocol else "", "server": server}
        self._config = folder / "nginx.conf"
        names = {
            "folder": folder,
            "user": "user root;" if os.geteuid() == 0 else "",  # so that it can write its temporary files
            "http": http(self.address) if http else _SERVER.format(**parts),
        }
        self._config.write_text(_CONFIG.format(**names))
        self._process: ListeningProcess | None = None

    def start(self) -> None:
        """Start nginx and wait until it listens."""
        nginx = require_program("nginx", package="nginx-light")
        self._process = ListeningProcess([nginx, "-e", "stderr", "-c", str(self._config)], self.address)

    def reload(self) -> None:
        """Restart the workers gracefully: new ones accept calls while the old ones complete theirs."""
        assert self._process is not None
        self._process.send(signal.SIGHUP)

    def close(self) -> None:
        """Kill nginx and its workers."""
        if self._process is not None:
            self._process.close()
            self._process = None
