"""Analyses of a service and of LocalClient share photos and traces, and nothing is written to disk."""

import gc
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.server.conftest import RunningService
from zfscope import Client, LocalClient
from zfscope.analysis import trace_cache
from zfscope.server.settings import Settings

Make = Callable[[Settings], RunningService]
_written: list[str] = []
_recording = False


@contextmanager
def written_files() -> Iterator[list[str]]:
    """Record the files that this process opens for writing."""
    global _recording
    _written.clear()
    _recording = True
    try:
        yield _written
    finally:
        _recording = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _recording and event == "open":
        path, mode, flags = arguments
        if set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _written.append(str(path))


sys.addaudithook(_audit)


@pytest.fixture
def make_client(settings: Settings, make_service: Make) -> Callable[..., tuple[Client, str]]:
    """Returns a client of a new service with changed settings, and the URL of its metrics."""

    def make(**changes: Any) -> tuple[Client, str]:
        service = make_service(settings.model_copy(update={"metrics_listen": "127.0.0.1:0", **changes}))
        service.warm_up()
        return Client(service.address), f"http://{service.service.metrics_address}/metrics"

    return make


def metric(url: str, name: str, **labels: str) -> float:
    with urlopen(url) as page:
        text = page.read().decode()
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
    (value,) = re.findall(rf"^{re.escape(name + (f'{{{inside}}}' if inside else ''))} (\S+)$", text, re.M)
    return float(value)


def lookups(url: str) -> dict[tuple[str, str], float]:
    return {
        (kind, result): metric(url, "zfscope_trace_cache_lookups_total", kind=kind, result=result)
        for kind in trace_cache.KINDS
        for result in ("hit", "extended", "miss")
    }


def test_a_service_decodes_and_traces_a_photo_once_for_all_analyses(
    make_client: Callable[..., tuple[Client, str]], photo: bytes
) -> None:
    client, url = make_client()
    with client:
        first = client.project(photo)
        client.occlude(photo, window=8, stride=8)
        with written_files() as written:
            second = client.project(photo)
    assert second.sheet.png == first.sheet.png
    counts = lookups(url)
    assert counts[("photo", "miss")] == counts[("input", "miss")] == counts[("trace", "miss")] == 1
    assert counts[("trace", "extended")] == counts[("trace", "hit")] == 1
    assert metric(url, "zfscope_trace_cache_bytes") > 48 * 60 * 3
    assert written == []


def test_a_service_with_a_cache_of_0_bytes_keeps_nothing(
    make_client: Callable[..., tuple[Client, str]], photo: bytes
) -> None:
    client, url = make_client(trace_cache_bytes=0)
    with client:
        first, second = (client.project(photo) for _ in range(2))
    assert second.sheet.png == first.sheet.png
    assert metric(url, "zfscope_trace_cache_bytes") == sum(lookups(url).values()) == 0


def test_the_traces_of_a_model_are_dropped_when_it_is_unloaded(
    make_client: Callable[..., tuple[Client, str]], photo: bytes
) -> None:
    client, url = make_client(kept_models=2)
    name, sizes = "zfscope_trace_cache_bytes", []
    with client:
        for model, version in (("tiny", 2), ("tiny", 1), ("other", 1), ("tiny", 1)):
            client.project(photo, model=model, version=version)
            sizes.append(metric(url, name))
    assert sizes[0] < sizes[1] == sizes[2] == sizes[3]
    assert lookups(url)[("trace", "miss")] == 4


class CountedCalls:
    """Wraps functions of a module and counts their calls by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, *names: str) -> None:
        self.counts = dict.fromkeys(names, 0)
        for name in names:
            monkeypatch.setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.counts[name] += 1
            return function(*arguments, **options)

        return call


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CountedCalls:
    return CountedCalls(monkeypatch, trace_cache, "decode_photo", "prepare_photo", "trace_pixels")


def test_a_local_client_decodes_and_traces_a_photo_once(
    store: Path, photo: bytes, counted: CountedCalls
) -> None:
    with LocalClient(store, runtime="torch") as client:
        for _ in range(2):
            client.project(photo, model="tiny")
            client.occlude(photo, model="tiny", window=8, stride=8)
        assert counted.counts == {"decode_photo": 1, "prepare_photo": 1, "trace_pixels": 1}
        assert client.trace_cache.size_bytes > 48 * 60 * 3
    assert client.trace_cache.size_bytes == 0


def test_threads_of_a_local_client_trace_a_photo_once(
    store: Path, photo: bytes, counted: CountedCalls
) -> None:
    with LocalClient(store, runtime="torch") as client, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: client.project(photo, model="tiny"), range(8)))
    assert counted.counts == {"decode_photo": 1, "prepare_photo": 1, "trace_pixels": 1}
    assert len({result.sheet.png for result in results}) == 1


def test_a_local_client_with_a_cache_of_0_bytes_keeps_nothing(
    store: Path, photo: bytes, counted: CountedCalls
) -> None:
    with LocalClient(store, runtime="torch", trace_cache_bytes=0) as client:
        for _ in range(2):
            client.project(photo, model="tiny")
        assert counted.counts == {"decode_photo": 2, "prepare_photo": 2, "trace_pixels": 2}
        assert client.trace_cache.size_bytes == 0


def test_a_local_client_drops_the_traces_of_models_that_it_releases(
    store: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch, counted: CountedCalls
) -> None:
    monkeypatch.setattr("zfscope.local._MAX_LOADED_MODELS", 1)
    with LocalClient(store, runtime="torch") as client:
        sizes = []
        for name in ("tiny", "other", "tiny"):
            client.project(photo, model=name, version=1)
            sizes.append(client.trace_cache.size_bytes)
    assert sizes[0] == sizes[1] == sizes[2]
    assert counted.counts == {"decode_photo": 1, "prepare_photo": 3, "trace_pixels": 3}


def test_a_photo_is_released_when_its_analysis_ends_without_garbage_collection(
    store: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos: list[weakref.ref[Any]] = []
    prepare_photo = trace_cache.prepare_photo

    def recorded(*arguments: Any, **options: Any) -> Any:
        prepared = prepare_photo(*arguments, **options)
        photos.append(weakref.ref(prepared.photo))
        return prepared

    monkeypatch.setattr(trace_cache, "prepare_photo", recorded)
    gc.collect()
    gc.disable()
    try:
        with LocalClient(store, runtime="torch", trace_cache_bytes=0) as client:
            client.project(photo, model="tiny", pictures=False)
        assert [each() for each in photos] == [None]
    finally:
        gc.enable()


def test_the_control_of_a_model_is_randomised_once(
    store: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = CountedCalls(monkeypatch, trace_cache, "randomise")
    with LocalClient(store, runtime="torch") as client:
        results = [client.project(photo, model="tiny", control=True) for _ in range(2)]
        client.occlude(photo, model="tiny", window=8, stride=8, layer="conv5", control=True)
    assert counted.counts == {"randomise": 1}
    assert results[0].sheet.png == results[1].sheet.png
