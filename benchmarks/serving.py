"""Throughput of Classify for 16 concurrent clients, against the bare forward pass; overhead of a single call.

    python -m benchmarks.serving
    python -m benchmarks.serving --quick
    python -m benchmarks.serving --precision bfloat16

The network is the paper's with 1000 classes: 62 million weights from N(0, sqrt(2 / fan-in)). The service runs
as a separate process with the default settings of `zfscope serve`. Its clients run in this process, each on
its own loopback connection, and send an image tensor as soon as the previous call has ended. The bare forward
pass is the same exported graph in a default ONNX Runtime session in this process, on images in memory, with
the batch size of the service. All of them run in turn, several times, on the processors available to this
process; ratios are ratios of medians.

TorchServe 0.12 serves the same weights from the archive written by `zfscope models export`, on the same
processors; its clients send the same tensor through its gRPC API. It is measured in two configurations: with
its default number of workers, and tuned, with the single worker that suits torch. In each, the fastest of
several batch sizes counts. Both ratios are omitted if Java or TorchServe is not installed.

The overhead is the median duration of a single client's call minus the median duration of a bare pass on one
image. Calls and passes alternate in groups of ten: after a pass, the threads of a default session keep
spinning on their processors for tens of milliseconds, which would slow the next call down.

With --precision bfloat16, the service runs in bfloat16 by torch; all others stay in float32. Needs
a processor with AMX or AVX512-BF16.

The last line is a JSON object for programs.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import torchserve
from benchmarks.precisions import add_precision_option
from benchmarks.service import running_service
from tests.support.torchserve import missing
from zfscope.choices import runtime_for
from zfscope.client import Client
from zfscope.images.preprocess import Preprocessing
from zfscope.networks import build, zfnet
from zfscope.processors import usable_cpus
from zfscope.runtimes.onnx.cache import model_graph
from zfscope.runtimes.torchserve.archive import Batching
from zfscope.runtimes.torchserve.runtime import METHOD as PREDICTIONS
from zfscope.server.settings import Settings
from zfscope.store import Label, Manifest, ModelStore, Provenance, write_model
from zfscope.v1 import classification_pb2, image_pb2
from zfscope.wire.tensors import tensor_to_wire

CLIENTS = 16
BATCH = Settings.model_fields["batch_size"].default
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
CLASSIFY = "/zfscope.v1.ClassificationService/Classify"
OURS, BARE = "Classify, 16 clients", f"bare ONNX Runtime, {BATCH} images per pass"
THEIRS, TUNED = "TorchServe, 16 clients", "TorchServe tuned, 16 clients"


@dataclass(frozen=True)
class ServingSizes:
    """images: per run under load; alone: groups of ten calls of a single client; rounds: repetitions."""

    images: int = 320
    alone: int = 8
    rounds: int = 5


QUICK = ServingSizes(images=96, alone=3, rounds=3)


@dataclass(frozen=True)
class Endpoint:
    """The address and method that clients call, and the serialised request that they send."""

    address: str
    method: str
    request: bytes


def main() -> None:
    """Write the model, start the services, time them, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    add_precision_option(parser)
    options = parser.parse_args()
    sizes, console = QUICK if options.quick else ServingSizes(), Console()
    precision: str = options.precision
    versions = f"grpc {grpc.__version__}, onnxruntime {onnxruntime.__version__}"
    console.print(f"{usable_cpus()} processors, {versions}")
    images = np.random.default_rng(0).normal(0, 1, (BATCH, 3, 224, 224)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        graph = write_zfnet(Path(scratch))
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        served = ("--store", f"{scratch}/store", "--cache", f"{scratch}/graphs")
        computed = ("--runtime", runtime_for(precision), "--precision", precision)
        with running_service(*served, *computed) as service:
            check_scores(service.address, images[0], session, TOLERANCE[precision])
            endpoint = Endpoint(service.address, CLASSIFY, classify_request(images[0]))
            overhead_ms = 1e3 * overhead(endpoint, session, images[:1], sizes.alone)
            with torchserves(Path(scratch), images[0], session, console) as theirs:
                rates = measure({OURS: endpoint, **theirs}, session, images, sizes)
    console.print(table(rates))
    result = {
        "benchmark": "serving",
        "precision": precision,
        "ratio_of_bare_onnx": round(rates[OURS] / rates[BARE], 3),
    }
    if theirs:
        result["ratio_vs_torchserve"] = round(rates[OURS] / rates[THEIRS], 2)
        result["ratio_vs_torchserve_tuned"] = round(rates[OURS] / rates[TUNED], 2)
    print(json.dumps({**result, "overhead_p50_ms": round(overhead_ms, 2)}))


def write_zfnet(scratch: Path) -> Path:
    """Write the model to a store and return the path of its exported graph."""
    network = build(zfnet()).eval().requires_grad_(False)
    manifest = Manifest(
        name="zfnet",
        version=1,
        summary="The paper's network, with random weights",
        network=network.spec,
        preprocessing=Preprocessing(std=(58.4, 57.1, 57.4)),
        labels=tuple(Label(id=str(number), name=str(number)) for number in range(1000)),
        provenance=Provenance(source="random weights"),
    )
    write_model(scratch / "store", manifest, network)
    graph = model_graph(ModelStore(scratch / "store").load("zfnet"), cache=scratch / "graphs")
    assert isinstance(graph, Path), "the graph cache is writable"
    return graph


@contextmanager
def torchserves(
    scratch: Path, image: NDArray[np.float32], session: onnxruntime.InferenceSession, console: Console
) -> Iterator[Mapping[str, Endpoint]]:
    """Run TorchServe in both configurations; yield nothing if it is not installed."""
    if reason := missing():
        console.print(f"TorchServe is not measured: {reason}")
        yield {}
        return
    model = ModelStore(scratch / "store").load("zfnet")
    logits = session.run(None, {"input": image[None]})[0][0]
    start = partial(torchserve.running_torchserve, model, image=image, logits=logits, scratch=scratch)
    with ExitStack() as stack:
        configurations = {THEIRS: torchserve.DEFAULT, TUNED: torchserve.TUNED}
        best = {name: fastest(start, candidates, console) for name, candidates in configurations.items()}
        servers = {name: stack.enter_context(start(batching)) for name, batching in best.items()}
        yield {
            name: Endpoint(server.address, PREDICTIONS, server.request) for name, server in servers.items()
        }


def fastest(
    start: Callable[[Batching], AbstractContextManager[torchserve.TorchServeTarget]],
    candidates: Sequence[Batching],
    console: Console,
) -> Batching:
    """Return the batching settings with which TorchServe is fastest."""
    rates = {}
    for batching in candidates:
        with start(batching) as server:
            endpoint = Endpoint(server.address, PREDICTIONS, server.request)
            run_load(endpoint, 4 * CLIENTS)
            rates[batching] = 8 * CLIENTS / timed(partial(run_load, endpoint, 8 * CLIENTS))
        console.print(f"TorchServe, {batching}: {rates[batching]:.1f} images/s")
    return max(rates, key=lambda batching: rates[batching])


def classify_request(image: NDArray[np.float32]) -> bytes:
    """Return a serialised request to classify an image tensor."""
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(tensor=tensor_to_wire(image)))
    return request.SerializeToString()


