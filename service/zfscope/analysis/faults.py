"""Exceptions raised by an analyzer's code: translation and description."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from zfscope.termination import terminated
from zfscope.text import printable

# Maximum length of an exception's message when it is quoted.
_MAX_MESSAGE_CHARS = 2_000


class _CtrlC:
    """Python's default handler of Ctrl-C that also records that it was called."""

    def __init__(self) -> None:
        self.pressed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.pressed = True
        signal.default_int_handler(number, frame)


@contextmanager
def translate_exceptions(fault: Callable[[BaseException], Exception]) -> Iterator[None]:
    """Raise `fault(error)` for any exception of an analyzer's code, including SystemExit.

    Raises KeyboardInterrupt for any exception after a real Ctrl-C, SIGTERM or SIGHUP, and only then: an
    analyzer that raises KeyboardInterrupt itself is at fault. A service handles the signals itself.
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
    """Record Ctrl-C if Python's default handler is installed and this is the main thread."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    if isinstance(handler, _CtrlC):  # nested
        yield handler
        return
    ctrl_c = _CtrlC()
    if handler is not signal.default_int_handler:
        yield ctrl_c
        return
    signal.signal(signal.SIGINT, ctrl_c)
    try:
        yield ctrl_c
    finally:
        if signal.getsignal(signal.SIGINT) is ctrl_c:
            signal.signal(signal.SIGINT, handler)


def describe_exception(error: BaseException) -> str:
    """Return class and message of an exception, truncated and escaped; str() of the exception may fail."""
    kind = printable(type(error).__name__)
    try:
        message = str(error)
    except BaseException:
        return f"{kind} (its message cannot be read)"
    if len(message) > _MAX_MESSAGE_CHARS:
        message = f"{message[:_MAX_MESSAGE_CHARS]} ... ({len(message):,} characters)"
    return f"{kind}: {printable(message)}"
