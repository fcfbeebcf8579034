"""Robustness against odd files: every file of a directory is classified and projected by a service.

    python -m benchmarks.corpus FOLDER
    python -m benchmarks.corpus FOLDER --rounds 5 --store models/ --model mine

The service runs as a separate process. Each file below the directory is sent unchanged by Classify and by
Project, and again in each further round. A rejected file is a valid outcome.

The exit code is 1 after a status that no file may cause (INTERNAL, UNKNOWN, UNAVAILABLE), a traceback in the
log, a call of more than 5 seconds (unless it is faster when repeated at once: then the machine was busy), or
memory growth of more than 10 % after the first round.

The last line is a JSON object for programs.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from benchmarks.clock import machine
from benchmarks.service import RunningService, running_service
from zfscope.v1 import analysis_pb2, classification_pb2, image_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub

HANG_S = 5.0
_TIMEOUT_S = 60.0
_SLOWEST = 5
_FAULTS = ("INTERNAL", "UNKNOWN", "UNAVAILABLE")
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True)
class CallOutcome:
    """Outcome of a call. status: name of its gRPC status."""

    file: str
    method: str
    status: str
    seconds: float


@dataclass(frozen=True)
class CorpusRun:
    """Outcomes of all calls. resident_mib: before the first round and after each; None: service ended."""

    outcomes: Sequence[CallOutcome]
    resident_mib: Sequence[float | None]
    tracebacks: int

    @property
    def growth(self) -> float | None:
        """Largest memory growth after the first round, as a fraction; None if the service has ended."""
        first, *later = self.resident_mib[1:]
        if first is None or None in later:
            return None
        return max((resident for resident in later if resident is not None), default=first) / first - 1

    def faults(self, *, allowed_growth: float) -> Iterator[str]:
        """Yield a message for each fault. allowed_growth: allowed memory growth, as a fraction."""
        for outcome in self.outcomes:
            if outcome.status in _FAULTS:
                yield f"{outcome.method} of {outcome.file!a}: {outcome.status}"
            if outcome.seconds > HANG_S:
                yield f"{outcome.method} of {outcome.file!a}: {outcome.seconds:.1f} s ({outcome.status})"
        if self.tracebacks:
            yield f"{self.tracebacks} tracebacks in the log of the service"
        if self.growth is None:
            yield "the service has ended"
        elif self.growth > allowed_growth:
            allowed = f"allowed: {allowed_growth:.0%}"
            yield f"memory grew by {self.growth:.1%} after the first round; {allowed}"


def main() -> None:
    """Send the files, print the outcomes, and exit with 1 if there are faults."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="directory of the files to send")
    parser.add_argument("--rounds", type=int, default=2, help="number of rounds, at least 2 (default: 2)")
    parser.add_argument("--store", default="", help="model store (default: that of zfscope serve)")
    parser.add_argument("--model", default="", help="model (default: the store's default model)")
    parser.add_argument(
        "--growth", type=float, default=0.1, help="allowed memory growth, as a fraction (default: 0.1)"
    )
    options = parser.parse_args()
    files = files_of(options.folder)
    if not files or options.rounds < 2:
        parser.error(f"'{options.folder}' has no files" if not files else "--rounds must be at least 2")
    console = Console()
    console.print(machine())
    passed = [f"--{name}={getattr(options, name)}" for name in ("store", "model") if getattr(options, name)]
    with running_service(*passed) as service:
        run = send_all(service, options.folder, files, options.rounds, console)
    faults = list(run.faults(allowed_growth=options.growth))
    report(run, faults, console)
    print(json.dumps(as_json(run, files, options.rounds, faults)))
    sys.exit(1 if faults else 0)


def files_of(folder: Path) -> list[str]:
    """Return the sorted paths of all regular files below a directory, hidden ones included; skip links."""
    paths = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sorted(str(path.relative_to(folder)) for path in paths if path.is_file() and not path.is_symlink())


