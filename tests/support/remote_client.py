"""A client in a process of its own: a call for each line that it reads, and a line for how it ended.

    python -m tests.support.remote_client ADDRESS PHOTO FOLDER

Lines are `classify`, and `analyze` for the analyzer `held` with FOLDER. Silence is noticed within two
seconds, and an attempt to connect takes half a second.
"""

import sys
from pathlib import Path

from zfscope.client import Client, channel
from zfscope.errors import ZfscopeError


def main() -> None:
    """Run the calls that it is given, on one connection."""
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
