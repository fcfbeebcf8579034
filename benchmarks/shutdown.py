"""Replicas that are restarted one by one under load: how many calls fail.

    python -m benchmarks.shutdown
    python -m benchmarks.shutdown --rounds 2 --processes 16 --each 1 --photo-mb 2

Two replicas of the service, as `zfscope serve` starts them with its own settings, serve 16 clients of the
shipped configuration, four in each of four processes, that classify photos without a pause: two of the four
photos of 0.2 MB, one of 2 MB and one of 20 MB, near the service's limit. In each round
one replica gets SIGTERM, ends, and is started again; the next round is the other's, once all clients are
connected to both. In half of the rounds somebody else watches its health all the time.

A round is clean where no call failed, of any client, until the next one, and the exit code is 0. The last
line is a JSON object for programs; the exit code is 1 where a round was not clean.
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

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

SERVE = "from zfscope.cli import main; main()"
PATIENCE_S = 180
"""For a process to start or to end; what takes longer is an error."""
SETTLED_S = 1
"""After the clients are connected, for their health checks to be answered."""


@dataclass(frozen=True)
class Round:
    """How a shutdown went; failures by message, over all clients."""

    watched: bool
    exit_code: int
    seconds: float
    calls: int
    failures: Mapping[str, int]

    @property
    def clean(self) -> bool:
        """Whether nobody noticed."""
        return self.exit_code == 0 and not self.failures and self.calls > 0


class Replica:
    """A service as a process, always on the same port."""

    def __init__(self, store: Path, environment: Mapping[str, str]) -> None:
        self.address = "127.0.0.1:0"
        self._store = store
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and take note of its address."""
        options = ["serve", "--listen", self.address, "--store", str(self._store)]
        self._process = subprocess.Popen(  # noqa: S603  # is our own
            [sys.executable, "-c", SERVE, *options],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._line().removeprefix("zfscope listens on ")

    def wait_until_ready(self) -> None:
        """Wait until it serves."""
        assert self._line().startswith("zfscope serves")

    def shut_down(self) -> int:
        """Send SIGTERM, and give the exit code."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode

    def kill(self) -> None:
        """Be done with it."""
        if self._process is not None:
            with self._process:
                self._process.kill()

    def connections(self) -> int:
        """Count the connections to it, as the kernel has them."""
        port = f":{int(self.address.rpartition(':')[2]):04X}"
        text = "".join(Path(f"/proc/net/{kind}").read_text() for kind in ("tcp", "tcp6"))
        rows = [line.split() for line in text.splitlines()]
        return sum(row[1].endswith(port) and row[3] == "01" for row in rows)  # 01 is ESTABLISHED

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"a replica did not start: exit code {self._process.wait()}")
        return line


class Clients:
    """Processes of `benchmarks.load`."""

    def __init__(self, target: str, photos: Sequence[Path], *, processes: int, each: int) -> None:
        files = [str(photo) for photo in photos]
        command = [sys.executable, "-m", "benchmarks.load", target, *files, "--clients", str(each)]
        self.connections = processes  # the clients of a process share one
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
            for _ in range(processes)
        ]

    def tally(self) -> tuple[int, Counter[str]]:
        """Give the calls since the last tally, and the failures."""
        calls, failures = 0, Counter[str]()
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            calls += told["calls"]
            failures.update(told["failures"])
        return calls, failures

    def stop(self) -> None:
        """End all of them."""
        for process in self._processes:
            process.communicate(timeout=PATIENCE_S)

    def kill(self) -> None:
        """Be done with those that still run."""
        for process in self._processes:
            with process:
                process.kill()


def main() -> None:
    """Run the rounds, and print how they went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="with a watch, and without (default: 20)")
    parser.add_argument("--processes", type=int, default=4, help="of clients (default: 4)")
    parser.add_argument("--each", type=int, default=4, help="clients of a process (default: 4)")
    parser.add_argument(
        "--photo-mb",
        type=float,
        nargs="+",
        default=[0.2, 2, 20],
        metavar="MB",
        help="sizes of the photos, one a client in turn (default: 0.2 2 20)",
    )
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="(default: model_store)")
    options = parser.parse_args()
    console = Console()
    rounds = []
    with tempfile.TemporaryDirectory(prefix="zfscope-bench-") as scratch:
        photos = [padded_photo(Path(scratch), round(size * 1e6)) for size in options.photo_mb]
        clients = {"processes": options.processes, "each": options.each}
        for done in run(options.store, *photos, rounds=options.rounds, **clients):
            rounds.append(done)
            words = "clean" if done.clean else f"exit code {done.exit_code}, failures {dict(done.failures)}"
            console.print(f"round {len(rounds)} of {2 * options.rounds}: {done.calls} calls, {words}")
    console.print(table(rounds))
    print(json.dumps(summary(rounds, options.processes * options.each)))
    sys.exit(not all(done.clean for done in rounds))


