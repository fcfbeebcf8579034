"""The log of the service: everything is logged as JSON, and repeated warnings only once."""

import json
import re
from typing import Any

import pytest

from tests.support.forked import fork_python

PROGRAM = """
import logging, sys, threading, warnings
warnings.resetwarnings()
warnings.simplefilter("default")
from zfscope.server.telemetry.log import configure_log
configure_log()
def fail(error):
    raise error
class FailingDestructor:
    def __del__(self):
        raise ValueError("in a destructor")
{body}
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
"""


def run_and_read_log(body: str) -> list[dict[str, Any]]:
    """Run a program that logs; return the parsed lines of its stderr."""
    process = fork_python(PROGRAM.format(body=body))
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (0, "")
    return [json.loads(line) for line in stderr.splitlines()]


def test_a_warning_is_logged_once_even_if_its_text_changes() -> None:
    body = "for number in range(5):\n    warnings.warn(f'odd photo {number}')\nwarnings.warn('another')"
    first, second = run_and_read_log(body)
    assert (first["event"], first["level"], first["category"]) == ("warning", "warning", "UserWarning")
    assert (first["reason"], second["reason"]) == ("odd photo 0", "another")
    assert first["at"].startswith("<string>:")


def test_a_warning_inside_catch_warnings_is_logged_once() -> None:
    body = """
for _ in range(3):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("odd")
"""
    assert [line["reason"] for line in run_and_read_log(body)] == ["odd"]


def test_a_library_warning_is_logged_once_and_every_error() -> None:
    body = """
for number in range(3):
    logging.getLogger("library").info("not shown")
    logging.getLogger("library").warning("odd file %s", number)
    logging.getLogger("library").error("broken file %s", number)
"""
    lines = [(line["level"], line["event"]) for line in run_and_read_log(body)]
    errors = [("error", f"broken file {number}") for number in range(3)]
    assert lines == [("warning", "odd file 0"), *errors]


@pytest.mark.parametrize(
    ("body", "event", "exception"),
    [
        (
            "threading.Thread(target=fail, args=[ValueError('x')], name='t').start()",
            "thread failed",
            "ValueError: x",
        ),
        ("one = FailingDestructor()\ndel one", "exception ignored", "ValueError: in a destructor"),
    ],
)
def test_an_uncaught_exception_is_logged_as_json(body: str, event: str, exception: str) -> None:
    lines = run_and_read_log(body)
    assert [line["event"] for line in lines] == [event]
    assert all(exception in line["exception"] for line in lines)


def test_a_thread_that_calls_sys_exit_is_logged_as_json() -> None:
    (line,) = run_and_read_log("threading.Thread(target=sys.exit, args=['bye'], name='t').start()")
    assert (line["event"], line["thread"], line["reason"]) == ("thread ended", "t", "SystemExit: bye")


def test_on_a_terminal_control_characters_are_escaped_and_each_event_is_one_line() -> None:
    body = """
import structlog
log = structlog.get_logger()
log.warning("odd", reason="a\\x1b[2J\\nb", at=3)
try:
    fail(ValueError("c\\x9b2J"))
except ValueError:
    log.exception("worse")
"""
    terminal = "sys.stderr.isatty = lambda: True\nconfigure_log()\n"
    process = fork_python(PROGRAM.format(body=terminal + body))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", stderr)  # colour codes of the log itself
    first, *others = text.splitlines()
    assert r"a\x1b[2J\nb" in first
    assert any(line.endswith(r"ValueError: c\x9b2J") for line in others)
    assert not set(text) & {"\x1b", "\x9b"}


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["debug", "info", "warning", "library warning", "error", "library error"]),
        ("info", ["info", "warning", "library warning", "error", "library error"]),
        ("warning", ["warning", "library warning", "error", "library error"]),
        ("error", ["error", "library error"]),
    ],
)
def test_the_level_is_the_lowest_that_is_logged(level: str, logged: list[str]) -> None:
    body = f"""
import structlog
from zfscope.server.telemetry.log import LogLevel
configure_log(LogLevel("{level}"))
log, library = structlog.get_logger(), logging.getLogger("library")
log.debug("debug"), library.debug("library debug")
log.info("info"), library.info("library info")
log.warning("warning"), library.warning("library warning")
log.error("error"), library.error("library error")
"""
    assert [line["event"] for line in run_and_read_log(body)] == logged
