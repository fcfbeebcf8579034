"""Output to streams of any encoding: escaped only where necessary."""

import io
import json
import sys
from typing import Any

import pytest

from zfscope.cli.output import print_json, print_table, print_warnings, progress
from zfscope.cli.streams import OutputLost, echo, escape_for_stdout, escape_unencodable
from zfscope.results import Notice


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def text_of(written: Any) -> str:
    written.flush()
    data: bytes = written.buffer.getvalue()
    return data.decode(written.encoding)


def redirect(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.TextIOWrapper:
    """Replace stdout by a stream of an encoding, as `main` sets it up.

    Call it in the body of a test: pytest replaces stdout between fixtures and test.
    """
    replacement = stream(encoding)
    monkeypatch.setattr(sys, "stdout", replacement)
    escape_unencodable()
    return replacement


ENCODINGS = pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
NAMES = ("caf\udce9.jpg", "\u7a93\xe9.jpg", "a:cat:1 [red].jpg", ":dog:")


@ENCODINGS
def test_any_file_name_can_be_printed(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out = redirect(monkeypatch, encoding)
    for name in NAMES:
        echo(name)
    first, second, *others = text_of(out).splitlines()
    assert first == r"caf\udce9.jpg"
    escaped = {"ascii": r"\u7a93\xe9.jpg", "latin-1": "\\u7a93\xe9.jpg", "utf-8": NAMES[1]}
    assert second == escaped[out.encoding]
    assert others == [*NAMES[2:]]


@ENCODINGS
def test_json_output_is_valid_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out = redirect(monkeypatch, encoding)
    for name in NAMES:
        print_json({"file": name})
    assert [json.loads(line)["file"] for line in text_of(out).splitlines()] == [*NAMES]


@ENCODINGS
def test_a_table_shows_names_verbatim_in_aligned_columns(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    out = redirect(monkeypatch, encoding)
    print_table(":cat: [red]", {"[b]photo[/b]": "left", "id": "left"}, [(name, ":dog:") for name in NAMES])
    text = text_of(out)
    for shown in (":cat: [red]", "[b]photo[/b]", ":dog:", "a:cat:1 [red].jpg", r"caf\udce9.jpg"):
        assert shown in text
    rows = [line for line in text.splitlines() if ":dog:" in line]
    assert len(rows) == len(NAMES)
    if out.encoding == "ascii":
        assert len({line.index(":dog:", 20) for line in rows}) == 1


def test_progress_shows_names_without_markup_or_control_characters() -> None:
    bar = progress()
    bar.add_task("[red]:cat:\x1b[2J")
    cell = bar.columns[0](bar.tasks[0])
    assert str(cell) == r"[red]:cat:\x1b[2J"


def test_an_unencodable_character_is_measured_in_its_escaped_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream("ascii"))
    assert escape_for_stdout("\xe9") == r"\xe9"
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # has no encoding
    assert escape_for_stdout("\xe9") == "\xe9"


def test_output_to_a_stream_closed_before_the_start_is_discarded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    echo("a warning", err=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")]
)
def test_output_that_cannot_be_written_raises_output_lost(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(OutputLost) as lost:
        echo("text")
    assert lost.value.reason == error.strerror
    assert lost.value.broken_pipe is isinstance(error, BrokenPipeError)


@pytest.mark.parametrize("control", ["\x1b[2J", "\x9b2J", "\x7f", "\r", "\x07"])
def test_control_characters_in_names_are_escaped(capsys: pytest.CaptureFixture[str], control: str) -> None:
    escaped = control.replace(control[0], control[0].encode("unicode_escape").decode())
    echo(f"a{control}b\nsecond line")
    print_warnings([Notice("code", f"a{control}b")])
    print_table(f"a{control}b", {f"h{control}": "left"}, [(f"c{control}\n",)])
    captured = capsys.readouterr()
    assert captured.out.startswith(f"a{escaped}b\nsecond line\n")
    assert f"c{escaped}\\n" in captured.out
    assert f"h{escaped}" in captured.out
    assert control[0] not in captured.out + captured.err
