"""Fixtures of nearly all tests: tiny networks with seeded weights and every kind of layer."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import onnxruntime
import pytest
import structlog
import torch
from hypothesis import settings
from torch import Tensor

from tests.support.certificates import Certificates, issue_certificates
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    ReLU,
)
from zfscope.networks.windows import Padding

settings.register_profile("untimed", deadline=None)  # a test may be slow on a busy machine
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` on a machine without a GPU."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


class _CurrentStdout:
    """Writes to `sys.stdout`, whatever it is at the time of the call.

    structlog's default logger calls `print`, which does not keep a reference to `sys.stdout` while it writes:
    if a service logs in one thread while pytest replaces `sys.stdout` in another, the process crashes.
    """

    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """Log plain tracebacks: structlog's default prints every local variable, which takes seconds."""
    *others, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    stream = cast("TextIO", _CurrentStdout())
    structlog.configure(processors=[*others, plain], logger_factory=structlog.WriteLoggerFactory(stream))


# The layers of ZFNet in their order, at small size; its windows overhang, and are padded unevenly.
TINY = NetworkSpec(
    name="tiny",
    input_size=33,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2, padding=Padding(right=2, bottom=2)),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),  # the last window overhangs: 16 to 8
        LocalResponseNorm(name="norm1", alpha=0.5),
        Conv(name="conv2", channels=8, kernel=3),
        ReLU(name="relu2"),
        MaxPool(name="pool2", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm2", size=3, alpha=0.5),
        Conv(name="conv3", channels=8, kernel=3, padding=Padding(1, 1, 1, 1)),
        ReLU(name="relu3"),
        Flatten(name="flatten"),
        Linear(name="fc6", units=12),
        ReLU(name="relu6"),
        Dropout(name="drop6"),
        Linear(name="fc8", units=4),
    ),
)
_BODY = (
    Conv(name="stem", channels=6, kernel=3, stride=2),
    ReLU(name="stem_relu"),
    MaxPool(name="stem_pool", kernel=3, stride=2, rounding="ceil", padding=Padding(left=1, top=1)),
    Conv(name="narrow", inputs=("stem_pool",), channels=4, kernel=1),
    ReLU(name="narrow_relu"),
    Conv(name="wide", inputs=("stem_pool",), channels=4, kernel=3, padding=Padding(1, 1, 1, 1)),
    ReLU(name="wide_relu"),
    AvgPool(name="mean", inputs=("stem_pool",), kernel=3, padding=Padding(2, 0, 0, 2)),
    Concat(name="joined", inputs=("narrow_relu", "wide_relu", "mean")),
    Conv(name="mixed", channels=6, kernel=2, padding=Padding(left=1, bottom=1)),
    MaxPool(name="peaks", inputs=("stem_pool",), kernel=3, padding=Padding(1, 1, 1, 1)),
    Conv(name="skip", inputs=("input",), channels=6, kernel=3, stride=4, padding=Padding(1, 1, 1, 1)),
    Add(name="sum", inputs=("mixed", "peaks", "skip")),
    ReLU(name="sum_relu"),
    Conv(name="down", channels=5, kernel=3, stride=2, padding=Padding(top=1, right=1)),
    AvgPool(name="halved", inputs=("sum_relu",), kernel=2, stride=2),
    Concat(name="both", inputs=("down", "halved")),
    LocalResponseNorm(name="norm", size=3, alpha=0.5),
)
# Branches that start at the image and at inner layers, with different windows, and are joined again.
BRANCHY = NetworkSpec(
    name="branchy", input_size=31, layers=(*_BODY, Flatten(name="flatten"), Linear(name="scores", units=3))
)


def seeded(spec: NetworkSpec, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> Network:
    """Build a network with random weights and nonzero biases."""
    generator = torch.Generator().manual_seed(seed)
    network = build(spec, generator=generator)
    with torch.no_grad():
        for filters in network.filters.values():
            filters.bias.normal_(0, 0.1, generator=generator)
    return network.to(dtype).eval().requires_grad_(False)


def random_images(network: Network, count: int = 2, *, seed: int = 0) -> Tensor:
    """Draw images of normally distributed values, in the size and dtype of the network."""
    shape = (count, *network.shapes["input"])
    dtype = next(network.parameters()).dtype
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Handle Ctrl-C in this process and its children, even where a background job would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB. Mounting it requires root; otherwise the test is skipped."""
    folder, mount = tmp_path / "disk", shutil.which("mount")
    folder.mkdir()
    command = [mount or "", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False) if mount else None
    if mounted is None or mounted.returncode:
        reason = f"cannot mount a small disk: {mounted.stderr.strip() if mounted else 'mount not found'}"
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def tiny_spec() -> NetworkSpec:
    return TINY


@pytest.fixture
def branchy_spec() -> NetworkSpec:
    return BRANCHY


@pytest.fixture
def tiny_network() -> Network:
    return seeded(TINY)


@pytest.fixture
def branchy_network() -> Network:
    return seeded(BRANCHY)


@pytest.fixture
def seeded_network() -> Callable[..., Network]:
    """Builds the network of a spec in `dtype` (float64), with weights and biases drawn with `seed`."""
    return seeded


@pytest.fixture
def images_for() -> Callable[..., Tensor]:
    """Draws normally distributed images for a network, with `seed`."""
    return random_images


@pytest.fixture(scope="session")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue_certificates(tmp_path_factory.mktemp("pems"))


@pytest.fixture(scope="session")
def untrusted_pems(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The same from an authority that no service trusts."""
    return issue_certificates(tmp_path_factory.mktemp("untrusted"))


@pytest.fixture
def fast_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that multiplies bfloat16 in hardware; others compute the same, slowly."""
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: True)


@pytest.fixture
def slow_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without a fast path for bfloat16."""
    monkeypatch.setattr("zfscope.runtimes.precision.has_bfloat16", lambda device: False)


@pytest.fixture
def unused_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has computed nothing on a GPU; torch's switches for TF32 are restored afterwards."""
    monkeypatch.setattr("zfscope.networks.gpu._selected", {})
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture
def fake_gpu(unused_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU in place of a GPU that has TF32: it computes in float32, whatever is selected."""
    move = Network.to

    class CpuSession(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime is untyped
        def __init__(self, graph: Any, options: Any, *, providers: Any) -> None:
            super().__init__(graph, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr("zfscope.runtimes.precision.has_tf32", lambda device: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Network, "to", lambda self, to: self if to == "cuda" else move(self, to))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", CpuSession)
