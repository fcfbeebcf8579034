"""Restarts of a single service under load: the outcome and duration of every `Client.analyze`.

    python -m benchmarks.restart
    python -m benchmarks.restart --restarts 5 --clients 4

A service with the default settings of `zfscope serve` runs the analyses of 8 clients without a pause. It
receives SIGTERM, ends, and is started again, 50 times; before each restart every client has received a
result.

Each call must end within 30 seconds with a result or NotReady. The last line is a JSON object for programs;
the exit code is 1 if a call ended otherwise, took longer, or hung.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from benchmarks.shutdown import PATIENCE_S, Replica
from zfscope.client import Client
from zfscope.errors import NotReady

# Time limit of a call; a longer one counts as hung.
LONGEST_S = 30
RESULT = "result"


class AnalysisLoop(threading.Thread):
    """A client that analyzes a photo in a loop. outcomes: calls by outcome; slowest_s: longest call."""

    def __init__(self, address: str, photo: bytes, parameters: Mapping[str, object]) -> None:
        super().__init__(daemon=True)  # a hung call must not keep the process alive
        self.outcomes, self.slowest_s = Counter[str](), 0.0
        self._address, self._photo, self._parameters = address, photo, parameters
        self._stopped, self._call_start = threading.Event(), time.monotonic()
        self.start()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of the last call."""
        return time.monotonic() - self._call_start

    def stop(self) -> None:
        """Make no more calls."""
        self._stopped.set()

    def run(self) -> None:
        """Call until stopped."""
        with Client(self._address) as client:
            while not self._stopped.is_set():
                self._call_start = time.monotonic()
                outcome = self._call(client)
                self.slowest_s = max(self.slowest_s, self.elapsed_s)
                self.outcomes[outcome] += 1

    def _call(self, client: Client) -> str:
        try:
            client.analyze("project", [self._photo], self._parameters)
        except NotReady:
            return "NotReady"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return RESULT


def main() -> None:
    """Restart the service and print the outcomes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--restarts", type=int, default=50, help="number of restarts (default: 50)")
    parser.add_argument("--clients", type=int, default=8, help="number of clients (default: 8)")
    parser.add_argument(
        "--store", type=Path, default=Path("model_store"), help="model store (default: model_store)"
    )
    options = parser.parse_args()
    console = Console()
    photo = files("sklearn.datasets.images").joinpath("china.jpg").read_bytes()
    loops: list[AnalysisLoop] = []
    for number in run(options.store, photo, loops, restarts=options.restarts, clients=options.clients):
        console.print(f"restart {number} of {options.restarts}: {dict(total(loops))}")
    result = summary(loops, options.restarts)
    print(json.dumps(result))
    sys.exit(not is_clean(result))


def run(
    store: Path,
    photo: bytes,
    loops: list[AnalysisLoop],
    *,
    restarts: int,
    clients: int,
    parameters: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Restart a service under load, and yield the number of each restart.

    loops: list to which the clients are added. parameters: parameters of the projection. environment:
    variables of the service.
    """
    with ExitStack() as stack:
        replica = Replica(store, environment or {})
        stack.callback(replica.kill)
        replica.start()
        replica.wait_until_ready()
        for _ in range(clients):
            loop = AnalysisLoop(replica.address, photo, parameters or {"layer": "conv5", "top": 1})
            stack.callback(loop.stop)
            loops.append(loop)
        wait_for_results(loops)
        for number in range(1, restarts + 1):
            if replica.shut_down() != 0:
                raise RuntimeError(f"the service exited with an error at restart {number}")
            replica.start()
            replica.wait_until_ready()
            wait_for_results(loops)
            yield number
        for loop in loops:
            loop.stop()
        for loop in loops:
            loop.join(LONGEST_S)


def wait_for_results(loops: list[AnalysisLoop]) -> None:
    """Wait until every client that does not hang has received another result."""
    before = [loop.outcomes[RESULT] for loop in loops]
    end = time.monotonic() + PATIENCE_S
    for loop, results in zip(loops, before, strict=True):
        while loop.outcomes[RESULT] == results and loop.elapsed_s < LONGEST_S:
            if time.monotonic() > end:
                raise RuntimeError(f"a client received no result for {PATIENCE_S} s: {dict(loop.outcomes)}")
            time.sleep(0.05)


def total(loops: list[AnalysisLoop]) -> Counter[str]:
    """Return the number of calls by outcome."""
    return sum((loop.outcomes for loop in loops), Counter[str]())


def summary(loops: list[AnalysisLoop], restarts: int) -> dict[str, object]:
    """Return the result as a JSON object."""
    return {
        "benchmark": "restart",
        "restarts": restarts,
        "clients": len(loops),
        "outcomes": dict(total(loops)),
        "slowest_s": round(max(loop.slowest_s for loop in loops), 2),
        "hung": sum(loop.is_alive() for loop in loops),
    }


def is_clean(result: Mapping[str, object]) -> bool:
    """Return whether every call ended in time with a result or NotReady."""
    outcomes, slowest_s = result["outcomes"], result["slowest_s"]
    assert isinstance(outcomes, dict)
    assert isinstance(slowest_s, float)
    return not result["hung"] and slowest_s <= LONGEST_S and set(outcomes) <= {RESULT, "NotReady"}


if __name__ == "__main__":
    main()
