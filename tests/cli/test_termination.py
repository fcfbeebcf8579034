"""Termination by signals, a removed current folder, and warnings of libraries."""

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.signals import signal_setup

# A command that waits for a signal while it is writing a folder and a file.
WAITING = """
import sys, time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
import zfscope.cli.app as module
from zfscope.cli.command import CommandEntry
from zfscope.files import replacing, staging_folder

def wait(folder: Path) -> None:
    with staging_folder(folder) as staging, replacing(folder / "file") as file:
        (staging / "half").write_bytes(b"half")
        file.write(b"half")
        print("waiting", flush=True)
        time.sleep(300)

module.COMMANDS["wait"] = CommandEntry("__main__:wait", "Wait.")
sys.argv = ["zfscope", "wait", *sys.argv[1:]]
module.main()
"""


@contextmanager
def start(program: str, *arguments: object, ignored: Collection[int] = ()) -> Iterator[subprocess.Popen[str]]:
    """Start a Python program that ignores exactly these signals, even if pytest runs in the background."""
    process = subprocess.Popen(
        [sys.executable, "-c", signal_setup(ignored) + program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(os.name != "posix", reason="requires POSIX signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_command_ended_by_a_signal_leaves_no_files(tmp_path: Path, number: int, code: int) -> None:
    with start(WAITING, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        assert list(tmp_path.glob(".zfscope-*"))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (code, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="requires POSIX signals")
def test_a_signal_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    with start(WAITING, tmp_path, ignored={signal.SIGHUP}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143


ANALYZER = """
import os, signal, time
from zfscope.analysis.faults import translate_exceptions
from zfscope.termination import exit_code, terminate_as_ctrl_c

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job
terminate_as_ctrl_c()
try:
    with translate_exceptions(lambda error: RuntimeError("a fault")):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
except KeyboardInterrupt:
    raise SystemExit(exit_code(1))
"""


@pytest.mark.skipif(os.name != "posix", reason="requires POSIX signals")
def test_a_signal_during_an_analysis_is_not_reported_as_a_bug() -> None:
    with start(ANALYZER) as process:
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (143, "")


LIBRARY = """
import signal
from zfscope.termination import keep_handlers, terminate_as_ctrl_c

terminate_as_ctrl_c()
ours = signal.getsignal(signal.SIGTERM)
keep_handlers(lambda: signal.signal(signal.SIGTERM, lambda *_: None))
assert signal.getsignal(signal.SIGTERM) is ours
"""


def test_signal_handlers_of_a_library_are_undone() -> None:
    with start(LIBRARY) as process:
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="other systems do not remove a folder in use")
@pytest.mark.parametrize("name", ["classify", "models", "serve"])
def test_a_removed_current_folder_is_reported_in_one_line(
    command: Path, environment: dict[str, str], photo: Path, tmp_path: Path, name: str
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    arguments = [command, name, *([photo] if name == "classify" else [])]
    process = subprocess.run(
        ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', gone, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    message = "zfscope: the current folder no longer exists; change to another with cd\n"
    assert (process.returncode, process.stdout, process.stderr) == (2, "", message)


WARNING = """
import logging, sys, warnings
import zfscope.cli.app as module
from zfscope.cli.command import CommandEntry

def warn() -> None:
    for number in (1, 1, 2):
        for _ in range(2):
            warnings.warn(f"odd\\nphoto \\x1b[2J{number}", UserWarning, stacklevel=1)
    logging.getLogger("library").warning("from a %s", "library")

module.COMMANDS["warn"] = CommandEntry("__main__:warn", "Warn.")
sys.argv = ["zfscope", "warn"]
module.main()
"""


def test_a_warning_of_a_library_is_printed_once_in_one_line() -> None:
    with start(WARNING) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, "")
    assert stderr.splitlines() == [
        "zfscope: warning: odd photo \\x1b[2J1",
        "zfscope: warning: odd photo \\x1b[2J2",
        "zfscope: warning: from a library",
    ]
