"""Prints and exceptions of analyzers in the process of a command, kept apart from its output."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zfscope.cli.connect import connect
from zfscope.cli.streams import echo

LOUD = """
import atexit, os, subprocess, sys, threading
from pydantic import BaseModel
from zfscope.plugin import Analysis, Table

print("at import")
atexit.register(print, "at exit")

class Loud:
    name, summary, api_version, photos = "loud", "Prints wherever it can", 2, (0, 1)

    class params(BaseModel):
        raised: str = ""
        rows: int = 2

    def cost(self, model, params):
        print("in cost")
        return 1

    def analyze(self, context, params):
        print("in analyze")
        print("to the original stream", file=sys.__stdout__, flush=True)
        os.write(1, b"from a C library\\n")
        subprocess.run([sys.executable, "-c", "print('from a program')"], check=True)
        late = threading.Thread(target=lambda: (threading.main_thread().join(), print("from a late thread")))
        late.start()
        if params.raised == "Ctrl-C":
            os.write(2, b"waiting\\n")
            threading.Event().wait()
        if params.raised:
            raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}[params.raised]
        rows = tuple((n,) for n in range(params.rows))
        return Analysis(numbers={"mean": 0.5}, tables={"t": Table(("n",), rows)})
"""
PRINTED = (
    "at import",
    "in cost",
    "in analyze",
    "to the original stream",
    "from a C library",
    "from a program",
    "from a late thread",
    "at exit",
)


@pytest.fixture
def loud(tmp_path: Path) -> dict[str, str]:
    """Environment variables of a process in which the analyzer above is installed."""
    folder = tmp_path / "plugins"
    package = folder / "loud-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[zfscope.analyzers]\nloud = loud:Loud\n")
    (folder / "loud.py").write_text(LOUD)
    return {"PYTHONPATH": str(folder)}


def test_prints_of_an_analyzer_go_to_stderr_and_leave_the_json_valid(
    fork: Callable[..., Any], loud: dict[str, str], photo: Path, tmp_path: Path
) -> None:
    out = ["--out", tmp_path / "out"]
    result = fork("analyze", "loud", photo, "--rows", 1_500, "--json", *out, env=loud)

    assert (result.code, json.loads(result.stdout)["numbers"]) == (0, {"mean": 0.5})
    assert len(json.loads(result.stdout)["tables"]["t"]) == 1_500
    assert [line for line in PRINTED if line not in result.stderr] == []


def test_a_long_table_is_truncated_on_a_terminal(
    fork: Callable[..., Any], loud: dict[str, str], photo: Path, tmp_path: Path
) -> None:
    result = fork("analyze", "loud", photo, "--rows", 600_000, "--out", tmp_path / "out", env=loud)

    assert result.code == 0
    lines = result.stdout.splitlines()
    assert "... and 599,000 more; use --json for all" in lines
    assert len(lines) < 1_100
    assert any("999" in line for line in lines)


def test_the_help_of_an_analyzer_goes_to_stdout(fork: Callable[..., Any], loud: dict[str, str]) -> None:
    result = fork("analyze", "loud", "--help", env=loud)

    assert result.code == 0
    assert result.stdout.startswith("Usage: zfscope analyze loud ")
    assert "at import" not in result.stdout


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "SystemExit"])
def test_an_analyzer_that_raises_an_exit_is_reported_as_a_bug_in_it(
    fork: Callable[..., Any], loud: dict[str, str], photo: Path, raised: str
) -> None:
    result = fork("analyze", "loud", photo, "--raised", raised, "--json", env=loud)

    assert (result.code, result.stdout) == (2, "")
    assert f"zfscope: analyzer 'loud' (loud 1.0) failed: {raised}: ; this is a bug in" in result.stderr


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_during_an_analysis_ends_the_command_with_130(
    command: Path, environment: dict[str, str], loud: dict[str, str], photo: Path
) -> None:
    arguments = [command, "analyze", "loud", str(photo), "--raised", "Ctrl-C"]
    variables = {**os.environ, **environment, **loud}
    with subprocess.Popen(
        arguments, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        assert any(line == "waiting\n" for line in iter(run.stderr.readline, ""))
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=60)

    assert (run.returncode, stdout) == (130, "")
    assert "fault" not in stderr


def test_output_of_the_command_reaches_a_stdout_without_a_descriptor(
    capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    connect("", store)
    print("from an analyzer")  # noqa: T201  (as an analyzer does)
    echo("from the command")

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("from the command\n", "from an analyzer\n")
