"""Classify for 16 clients at once, against the bare forward pass; and what a call costs that is alone.

    python -m benchmarks.serving
    python -m benchmarks.serving --quick

The network is the paper's with 1000 classes: 62 million weights from N(0, sqrt(2 / inputs of a unit)). The
service is a process of its own, as `zfscope serve` starts it without any option but where the model is; its
clients are in this process, each with a connection of its own over loopback, and send an image tensor again
as soon as the last one is answered. The bare forward pass is the same exported graph in a session of ONNX
Runtime as it comes, in this process, on images that are in memory already, as many a pass as the service puts
in one. They run in turn several times, on the processors that this process may use; ratios are those of the
medians.

TorchServe 0.12 serves the same weights from the archive that `zfscope models export` writes, on the same
processors; its clients send the same tensor over its own gRPC. It batches in its own way twice: with as many
workers as it starts of itself, and tuned, with the one worker that suits torch. Of a few sizes of batches
the one with which it is fastest is taken each time. Both ratios are left out where there is no Java, or no
TorchServe.

The overhead is what the median call of a client that is alone takes longer than the median pass of the bare
session on one image. Calls and passes take turns, ten by ten: after a pass the threads of a session as it
comes hold their processors for tens of milliseconds, which a call would pay for.

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
from benchmarks.service import running
from tests.support.torchserve import missing
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
CLASSIFY = "/zfscope.v1.ClassificationService/Classify"
OURS, BARE = "Classify, 16 clients", f"bare ONNX Runtime, {BATCH} images a pass"
THEIRS, TUNED = "TorchServe, 16 clients", "TorchServe tuned, 16 clients"


@dataclass(frozen=True)
class Sizes:
    """images: of each run under load; alone: tens of calls of one client; rounds: how often all run."""

    images: int = 320
    alone: int = 8
    rounds: int = 5


QUICK = Sizes(images=96, alone=3, rounds=3)


@dataclass(frozen=True)
class Called:
    """What clients call: a method of a service somewhere, with a request as bytes."""

    address: str
    method: str
    request: bytes


def main() -> None:
    """Write the model, start what serves it, time, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer images, for a first look")
    sizes, console = QUICK if parser.parse_args().quick else Sizes(), Console()
    versions = f"grpc {grpc.__version__}, onnxruntime {onnxruntime.__version__}"
    console.print(f"{usable_cpus()} processors, {versions}")
    images = np.random.default_rng(0).normal(0, 1, (BATCH, 3, 224, 224)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        graph = write_zfnet(Path(scratch))
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        with running("--store", f"{scratch}/store", "--cache", f"{scratch}/graphs") as service:
            check(service.address, images[0], session)
            called = Called(service.address, CLASSIFY, classify_request(images[0]))
            overhead_ms = 1e3 * overhead(called, session, images[:1], sizes.alone)
            with torchserves(Path(scratch), images[0], session, console) as theirs:
                rates = measure({OURS: called, **theirs}, session, images, sizes)
    console.print(table(rates))
    result = {"benchmark": "serving", "ratio_of_bare_onnx": round(rates[OURS] / rates[BARE], 3)}
    if theirs:
        result["ratio_vs_torchserve"] = round(rates[OURS] / rates[THEIRS], 2)
        result["ratio_vs_torchserve_tuned"] = round(rates[OURS] / rates[TUNED], 2)
    print(json.dumps({**result, "overhead_p50_ms": round(overhead_ms, 2)}))


def write_zfnet(scratch: Path) -> Path:
    """Write the model into a store, and give the file of its exported graph."""
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
    assert isinstance(graph, Path), "the folder of graphs can be written"
    return graph


@contextmanager
def torchserves(
    scratch: Path, image: NDArray[np.float32], session: onnxruntime.InferenceSession, console: Console
) -> Iterator[Mapping[str, Called]]:
    """Run TorchServe with its own number of workers, and tuned; give nothing where it cannot run."""
    if reason := missing():
        console.print(f"no ratio to TorchServe: {reason}")
        yield {}
        return
    model = ModelStore(scratch / "store").load("zfnet")
    logits = session.run(None, {"input": image[None]})[0][0]
    start = partial(torchserve.started, model, image=image, logits=logits, scratch=scratch)
    with ExitStack() as started:
        ways = {THEIRS: torchserve.OF_ITSELF, TUNED: torchserve.TUNED}
        best = {name: fastest(start, candidates, console) for name, candidates in ways.items()}
        there = {name: started.enter_context(start(batching)) for name, batching in best.items()}
        yield {name: Called(one.address, PREDICTIONS, one.request) for name, one in there.items()}


def fastest(
    start: Callable[[Batching], AbstractContextManager[torchserve.Started]],
    candidates: Sequence[Batching],
    console: Console,
) -> Batching:
    """Try ways of batching, and give the one with which TorchServe is fastest."""
    rates = {}
    for batching in candidates:
        with start(batching) as there:
            called = Called(there.address, PREDICTIONS, there.request)
            run_load(called, 4 * CLIENTS)
            rates[batching] = 8 * CLIENTS / timed(partial(run_load, called, 8 * CLIENTS))
        console.print(f"TorchServe, {batching}: {rates[batching]:.1f} images a second")
    return max(rates, key=lambda batching: rates[batching])


def classify_request(image: NDArray[np.float32]) -> bytes:
    """Write a request to classify an image tensor."""
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(tensor=tensor_to_wire(image)))
    return request.SerializeToString()


