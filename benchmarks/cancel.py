"""Time until a cancelled or expired call frees its worker.

    python -m benchmarks.cancel
    python -m benchmarks.cancel --points 3

The service runs as a separate process with one worker and a copy of the project's model store, in which a few
photos are indexed with the model and with each of its stored epochs. Each RPC that occupies a worker is
called once to completion, then several times more and cancelled at points spread over that duration; the last
of these calls ends by its deadline instead. A second call queues behind the cancelled one and is rejected as
soon as it gets the worker: the reported time runs from the cancellation to that rejection, round trip
included.

Calls that finish before they are cancelled are not counted; the column "cancelled" shows how many remain.
The last line is a JSON object for programs.
"""

import argparse
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.clock import machine
from benchmarks.service import running_service
from tests.support.calls import RecordingClient
from zfscope.client import Box
from zfscope.inference import inference_pb2
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, open_data, plan_scan
from zfscope.scan.open import epoch_index_name
from zfscope.store import ModelStore
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

STORE = Path(__file__).resolve().parents[1] / "model_store"
MODEL = "zfnet-imagenette"
# Calls are cancelled within their first seconds: the rest of a long call is like its start.
LONGEST_S = 5.0


@dataclass(frozen=True)
class MeasuredCall:
    """A call that occupies a worker. method: stub method that takes a request and a timeout."""

    name: str
    method: Callable[..., Any]
    request: Any

    def start(self, timeout_s: float = 300) -> Any:
        """Start the call and return its future."""
        return self.method(self.request, timeout=timeout_s)


