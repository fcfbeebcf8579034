"""SIGTERM and SIGHUP handled like Ctrl-C, so that partially written files are removed."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

# Shells report a process ended by a signal with this exit code plus the signal number.
_EXIT = 128
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_received: int | None = None


def terminate_as_ctrl_c() -> None:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread; call this from it.

    Ignored signals, such as SIGHUP under nohup, stay ignored. A second signal ends the process immediately.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def terminated() -> bool:
    """Return whether SIGTERM or SIGHUP was received."""
    return _received is not None


def exit_code(code: Any) -> Any:
    """Return `code`, or 128 plus the signal number if a signal was received."""
    return code if _received is None else _EXIT + _received


def keep_handlers(work: Callable[[], object]) -> None:
    """Call a function that may replace the handlers of these signals, and restore them afterwards."""
    earlier = {number: signal.getsignal(number) for number in _SIGNALS}
    work()
    for number, handler in earlier.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _received
    _received = number
    for each in _SIGNALS:
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, signal.SIG_DFL)
    raise KeyboardInterrupt
