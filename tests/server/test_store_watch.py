"""A service that watches its store for new models."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from zfscope.client import Client
from zfscope.errors import DamagedModel
from zfscope.server.settings import Settings
from zfscope.server.store_watch import watch_store


def test_a_new_version_is_served_without_a_restart(
    make_service: Callable[..., Any],
    settings: Settings,
    write_tiny: Callable[..., None],
    tmp_path: Path,
    photo: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_store, "__defaults__", (0.05,))
    write_tiny(tmp_path, "tiny", 1)
    changed = settings.model_copy(update={"store": tmp_path, "default_model": "", "watch": True})
    service = make_service(changed)
    service.warm_up()
    with Client(service.address) as client:
        assert client.classify(photo).version == 1
        write_tiny(tmp_path, "tiny", 2)
        until = time.monotonic() + 60
        while client.classify(photo).version == 1 and time.monotonic() < until:
            time.sleep(0.05)
        assert client.classify(photo).version == 2


async def test_an_unreadable_store_is_logged_once_and_retried() -> None:
    failures = [DamagedModel("gone"), DamagedModel("gone"), None, OSError("gone"), None]
    done = asyncio.Event()

    class Models:
        def refresh(self) -> None:
            failure = failures.pop(0) if failures else None
            if not failures:
                done.set()
            if failure:
                raise failure

    with capture_logs() as logs:
        watching = asyncio.create_task(watch_store(Models().refresh, 0.001))
        await asyncio.wait_for(done.wait(), 30)
        watching.cancel()
    assert [(log["event"], log["reason"]) for log in logs] == [("model store check failed", "gone")] * 2
