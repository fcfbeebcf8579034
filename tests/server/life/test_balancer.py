"""nginx with `docker/balancer.nginx` in front of two replicas, over TLS and with a token."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from tests.support.certificates import Certificates, issue_certificates
from tests.support.nginx import Nginx
from tests.support.service_process import ROOT, ServiceProcess, wait_until
from zfscope.client import Access, Client
from zfscope.client.retry import shipped_service_config
from zfscope.errors import Unauthenticated, ZfscopeError
from zfscope.v1 import classification_pb2, classification_pb2_grpc, image_pb2

CONFIG = (ROOT / "docker" / "balancer.nginx").read_text()
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return issue_certificates(tmp_path)


@pytest.fixture
def replicas(
    start_process: Callable[..., ServiceProcess], certificates: Certificates
) -> tuple[ServiceProcess, ServiceProcess]:
    """Two services over TLS that report NOT_SERVING for two seconds before they reject calls."""
    settings = {**certificates.server, "token": TOKEN, "lame_duck_s": 2}
    return start_process(**settings), start_process(**settings)


@pytest.fixture
def balancer(
    replicas: tuple[ServiceProcess, ServiceProcess], certificates: Certificates, tmp_path: Path
) -> Iterator[Nginx]:
    names = {
        "/etc/zfscope/tls.crt": certificates.certificate,
        "/etc/zfscope/tls.key": certificates.key,
        "/etc/zfscope/ca.crt": certificates.ca,
        "zfscope.example.org": "localhost",
        "zfscope-1:50051": replicas[0].address,
        "zfscope-2:50051": replicas[1].address,
    }

    def http(address: str) -> str:
        text = CONFIG.replace("listen 50051", f"listen {address}")
        for name, value in names.items():
            assert name in text
            text = text.replace(name, str(value))
        return text

    with closing(Nginx(tmp_path, http=http)) as nginx:
        nginx.start()
        yield nginx


@pytest.fixture
def access(certificates: Certificates) -> Access:
    return Access(tls_ca=certificates.ca, token=TOKEN)


@dataclass
class Load:
    """Calls without a pause, in a thread of its own."""

    call: Callable[[], object]
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self.call()
                self.answered += 1
            except (ZfscopeError, grpc.RpcError) as error:
                self.failures.append(str(error))


def test_replicas_behind_a_balancer_are_restarted_without_a_failed_call(
    replicas: tuple[ServiceProcess, ServiceProcess], balancer: Nginx, access: Access, photo: bytes
) -> None:
    with Client(balancer.address, access=access) as client:
        client.wait_until_ready(60)
        assert _failures_of_restarts(replicas, lambda: client.classify(photo)) == []


def test_a_stock_client_that_watches_health_notices_no_restart_behind_a_balancer(
    replicas: tuple[ServiceProcess, ServiceProcess],
    balancer: Nginx,
    certificates: Certificates,
    photo: bytes,
) -> None:
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(certificates.ca.read_bytes()), grpc.access_token_call_credentials(TOKEN)
    )
    options = [("grpc.service_config", json.dumps(shipped_service_config()))]
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    with grpc.secure_channel(balancer.address, credentials, options) as channel:
        stub = classification_pb2_grpc.ClassificationServiceStub(channel)
        grpc.channel_ready_future(channel).result(60)
        assert _failures_of_restarts(replicas, lambda: stub.Classify(request, timeout=60)) == []


def test_a_balancer_passes_tokens_on(balancer: Nginx, certificates: Certificates, photo: bytes) -> None:
    with Client(balancer.address, access=Access(tls_ca=certificates.ca)) as client:
        with pytest.raises(Unauthenticated):
            client.classify(photo)
        assert client.health() == "SERVING"


def _failures_of_restarts(
    replicas: tuple[ServiceProcess, ServiceProcess], call: Callable[[], object]
) -> list[str]:
    """Restart one replica after the other under load; return the failures of calls."""
    load = Load(call)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        for replica in replicas:
            _wait_for_answers(load, 10)
            replica.send(signal.SIGTERM)
            assert replica.wait() == 0
            _wait_for_answers(load, 10)
            replica.start()
        _wait_for_answers(load, 10)
    finally:
        load.ended.set()
        thread.join()
    return load.failures


def _wait_for_answers(load: Load, count: int) -> None:
    end = load.answered + count
    wait_until(lambda: load.answered >= end or load.failures, "calls are answered")
