"""The service's log: one line for each event on stderr, JSON unless stderr is a terminal."""

import logging
import sys
import threading
import warnings
from typing import Any, TextIO, cast

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from zfscope.server.telemetry.log_stream import LogStream
from zfscope.text import harmless, printable

_log = structlog.get_logger("zfscope.server")
# What every line states besides its event.
_COMMON_PROCESSORS: tuple[Processor, ...] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure_log() -> None:
    """Send the log to stderr, from INFO up, with what libraries log and warn of, and exceptions in threads.

    What is logged while a call is answered has its request id. A library's warning is logged once for each
    line of code that it comes from: a folder of odd photos would repeat it for each of them.
    """
    stream = LogStream(sys.stderr, lambda lines: _summary(lines, renderers))
    # JSON escapes control characters itself.
    renderers: list[Processor] = (
        [_escape, structlog.dev.ConsoleRenderer()]
        if stream.isatty()
        else [structlog.processors.JSONRenderer()]
    )
    known: list[Processor] = [structlog.contextvars.merge_contextvars, *_COMMON_PROCESSORS]
    structlog.configure(
        processors=[*known, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", stream)),
    )
    handler = logging.StreamHandler(stream)
    shown = [ProcessorFormatter.remove_processors_meta, *renderers]
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=known, processors=shown))
    handler.addFilter(_OncePerSourceLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    warnings.showwarning = _Warnings()
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable
    _ConfiguredLog.stream = stream


def lines_lost() -> int:
    """Return the number of lines that could not be written since the log was configured."""
    return _ConfiguredLog.stream.lost if _ConfiguredLog.stream else 0


class _ConfiguredLog:
    """The stream of the log of this process."""

    stream: LogStream | None = None


def _summary(lines: int, renderers: list[Processor]) -> str:
    """Return the line that reports lost lines, in the form of all others."""
    event: Any = {"event": "log lines were lost", "lines": lines}
    for process in (*_COMMON_PROCESSORS, *renderers):
        event = process(None, "warning", event)
    return f"{event}\n"


def _escape(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape control characters of files, callers and analyzers; only a traceback has several lines."""
    return {
        key: (printable if key == "exception" else harmless)(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


class _OncePerSourceLine(logging.Filter):
    """Lets a warning through once for each line of code that logs it, and every error."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, int]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be logged."""
        source = record.pathname, record.lineno
        if record.levelno >= logging.ERROR or source not in self._seen:
            self._seen.add(source)
            return True
        return False


class _Warnings:
    """Logs a Python warning once for each line of code that it comes from."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int, type[Warning]]] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        source = filename, lineno, category
        if source not in self._seen:
            self._seen.add(source)
            _log.warning(
                "warning", category=category.__name__, reason=str(message), at=f"{filename}:{lineno}"
            )


def _log_thread(found: threading.ExceptHookArgs) -> None:
    """Log what ended a thread that nobody waits for, such as one that an analyzer started."""
    name = found.thread.name if found.thread else ""
    if found.exc_value is None or isinstance(found.exc_value, SystemExit):
        _log.warning("a thread ended", thread=name, reason=f"{found.exc_type.__name__}: {found.exc_value}")
    else:
        _log.error("a thread failed", thread=name, exc_info=found.exc_value)


def _log_unraisable(found: "sys.UnraisableHookArgs") -> None:
    """Log an exception that Python could not raise, such as one of a destructor."""
    _log.error("an exception was ignored", at=repr(found.object)[:200], exc_info=found.exc_value or True)
