"""Log of the service on stderr: one line per event, JSON unless stderr is a terminal."""

import logging
import sys
import threading
import warnings
from enum import StrEnum
from typing import Any, TextIO, cast

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from zfscope.server.telemetry.log_stream import LogStream
from zfscope.text import harmless, printable

_log = structlog.get_logger("zfscope.server")
# Processors of every line.
_COMMON_PROCESSORS: tuple[Processor, ...] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


class LogLevel(StrEnum):
    """Levels of the log, from the most lines to the fewest."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"

    @property
    def number(self) -> int:
        """The level in the standard library's `logging`."""
        return logging.getLevelNamesMapping()[self.upper()]


def configure_log(level: LogLevel = LogLevel.info) -> None:
    """Send the log to stderr, from a level up, with libraries' logs and warnings and uncaught exceptions.

    Logs of libraries start at WARNING, or at the level if that is higher.
    Lines of a call have its request id. A library's warning is logged once per source line; otherwise a
    folder of unusual photos would repeat it for each.
    """
    stream = LogStream(sys.stderr, lambda lines: _lost_lines_summary(lines, renderers))
    # JSON escapes control characters itself.
    renderers: list[Processor] = (
        [_escape, structlog.dev.ConsoleRenderer()]
        if stream.isatty()
        else [structlog.processors.JSONRenderer()]
    )
    processors: list[Processor] = [structlog.contextvars.merge_contextvars, *_COMMON_PROCESSORS]
    structlog.configure(
        processors=[*processors, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level.number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", stream)),
    )
    handler = logging.StreamHandler(stream)
    rendering = [ProcessorFormatter.remove_processors_meta, *renderers]
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=processors, processors=rendering))
    handler.addFilter(_OncePerSourceLine())
    logging.basicConfig(handlers=[handler], level=max(level.number, logging.WARNING), force=True)
    warnings.showwarning = _Warnings()
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable
    _ConfiguredLog.stream = stream


def lines_lost() -> int:
    """Return the number of lines that could not be written since `configure_log`."""
    return _ConfiguredLog.stream.lost if _ConfiguredLog.stream else 0


class _ConfiguredLog:
    """Log stream of this process; None before `configure_log`."""

    stream: LogStream | None = None


def _lost_lines_summary(lines: int, renderers: list[Processor]) -> str:
    """Return the line that reports the number of lost lines."""
    event: Any = {"event": "log lines lost", "lines": lines}
    for process in (*_COMMON_PROCESSORS, *renderers):
        event = process(None, "warning", event)
    return f"{event}\n"


def _escape(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape control characters from files, clients and analyzers; tracebacks keep their line breaks."""
    return {
        key: (printable if key == "exception" else harmless)(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


class _OncePerSourceLine(logging.Filter):
    """Passes all errors, and other records once per source line."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, int]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        source = record.pathname, record.lineno
        if record.levelno >= logging.ERROR or source not in self._seen:
            self._seen.add(source)
            return True
        return False


class _Warnings:
    """Logs each Python warning once per source line; replaces `warnings.showwarning`."""

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


def _log_thread(args: threading.ExceptHookArgs) -> None:
    """Log the exception that ended a thread, such as one started by an analyzer."""
    name = args.thread.name if args.thread else ""
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        _log.warning("thread ended", thread=name, reason=f"{args.exc_type.__name__}: {args.exc_value}")
    else:
        _log.error("thread failed", thread=name, exc_info=args.exc_value)


def _log_unraisable(args: "sys.UnraisableHookArgs") -> None:
    """Log an exception that Python cannot raise, such as one in a destructor."""
    _log.error("exception ignored", at=repr(args.object)[:200], exc_info=args.exc_value or True)
