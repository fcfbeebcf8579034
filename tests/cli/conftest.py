"""Fixtures of the command line's tests: a store with a tiny model, a photo, and running services."""

import os
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trustme
from PIL import Image
from typer.testing import CliRunner

from tests.support.forked import fork_python
from tests.support.without_engine import CommandResult
from zfscope.cli.app import app
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import NetworkSpec, build
from zfscope.networks.layers import Conv, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.store import Label, Manifest, Provenance, RecordedAccuracy, write_model

COMMAND = Path(sysconfig.get_path("scripts")) / "zfscope"
PROGRAM = "import sys; from zfscope.cli import main; sys.argv[0] = 'zfscope'; main()"
LABELS = ("ant", "bee", "church", "dog")

SPEC = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1"),
        Conv(name="conv2", channels=10, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu2"),
        Conv(name="conv3", channels=10, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu3"),
        Conv(name="conv4", channels=10, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu4"),
        Conv(name="conv5", channels=12, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="fc6", units=len(LABELS)),
    ),
)


def write_tiny(
    store: Path,
    version: int,
    name: str = "tiny",
    network: NetworkSpec = SPEC,
    *,
    ids: Sequence[str] = tuple(f"n{number}" for number in range(len(LABELS))),
    **files: Any,
) -> Path:
    manifest = Manifest(
        name=name,
        version=version,
        summary="Random weights",
        network=network,
        preprocessing=Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50)),
        labels=tuple(Label(id=label, name=name) for label, name in zip(ids, LABELS, strict=False)),
        accuracy=RecordedAccuracy(top1=50, top5=100, images=4, data="four photos") if version > 1 else None,
        provenance=Provenance(source="made up in a test"),
    )
    return write_model(
        store, manifest, build(network, generator=torch.Generator().manual_seed(version)), **files
    )


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with versions 1 and 2 of the model `tiny`; version 2 has a measured accuracy."""
    folder = tmp_path_factory.mktemp("cli") / "models"
    for version in (1, 2):
        write_tiny(folder, version)
    return folder


@pytest.fixture
def write() -> Callable[..., Path]:
    """Writes the tiny model to a store."""
    return write_tiny


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of 60 x 48 pixels."""
    blobs = np.random.default_rng(7).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photos") / "blobs.png"
    Image.fromarray(blobs).resize((60, 48), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def environment(store: Path, tmp_path: Path) -> dict[str, str]:
    """Environment variables of commands: the store, and a separate cache."""
    return {"ZFSCOPE_STORE": str(store), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def invoke(*arguments: object, env: Mapping[str, str | None]) -> CommandResult:
    """Run a command in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return CommandResult(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., CommandResult]:
    """Runs a command in this process."""

    def run_command(*arguments: object, env: dict[str, str | None] | None = None) -> CommandResult:
        return invoke(*arguments, env={**environment, **(env or {})})

    return run_command


@pytest.fixture
def start(environment: dict[str, str]) -> Callable[..., CommandResult]:
    """Runs a command in a separate process, as users do."""

    def run_command(*arguments: object, env: dict[str, str] | None = None) -> CommandResult:
        result = subprocess.run(
            [COMMAND, *map(str, arguments)],
            env={**os.environ, **environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return CommandResult(result.returncode, result.stdout, result.stderr)

    return run_command


@pytest.fixture
def fork(environment: dict[str, str]) -> Callable[..., CommandResult]:
    """Runs a command in a separate process that has imported the service; see `tests.support.forked`."""

    def run_command(*arguments: object, env: dict[str, str] | None = None) -> CommandResult:
        variables = {**os.environ, **environment, **(env or {})}
        process = fork_python(PROGRAM, *map(str, arguments), environment=variables)
        stdout, stderr = process.communicate(timeout=120)
        return CommandResult(process.wait(), stdout, stderr)

    return run_command


@pytest.fixture
def command() -> Path:
    """Path of the installed program."""
    return COMMAND


@pytest.fixture(scope="session")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service for the store."""
    with serving(store, tmp_path_factory.mktemp("graphs")) as address:
        yield address


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the credentials of a service and its callers: PEM files and a token."""
    folder = tmp_path_factory.mktemp("secrets")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("127.0.0.1", "client@zfscope.test"):
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    (folder / "token").write_text("0123456789abcdef\n")
    return folder


@pytest.fixture(scope="session")
def secure_server(store: Path, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service that requires TLS, a client certificate and a token."""
    pair = secrets / "127.0.0.1.pem"
    options = ["--tls-certificate", pair, "--tls-key", pair, "--tls-client-ca", secrets / "ca.pem"]
    token = ["--token-file", secrets / "token"]
    with serving(store, tmp_path_factory.mktemp("graphs"), *options, *token) as address:
        yield address


@contextmanager
def serving(store: Path, cache: Path, *options: str | Path) -> Iterator[str]:
    location = ["--listen", "127.0.0.1:0", "--store", store, "--cache", cache]
    service = subprocess.Popen(
        [COMMAND, "serve", *location, "--threads", "1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert service.stdout is not None
    address = service.stdout.readline().split()[-1]
    assert service.stdout.readline() == "zfscope serves model 'tiny' version 2\n"
    yield address
    service.send_signal(signal.SIGINT)
    service.communicate(timeout=30)
    assert service.returncode == 0
