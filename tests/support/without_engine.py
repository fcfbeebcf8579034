"""Processes in which the modules of the extra `engine` cannot be imported, as if it were not installed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WITHOUT_ENGINE = """
import json, sys
from zfscope.extras import ENGINE_MODULES

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ENGINE_MODULES | {"onnxruntime", "ray"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""

_COMMANDS = """
from typer.testing import CliRunner
from zfscope.cli.app import app

for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    print(json.dumps([result.exit_code, result.stdout, result.stderr]), file=sys.__stdout__)
"""


class CommandResult(NamedTuple):
    """Exit code and output of a command."""

    code: int
    stdout: str
    stderr: str


def run_without_engine(program: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run a Python program in such a process and return its stdout."""
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_ENGINE + program, *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_commands_without_engine(
    commands: Sequence[Sequence[object]], env: Mapping[str, str]
) -> list[CommandResult]:
    """Run commands of `zfscope` in a single such process."""
    arguments = [[str(argument) for argument in command] for command in commands]
    lines = run_without_engine(_COMMANDS, json.dumps(arguments), env=env).splitlines()
    assert len(lines) == len(commands)
    return [CommandResult(*json.loads(line)) for line in lines]
