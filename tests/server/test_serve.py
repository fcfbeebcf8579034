"""The service as a process: its output, and how it stops."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.forked import ForkedProcess
from zfscope.client import Client


def read_line(process: ForkedProcess) -> str:
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_service_prints_its_address_and_stops_on_a_signal(
    start: Callable[..., ForkedProcess], number: signal.Signals, photo: bytes
) -> None:
    process = start()
    address = read_line(process).removeprefix("zfscope listens on ")
    assert read_line(process) == "zfscope serves model 'tiny' version 2"
    with Client(address) as client:
        client.wait_until_ready()
        assert client.classify(photo).model == "tiny"

    process.send_signal(number)
    out, log = process.communicate(timeout=120)

    assert process.returncode == 0
    assert out == ""
    assert '"method": "/zfscope.v1.ClassificationService/Classify"' in log
    assert "Traceback" not in log
    lines = {line["event"]: line for line in map(json.loads, log.splitlines())}
    assert lines["started"]["address"] == address
    assert lines["started"]["process"] == process.pid
    stopping, rejecting, stopped = (
        lines[event] for event in ("shutting down", "rejecting requests", "stopped")
    )
    assert (stopping["reason"], stopping["requests"], stopping["grace_s"]) == (number.name, 0, 60)
    assert rejecting["requests"] == 0
    assert stopped["cut_off"] == 0
    assert stopped["seconds"] > 0


SLOW_LOAD = """
import time
from zfscope.server.model_cache import ModelCache

load = ModelCache.get
ModelCache.get = lambda *arguments: (time.sleep(2), load(*arguments))[1]
"""


def test_a_signal_while_the_model_loads_stops_the_service(start: Callable[..., ForkedProcess]) -> None:
    # The lame-duck time is skipped: the service was never reported as serving.
    process = start(before=SLOW_LOAD, lame_duck_s=300)
    assert read_line(process).startswith("zfscope listens on 127.0.0.1:")

    process.terminate()
    _, log = process.communicate(timeout=120)

    assert process.returncode == 0
    assert "Traceback" not in log


def test_a_second_signal_stops_the_service_at_once(start: Callable[..., ForkedProcess]) -> None:
    process = start(lame_duck_s=300)
    address = read_line(process).removeprefix("zfscope listens on ")
    assert read_line(process).startswith("zfscope serves")
    process.terminate()
    with Client(address) as client:
        while client.health() == "SERVING":
            time.sleep(0.05)

    process.terminate()

    assert process.wait(timeout=30) == -signal.SIGTERM


def test_the_service_exits_with_the_error_of_a_damaged_model(
    start: Callable[..., ForkedProcess], tmp_path: Path, write_tiny: Callable[..., None]
) -> None:
    write_tiny(tmp_path, "tiny", 1)
    (tmp_path / "tiny" / "1" / "weights.safetensors").write_bytes(b"")
    process = start(store=tmp_path)

    _, log = process.communicate(timeout=120)

    assert process.returncode != 0
    assert "DamagedModel: model 'tiny' version 1: 'weights.safetensors' does not match the manifest" in log


# Simulates macOS and Windows: neither has CPU affinity, and on Windows the event loop supports no signals.
WITHOUT_LINUX_FEATURES = """
import asyncio.unix_events as events, os

for name in ("sched_getaffinity", "process_cpu_count"):
    vars(os).pop(name, None)

def fail(*arguments):
    raise NotImplementedError

os.environ.pop("ZFSCOPE_THREADS")  # otherwise the processors are not counted
events._UnixSelectorEventLoop.add_signal_handler = fail
events._UnixSelectorEventLoop.remove_signal_handler = fail
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_service_starts_and_stops_without_linux_features(
    start: Callable[..., ForkedProcess], number: signal.Signals, photo: bytes
) -> None:
    process = start(before=WITHOUT_LINUX_FEATURES)
    address = read_line(process).removeprefix("zfscope listens on ")
    assert read_line(process) == "zfscope serves model 'tiny' version 2"
    with Client(address) as client:
        assert client.classify(photo).model == "tiny"
    process.send_signal(number)
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Traceback" not in log
