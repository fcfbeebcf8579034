"""SIGTERM and SIGHUP end a command as Ctrl-C does, so that what it has half written is removed."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

# What shells report of a process that a signal ended is this and the signal's number.
_EXIT = 128
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

_received: int | None = None


def terminate_as_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt in the main thread, which has to call this.

    One that is ignored, as nohup has SIGHUP ignored, stays so. A second signal ends the process at once.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def terminated() -> bool:
    """Return whether such a signal has come."""
    return _received is not None


def exit_code(code: Any) -> Any:
    """Return the exit code of a process that ends with `code`, by its own will or by a signal."""
    return code if _received is None else _EXIT + _received


def keep_handlers(work: Callable[[], object]) -> None:
    """Call what may set handlers of these signals itself, and have the earlier ones afterwards."""
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
