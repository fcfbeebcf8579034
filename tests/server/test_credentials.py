"""Certificates and tokens replaced on disk while the service runs."""

import os
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from tests.support.certificates import Certificates, issue_certificates
from tests.support.channel_states import ChannelStates
from zfscope.client import Access, Client
from zfscope.errors import InputError, NotReady, Unauthenticated
from zfscope.server import credentials
from zfscope.server.credentials import ServiceCredentials
from zfscope.server.settings import Settings

OLD, NEW = "old-0123456789abcdef", "new-0123456789abcdef"
TIMEOUT_S = 60


class Secrets:
    """Files of a service in one folder, replaced as a whole like those of Kubernetes: by a renamed link."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._version = folder, 0
        self.current = folder / "current"

    def replace(self, certificates: Certificates, tokens: str, *, client_ca: Path | None = None) -> None:
        """Replace all files at once."""
        self._version += 1
        version = self._folder / str(self._version)
        version.mkdir()
        shutil.copyfile(certificates.certificate, version / "tls.crt")
        shutil.copyfile(certificates.key, version / "tls.key")
        shutil.copyfile(client_ca or certificates.ca, version / "ca.crt")
        (version / "token").write_text(tokens)
        (self._folder / "next").symlink_to(version)
        (self._folder / "next").rename(self.current)

    @property
    def settings(self) -> dict[str, Path]:
        return {
            "tls_certificate": self.current / "tls.crt",
            "tls_key": self.current / "tls.key",
            "token_file": self.current / "token",
        }


@pytest.fixture
def issued(tmp_path: Path) -> tuple[Certificates, Certificates]:
    """Certificates of two authorities, the old and the new one."""
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    old, new = map(issue_certificates, folders)
    return old, new


@pytest.fixture
def secrets(tmp_path: Path, issued: tuple[Certificates, Certificates]) -> Secrets:
    secrets = Secrets(tmp_path)
    secrets.replace(issued[0], OLD)
    return secrets


@pytest.fixture
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the files every 0.1 seconds."""
    monkeypatch.setattr(ServiceCredentials.watch, "__defaults__", (0.1,))


def wait_until(condition: Callable[[], bool], description: str) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, f"never happened: {description}"
        time.sleep(0.02)


def presented(address: str) -> bytes:
    """Return the certificate that a new connection gets."""
    host, port = address.split(":")
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))


def certificate_of(certificates: Certificates) -> bytes:
    end = "-----END CERTIFICATE-----\n"
    first = certificates.certificate.read_text().partition(end)[0]
    return ssl.PEM_cert_to_DER_cert(first + end)