def send_all(
    service: RunningService, folder: Path, files: Sequence[str], rounds: int, console: Console
) -> CorpusRun:
    """Send every file in every round, one at a time."""
    outcomes, resident = [], [service.resident_mib]
    with grpc.insecure_channel(service.address, _OPTIONS) as channel:
        for number in range(rounds):
            for file in track(files, f"round {number + 1}", console=console, transient=True):
                outcomes += send_file(channel, folder, file)
            resident.append(service.resident_mib)
    return CorpusRun(
        outcomes, resident, tracebacks=service.read_log().count("Traceback (most recent call last)")
    )


def send_file(channel: grpc.Channel, folder: Path, file: str) -> list[CallOutcome]:
    """Send a file by each method, unless it cannot be read."""
    try:
        data = (folder / file).read_bytes()
    except OSError:
        return [CallOutcome(file, "read", "UNREADABLE", 0)]
    return [send_with_retry(file, *call) for call in calls(channel, data)]


def calls(channel: grpc.Channel, data: bytes) -> Iterator[tuple[str, Callable[..., Any], Any]]:
    """Yield the name, stub method and request of each call for a file."""
    image = image_pb2.Image(encoded=data)
    yield (
        "Classify",
        ClassificationServiceStub(channel).Classify,
        classification_pb2.ClassifyRequest(image=image),
    )
    yield "Project", AnalysisServiceStub(channel).Project, analysis_pb2.ProjectRequest(image=image)


def send_with_retry(file: str, method: str, call: Callable[..., Any], request: Any) -> CallOutcome:
    """Make a call, repeat a slow one, and return the faster outcome: a busy machine is not a hang."""
    first = send(file, method, call, request)
    if first.seconds <= HANG_S or first.status in _FAULTS:
        return first
    second = send(file, method, call, request)
    return second if second.status in _FAULTS else min(first, second, key=lambda each: each.seconds)


def send(file: str, method: str, call: Callable[..., Any], request: Any) -> CallOutcome:
    """Make a call and return its outcome."""
    started, status = time.perf_counter(), grpc.StatusCode.OK
    try:
        call(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        status = error.code()
    return CallOutcome(file, method, status.name, time.perf_counter() - started)


def report(run: CorpusRun, faults: Sequence[str], console: Console) -> None:
    """Print the number of calls by outcome, the slowest files, memory, and faults."""
    for (method, status), count in sorted(counts(run).items()):
        console.print(f"{count:6} {method:10} {status}")
    for outcome in slowest(run):
        console.print(
            f"{outcome.seconds:6.2f} s {outcome.method:10} {escape(ascii(outcome.file))} ({outcome.status})"
        )
    resident = ", ".join("ended" if mib is None else f"{mib:.0f}" for mib in run.resident_mib)
    console.print(f"resident memory in MiB, at the start and after each round: {resident}")
    for fault in faults:
        console.print(f"FAULT: {escape(fault)}", style="red")


def counts(run: CorpusRun) -> Counter[tuple[str, str]]:
    """Count the calls by method and status."""
    return Counter((outcome.method, outcome.status) for outcome in run.outcomes)


def slowest(run: CorpusRun) -> list[CallOutcome]:
    """Return the slowest calls, at most one per file and method."""
    longest: dict[tuple[str, str], CallOutcome] = {}
    for outcome in sorted(run.outcomes, key=lambda outcome: -outcome.seconds):
        longest.setdefault((outcome.file, outcome.method), outcome)
    return list(longest.values())[:_SLOWEST]


def as_json(run: CorpusRun, files: Sequence[str], rounds: int, faults: Sequence[str]) -> dict[str, Any]:
    """Return the result as a JSON object."""
    outcomes: dict[str, dict[str, int]] = {}
    for (method, status), count in sorted(counts(run).items()):
        outcomes.setdefault(method, {})[status] = count
    return {
        "benchmark": "corpus",
        "files": len(files),
        "rounds": rounds,
        "outcomes": outcomes,
        "slowest_s": round(max(outcome.seconds for outcome in run.outcomes), 3),
        "rss_mib": [None if mib is None else round(mib, 1) for mib in run.resident_mib],
        "rss_growth": None if run.growth is None else round(run.growth, 4),
        "tracebacks": run.tracebacks,
        "faults": list(faults),
    }


if __name__ == "__main__":
    main()
