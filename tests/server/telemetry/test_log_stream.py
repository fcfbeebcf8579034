"""A log that cannot be written: lines are dropped and counted, without an exception."""

import fcntl
import io
import json
import os
from pathlib import Path
from typing import IO

import pytest
import structlog

from zfscope.server.telemetry.log import _lost_lines_summary
from zfscope.server.telemetry.log_stream import LogStream


def format_lost(count: int) -> str:
    return f"lost {count}\n"


def pipe(*, blocking: bool) -> tuple[int, IO[str]]:
    """Return the read end and the write end of a pipe of 4 KiB."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, blocking)
    return reading, os.fdopen(writing, "w", encoding="utf-8")


@pytest.mark.parametrize("blocking", [True, False])
def test_lines_that_do_not_fit_the_pipe_are_dropped_and_counted(blocking: bool) -> None:
    reading, stream = pipe(blocking=blocking)
    log = LogStream(stream, format_lost)
    first = "a" * 4000 + "\n"
    log.write(first)
    log.write("b" * 200 + "\n")
    log.write("c\n")
    assert log.lost == 2
    assert os.read(reading, 10_000).decode() == first
    log.write("d\n")
    assert os.read(reading, 10_000).decode() == "lost 2\nd\n"
    log.write("e\n")
    assert os.read(reading, 10_000).decode() == "e\n"
    stream.close()
    os.close(reading)


def test_a_truncated_line_is_terminated_before_the_next() -> None:
    reading, stream = pipe(blocking=True)
    log = LogStream(stream, format_lost)
    log.write("a" * 10_000 + "\n")
    assert os.read(reading, 10_000) == b"a" * 4096
    log.write("b\n")
    assert os.read(reading, 10_000).decode() == "\nlost 1\nb\n"
    stream.close()
    os.close(reading)


def test_a_closed_reader_drops_lines_without_an_exception() -> None:
    reading, stream = pipe(blocking=True)
    os.close(reading)
    log = LogStream(stream, format_lost)
    log.write("a\n")
    log.write("b\nc\n")
    assert log.lost == 3
    stream.close()
    log.write("d\n")
    assert log.lost == 4


def test_a_full_disk_a_closed_stderr_and_a_stream_without_a_descriptor_are_supported() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        log = LogStream(full, format_lost)
        log.write("a\n")
        assert log.lost == 1
    closed = LogStream(None, format_lost)
    closed.write("a\n")
    assert (closed.lost, closed.isatty()) == (1, False)
    memory = io.StringIO()
    log = LogStream(memory, format_lost)
    log.write("a\n")
    assert (log.lost, memory.getvalue()) == (0, "a\n")


def test_dropped_lines_are_reported_in_the_format_of_other_lines() -> None:
    line = json.loads(_lost_lines_summary(3, [structlog.processors.JSONRenderer()]))
    assert (line["event"], line["level"], line["lines"]) == ("log lines lost", "warning", 3)
    assert line["timestamp"].endswith("Z")
