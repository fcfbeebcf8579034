"""Services in separate processes, and an analysis that runs until it is released."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_process import ROOT, ServiceProcess, wait_until
from zfscope.client import Client, channel
from zfscope.server.settings import Settings


@pytest.fixture(scope="session")
def environment(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Environment of a service with the analyzer `held` and short keepalive times."""
    plugin = tmp_path_factory.mktemp("plugin") / "held-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: held\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text(
        "[zfscope.analyzers]\nheld = tests.support.held_analyzer:HeldAnalyzer\n"
    )
    setup = {
        "listen": "127.0.0.1:0",
        "store": settings.store,
        "default_model": settings.default_model,
        "cache": settings.cache,
        "threads": 1,
        "analyzers": '["held"]',
        "lame_duck_s": 0,
        "grace_s": 60,
        "keepalive_s": 1,
        "keepalive_timeout_s": 1,
    }
    return {
        "PYTHONPATH": os.pathsep.join((str(plugin.parent), str(ROOT))),
        **{f"ZFSCOPE_{name.upper()}": str(value) for name, value in setup.items()},
    }


@pytest.fixture
def start_process(environment: Mapping[str, str]) -> Iterator[Callable[..., ServiceProcess]]:
    """Start services in separate processes, with changed settings. before: code that they run first."""
    with ExitStack() as started:

        def start(within: Sequence[str] = (), *, before: str = "", **changes: object) -> ServiceProcess:
            changed = {f"ZFSCOPE_{name.upper()}": str(value) for name, value in changes.items()}
            process = ServiceProcess({**environment, **changed}, within, before=before)
            started.callback(process.close)
            process.start()
            return process

        yield start


@pytest.fixture(scope="session")
def shared_process(environment: Mapping[str, str]) -> Iterator[ServiceProcess]:
    """One process for all tests, since a start takes seconds; see `service_process`."""
    with closing(ServiceProcess(environment)) as service_process:
        yield service_process


@pytest.fixture
def service_process(shared_process: ServiceProcess) -> ServiceProcess:
    """A running service in a separate process, with an empty log; restarted if a test ended it."""
    shared_process.ensure_running()
    return shared_process


class HeldCall:
    """An analysis that runs until it is released."""

    def __init__(self, folder: Path) -> None:
        self.parameters = {"folder": str(folder)}
        self._folder = folder

    def processes(self, event: str) -> list[int]:
        """Return the process ids of the services that recorded `begun`, `done` or `cancelled`."""
        path = self._folder / event
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def count(self, event: str) -> int:
        """Return the number of times that `begun`, `done` or `cancelled` was recorded."""
        return len(self.processes(event))

    def wait_for(self, event: str) -> None:
        """Wait until `begun`, `done` or `cancelled` was recorded."""
        wait_until(lambda: self.count(event), f"the analysis is {event}")

    def release(self) -> None:
        """Let the analysis complete."""
        (self._folder / "released").touch()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[HeldCall]:
    held = HeldCall(tmp_path)
    yield held
    held.release()


@pytest.fixture
def short_keepalive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the keepalive times of the client from forty seconds to two."""
    monkeypatch.setattr(channel, "KEEPALIVE_S", 1)
    monkeypatch.setattr(channel, "KEEPALIVE_TIMEOUT_S", 1)


@pytest.fixture
def start_analysis(photo: bytes, held: HeldCall) -> Iterator[Callable[[Client], "Future[Any]"]]:
    """Return a function that starts a held analysis and waits until it runs."""
    with ThreadPoolExecutor(4) as pool:

        def start(client: Client) -> "Future[Any]":
            call = pool.submit(client.analyze, "held", [photo], held.parameters)
            held.wait_for("begun")
            return call

        yield start
        held.release()