def check_scores(
    address: str, image: NDArray[np.float32], session: onnxruntime.InferenceSession, tolerance: float
) -> None:
    """Check that the service and the session return the same class scores.

    tolerance: largest difference, relative to the largest score.
    """
    logits = session.run(None, {"input": image[None]})[0][0]
    with Client(address) as client:
        classes = client.classify(image, top=1000).classes
    logits_of_service = [score.logit for score in sorted(classes, key=lambda score: score.index)]
    np.testing.assert_allclose(logits_of_service, logits, rtol=0, atol=tolerance * np.abs(logits).max())


def overhead(
    endpoint: Endpoint, session: onnxruntime.InferenceSession, image: NDArray[np.float32], groups: int
) -> float:
    """Return the median seconds of a call minus the median seconds of a bare pass on one image."""
    calls, passes = [], []
    with grpc.insecure_channel(endpoint.address) as channel:
        call = channel.unary_unary(endpoint.method)
        for _ in range(groups):
            calls += timed_ten(lambda: call(endpoint.request, timeout=300))
            passes += timed_ten(lambda: session.run(None, {"input": image}))
    return statistics.median(calls) - statistics.median(passes)


def timed_ten(run: Callable[[], object]) -> list[float]:
    """Return the seconds of ten runs in a row, after an uncounted warm-up run; a pause follows."""
    seconds = [timed(run) for _ in range(11)][1:]
    time.sleep(0.2)
    return seconds


def measure(
    services: Mapping[str, Endpoint],
    session: onnxruntime.InferenceSession,
    images: NDArray[np.float32],
    sizes: ServingSizes,
) -> Mapping[str, float]:
    """Run all in turn and return the median throughput in images per second."""
    runs: dict[str, Callable[[int], None]] = {
        name: partial(run_load, endpoint) for name, endpoint in services.items()
    }
    runs[BARE] = partial(run_bare, session, images)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(2 * CLIENTS)
    for _ in range(sizes.rounds):
        for name, run in runs.items():
            time.sleep(0.1)
            rates[name].append(sizes.images / timed(partial(run, sizes.images)))
    return {name: statistics.median(measured) for name, measured in rates.items()}


def run_load(endpoint: Endpoint, count: int) -> None:
    """Make `count` calls from all clients concurrently."""
    asyncio.run(load(endpoint, count))


async def load(endpoint: Endpoint, count: int) -> None:
    """Make `count` calls from CLIENTS concurrent clients, each on its own connection."""
    remaining = iter(range(count))

    async def client() -> None:
        separate = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(endpoint.address, options=separate) as channel:
            call = channel.unary_unary(endpoint.method)
            for _ in remaining:
                await call(endpoint.request, timeout=300)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


def run_bare(session: onnxruntime.InferenceSession, images: NDArray[np.float32], count: int) -> None:
    """Run the bare forward pass on `count` images."""
    for _ in range(0, count, len(images)):
        session.run(None, {"input": images})


def timed(run: Callable[[], object]) -> float:
    """Return the seconds that `run` takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(rates: Mapping[str, float]) -> Table:
    """Return a table of the medians, in images per second."""
    rows = Table("", "images/s", "relative to the bare pass", title="medians")
    for name, rate in rates.items():
        rows.add_row(name, f"{rate:.1f}", f"{rate / rates[BARE]:.2f} x")
    return rows


if __name__ == "__main__":
    main()
