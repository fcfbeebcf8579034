"""Rolling restarts of two replicas behind a balancer, under load: the number of failed calls.

    python -m benchmarks.rolling
    python -m benchmarks.rolling --balancers nginx --restarts 2 --no-retries

nginx, HAProxy and Envoy run in turn, each with its configuration of deploy/, in front of two replicas with
the default settings of `zfscope serve`, over TLS and with a token. 16 clients, four in each of four
processes, classify photos without a pause: of the four clients of a process two send 0.2 MB, one 2 MB and one
20 MB.

A rolling restart sends SIGTERM to one replica, waits until it has ended, starts it again, and does the same
with the other one as soon as the first is SERVING. It is clean if both exit with code 0 and no call fails.
The last line is a JSON object for programs; the exit code is 1 if a restart was not clean.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.shutdown import ClientProcesses, Replica, padded_photo
from tests.support.balancers import BALANCERS, Replicas, running_balancer
from tests.support.certificates import issue_certificates

# Sizes of the photos in MB, assigned to the clients of a process round-robin.
PHOTO_MB = (0.2, 2, 0.2, 20)
TOKEN = "0123456789abcdef"  # noqa: S105  # of processes that end with the benchmark
PROCESSES, EACH = 4, 4


@dataclass(frozen=True)
class RollingRestart:
    """Outcome of one rolling restart. failures: failed calls of all clients, by message."""

    calls: int
    failures: dict[str, int]
    exit_codes: tuple[int, ...]

    @property
    def clean(self) -> bool:
        """Whether no client noticed the restart."""
        return self.calls > 0 and not self.failures and not any(self.exit_codes)


def main() -> None:
    """Run the restarts behind each balancer and print their outcomes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--balancers",
        nargs="+",
        choices=list(BALANCERS),
        default=list(BALANCERS),
        help="balancers to run (default: all)",
    )
    parser.add_argument(
        "--restarts", type=int, default=10, help="rolling restarts behind each balancer (default: 10)"
    )
    parser.add_argument(
        "--no-retries", action="store_true", help="clients without a retry policy, as stock clients are"
    )
    parser.add_argument(
        "--store", type=Path, default=Path("model_store"), help="model store (default: model_store)"
    )
    options = parser.parse_args()
    console = Console()
    results: dict[str, list[RollingRestart]] = {}
    for name in options.balancers:
        results[name] = []
        for result in run(name, options.store, restarts=options.restarts, retries=not options.no_retries):
            results[name].append(result)
            outcome = "clean" if result.clean else str(asdict(result))
            number = f"{len(results[name])} of {options.restarts}"
            console.print(f"{name}, rolling restart {number}: {result.calls} calls, {outcome}")
    print(json.dumps(summary(results, retries=not options.no_retries)))
    sys.exit(not all(result.clean for outcomes in results.values() for result in outcomes))


def run(name: str, store: Path, *, restarts: int, retries: bool) -> Iterator[RollingRestart]:
    """Restart two replicas behind a balancer, one after the other, the given number of times.

    retries: whether clients send calls again that no replica has started.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zfscope-bench-")))
        certificates = issue_certificates(folder)
        access = {"ZFSCOPE_TOKEN": TOKEN}
        server = {f"ZFSCOPE_{key.upper()}": str(path) for key, path in certificates.server.items()}
        replicas = [Replica(store, {**access, **server}) for _ in range(2)]
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        addresses = Replicas([replica.address for replica in replicas], certificates)
        balancer = stack.enter_context(running_balancer(name, folder, addresses))
        clients = ClientProcesses(
            balancer,
            [padded_photo(folder, round(size * 1e6)) for size in PHOTO_MB],
            *([] if retries else ["--no-retries"]),
            processes=PROCESSES,
            each=EACH,
            environment={**access, "ZFSCOPE_TLS_CA": str(certificates.ca)},
        )
        stack.callback(clients.kill)
        clients.wait_for_calls()
        for _ in range(restarts):
            yield restart(replicas, clients)
        clients.stop()


def restart(replicas: Sequence[Replica], clients: ClientProcesses) -> RollingRestart:
    """Restart the replicas one after the other under load; return the outcome."""
    clients.tally()
    exit_codes = []
    for replica in replicas:
        exit_codes.append(replica.shut_down())
        replica.start()
        replica.wait_until_ready()
    calls, failures = clients.tally()
    return RollingRestart(calls, dict(failures), tuple(exit_codes))


def summary(results: dict[str, list[RollingRestart]], *, retries: bool) -> dict[str, object]:
    """Return the result as a JSON object."""
    return {
        "benchmark": "rolling",
        "clients": PROCESSES * EACH,
        "retries": retries,
        "balancers": {
            name: {
                "rolling_restarts": len(outcomes),
                "clean": sum(outcome.clean for outcome in outcomes),
                "calls": sum(outcome.calls for outcome in outcomes),
                "failures": sum((Counter(outcome.failures) for outcome in outcomes), Counter[str]()),
            }
            for name, outcomes in results.items()
        },
    }


if __name__ == "__main__":
    main()
