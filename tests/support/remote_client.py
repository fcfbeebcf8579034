"""A client in a separate process: makes a call for each line it reads, and prints its outcome.

    python -m tests.support.remote_client ADDRESS PHOTO FOLDER

A line is `classify`, or `analyze` to run the analyzer `held` with FOLDER. A dead connection is detected
within two seconds, and a connection attempt times out after half a second.
"""

import sys
from pathlib import Path

from zfscope.client import Client, channel
from zfscope.errors import ZfscopeError


def main() -> None:
    """Make the requested calls on one connection."""
    address, photo, folder = sys.argv[1:]
    channel.KEEPALIVE_S, channel.KEEPALIVE_TIMEOUT_S, channel.CONNECT_S = 1, 1, 0.5
    with Client(address) as client:
        calls = {
            "classify": lambda: client.classify(Path(photo)),
            "analyze": lambda: client.analyze("held", [Path(photo)], {"folder": folder}),
        }
        for line in sys.stdin:
            try:
                calls[line.strip()]()
                outcome = "result"
            except ZfscopeError as error:
                outcome = type(error).__name__
            sys.stdout.write(f"{outcome}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
