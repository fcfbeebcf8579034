"""Signals of processes that tests start."""

import signal
from collections.abc import Collection

_DEFAULTS = {
    signal.SIGINT: "signal.default_int_handler",
    signal.SIGTERM: "signal.SIG_DFL",
    signal.SIGHUP: "signal.SIG_DFL",
}


def signal_setup(ignored: Collection[int] = ()) -> str:
    """Return the first lines of a program that ignores these signals, and no others.

    Tests that run in the background pass on what is ignored there. The program does it itself: `preexec_fn`
    runs Python in a fork of this process, whose threads, gRPC's among them, are gone.
    """
    handlers = {
        number: "signal.SIG_IGN" if number in ignored else default for number, default in _DEFAULTS.items()
    }
    return "import signal\n" + "".join(
        f"signal.signal({int(number)}, {handler})\n" for number, handler in handlers.items()
    )
