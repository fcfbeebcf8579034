"""A log that cannot be written: lines are lost and counted, and no call fails."""

import fcntl
import io
import json
import os
from pathlib import Path
from typing import IO

import pytest
import structlog

from zfscope.server.telemetry.log import _summary
from zfscope.server.telemetry.log_stream import LogStream


def lost_line(count: int) -> str:
    return f"lost {count}\n"


def pipe(*, blocking: bool) -> tuple[int, IO[str]]:
    """Return the reading end of a pipe of 4 KiB, and its writing end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, blocking)
    return reading, os.fdopen(writing, "w", encoding="utf-8")


@pytest.mark.parametrize("blocking", [True, False])
def test_lines_that_do_not_fit_the_pipe_are_dropped_and_counted(blocking: bool) -> None:
    reading, stream = pipe(blocking=blocking)
    written = LogStream(stream, lost_line)
    first = "a" * 4000 + "\n"
    written.write(first)
    written.write("b" * 200 + "\n")
    written.write("c\n")
    assert written.lost == 2
    assert os.read(reading, 10_000).decode() == first
    written.write("d\n")
    assert os.read(reading, 10_000).decode() == "lost 2\nd\n"
    written.write("e\n")
    assert os.read(reading, 10_000).decode() == "e\n"
    stream.close()
    os.close(reading)


def test_a_truncated_line_is_terminated_before_the_next() -> None:
    reading, stream = pipe(blocking=True)
    written = LogStream(stream, lost_line)
    written.write("a" * 10_000 + "\n")
    assert os.read(reading, 10_000) == b"a" * 4096
    written.write("b\n")
    assert os.read(reading, 10_000).decode() == "\nlost 1\nb\n"
    stream.close()
    os.close(reading)


def test_a_closed_reader_drops_lines_without_an_exception() -> None:
    reading, stream = pipe(blocking=True)
    os.close(reading)
    written = LogStream(stream, lost_line)
    written.write("a\n")
    written.write("b\nc\n")
    assert written.lost == 3
    stream.close()
    written.write("d\n")
    assert written.lost == 4


def test_a_full_disk_a_closed_stderr_and_a_stream_without_a_descriptor_are_supported() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        written = LogStream(full, lost_line)
        written.write("a\n")
        assert written.lost == 1
    closed = LogStream(None, lost_line)
    closed.write("a\n")
    assert (closed.lost, closed.isatty()) == (1, False)
    memory = io.StringIO()
    kept = LogStream(memory, lost_line)
    kept.write("a\n")
    assert (kept.lost, memory.getvalue()) == (0, "a\n")


def test_dropped_lines_are_reported_in_the_format_of_other_lines() -> None:
    line = json.loads(_summary(3, [structlog.processors.JSONRenderer()]))
    assert (line["event"], line["level"], line["lines"]) == ("log lines were lost", "warning", 3)
    assert line["timestamp"].endswith("Z")
