"""A command that is killed at chosen lines, and then runs to its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

# A process that imports everything. For each number it reads, a fork runs the command and is killed before
# executing that many lines; at the end of its input, the process runs the command itself.
_PROGRAM = """
import os, signal, sys
{prepare}

def die_before(left):
    def at_line(frame, event, argument):
        nonlocal left
        left -= event == "line"
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return at_line

    sys.settrace(lambda frame, *_: at_line if frame.f_code.co_filename.endswith({files!r}) else None)

for line in sys.stdin:
    process = os.fork()
    if not process:
        die_before(int(line))
        break
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
zfscope.cli.main()
"""


class KilledCommand:
    """The process of a command that is killed at chosen lines."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def kill_after(self, lines: int) -> None:
        """Run the command, and kill it before it executes that many lines of its files."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(lines, file=self._process.stdin, flush=True)
        assert int(self._process.stdout.readline()) == -signal.SIGKILL

    def run_to_end(self) -> None:
        """Run the command to its end."""
        self._process.communicate(timeout=240)
        assert self._process.returncode == 0


@contextmanager
def killed_command(
    arguments: Sequence[object], *, prepare: str, files: Sequence[str], environment: Mapping[str, object]
) -> Iterator[KilledCommand]:
    """Start a process for a command of zfscope; it does not run before `kill_after` or `run_to_end`.

    prepare: code that the process runs first, with its imports. files: ends of the paths of the files whose
    lines are counted. environment: variables added to those of this process.
    """
    program = _PROGRAM.format(prepare=prepare, files=tuple(files))
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield KilledCommand(process)
        finally:
            process.kill()
