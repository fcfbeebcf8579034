"""Fixtures: a store of tiny models, photos, and a service on a free port."""

import asyncio
import io
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import pytest
import structlog
import torch
from PIL import Image

from tests.support.forked import ForkedProcess, fork_python
from tests.support.service_process import ConnectedService
from tests.support.signals import signal_setup
from zfscope.client import Client
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.server.app import Service
from zfscope.server.settings import Settings
from zfscope.store import Label, Manifest, Provenance, RecordedAccuracy, write_model
from zfscope.wire.status import error_of

T = TypeVar("T")

# Maps of 14, 7 and 7 pixels. Contains conv5, the default layer.
SPEC = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1"),
        Conv(name="conv5", channels=12, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="fc6", units=4),
    ),
)


def write_random_model(store: Path, name: str, version: int, **files: Any) -> None:
    """Write a model with random weights into a store. The seed is the version."""
    manifest = Manifest(
        name=name,
        version=version,
        summary=f"Version {version} of a tiny network",
        network=SPEC,
        preprocessing=Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50)),
        labels=tuple(
            Label(id=f"n{index}", name=animal) for index, animal in enumerate(("ant", "bee", "cat", "dog"))
        ),
        accuracy=RecordedAccuracy(top1=50, top5=100, images=4, data="four photos") if version > 1 else None,
        provenance=Provenance(source="made up in a test"),
    )
    network = build(SPEC, generator=torch.Generator().manual_seed(version))
    write_model(store, manifest, network, **files)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the models `tiny`, versions 1 and 2, and `other`, version 1."""
    folder = tmp_path_factory.mktemp("models")
    for name, version in (("tiny", 1), ("tiny", 2), ("other", 1)):
        write_random_model(folder, name, version)
    return folder


@pytest.fixture
def write_tiny() -> Callable[[Path, str, int], None]:
    """Return a function that writes a tiny model with a name and a version into a store."""
    return write_random_model


@pytest.fixture(scope="session")
def settings(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        listen="127.0.0.1:0",
        store=store,
        default_model="tiny",
        cache=tmp_path_factory.mktemp("graphs"),
        threads=1,
        max_units=10,
        max_image_pixels=1_000_000,
        lame_duck_s=0,
        grace_s=60,
    )


SERVE = """
import asyncio
from zfscope.server.app import serve
from zfscope.server.settings import Settings
asyncio.run(serve(Settings()))
"""


class RunningService:
    """A service on an event loop in a thread."""

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.service = self.call(self._build(settings))
        self.address = self.call(self.service.start())

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the service's loop and return its result."""
        return self.submit(coroutine).result(timeout=60)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine on the service's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def warm_up(self) -> str:
        """Load and run the default model; return its title."""
        return self.call(self.service.warm_up())

    def close(self) -> None:
        self.call(self.service.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _build(self, settings: Settings) -> Service:
        return Service(settings)


@contextmanager
def run_service(settings: Settings) -> Iterator[RunningService]:
    service = RunningService(settings)
    try:
        yield service
    finally:
        service.close()


@pytest.fixture(scope="session")
def service(settings: Settings) -> Iterator[RunningService]:
    """A warm service shared by all tests."""
    with run_service(settings) as service:
        service.warm_up()
        yield service


@pytest.fixture
def make_service() -> Iterator[Callable[[Settings], RunningService]]:
    """Return a function that starts services for one test. They listen but are not warm."""
    with ExitStack() as started:
        yield lambda settings: started.enter_context(run_service(settings))


@pytest.fixture
def cold_service(settings: Settings, make_service: Callable[[Settings], RunningService]) -> RunningService:
    """A service for one test. It listens but is not warm."""
    return make_service(settings)


@pytest.fixture
def channel(service: RunningService) -> Iterator[grpc.Channel]:
    """A plain channel, without the retries and limits of `Client`."""
    with grpc.insecure_channel(service.address) as channel:
        yield channel


@pytest.fixture
def client(service: RunningService) -> Iterator[Client]:
    with Client(service.address) as client:
        yield client


@dataclass(frozen=True)
class CallError:
    """Status, field and message of a failed call."""

    code: grpc.StatusCode
    field: str
    message: str


@pytest.fixture
def call_error() -> Callable[..., CallError]:
    """Return a function that makes a call, which must fail, and returns its error."""

    def call_error(call: Callable[..., Any], request: Any) -> CallError:
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=30)
        return CallError(caught.value.code(), error_of(caught.value).field, caught.value.details())

    return call_error


@pytest.fixture(scope="session")
def make_photo() -> Callable[..., bytes]:
    """Return a function that encodes a photo of random blobs, which activate every map."""

    def make(width: int = 60, height: int = 48, *, kind: str = "PNG") -> bytes:
        small = np.random.default_rng(7).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(file, kind)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def photo(make_photo: Callable[..., bytes]) -> bytes:
    """A PNG file of 60 x 48 pixels."""
    return make_photo()


@pytest.fixture
def json_log() -> Iterator[None]:
    """Log as JSON lines on stdout."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    yield
    structlog.configure(**before)


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[..., ForkedProcess]]:
    """Start services in separate processes, configured by the environment. before: code to run first."""
    started: list[ForkedProcess] = []
    names = ("listen", "store", "default_model", "cache", "threads", "lame_duck_s", "grace_s")
    setup = {f"ZFSCOPE_{name.upper()}": str(getattr(settings, name)) for name in names}

    def start(*, before: str = "", **changes: object) -> ForkedProcess:
        changed = {f"ZFSCOPE_{name.upper()}": str(value) for name, value in changes.items()}
        environment = {**os.environ, **setup, **changed}
        started.append(fork_python(signal_setup() + before + SERVE, environment=environment))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def connected_service(start: Callable[..., ForkedProcess]) -> Iterator[ConnectedService]:
    """A running service in a separate process, with a plaintext channel to it."""
    process = start(listen="127.0.0.1:0")
    # Otherwise the log fills the pipe and blocks the process.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    address = process.stdout.readline().split()[-1]
    process.stdout.readline()  # the line printed once it serves
    with grpc.insecure_channel(address) as channel:
        yield ConnectedService(process, address, channel)
