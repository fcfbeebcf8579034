"""Exceptions of any class out of an analyzer's code: which are its fault, and how messages name them."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from zfscope.termination import terminated
from zfscope.text import printable

_MAX_MESSAGE_CHARS = 2_000
"""Maximum length of an exception's message in ours."""


class _CtrlC:
    """Python's own handler of Ctrl-C, which also records that it was called."""

    def __init__(self) -> None:
        self.pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        signal.default_int_handler(number, frame)


@contextmanager
def translate_exceptions(fault: Callable[[BaseException], Exception]) -> Iterator[None]:
    """Raise `fault(error)` for any exception of an analyzer's code, those that end a process included.

    Raises KeyboardInterrupt for whatever leaves the code after a person's Ctrl-C, SIGTERM or SIGHUP, and for
    nothing else: an analyzer that raises it without one is at fault. A service handles the signal itself.
    """
    with _recorded_ctrl_c() as ctrl_c:
        try:
            yield
        except BaseException as error:
            if not (ctrl_c.pressed or terminated()):
                raise fault(error) from error
            if isinstance(error, KeyboardInterrupt):
                raise
            raise KeyboardInterrupt from error


@contextmanager
def _recorded_ctrl_c() -> Iterator[_CtrlC]:
    """Record a Ctrl-C where Python's own handler would raise KeyboardInterrupt: in the main thread."""
    main = threading.current_thread() is threading.main_thread()
    found = signal.getsignal(signal.SIGINT) if main else None
    if isinstance(found, _CtrlC):  # inside of another
        yield found
        return
    ctrl_c = _CtrlC()
    if found is not signal.default_int_handler:
        yield ctrl_c
        return
    signal.signal(signal.SIGINT, ctrl_c)
    try:
        yield ctrl_c
    finally:
        if signal.getsignal(signal.SIGINT) is ctrl_c:
            signal.signal(signal.SIGINT, found)


def describe_exception(error: BaseException) -> str:
    """Return class and message of an exception, which may fail to give one, be huge or hold controls."""
    kind = printable(type(error).__name__)
    try:
        message = str(error)
    except BaseException:
        return f"{kind} (its message cannot be read)"
    if len(message) > _MAX_MESSAGE_CHARS:
        message = f"{message[:_MAX_MESSAGE_CHARS]} ... ({len(message):,} characters)"
    return f"{kind}: {printable(message)}"
