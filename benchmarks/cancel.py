"""How soon a call that was cancelled, or whose time was over, frees its worker.

    python -m benchmarks.cancel
    python -m benchmarks.cancel --points 3

The service is a process of its own, with one worker and a copy of the project's model store, in which some
photos are indexed, at every stored epoch too. A call of each RPC that takes a worker is run to its end, and
then again and again, cancelled at points spread over that time; at the last one its deadline ends it. Behind
the cancelled call another waits that is refused as soon as it gets the worker: the time from the end of the
first one's time until that refusal is what is told, the way there and back included.

A call that is faster than before can end before its turn: it counts for nothing, and "ended" tells how many
did count. The last line is a JSON object for programs.
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
from benchmarks.service import running
from tests.support.calls import Recorder
from zfscope.client import Box
from zfscope.inference import inference_pb2
from zfscope.inference.inference_pb2_grpc import GRPCInferenceServiceStub
from zfscope.runtimes import create_runtime
from zfscope.scan import build_index, indexes_folder, make_plan, open_data
from zfscope.scan.open import epoch_index_name
from zfscope.store import ModelStore
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub

STORE = Path(__file__).resolve().parents[1] / "model_store"
MODEL = "zfnet-imagenette"
LONGEST_S = 5.0
"""Points lie within so many seconds: of a call that takes longer the rest is like what was before."""


@dataclass(frozen=True)
class Case:
    """A call that takes a worker for a while. start: begins it by a request and a timeout."""

    name: str
    start: Callable[..., Any]
    request: Any

    def begin(self, timeout_s: float = 300) -> Any:
        """Begin the call, and give what can be cancelled."""
        return self.start(self.request, timeout=timeout_s)


def main() -> None:
    """Index, start the service, cancel, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=8, help="at how many each is ended (default: 8)")
    points: int = parser.parse_args().points
    console = Console()
    console.print(machine())
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        store = indexed_store(Path(scratch), console)
        options = ("--store", str(store), "--model", MODEL)
        with (
            running(*options, environment={"ZFSCOPE_WORKERS": "1"}) as service,
            grpc.insecure_channel(
                service.address, options=[("grpc.max_receive_message_length", -1)]
            ) as channel,
        ):
            nobody = Recorder().project(photo(), model="nobody")
            probe = Case("refused", AnalysisServiceStub(channel).Project.future, nobody)
            freed = {case.name: measure(case, probe, points, console) for case in cases(channel)}
    console.print(table(freed))
    worst = {name: round(1e3 * max(seconds), 1) for name, (_, seconds) in freed.items() if seconds}
    print(json.dumps({"benchmark": "cancel", "worst_ms": max(worst.values()), "by_call": worst}))


def photo() -> bytes:
    """Give a photo of 640 x 427 pixels."""
    return files("sklearn.datasets.images").joinpath("china.jpg").read_bytes()


def indexed_store(scratch: Path, console: Console) -> Path:
    """Copy the store, and index parts of photos with the model, as it is and at every stored epoch."""
    shutil.copytree(STORE, scratch / "store")
    data = scratch / "photos"
    data.mkdir()
    scene = Image.open(io.BytesIO(photo()))
    draw = np.random.default_rng(0)
    for number in range(48):
        x, y = int(draw.integers(0, 340)), int(draw.integers(0, 127))
        scene.crop((x, y, x + 300, y + 300)).save(data / f"{number:02}.png")
    models, photos = ModelStore(scratch / "store"), open_data(data)
    final = models.load(MODEL)
    for epoch in track((None, *final.manifest.early_epochs), "indexes", console=console, transient=True):
        model = final if epoch is None else models.load_checkpoint(MODEL, epoch)
        name = "photos" if epoch is None else epoch_index_name("photos", epoch)
        plan = make_plan(model.network.spec, ["conv2", "conv3", "conv5"])
        runtime = create_runtime("onnx", model, threads=1, cache=scratch / "graphs")
        build_index(model, photos, plan, indexes_folder(final) / name, runtime=runtime)
    return scratch / "store"


