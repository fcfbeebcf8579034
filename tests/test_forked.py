"""Forked processes behave as new interpreters do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forked import fork_python

DESCRIBE = """
import json, os, signal, sys
import found_by_path
from pathlib import Path
main = sys.modules["__main__"]
print(json.dumps({
    "arguments": sys.argv[1:],
    "environment": {name: os.environ.get(name) for name in ("ONE", "TWO", "HOME")},
    "folder": str(Path.cwd()),
    "main": (__name__, main.DESCRIBED),
    "module": found_by_path.__file__,
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "streams": [(s.encoding, s.errors, s.line_buffering, s.seekable()) for s in (sys.stdout, sys.stderr)],
}))
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables, one of them of this process alone, and a path with a module."""
    monkeypatch.setenv("ONE", "of the tests")
    (tmp_path / "found_by_path.py").touch()
    others = {name: value for name, value in os.environ.items() if name != "ONE"}
    return {**others, "TWO": "of the process", "PYTHONPATH": str(tmp_path)}


def test_a_forked_process_has_the_state_of_a_new_interpreter(
    ctrl_c: None, environment: dict[str, str], tmp_path: Path
) -> None:
    source = f"DESCRIBED = True\n{DESCRIBE}"
    new = subprocess.run(
        [sys.executable, "-c", source, "a", "b c"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    forked = fork_python(source, "a", "b c", environment=environment, folder=tmp_path)

    assert forked.communicate(timeout=60) == (new.stdout, new.stderr)
    assert forked.returncode == 0


@pytest.mark.parametrize(
    ("source", "code"),
    [("raise SystemExit(3)", 3), ("1/0", 1), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9)],
)
def test_the_exit_code_of_a_forked_process_is_that_of_a_new_interpreter(source: str, code: int) -> None:
    new = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)

    forked = fork_python(source)
    _, error = forked.communicate(timeout=60)

    assert forked.returncode == new.returncode == code
    assert error.splitlines()[-1:] == new.stderr.splitlines()[-1:]


def test_a_forked_process_runs_until_a_signal_and_can_be_waited_for() -> None:
    process = fork_python(
        "import sys; print('started', flush=True); sys.stdin.read(); import time; time.sleep(600)"
    )
    assert process.stdout.readline() == "started\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=60) == process.poll() == -signal.SIGTERM
    process.terminate()  # has no effect on a process that has ended
    process.close()


def test_exit_handlers_and_threads_of_a_forked_process_complete() -> None:
    source = """
import atexit, threading, time
atexit.register(print, "handler")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
"""
    assert fork_python(source).communicate(timeout=60) == ("thread\nhandler\n", "")
