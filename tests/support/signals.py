"""Signal handling of processes that tests start."""

import signal
from collections.abc import Collection

_DEFAULTS = {
    signal.SIGINT: "signal.default_int_handler",
    signal.SIGTERM: "signal.SIG_DFL",
    signal.SIGHUP: "signal.SIG_DFL",
}


def signal_setup(ignored: Collection[int] = ()) -> str:
    """Return the first lines of a Python program that ignores exactly these signals.

    Without them, a process started by tests that run in the background would inherit ignored signals. The
    program sets them itself because `preexec_fn` runs Python in a fork of this process, which lacks its
    threads, including those of gRPC.
    """
    handlers = {
        number: "signal.SIG_IGN" if number in ignored else default for number, default in _DEFAULTS.items()
    }
    return "import signal\n" + "".join(
        f"signal.signal({int(number)}, {handler})\n" for number, handler in handlers.items()
    )
