"""Load generator: clients with the default configuration, one thread each, that classify photos in a loop.

    python -m benchmarks.load TARGET PHOTO [PHOTO ...] --clients 8

The photos are assigned to the clients round-robin.

For each line on standard input it prints a JSON object with the calls and failures since the previous one. It
stops at the end of the input.
"""

import argparse
import json
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

from zfscope.client import Client, channel
from zfscope.errors import ZfscopeError

# Time limit for the service to become ready.
PATIENCE_S = 180


class LoadGenerator:
    """Threads that each run one client in a loop."""

    def __init__(self, target: str, photos: Sequence[bytes], clients: int) -> None:
        self._calls, self._failures = Counter[str](), Counter[str]()
        self._changing = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(target, photos[number % len(photos)]))
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def tally(self) -> dict[str, object]:
        """Return the number of calls since the last tally, and the failures by message."""
        with self._changing:
            tally = {"calls": self._calls.total(), "failures": dict(self._failures)}
            self._calls.clear()
            self._failures.clear()
        return tally

    def stop(self) -> None:
        """Make no more calls, and wait for those in progress."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, target: str, photo: bytes) -> None:
        with Client(target) as client:
            client.wait_until_ready(PATIENCE_S)
            while not self._stopped.is_set():
                self._call(client, photo)

    def _call(self, client: Client, photo: bytes) -> None:
        failure = ""
        try:
            client.classify(photo)
        except ZfscopeError as error:
            failure = f"{type(error).__name__}: {error}"
        with self._changing:
            self._calls["classify"] += 1
            if failure:
                self._failures[failure] += 1


def main() -> None:
    """Load a service until the end of standard input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", help="address of the service, or a gRPC target with several")
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO", help="image files to classify")
    parser.add_argument("--clients", type=int, default=1, help="number of clients (default: 1)")
    parser.add_argument(
        "--no-retries",
        action="store_true",
        help="without the shipped service config, so that no call is sent again",
    )
    options = parser.parse_args()
    photos = [photo.read_bytes() for photo in options.photos]
    with patch.object(channel, "service_config", lambda _: "{}") if options.no_retries else nullcontext():
        load = LoadGenerator(options.target, photos, options.clients)
        for _ in sys.stdin:
            print(json.dumps(load.tally()), flush=True)
        load.stop()


if __name__ == "__main__":
    main()
