"""Rolling restarts of replicas under load: the number of failed calls.

    python -m benchmarks.shutdown
    python -m benchmarks.shutdown --rounds 2 --processes 16 --each 1 --photo-mb 2

Two replicas with the default settings of `zfscope serve` serve 16 clients with the default configuration,
four in each of four processes, that classify photos without a pause: of the four clients of a process two
send 0.2 MB, one 2 MB and one 20 MB, close to the service's limit. In each round one replica receives SIGTERM,
ends, and is started again; the next round, on the other replica, begins when all clients are connected to
both. In half of the rounds a separate client watches the health of the replica that ends.

A round is clean if the replica exits with code 0 and no call of any client fails before the next round. The
last line is a JSON object for programs; the exit code is 1 if a round was not clean.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

SERVE = "from zfscope.cli import main; main()"
# Time limit for a process to start or to end, in seconds.
PATIENCE_S = 180
# Pause after the clients are connected, for their health checks to be answered.
SETTLED_S = 1


@dataclass(frozen=True)
class RestartRound:
    """Outcome of one restart. failures: failed calls of all clients, by message."""

    watched: bool
    exit_code: int
    seconds: float
    calls: int
    failures: Mapping[str, int]

    @property
    def clean(self) -> bool:
        """Whether no client noticed the shutdown."""
        return self.exit_code == 0 and not self.failures and self.calls > 0


class Replica:
    """A service process that keeps its port over restarts."""

    def __init__(self, store: Path, environment: Mapping[str, str]) -> None:
        self.address = "127.0.0.1:0"
        self._store = store
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process and record its address."""
        options = ["serve", "--listen", self.address, "--store", str(self._store)]
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-c", SERVE, *options],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._line().removeprefix("zfscope listens on ")

    def wait_until_ready(self) -> None:
        """Wait until the service is ready."""
        assert self._line().startswith("zfscope serves")

    def shut_down(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode

    def kill(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            with self._process:
                self._process.kill()

    def connections(self) -> int:
        """Return the number of established connections, from /proc/net."""
        port = f":{int(self.address.rpartition(':')[2]):04X}"
        text = "".join(Path(f"/proc/net/{kind}").read_text() for kind in ("tcp", "tcp6"))
        rows = [line.split() for line in text.splitlines()]
        return sum(row[1].endswith(port) and row[3] == "01" for row in rows)  # 01 is ESTABLISHED

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"a replica failed to start: exit code {self._process.wait()}")
        return line


class ClientProcesses:
    """Client processes that run `benchmarks.load`."""

    def __init__(
        self,
        target: str,
        photos: Sequence[Path],
        *options: str,
        processes: int,
        each: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """options: further options of `benchmarks.load`. environment: further variables of the processes."""
        files = [str(photo) for photo in photos]
        command = [sys.executable, "-m", "benchmarks.load", target, *files, "--clients", str(each), *options]
        self.connections = processes  # the clients of a process share one
        self._processes = [
            subprocess.Popen(  # noqa: S603  # our own module
                command,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(processes)
        ]

    def tally(self) -> tuple[int, Counter[str]]:
        """Return the number of calls since the last tally, and the failures by message."""
        calls, failures = 0, Counter[str]()
        for process in self._processes:
            tally = _tally_of(process)
            calls += tally["calls"]
            failures.update(tally["failures"])
        return calls, failures

    def wait_for_calls(self) -> None:
        """Wait until every process has made a call."""
        end = time.monotonic() + PATIENCE_S
        waiting = list(self._processes)
        while waiting:
            if time.monotonic() > end:
                raise RuntimeError(f"{len(waiting)} client processes made no call for {PATIENCE_S} s")
            waiting = [process for process in waiting if not _tally_of(process)["calls"]]
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop all processes and wait for them."""
        for process in self._processes:
            process.communicate(timeout=PATIENCE_S)

    def kill(self) -> None:
        """Kill the processes that are still running."""
        for process in self._processes:
            with process:
                process.kill()


def _tally_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the tally of a process that runs `benchmarks.load`."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    tally: dict[str, Any] = json.loads(process.stdout.readline())
    return tally


def main() -> None:
    """Run the rounds and print their outcomes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        help="rounds with a health watch, then as many without (default: 20)",
    )
    parser.add_argument("--processes", type=int, default=4, help="client processes (default: 4)")
    parser.add_argument("--each", type=int, default=4, help="clients per process (default: 4)")
    parser.add_argument(
        "--photo-mb",
        type=float,
        nargs="+",
        default=[0.2, 2, 20],
        metavar="MB",
        help="sizes of the photos, assigned to clients round-robin (default: 0.2 2 20)",
    )
    parser.add_argument(
        "--store", type=Path, default=Path("model_store"), help="model store (default: model_store)"
    )
    options = parser.parse_args()
    console = Console()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        photos = [padded_photo(Path(scratch), round(size * 1e6)) for size in options.photo_mb]
        clients = {"processes": options.processes, "each": options.each}
        for result in run(options.store, *photos, rounds=options.rounds, **clients):
            rounds.append(result)
            failure = f"exit code {result.exit_code}, failures {dict(result.failures)}"
            outcome = "clean" if result.clean else failure
            console.print(f"round {len(rounds)} of {2 * options.rounds}: {result.calls} calls, {outcome}")
    console.print(table(rounds))
    print(json.dumps(summary(rounds, options.processes * options.each)))
    sys.exit(not all(result.clean for result in rounds))


def padded_photo(folder: Path, size: int) -> Path:
    """Write a JPEG of at least `size` bytes: a photo of 0.2 MB, padded."""
    path = folder / f"{size}.jpg"
    path.write_bytes(pad_jpeg(files("sklearn.datasets.images").joinpath("china.jpg").read_bytes(), size))
    return path


def pad_jpeg(photo: bytes, size: int) -> bytes:
    """Return a JPEG with comment segments, so that it has at least `size` bytes."""
    start, rest = photo[:2], photo[2:]  # the start-of-image marker, and the rest
    comments, missing = [], size - len(photo)
    while missing > 0:
        text = bytes(min(missing, 65_533))
        comments.append(b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text)
        missing -= len(comments[-1])
    return b"".join((start, *comments, rest))


def run(
    store: Path,
    *photos: Path,
    rounds: int,
    processes: int,
    each: int,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RestartRound]:
    """Yield twice `rounds` rounds: alternately without and with a health watch.

    photos: assigned to the clients round-robin. processes, each: number of client processes, and of clients
    in each. environment: variables of the service.
    """
    with ExitStack() as stack:
        replicas = [Replica(store, environment or {}) for _ in range(2)]
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        target = "ipv4:" + ",".join(replica.address for replica in replicas)
        clients = ClientProcesses(target, photos, processes=processes, each=each)
        stack.callback(clients.kill)
        wait_for_connections(replicas, clients)
        for number in range(2 * rounds):
            yield restart_replica(replicas[number // 2 % 2], replicas, clients, watched=number % 2 == 1)
        clients.stop()


def restart_replica(
    replica: Replica, replicas: Sequence[Replica], clients: ClientProcesses, *, watched: bool
) -> RestartRound:
    """Restart one replica under load and return the outcome."""
    clients.tally()
    with health_watch(replica.address) if watched else nullcontext():
        start = time.monotonic()
        exit_code = replica.shut_down()
        seconds = time.monotonic() - start
    replica.start()
    replica.wait_until_ready()
    wait_for_connections(replicas, clients)
    calls, failures = clients.tally()
    return RestartRound(watched, exit_code, seconds, calls, failures)


def wait_for_connections(replicas: Sequence[Replica], clients: ClientProcesses) -> None:
    """Wait until every client is connected to every replica and has received its health."""
    end = time.monotonic() + PATIENCE_S
    while any(replica.connections() < clients.connections for replica in replicas):
        if time.monotonic() > end:
            raise RuntimeError(f"not all clients are connected after {PATIENCE_S} s")
        time.sleep(0.1)
    time.sleep(SETTLED_S)


@contextmanager
def health_watch(address: str) -> Iterator[None]:
    """Watch the health of a service; the block starts once the first status has arrived."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        reader = threading.Thread(target=drain, args=(watch,))
        reader.start()
        yield
        watch.cancel()
        reader.join()


def drain(watch: Iterator[health_pb2.HealthCheckResponse]) -> None:
    """Read a watch until it ends, with or without an error."""
    try:
        for _ in watch:
            pass
    except grpc.RpcError:
        pass


def table(rounds: Sequence[RestartRound]) -> Table:
    """Return a table of the rounds with and without a health watch."""
    rows = Table("health watch", "rounds", "clean", "calls", "failed", "shutdown, s (median)")
    for watched in (False, True):
        selected = [result for result in rounds if result.watched == watched]
        calls, clean = sum(result.calls for result in selected), sum(result.clean for result in selected)
        failed = sum(sum(result.failures.values()) for result in selected)
        seconds = statistics.median(result.seconds for result in selected)
        rows.add_row(
            "yes" if watched else "no",
            str(len(selected)),
            str(clean),
            str(calls),
            str(failed),
            f"{seconds:.1f}",
        )
    return rows


def summary(rounds: Sequence[RestartRound], clients: int) -> dict[str, object]:
    """Return the result as a JSON object."""
    return {
        "benchmark": "shutdown",
        "clients": clients,
        "replicas": 2,
        "rounds": len(rounds) // 2,
        "clean_without_watch": sum(result.clean for result in rounds if not result.watched),
        "clean_with_watch": sum(result.clean for result in rounds if result.watched),
        "calls": sum(result.calls for result in rounds),
        "failed_calls": sum(sum(result.failures.values()) for result in rounds),
        "exit_codes": sorted({result.exit_code for result in rounds}),
    }


if __name__ == "__main__":
    main()
