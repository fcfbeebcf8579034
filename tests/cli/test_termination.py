"""Commands that SIGTERM or SIGHUP ends, and those whose folder was removed, and warnings of libraries."""

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.signals import signal_setup

# A command that writes a folder of results and waits in it for a signal.
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
def start(program: str, *words: object, ignored: Collection[int] = ()) -> Iterator[subprocess.Popen[str]]:
    """Start a program that ignores these signals, and no others: tests may run in the background."""
    process = subprocess.Popen(
        [sys.executable, "-c", signal_setup(ignored) + program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_command_that_a_signal_ends_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    with start(WAITING, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        assert list(tmp_path.glob(".zfscope-*"))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (code, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_that_is_ignored_stays_so_as_under_nohup(tmp_path: Path) -> None:
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

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a job in the background
terminate_as_ctrl_c()
try:
    with translate_exceptions(lambda error: RuntimeError("a fault")):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
except KeyboardInterrupt:
    raise SystemExit(exit_code(1))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_is_not_the_fault_of_the_analyzer_that_it_ends() -> None:
    with start(ANALYZER) as process:
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (143, "")


RAY = """
import signal
from zfscope.termination import keep_handlers, terminate_as_ctrl_c

terminate_as_ctrl_c()
ours = signal.getsignal(signal.SIGTERM)
keep_handlers(lambda: signal.signal(signal.SIGTERM, lambda *_: None))
assert signal.getsignal(signal.SIGTERM) is ours
"""


def test_a_library_s_handlers_do_not_replace_ours() -> None:
    with start(RAY) as process:
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="other systems keep a folder that is in use")
@pytest.mark.parametrize("words", [["classify"], ["models"], ["serve"]])
def test_a_removed_current_folder_is_one_sentence(
    command: Path, environment: dict[str, str], photo: Path, tmp_path: Path, words: list[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    given = [command, *words, *([photo] if words == ["classify"] else [])]
    done = subprocess.run(
        ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', gone, *given],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    message = "zfscope: the current folder no longer exists; change to another with cd\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


WARNING = """
import logging, sys, warnings
import zfscope.cli.app as module
from zfscope.cli.command import CommandEntry

def warn() -> None:
    for number in (1, 1, 2):
        for _ in range(2):
            warnings.warn(f"odd\\nphoto \\x1b[2J{number}", UserWarning, stacklevel=1)
    logging.getLogger("library").warning("of a %s", "library")

module.COMMANDS["warn"] = CommandEntry("__main__:warn", "Warn.")
sys.argv = ["zfscope", "warn"]
module.main()
"""


def test_a_warning_of_a_library_is_one_line_and_comes_once() -> None:
    with start(WARNING) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, "")
    assert stderr.splitlines() == [
        "zfscope: warning: odd photo \\x1b[2J1",
        "zfscope: warning: odd photo \\x1b[2J2",
        "zfscope: warning: of a library",
    ]