def padded_photo(folder: Path, size: int) -> Path:
    """Write a JPEG of at least a size in bytes: a photo of 0.2 MB, and comments that no decoder reads."""
    photo = files("sklearn.datasets.images").joinpath("china.jpg").read_bytes()
    start, rest = photo[:2], photo[2:]  # the marker that every JPEG starts with, and all after it
    comments = b""
    while (missing := size - len(photo) - len(comments)) > 0:
        text = bytes(min(missing, 65_533))
        comments += b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    path = folder / f"{size}.jpg"
    path.write_bytes(start + comments + rest)
    return path


def run(
    store: Path,
    *photos: Path,
    rounds: int,
    processes: int,
    each: int,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Round]:
    """Give so many rounds without a watch, and as many with one, in turn.

    photos: one a client, in turn. processes, each: the number of client processes, and of clients in each.
    environment: of the service.
    """
    with ExitStack() as started:
        replicas = [Replica(store, environment or {}) for _ in range(2)]
        for replica in replicas:
            started.callback(replica.kill)
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        target = "ipv4:" + ",".join(replica.address for replica in replicas)
        clients = Clients(target, photos, processes=processes, each=each)
        started.callback(clients.kill)
        settle(replicas, clients)
        for number in range(2 * rounds):
            yield shut_down(replicas[number // 2 % 2], replicas, clients, watched=number % 2 == 1)
        clients.stop()


def shut_down(victim: Replica, replicas: Sequence[Replica], clients: Clients, *, watched: bool) -> Round:
    """Restart one replica under load, and give how that went."""
    clients.tally()
    with watching(victim.address) if watched else nullcontext():
        begun = time.monotonic()
        exit_code = victim.shut_down()
        seconds = time.monotonic() - begun
    victim.start()
    victim.wait_until_ready()
    settle(replicas, clients)
    calls, failures = clients.tally()
    return Round(watched, exit_code, seconds, calls, failures)


def settle(replicas: Sequence[Replica], clients: Clients) -> None:
    """Wait until every client is connected to every replica, and knows its health."""
    end = time.monotonic() + PATIENCE_S
    while any(replica.connections() < clients.connections for replica in replicas):
        if time.monotonic() > end:
            raise RuntimeError(f"not all clients are connected after {PATIENCE_S} s")
        time.sleep(0.1)
    time.sleep(SETTLED_S)


@contextmanager
def watching(address: str) -> Iterator[None]:
    """Watch the health of a service, from its first answer on."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        reader = threading.Thread(target=drain, args=(watch,))
        reader.start()
        yield
        watch.cancel()
        reader.join()


def drain(watch: Iterator[health_pb2.HealthCheckResponse]) -> None:
    """Read a watch to its end, whatever that is."""
    try:
        for _ in watch:
            pass
    except grpc.RpcError:
        pass


def table(rounds: Sequence[Round]) -> Table:
    """Lay the rounds out, those with a watch and those without."""
    rows = Table("an open health Watch", "rounds", "clean", "calls", "failed", "seconds to the end, median")
    for watched in (False, True):
        some = [done for done in rounds if done.watched == watched]
        calls = sum(done.calls for done in some)
        failed = sum(sum(done.failures.values()) for done in some)
        clean, seconds = sum(done.clean for done in some), statistics.median(done.seconds for done in some)
        rows.add_row(
            "yes" if watched else "no", str(len(some)), str(clean), str(calls), str(failed), f"{seconds:.1f}"
        )
    return rows


def summary(rounds: Sequence[Round], clients: int) -> dict[str, object]:
    """Give what programs read."""
    return {
        "benchmark": "shutdown",
        "clients": clients,
        "replicas": 2,
        "rounds": len(rounds) // 2,
        "clean_without_watch": sum(done.clean for done in rounds if not done.watched),
        "clean_with_watch": sum(done.clean for done in rounds if done.watched),
        "calls": sum(done.calls for done in rounds),
        "failed_calls": sum(sum(done.failures.values()) for done in rounds),
        "exit_codes": sorted({done.exit_code for done in rounds}),
    }


if __name__ == "__main__":
    main()
