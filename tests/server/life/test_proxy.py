"""nginx as a proxy between client and service (`grpc_pass`). See docs/life-of-a-call.md."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.life.conftest import HeldCall
from tests.support.ports import free_ports
from tests.support.programs import require_program
from tests.support.service_process import ServiceProcess, wait_until
from zfscope.client import Client
from zfscope.errors import NotReady

StartAnalysis = Callable[[Client], "Future[Any]"]
CONFIG = """
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
    server {{
        listen {address} http2;
        client_max_body_size 24m;
        location / {{
            grpc_pass grpc://{upstream};
            grpc_read_timeout 900s;
            grpc_send_timeout 900s;
        }}
        error_page 502 504 = /unavailable;
        location = /unavailable {{
            internal;
            default_type application/grpc;
            add_header grpc-status 14;
            add_header grpc-message "the proxy cannot reach the service";
            return 204;
        }}
    }}
}}
"""


class Proxy:
    """An nginx process in front of a service."""

    def __init__(self, folder: Path, upstream: str) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self._config = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # so that it can write its temporary files
        names = {"folder": folder, "user": user, "address": self.address, "upstream": upstream}
        self._config.write_text(CONFIG.format(**names))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start nginx and wait until it listens."""
        nginx = require_program("nginx", package="nginx-light")
        command = [nginx, "-e", "stderr", "-c", str(self._config)]
        self._process = subprocess.Popen(command, start_new_session=True)
        host, port = self.address.split(":")

        def listens() -> bool:
            try:
                socket.create_connection((host, int(port))).close()
            except ConnectionRefusedError:
                return False
            return True

        wait_until(listens, "nginx listens")

    def reload(self) -> None:
        """Restart the workers gracefully: new ones accept calls while the old ones complete theirs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        """Kill nginx and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def proxy(service_process: ServiceProcess, tmp_path: Path) -> Iterator[Proxy]:
    with closing(Proxy(tmp_path, service_process.address)) as proxy:
        proxy.start()
        yield proxy


def test_a_call_fails_when_its_proxy_is_killed_and_its_work_is_cancelled(
    proxy: Proxy, service_process: ServiceProcess, held: HeldCall, start_analysis: StartAnalysis, photo: bytes
) -> None:
    with Client(proxy.address) as client:
        running = start_analysis(client)
        proxy.close()

        assert type(running.exception(timeout=60)) is NotReady
        held.wait_for("cancelled")
        assert service_process.wait_for_log("cancelled")["code"] == "CANCELLED"
        with pytest.raises(NotReady):
            client.classify(photo)
        proxy.start()

        client.wait_until_ready(60)
        assert client.classify(photo).model == "tiny"
    assert held.count("begun") == 1


def test_reloading_a_proxy_fails_no_call(
    proxy: Proxy, held: HeldCall, start_analysis: StartAnalysis, photo: bytes
) -> None:
    with Client(proxy.address) as client:
        running = start_analysis(client)
        proxy.reload()
        for _ in range(3):
            assert client.classify(photo).model == "tiny"
        held.release()

        assert running.result(timeout=60).analysis.numbers == {"held": 1}
    assert held.count("begun") == 1


def test_a_shutdown_behind_a_proxy_behaves_as_without_one(
    proxy: Proxy, service_process: ServiceProcess, held: HeldCall, start_analysis: StartAnalysis, photo: bytes
) -> None:
    with Client(proxy.address) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGTERM)
        service_process.wait_for_log("rejecting requests")
        with pytest.raises(NotReady, match="the service is shutting down; try another replica"):
            client.classify(photo)
        held.release()
        assert running.result(timeout=60).analysis.numbers == {"held": 1}
        service_process.wait()

        with pytest.raises(NotReady, match="the proxy cannot reach the service"):
            client.classify(photo)
        with pytest.raises(NotReady, match="the proxy cannot reach the service"):
            client.analyze("held", [photo], held.parameters)
        service_process.start()

        client.wait_until_ready(60)
        assert client.classify(photo).model == "tiny"


def test_a_call_of_a_service_killed_behind_a_proxy_is_not_restarted(
    proxy: Proxy, service_process: ServiceProcess, held: HeldCall, start_analysis: StartAnalysis
) -> None:
    with Client(proxy.address) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGKILL)

        assert type(running.exception(timeout=60)) is NotReady
    service_process.wait()
    assert held.count("begun") == 1