def main() -> None:
    """Build the indexes, start the service, cancel calls, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=8, help="cancelled calls per RPC (default: 8)")
    points: int = parser.parse_args().points
    console = Console()
    console.print(machine())
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        store = indexed_store(Path(scratch), console)
        options = ("--store", str(store), "--model", MODEL)
        with (
            running_service(*options, environment={"ZFSCOPE_WORKERS": "1"}) as service,
            grpc.insecure_channel(
                service.address, options=[("grpc.max_receive_message_length", -1)]
            ) as channel,
        ):
            unknown_model = RecordingClient().project(photo(), model="unknown")
            probe = MeasuredCall("rejected", AnalysisServiceStub(channel).Project.future, unknown_model)
            freed = {call.name: measure(call, probe, points, console) for call in measured_calls(channel)}
    console.print(table(freed))
    worst = {name: round(1e3 * max(seconds), 1) for name, (_, seconds) in freed.items() if seconds}
    print(json.dumps({"benchmark": "cancel", "worst_ms": max(worst.values()), "by_call": worst}))


def photo() -> bytes:
    """Return a photo of 640 x 427 pixels, as JPEG."""
    return files("sklearn.datasets.images").joinpath("china.jpg").read_bytes()


def indexed_store(scratch: Path, console: Console) -> Path:
    """Copy the store and index crops of a photo, with the final model and at every stored epoch."""
    shutil.copytree(STORE, scratch / "store")
    data = scratch / "photos"
    data.mkdir()
    image = Image.open(io.BytesIO(photo()))
    draw = np.random.default_rng(0)
    for number in range(48):
        x, y = int(draw.integers(0, 340)), int(draw.integers(0, 127))
        image.crop((x, y, x + 300, y + 300)).save(data / f"{number:02}.png")
    models, photos = ModelStore(scratch / "store"), open_data(data)
    final = models.load(MODEL)
    for epoch in track((None, *final.manifest.early_epochs), "indexes", console=console, transient=True):
        model = final if epoch is None else models.load_checkpoint(MODEL, epoch)
        name = "photos" if epoch is None else epoch_index_name("photos", epoch)
        plan = plan_scan(model.network.spec, ["conv2", "conv3", "conv5"])
        runtime = create_runtime("onnx", model, threads=1, cache=scratch / "graphs")
        build_index(model, photos, plan, indexes_folder(final) / name, runtime=runtime)
    return scratch / "store"


def measured_calls(channel: grpc.Channel) -> Sequence[MeasuredCall]:
    """Return a call of each RPC that occupies a worker, with requests of a typical size."""
    analysis, inference = AnalysisServiceStub(channel), GRPCInferenceServiceStub(channel)
    image, client = photo(), RecordingClient()
    eyes = {"eyes": [Box(200 + 5 * number, 100, 300, 180) for number in range(5)]}
    return (
        MeasuredCall(
            "Project, 64 units",
            analysis.Project.future,
            client.project(image, layer="conv5", top=64),
        ),
        MeasuredCall(
            "Project, 9 units and a control",
            analysis.Project.future,
            client.project(image, layer="conv3", top=9, control=True),
        ),
        MeasuredCall("Occlude", analysis.Occlude.future, client.occlude(image)),
        MeasuredCall("Occlude, full passes", analysis.Occlude.future, client.occlude(image, method="full")),
        MeasuredCall(
            "MeasureInvariance", analysis.MeasureInvariance.future, client.measure_invariance([image] * 5)
        ),
        MeasuredCall(
            "Correspond", analysis.Correspond.future, client.correspond([image] * 5, eyes, random=50)
        ),
        MeasuredCall(
            "CompareArchitectures",
            analysis.CompareArchitectures.future,
            client.compare_architectures([MODEL, "alexnet-imagenette"], [image]),
        ),
        MeasuredCall(
            "TopK",
            analysis.TopK.future,
            client.top_k(index="photos", layer="conv5", count=32),
        ),
        MeasuredCall(
            "Evolve",
            analysis.Evolve.future,
            client.evolve(index="photos", layer="conv3", count=32),
        ),
        MeasuredCall("Analyze", analysis.Analyze, client.analyze("occlude", [image])),
        MeasuredCall("ModelInfer, layers of 32 images", inference.ModelInfer.future, layers_request(32)),
        MeasuredCall("ModelInfer, an analyzer", inference.ModelInfer.future, analyzer_request(image)),
    )


def layers_request(count: int) -> inference_pb2.ModelInferRequest:
    """Return a request for the outputs of a layer for several images."""
    pixels = np.random.default_rng(0).normal(0, 1, (count, 3, 224, 224)).astype("<f4")
    return inference_pb2.ModelInferRequest(
        model_name=MODEL,
        inputs=[{"name": "input", "datatype": "FP32", "shape": pixels.shape}],
        outputs=[{"name": "relu7"}],
        raw_input_contents=[pixels.tobytes()],
    )


def analyzer_request(image: bytes) -> inference_pb2.ModelInferRequest:
    """Return a request for an occlusion through the Open Inference Protocol."""
    sent = {"name": "images", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [image]}}
    return inference_pb2.ModelInferRequest(model_name=f"{MODEL}/occlude", inputs=[sent])


def measure(
    call: MeasuredCall, probe: MeasuredCall, points: int, console: Console
) -> tuple[float, Sequence[float]]:
    """Return the seconds of a complete call, and those from each cancellation until the worker is free."""
    timed(call)  # warm-up: loads models and imports modules
    complete_s = timed(call)
    freed: list[float] = []
    for number in track(range(points), call.name, console=console, transient=True):
        delay_s = (number + 0.5) / points * min(complete_s, LONGEST_S)
        by_deadline = number == points - 1
        running = call.start(delay_s if by_deadline else 300)
        started = time.perf_counter()
        time.sleep(max(0.0, delay_s - 0.02 if by_deadline else delay_s))
        waiting, done = probe.start(), []
        waiting.add_done_callback(lambda _, done=done: done.append(time.perf_counter()))
        time.sleep(0.01)
        if done:  # the call finished before it was cancelled
            continue
        if not by_deadline:
            running.cancel()
        end = started + delay_s if by_deadline else time.perf_counter()
        assert waiting.code() is grpc.StatusCode.NOT_FOUND
        freed.append(done[0] - end)
    return complete_s, freed


def timed(call: MeasuredCall) -> float:
    """Return the seconds of a call that runs to completion."""
    start = time.perf_counter()
    running = call.start()
    for _ in running if call.name == "Analyze" else ():
        pass
    assert running.code() is grpc.StatusCode.OK, running.details()
    return time.perf_counter() - start


def table(freed: Mapping[str, tuple[float, Sequence[float]]]) -> Table:
    """Return a table of the durations of calls and the times until their worker is free."""
    rows = Table("", "complete call, s", "cancelled", "worker free after, ms: median", "worst")
    for name, (complete_s, seconds) in freed.items():
        milliseconds = [1e3 * each for each in seconds]
        summary = (f"{np.median(milliseconds):.0f}", f"{max(milliseconds):.0f}") if milliseconds else ("", "")
        rows.add_row(name, f"{complete_s:.2f}", str(len(seconds)), *summary)
    return rows


if __name__ == "__main__":
    main()