@contextmanager
def under_load(client: Client, photo: bytes, *, threads: int = 3) -> Iterator[list[Exception]]:
    """Classify a photo without a pause in several threads; yield the list of failures."""
    ended, failures, calls = threading.Event(), [], []

    def call() -> None:
        while not ended.is_set():
            try:
                calls.append(client.classify(photo).model)
            except Exception as error:
                failures.append(error)
                return

    running = [threading.Thread(target=call) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield failures
    finally:
        ended.set()
        for thread in running:
            thread.join(TIMEOUT_S)
    assert calls


@pytest.mark.usefixtures("short_interval")
def test_a_certificate_and_a_token_are_replaced_under_load_without_a_failed_call(
    settings: Settings,
    make_service: Callable[[Settings], Any],
    secrets: Secrets,
    issued: tuple[Certificates, Certificates],
    photo: bytes,
    tmp_path: Path,
) -> None:
    old, new = issued
    changes = {**secrets.settings, "max_connection_age_s": 0.5}
    service = make_service(settings.model_copy(update=changes))
    service.warm_up()
    both, token = tmp_path / "both.pem", tmp_path / "token"
    both.write_bytes(old.ca.read_bytes() + new.ca.read_bytes())

    def connect(ca: Path, text: str) -> Client:
        token.write_text(text)
        return Client(service.address, access=Access(tls_ca=ca, token_file=token), timeout_s=TIMEOUT_S)

    assert presented(service.address) == certificate_of(old)
    with connect(both, OLD) as before, connect(both, NEW) as after, connect(old.ca, OLD) as distrustful:
        states = ChannelStates(before._channel)
        with under_load(before, photo) as failures:
            secrets.replace(new, f"{OLD}\n{NEW}\n")  # both tokens, and the certificate of the new authority
            wait_until(lambda: presented(service.address) == certificate_of(new), "the new certificate")
            wait_until(lambda: accepts(after), "the new token")
            for _ in range(3):  # further connections
                states.wait_for(grpc.ChannelConnectivity.READY)
        assert failures == []
        with pytest.raises(NotReady, match="VERIFY_FAILED"):
            distrustful.models()
        with under_load(after, photo) as failures:
            secrets.replace(new, NEW)
            wait_until(lambda: not accepts(before), "the old token is refused")
        assert failures == []


def accepts(client: Client) -> bool:
    try:
        client.models()
    except Unauthenticated:
        return False
    return True


@pytest.fixture
def connect_to_mutual_tls(
    settings: Settings,
    make_service: Callable[[Settings], Any],
    secrets: Secrets,
    issued: tuple[Certificates, Certificates],
    short_interval: None,
) -> Callable[..., Callable[[Certificates], Client]]:
    """Return a function that starts a service which trusts the old authority, and returns its clients."""

    def start(**changes: Any) -> Callable[[Certificates], Client]:
        mutual = {**secrets.settings, "tls_client_ca": secrets.current / "ca.crt", "token_file": None}
        service = make_service(settings.model_copy(update={**mutual, **changes}))
        service.warm_up()

        def connect(files: Certificates) -> Client:
            own = {"tls_client_certificate": files.client_certificate, "tls_client_key": files.client_key}
            return Client(service.address, access=Access(tls_ca=issued[0].ca, **own), timeout_s=TIMEOUT_S)

        return connect

    return start


def test_a_client_of_a_removed_authority_keeps_its_connection_and_cannot_open_another(
    connect_to_mutual_tls: Callable[..., Any], secrets: Secrets, issued: tuple[Certificates, Certificates]
) -> None:
    (old, new), connect = issued, connect_to_mutual_tls()
    with connect(old) as connected:
        assert connected.models()
        secrets.replace(old, OLD, client_ca=new.ca)
        with connect(new) as client:
            wait_until(lambda: trusted(client), "the new authority is trusted")
        assert connected.models()
        with connect(old) as again, pytest.raises(NotReady):
            again.models()


def test_a_client_of_a_removed_authority_is_refused_once_its_connection_is_too_old(
    connect_to_mutual_tls: Callable[..., Any], secrets: Secrets, issued: tuple[Certificates, Certificates]
) -> None:
    (old, new), connect = issued, connect_to_mutual_tls(max_connection_age_s=0.5)
    with connect(old) as connected:
        assert connected.models()
        secrets.replace(old, OLD, client_ca=new.ca)
        wait_until(lambda: not trusted(connected), "the old authority is refused")


def trusted(client: Client) -> bool:
    try:
        client.models()
    except NotReady:
        return False
    return True


def test_invalid_files_are_reported_once_and_the_old_ones_stay_in_use(
    settings: Settings, secrets: Secrets, issued: tuple[Certificates, Certificates]
) -> None:
    loaded = ServiceCredentials(settings.model_copy(update=secrets.settings))
    certificate, key, token = (secrets.current / name for name in ("tls.crt", "tls.key", "token"))
    with capture_logs() as logs:
        shutil.copyfile(issued[1].certificate, certificate)  # its key follows later
        token.write_text("short")
        for _ in range(3):
            loaded.refresh()
        assert OLD in loaded.tokens
        assert [(line["event"], line["log_level"]) for line in logs] == [
            ("certificates not reloaded", "warning"),
            ("tokens not reloaded", "warning"),
        ]
        assert "are not a certificate and its private key" in logs[0]["reason"]
        assert "line 1 of" in logs[1]["reason"]
        assert "short" not in str(logs)

        shutil.copyfile(issued[1].key, key)
        token.write_text(NEW)
        loaded.refresh()
        assert [line["event"] for line in logs[2:]] == ["certificates reloaded", "tokens reloaded"]
        assert (OLD in loaded.tokens, NEW in loaded.tokens) == (False, True)
        loaded.refresh()
        assert len(logs) == 4


def test_files_that_are_still_changing_are_not_reported(settings: Settings, secrets: Secrets) -> None:
    loaded = ServiceCredentials(settings.model_copy(update=secrets.settings))
    token = secrets.current / "token"
    with capture_logs() as logs:
        for size in range(1, 5):
            token.write_text("x" * size)
            loaded.refresh()
        token.unlink()
        loaded.refresh()
        token.write_text(NEW)
        loaded.refresh()
    assert [line["event"] for line in logs] == ["tokens reloaded"]


def test_a_replaced_file_of_the_same_size_is_noticed(settings: Settings, secrets: Secrets) -> None:
    loaded = ServiceCredentials(settings.model_copy(update=secrets.settings))
    token = secrets.current / "token"
    status = token.stat()
    other = token.with_name("other")
    other.write_text(NEW)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(token)
    loaded.refresh()
    assert NEW in loaded.tokens


def test_invalid_files_at_the_start_are_an_error(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        ServiceCredentials(settings.model_copy(update={"token_file": tmp_path / "missing"}))
    assert caught.value.field == "token_file"


def test_unchanged_certificates_are_not_read_for_each_connection(
    settings: Settings, secrets: Secrets, issued: tuple[Certificates, Certificates]
) -> None:
    loaded = ServiceCredentials(settings.model_copy(update=secrets.settings))
    assert isinstance(loaded.server_credentials(), grpc.ServerCredentials)
    assert loaded._changed_certificates() is None
    secrets.replace(issued[1], OLD)
    loaded.refresh()
    assert loaded._changed_certificates() is not None
    assert loaded._changed_certificates() is None


def test_files_are_checked_as_often_as_the_documentation_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md").read_text()
    assert f"every {credentials.INTERVAL_S:g} seconds" in " ".join(page.split())