def cases(channel: grpc.Channel) -> Sequence[Case]:
    """Give the calls: of every RPC that takes a worker, at sizes that users ask for."""
    analysis, inference = AnalysisServiceStub(channel), GRPCInferenceServiceStub(channel)
    one, ask = photo(), Recorder()
    eyes = {"eyes": [Box(200 + 5 * number, 100, 300, 180) for number in range(5)]}
    return (
        Case(
            "Project, 64 units",
            analysis.Project.future,
            ask.project(one, layer="conv5", top=64),
        ),
        Case(
            "Project, 9 units and a control",
            analysis.Project.future,
            ask.project(one, layer="conv3", top=9, control=True),
        ),
        Case("Occlude", analysis.Occlude.future, ask.occlude(one)),
        Case("Occlude, full passes", analysis.Occlude.future, ask.occlude(one, method="full")),
        Case("MeasureInvariance", analysis.MeasureInvariance.future, ask.measure_invariance([one] * 5)),
        Case("Correspond", analysis.Correspond.future, ask.correspond([one] * 5, eyes, random=50)),
        Case(
            "CompareArchitectures",
            analysis.CompareArchitectures.future,
            ask.compare_architectures([MODEL, "alexnet-imagenette"], [one]),
        ),
        Case(
            "TopK",
            analysis.TopK.future,
            ask.top_k(index="photos", layer="conv5", count=32),
        ),
        Case(
            "Evolve",
            analysis.Evolve.future,
            ask.evolve(index="photos", layer="conv3", count=32),
        ),
        Case("Analyze", analysis.Analyze, ask.analyze("occlude", [one])),
        Case("ModelInfer, layers of 32 images", inference.ModelInfer.future, layers_request(32)),
        Case("ModelInfer, an analyzer", inference.ModelInfer.future, analyzer_request(one)),
    )


def layers_request(count: int) -> inference_pb2.ModelInferRequest:
    """Ask for a layer of many images."""
    pixels = np.random.default_rng(0).normal(0, 1, (count, 3, 224, 224)).astype("<f4")
    return inference_pb2.ModelInferRequest(
        model_name=MODEL,
        inputs=[{"name": "input", "datatype": "FP32", "shape": pixels.shape}],
        outputs=[{"name": "relu7"}],
        raw_input_contents=[pixels.tobytes()],
    )


def analyzer_request(image: bytes) -> inference_pb2.ModelInferRequest:
    """Ask for an occlusion in the words of the Open Inference Protocol."""
    sent = {"name": "images", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [image]}}
    return inference_pb2.ModelInferRequest(model_name=f"{MODEL}/occlude", inputs=[sent])


def measure(case: Case, probe: Case, points: int, console: Console) -> tuple[float, Sequence[float]]:
    """Give the seconds of a whole call, and those from the end of each unfinished one to the worker's."""
    timed(case)  # the first one loads and imports what later ones have
    whole = timed(case)
    freed: list[float] = []
    for number in track(range(points), case.name, console=console, transient=True):
        after = (number + 0.5) / points * min(whole, LONGEST_S)
        by_deadline = number == points - 1
        call = case.begin(after if by_deadline else 300)
        began = time.perf_counter()
        time.sleep(max(0.0, after - 0.02 if by_deadline else after))
        waiting, done = probe.begin(), []
        waiting.add_done_callback(lambda _, done=done: done.append(time.perf_counter()))
        time.sleep(0.01)
        if done:  # the call was faster this time
            continue
        if not by_deadline:
            call.cancel()
        end = began + after if by_deadline else time.perf_counter()
        assert waiting.code() is grpc.StatusCode.NOT_FOUND
        freed.append(done[0] - end)
    return whole, freed


def timed(case: Case) -> float:
    """Give the seconds of a call that ends by itself."""
    start = time.perf_counter()
    call = case.begin()
    for _ in call if case.name == "Analyze" else ():
        pass
    assert call.code() is grpc.StatusCode.OK, call.details()
    return time.perf_counter() - start


def table(freed: Mapping[str, tuple[float, Sequence[float]]]) -> Table:
    """Lay out how long calls take, and how soon they end."""
    rows = Table("", "seconds by itself", "ended", "worker free after, ms: median", "worst")
    for name, (whole, seconds) in freed.items():
        milliseconds = [1e3 * each for each in seconds]
        summary = (f"{np.median(milliseconds):.0f}", f"{max(milliseconds):.0f}") if milliseconds else ("", "")
        rows.add_row(name, f"{whole:.2f}", str(len(seconds)), *summary)
    return rows


if __name__ == "__main__":
    main()
