"""Locks between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from zfscope.errors import InputError
from zfscope.locks import locked

HOLD = """
import sys
from pathlib import Path
from zfscope.locks import locked
with locked(Path(sys.argv[1]), None):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_kept_out_until_the_holder_ends(tmp_path: Path) -> None:
    path, busy = tmp_path / "lock", InputError("somebody else writes there")
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="somebody else writes there"), locked(path, busy):
            pass
        holder.kill()
        holder.wait(timeout=30)
    with locked(path, busy):
        pass


def test_a_lock_can_be_held_again_in_the_same_process(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "lock", InputError("busy")):
            pass
