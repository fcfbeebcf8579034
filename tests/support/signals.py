"""Signals of processes that tests start."""

import signal
from collections.abc import Collection


def only_ignored(ignored: Collection[int] = ()) -> None:
    """Ignore these signals, and no others: tests that run in the background pass on what is ignored there."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