def check(address: str, image: NDArray[np.float32], session: onnxruntime.InferenceSession) -> None:
    """Make sure that both give the same class scores."""
    logits = session.run(None, {"input": image[None]})[0][0]
    with Client(address) as client:
        classes = client.classify(image, top=1000).classes
    given = [score.logit for score in sorted(classes, key=lambda score: score.index)]
    np.testing.assert_allclose(given, logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max())


def overhead(
    called: Called, session: onnxruntime.InferenceSession, image: NDArray[np.float32], tens: int
) -> float:
    """Give the seconds that the median call takes longer than the median bare pass on an image."""
    calls, passes = [], []
    with grpc.insecure_channel(called.address) as channel:
        call = channel.unary_unary(called.method)
        for _ in range(tens):
            calls += timed_ten(lambda: call(called.request, timeout=300))
            passes += timed_ten(lambda: session.run(None, {"input": image}))
    return statistics.median(calls) - statistics.median(passes)


def timed_ten(run: Callable[[], object]) -> list[float]:
    """Give the seconds of ten runs in a row, after one that is not counted and with a rest behind them."""
    seconds = [timed(run) for _ in range(11)][1:]
    time.sleep(0.2)
    return seconds


def measure(
    services: Mapping[str, Called],
    session: onnxruntime.InferenceSession,
    images: NDArray[np.float32],
    sizes: Sizes,
) -> Mapping[str, float]:
    """Run all in turn, and give the medians in images a second."""
    runs: dict[str, Callable[[int], None]] = {
        name: partial(run_load, called) for name, called in services.items()
    }
    runs[BARE] = partial(run_bare, session, images)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(2 * CLIENTS)
    for _ in range(sizes.rounds):
        for name, run in runs.items():
            time.sleep(0.1)
            rates[name].append(sizes.images / timed(partial(run, sizes.images)))
    return {name: statistics.median(found) for name, found in rates.items()}


def run_load(called: Called, count: int) -> None:
    """Call a service so often, by all clients at once."""
    asyncio.run(load(called, count))


async def load(called: Called, count: int) -> None:
    """Call a service so often, as so many clients as there are, each on a connection of its own."""
    left = iter(range(count))

    async def client() -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(called.address, options=own) as channel:
            call = channel.unary_unary(called.method)
            for _ in left:
                await call(called.request, timeout=300)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


def run_bare(session: onnxruntime.InferenceSession, images: NDArray[np.float32], count: int) -> None:
    """Run the bare forward pass on so many images."""
    for _ in range(0, count, len(images)):
        session.run(None, {"input": images})


def timed(run: Callable[[], object]) -> float:
    """Give the seconds that a run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def table(rates: Mapping[str, float]) -> Table:
    """Lay the medians out, in images a second."""
    rows = Table("", "images a second", "of the bare pass", title="medians")
    for name, rate in rates.items():
        rows.add_row(name, f"{rate:.1f}", f"{rate / rates[BARE]:.2f} x")
    return rows


if __name__ == "__main__":
    main()
