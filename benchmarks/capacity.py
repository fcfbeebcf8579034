"""What each RPC costs a service: durations, calls per second at full load, processor time and memory.

    python -m benchmarks.capacity
    python -m benchmarks.capacity --model alexnet-imagenette --data photos/ --seconds 20

A service with the default settings of `zfscope serve` is started anew for each method. First one client calls
it in a loop, then several at once: as many as keep it busy without waiting long for each other. Each call
sends another photo, a random crop of the sample photos of scikit-image and scikit-learn, 256 to 340 pixels
wide, so that no call finds the photo or the trace of another in memory. The clients run in this process, on
the same processors.

Processor time is that of the service, divided by the number of calls. Memory is its resident memory: after
the first call, and at most.

The last line is a JSON object for programs.
"""

import argparse
import itertools
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.sample_photos import evenly_spaced
from benchmarks.scan import draw
from benchmarks.service import RunningService, running_service
from zfscope.client import Client
from zfscope.datasets import open_data, read_photo
from zfscope.processors import usable_cpus

PHOTOS = 400
# Methods by name, each with the number of clients under full load.
Call = Callable[[Client, bytes], object]
METHODS: Mapping[str, tuple[Call, int]] = {
    "Classify": (lambda client, photo: client.classify(photo), 16),
    "Activations": (lambda client, photo: client.activations(photo), 4),
    "Project": (lambda client, photo: client.project(photo), 4),
    "Occlude": (lambda client, photo: client.occlude(photo), 2),
    "MeasureInvariance": (lambda client, photo: client.measure_invariance([photo]), 2),
}


@dataclass(frozen=True)
class Cost:
    """What a method costs. alone, loaded: of one client, and of several at once.

    Durations are in milliseconds, processor time in seconds per call, memory in MiB.
    """

    alone_p50_ms: float
    loaded_clients: int
    loaded_calls_per_s: float
    loaded_p50_ms: float
    loaded_p95_ms: float
    processor_s: float
    memory_mib: int
    peak_mib: int


def main() -> None:
    """Measure every method, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="", help="model (default: the store's default)")
    parser.add_argument("--data", type=Path, help="photos to send (default: random crops of sample photos)")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each load (default: 10)")
    parser.add_argument("--methods", default=",".join(METHODS), help="methods, separated by commas")
    options = parser.parse_args()
    names = options.methods.split(",")
    if unknown := {*names} - {*METHODS}:
        parser.error(f"--methods: unknown '{min(unknown)}'; available: {', '.join(METHODS)}")
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        photos = read(options.data) if options.data else drawn(Path(scratch) / "photos")
        serve = ["--model", options.model] if options.model else []
        costs = {
            name: measure(*METHODS[name], photos, serve, options.seconds)
            for name in track(names, "methods", console=console, transient=True)
        }
    console.print(f"{usable_cpus()} processors, {options.model or 'default model'}")
    console.print(table(costs))
    print(json.dumps({"benchmark": "capacity", **{name: asdict(cost) for name, cost in costs.items()}}))


def drawn(folder: Path) -> list[bytes]:
    """Return random crops of the sample photos, as JPEG files."""
    return [path.read_bytes() for path in draw(folder, PHOTOS)]


def read(data: Path) -> list[bytes]:
    """Return the photos of a data set, as many as are sent before the first is sent again."""
    photos = open_data(data)
    return [read_photo(photos.photo(number)) for number in evenly_spaced(len(photos), PHOTOS)]


def measure(call: Call, clients: int, photos: list[bytes], serve: list[str], seconds: float) -> Cost:
    """Start a service and measure a method."""
    with running_service(*serve) as service:
        upcoming = itertools.cycle(photos)
        load(service, call, upcoming, clients=clients, seconds=1)
        memory = service.resident_mib or 0
        alone = load(service, call, upcoming, clients=1, seconds=seconds)
        Path(f"/proc/{service.pid}/clear_refs").write_text("5")  # resets the peak
        before = processor_s(service)
        loaded = load(service, call, upcoming, clients=clients, seconds=seconds)
        spent = processor_s(service) - before
        return Cost(
            alone_p50_ms=round(1e3 * float(np.median(alone.durations_s)), 1),
            loaded_clients=clients,
            loaded_calls_per_s=round(len(loaded.durations_s) / loaded.elapsed_s, 2),
            loaded_p50_ms=round(1e3 * float(np.median(loaded.durations_s)), 1),
            loaded_p95_ms=round(1e3 * float(np.percentile(loaded.durations_s, 95)), 1),
            processor_s=round(spent / len(loaded.durations_s), 4),
            memory_mib=round(memory),
            peak_mib=peak_mib(service),
        )


@dataclass(frozen=True)
class Load:
    """Durations of all calls, and the time from the first to the end of the last."""

    durations_s: list[float]
    elapsed_s: float


def load(
    service: RunningService, call: Call, photos: Iterator[bytes], *, clients: int, seconds: float
) -> Load:
    """Call the service from several clients for a while; each ends the call that it has begun."""
    durations: list[float] = []
    taking, failures = threading.Lock(), list[BaseException]()
    start = time.perf_counter()

    def run() -> None:
        with Client(service.address) as client, recorded(failures):
            while time.perf_counter() < start + seconds:
                with taking:
                    photo = next(photos)
                begun = time.perf_counter()
                call(client, photo)
                durations.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Load(durations, time.perf_counter() - start)


@contextmanager
def recorded(failures: list[BaseException]) -> Iterator[None]:
    """Add an exception of the block to a list, instead of losing it with its thread."""
    try:
        yield
    except Exception as error:
        failures.append(error)


def processor_s(service: RunningService) -> float:
    """Return the processor time of a service since its start, in seconds."""
    fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(service: RunningService) -> int:
    """Return the peak of a service's resident memory in MiB."""
    status = Path(f"/proc/{service.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def table(costs: Mapping[str, Cost]) -> Table:
    """Return a table of the costs."""
    rows = Table(
        "",
        "alone, ms",
        "clients",
        "calls/s",
        "p50, ms",
        "p95, ms",
        "processor s/call",
        "MiB",
        "peak MiB",
        title="one call of one client, and several clients at once",
    )
    for name, cost in costs.items():
        rows.add_row(name, *(f"{value:,}" for value in asdict(cost).values()))
    return rows


if __name__ == "__main__":
    main()
