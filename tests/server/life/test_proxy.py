"""nginx as a proxy between client and service (`grpc_pass`). See docs/explanation/life-of-a-call.md."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.server.life.conftest import HeldCall
from tests.support.nginx import Nginx
from tests.support.service_process import ServiceProcess
from zfscope.client import Client
from zfscope.errors import NotReady

StartAnalysis = Callable[[Client], "Future[Any]"]
SERVER = """
client_max_body_size 52m;
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
"""


@pytest.fixture
def proxy(service_process: ServiceProcess, tmp_path: Path) -> Iterator[Nginx]:
    server = SERVER.format(upstream=service_process.address)
    with closing(Nginx(tmp_path, server, protocol="http2")) as proxy:
        proxy.start()
        yield proxy


def test_a_call_fails_when_its_proxy_is_killed_and_its_work_is_cancelled(
    proxy: Nginx, service_process: ServiceProcess, held: HeldCall, start_analysis: StartAnalysis, photo: bytes
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
    proxy: Nginx, held: HeldCall, start_analysis: StartAnalysis, photo: bytes
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
    proxy: Nginx, service_process: ServiceProcess, held: HeldCall, start_analysis: StartAnalysis, photo: bytes
) -> None:
    with Client(proxy.address) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGTERM)
        service_process.wait_for_log("rejecting requests")
        with pytest.raises(NotReady):
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
    proxy: Nginx, service_process: ServiceProcess, held: HeldCall, start_analysis: StartAnalysis
) -> None:
    with Client(proxy.address) as client:
        running = start_analysis(client)
        service_process.send(signal.SIGKILL)

        assert type(running.exception(timeout=60)) is NotReady
    service_process.wait()
    assert held.count("begun") == 1
