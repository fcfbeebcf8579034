"""nginx with `docker/balancer.nginx` in front of two replicas, over TLS and with a token."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.certificates import Certificates, issue_certificates
from tests.support.nginx import Nginx
from tests.support.service_process import ROOT, ServiceProcess, wait_until
from zfscope.client import Access, Client
from zfscope.errors import Unauthenticated, ZfscopeError

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

    client: Client
    photo: bytes
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self.client.classify(self.photo)
                self.answered += 1
            except ZfscopeError as error:
                self.failures.append(str(error))


def test_replicas_behind_a_balancer_are_restarted_without_a_failed_call(
    replicas: tuple[ServiceProcess, ServiceProcess], balancer: Nginx, access: Access, photo: bytes
) -> None:
    with Client(balancer.address, access=access) as client:
        client.wait_until_ready(60)
        load = Load(client, photo)
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
    assert load.failures == []


def test_a_balancer_passes_tokens_on(balancer: Nginx, certificates: Certificates, photo: bytes) -> None:
    with Client(balancer.address, access=Access(tls_ca=certificates.ca)) as client:
        with pytest.raises(Unauthenticated):
            client.classify(photo)
        assert client.health() == "SERVING"


def _wait_for_answers(load: Load, count: int) -> None:
    end = load.answered + count
    wait_until(lambda: load.answered >= end or load.failures, "calls are answered")
