"""Exceptions of any class out of an analyzer's code: which are its fault, and how messages name them."""

import signal
import threading


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception is a person's Ctrl-C and not a fault of the code that it left.

    Python's own handler raises KeyboardInterrupt in the main thread only. A service handles the signal
    itself, so there an analyzer has raised it.
    """
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def described(error: BaseException) -> str:
    """Return class and message of an exception, which may fail to give one."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return f"{type(error).__name__} (its message cannot be read)"
