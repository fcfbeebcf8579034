"""A network that drops all packets, in separate namespaces. See docs/explanation/life-of-a-call.md."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.life.conftest import HeldCall
from tests.support.netns import SERVER, Cable
from tests.support.service_process import ROOT, ServiceProcess


class RemoteClient:
    """A client process at the other end of the cable."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def call(self, method: str) -> str:
        """Make a call and return its outcome."""
        self.start(method)
        return self.outcome()

    def start(self, method: str) -> None:
        """Start a call."""
        assert self._process.stdin is not None
        print(method, file=self._process.stdin, flush=True)

    def outcome(self) -> str:
        """Wait for the outcome of the started call."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.close()


@pytest.fixture
def remote_service(cable: Cable, start_process: Callable[..., ServiceProcess]) -> ServiceProcess:
    """A service at one end of the cable."""
    return start_process(cable.server, listen=f"{SERVER}:50051", allow_insecure=True)


@pytest.fixture
def remote_client(cable: Cable, held: HeldCall, photo: bytes, tmp_path: Path) -> Iterator[RemoteClient]:
    (tmp_path / "photo.png").write_bytes(photo)
    arguments = [f"{SERVER}:50051", str(tmp_path / "photo.png"), held.parameters["folder"]]
    command = [*cable.client, sys.executable, "-m", "tests.support.remote_client", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield RemoteClient(process)
        process.kill()


def test_a_call_fails_on_both_ends_of_a_dead_network_and_is_not_restarted(
    cable: Cable, remote_service: ServiceProcess, remote_client: RemoteClient, held: HeldCall
) -> None:
    remote_client.start("analyze")
    held.wait_for("begun")
    cable.cut()

    assert remote_client.outcome() == "NotReady"
    held.wait_for("cancelled")
    assert remote_service.wait_for_log("cancelled")["code"] == "CANCELLED"
    assert remote_client.call("classify") == "NotReady"
    cable.mend()

    held.release()
    while (outcome := remote_client.call("classify")) == "NotReady":  # until the client reconnects
        pass
    assert outcome == "result"
    assert remote_client.call("analyze") == "result"
    assert (held.count("begun"), held.count("done")) == (2, 1)


def test_a_half_open_idle_connection_fails_no_call(
    cable: Cable, remote_service: ServiceProcess, remote_client: RemoteClient
) -> None:
    assert remote_client.call("classify") == "result"
    cable.cut()
    remote_service.send(signal.SIGKILL)  # the client does not learn that its connection is closed
    remote_service.wait()
    remote_service.start()
    cable.mend()

    assert remote_client.call("classify") == "result"
