"""Memory growth of a service over 2,000 mixed calls: at the end, relative to after the first 1,000.

    python -m benchmarks.memory
    python -m benchmarks.memory --calls 400

The service runs as a separate process with the store's default model. The calls are drawn with a fixed seed:
photos and tensors to classify, projections, occlusions, invariance, lists of models and analyzers, and
invalid requests. Memory is the resident set size when all calls have been answered.

The last line is a JSON object for programs.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.clock import machine
from benchmarks.service import RunningService, running_service
from zfscope.client import Client
from zfscope.errors import ZfscopeError

Call = Callable[[Client], Any]


def call_types(photo: bytes, pixels: Any) -> Sequence[tuple[int, str, Call]]:
    """Return each type of call with its share in percent and its name."""
    return (
        (30, "Classify, a photo", lambda client: client.classify(photo)),
        (30, "Classify, a tensor", lambda client: client.classify(pixels)),
        (10, "Project", lambda client: client.project(photo, layer="conv5", top=3)),
        (5, "Project, tensors", lambda client: client.project(photo, layer="conv3", top=3, tensors=True)),
        (2, "Occlude", lambda client: client.occlude(photo, window=64, stride=32)),
        (
            3,
            "MeasureInvariance",
            lambda client: client.measure_invariance([photo], transformations=["scale"]),
        ),
        (5, "ListModels", lambda client: client.models()),
        (5, "ListAnalyzers", lambda client: client.analyzers()),
        (5, "invalid photo", lambda client: client.classify(photo[:1000])),
        (5, "unknown layer", lambda client: client.project(photo, layer="conv9")),
    )


def main() -> None:
    """Start the service, make the calls, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=2000, help="total number of calls (default: 2000)")
    total: int = parser.parse_args().calls
    console = Console()
    console.print(machine())
    photo = files("sklearn.datasets.images").joinpath("china.jpg").read_bytes()
    pixels = np.random.default_rng(0).normal(0, 1, (3, 224, 224)).astype(np.float32)
    types = call_types(photo, pixels)
    drawn = random.Random(0).choices(types, [share for share, *_ in types], k=total)  # noqa: S311  (no secret)
    with running_service() as service, Client(service.address) as client:
        halves = [drawn[: total // 2], drawn[total // 2 :]]
        resident = [resident_after(service, client, half, console) for half in halves]
    for name, count in Counter(name for _, name, _ in drawn).most_common():
        console.print(f"{count:6} {name}")
    console.print(
        f"resident memory: {resident[0]:.0f} MiB after the first half, {resident[1]:.0f} MiB at the end"
    )
    print(
        json.dumps(
            {"benchmark": "memory", "calls": total, "rss_growth": round(resident[1] / resident[0] - 1, 4)}
        )
    )


def resident_after(
    service: RunningService, client: Client, calls: Sequence[tuple[int, str, Call]], console: Console
) -> float:
    """Make the calls and return the resident memory afterwards, in MiB."""
    for _, _, call in track(calls, "calls", console=console, transient=True):
        with suppress(ZfscopeError):
            call(client)
    resident = service.resident_mib
    assert resident is not None, "the service has ended"
    return resident


if __name__ == "__main__":
    main()
